import {isDeepStrictEqual} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import {decodeCheckpoint, slotBytes, slotCount} from '../../source/format/checkpoint.ts';
import {Mismatch} from '../../source/format/mismatch.ts';
import {segmentHeaderBytes} from '../../source/format/segment-header.ts';
import {
	checkpointPath,
	judge,
	judgeNext,
	type Opened,
	openAndDrain,
	type Place,
	type PlacedBlock,
	placeOf,
	segmentPaths,
	states,
	type WrittenLog,
	withFile,
	writeLog,
} from '../helpers/damaged-log.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, isLong, seed} from '../helpers/form.ts';
import type {Contents} from '../helpers/memory-storage.ts';
import {randomFrom} from '../helpers/random.ts';
import {watchUse} from '../helpers/use.ts';

const use = watchUse();

/** Which share of all cases is tried, and which of those is opened more than once. */
const share = isLong ? 1 : 0.03;
const nextShare = isLong ? 0.25 : 0.5;

/** Tries damages one after the other, a share of them, and collects what is wrong. */
class Trial {
	readonly counts = {cases: 0, undetected: 0, lostBeyond: 0};
	readonly #problems: string[] = [];
	readonly #random: () => number;

	constructor(salt: number) {
		this.#random = randomFrom(seed + salt);
	}

	get isDue(): boolean {
		return this.#random() < share;
	}

	async open(
		name: string,
		written: WrittenLog,
		damaged: Contents,
		{mayRepeat = false, isAlways = false}: {mayRepeat?: boolean; isAlways?: boolean} = {},
	): Promise<Opened> {
		const isSync = this.#random() < 0.5;
		const opened = await use.timed(() => openAndDrain(damaged, {isSync}));
		const found = judge(written, damaged, opened, {mayRepeat});
		if (isAlways || this.#random() < nextShare) {
			found.push(...(await judgeNext(damaged, opened, isSync)));
		}

		this.counts.cases++;
		this.counts.undetected += found.filter(problem => problem.startsWith('delivered from')).length;
		this.counts.lostBeyond += found.filter(problem => problem.startsWith('lost beyond')).length;
		this.#problems.push(...found.map(problem => `${written.state}, ${name}: ${problem}`));
		return opened;
	}

	undetected(written: WrittenLog, name: string, problem: string): void {
		this.counts.undetected++;
		this.#problems.push(`${written.state}, ${name}: ${problem}`);
	}

	finish(t: ExecutionContext): void {
		t.deepEqual(this.#problems.slice(0, 5), [], `${this.#problems.length} problems, seed ${seed}`);
		t.deepEqual({...this.counts, cases: 0}, {cases: 0, undetected: 0, lostBeyond: 0});
		t.true(this.counts.cases > 50, `${this.counts.cases} cases`);
		use.check(t);
	}
}

test.serial('any byte of any segment changed is found, told, kept, and costs at most its block', async t => {
	announce(t);
	const report = startFigures(t, 'T5', 'a byte of a segment changed');
	const trial = new Trial(1);
	let inDone = 0;
	for (const written of await Promise.all(states.map(writeLog))) {
		for (const {path, offset, damaged, name} of changedBytes(written, segmentPaths(written.contents), trial)) {
			const opened = await trial.open(name, written, damaged);
			const block = blockAt(written, path, offset);
			const expected = expectedDamage(written, path, block);
			if (expected === undefined) {
				inDone++;
			} else if (block && isTorn(written, block)) {
				if (opened.recovery?.truncatedBytes !== block.bytes || opened.corruptions.length > 0) {
					trial.undetected(written, name, 'not cut off as torn');
				}
			} else if (!isDeepStrictEqual(opened.corruptions.map(placeOf), [expected])) {
				const problem = `expected ${JSON.stringify(expected)}, reported ${JSON.stringify(opened.corruptions)}`;
				trial.undetected(written, name, problem);
			}
		}
	}

	trial.finish(t);
	const {cases, undetected, lostBeyond} = trial.counts;
	report({
		flips: cases,
		'of them in blocks that are done': inDone,
		undetected,
		'records lost beyond the block': lostBeyond,
	});
});

test.serial('any segment cut at any length, or of zeros from there on, costs what is gone', async t => {
	announce(t);
	const report = startFigures(t, 'T5', 'a segment cut, or zeros from there on');
	const trial = new Trial(2);
	for (const written of await Promise.all(states.map(writeLog))) {
		const {contents} = written;
		for (const path of segmentPaths(contents)) {
			const whole = contents.get(path)!;
			for (let length = 0; length < whole.byteLength; length++) {
				if (trial.isDue) {
					const cut = withFile(contents, path, whole.subarray(0, length));
					await trial.open(`${path} cut at ${length}`, written, cut);
					const zeroed = withFile(contents, path, Buffer.from(whole).fill(0, length));
					await trial.open(`${path} zeros from ${length}`, written, zeroed);
				}
			}
		}
	}

	trial.finish(t);
	const {cases, undetected, lostBeyond} = trial.counts;
	report({'truncations and zero tails': cases, undetected, 'records lost beyond what is gone': lostBeyond});
});

test.serial('segments swapped, duplicated, removed or of another queue cost what they held', async t => {
	announce(t);
	const report = startFigures(t, 'T5', 'segments swapped, duplicated, removed, of another queue');
	const trial = new Trial(3);
	for (const state of states) {
		const written = await writeLog(state);
		const other = await writeLog(state);
		for (const [name, damaged] of confusedSegments(written.contents, other.contents)) {
			await trial.open(name, written, damaged, {isAlways: true});
		}
	}

	trial.finish(t);
	t.is(trial.counts.cases, 15 * states.length);
	const {cases, undetected, lostBeyond} = trial.counts;
	report({arrangements: cases, undetected, 'records lost beyond the files': lostBeyond});
});

test.serial('a checkpoint changed, cut, mixed up, or of another queue costs no record', async t => {
	announce(t);
	const report = startFigures(t, 'T5', 'the checkpoint changed, cut, its slots mixed, of another queue');
	const trial = new Trial(4);
	let behindTheEnd = 0;
	for (const state of states) {
		const written = await writeLog(state);
		for (const {offset, damaged, name} of changedBytes(written, [checkpointPath], trial)) {
			await trial.open(name, written, damaged, {mayRepeat: true});
			const start = offset - (offset % slotBytes);
			const slot = damaged.get(checkpointPath)!.subarray(start, start + slotBytes);
			if (offset - start >= slotEnd(slot)) {
				behindTheEnd++;
			} else if (!(decodeCheckpoint(slot) instanceof Mismatch)) {
				trial.undetected(written, name, 'the slot still counts');
			}
		}

		const other = await writeLog(state);
		for (const [name, damaged] of damagedCheckpoints(written.contents, other.contents, trial)) {
			await trial.open(name, written, damaged, {mayRepeat: true});
		}
	}

	trial.finish(t);
	const {cases, undetected, lostBeyond} = trial.counts;
	report({cases, 'of them harmless, behind the end of a slot': behindTheEnd, undetected, 'records lost': lostBeyond});
});

/** What a byte may be changed to. */
const changes: Array<[string, (byte: number) => number]> = [
	['^ 01', byte => byte ^ 0x01],
	['^ 80', byte => byte ^ 0x80],
	['^ ff', byte => byte ^ 0xff],
	['= 00', () => 0x00],
	['= ff', () => 0xff],
];

type ChangedByte = {path: string; offset: number; damaged: Contents; name: string};

/** Contents with one byte changed; of the checkpoint those bytes that a slot uses, and some of those behind them. */
function* changedBytes({contents}: WrittenLog, paths: string[], trial: Trial): Generator<ChangedByte> {
	for (const path of paths) {
		const whole = contents.get(path)!;
		for (const offset of path === checkpointPath ? slotOffsets(whole) : whole.keys()) {
			for (const [change, make] of changes) {
				const byte = make(whole[offset]!);
				if (byte !== whole[offset] && trial.isDue) {
					const damaged = Buffer.from(whole);
					damaged[offset] = byte;
					yield {path, offset, damaged: withFile(contents, path, damaged), name: `${path} at ${offset} ${change}`};
				}
			}
		}
	}
}

const bytesBehind = 10;

function slotOffsets(checkpoint: Buffer): number[] {
	return Array.from({length: slotCount}, (_, slot) => {
		const start = slot * slotBytes;
		const used = slotEnd(checkpoint.subarray(start, start + slotBytes)) + bytesBehind;
		return Array.from({length: used}, (_, offset) => start + offset);
	}).flat();
}

const slotHeaderBytes = 88;
const bodyBytesOffset = 72;

/** Where the body of a slot ends, by the length that stands in it. */
function slotEnd(slot: Buffer): number {
	return slotHeaderBytes + slot.readUInt32LE(bodyBytesOffset);
}

function blockAt({blocks}: WrittenLog, path: string, offset: number): PlacedBlock | undefined {
	return blocks.find(each => each.path === path && each.offset <= offset && offset < each.offset + each.bytes);
}

/** What is to be reported of a damaged block, or of the header of its segment; undefined for a block that is done. */
function expectedDamage({pending}: WrittenLog, path: string, block: PlacedBlock | undefined): Place | undefined {
	if (!block) {
		return {path, offset: 0, bytes: segmentHeaderBytes, lost: undefined};
	}

	const {offset, bytes, last} = block;
	const first = pending.find(sequence => sequence >= block.first && sequence <= last);
	return first === undefined ? undefined : {path, offset, bytes, lost: {first, last}};
}

/** A last block that was not on the device looks torn when it is damaged. */
function isTorn({blocks, durable}: WrittenLog, block: PlacedBlock): boolean {
	return block === blocks.at(-1) && block.first >= durable;
}

type NamedContents = [name: string, contents: Contents];

function* confusedSegments(contents: Contents, other: Contents): Generator<NamedContents> {
	const paths = segmentPaths(contents);
	for (const [index, path] of paths.entries()) {
		for (const another of paths.filter(each => each !== path)) {
			const copied = withFile(contents, path, contents.get(another)!);
			yield [`${another} copied to ${path}`, copied];
			if (another > path) {
				yield [`${another} and ${path} swapped`, withFile(copied, another, contents.get(path)!)];
			}
		}

		yield [`${path} of another queue`, withFile(contents, path, other.get(segmentPaths(other)[index]!)!)];
		yield [`${path} removed`, new Map([...contents].filter(([name]) => name !== path))];
	}
}

/** Checkpoints cut at any length that matters, or removed, or with slots of other places and queues. */
function* damagedCheckpoints(contents: Contents, other: Contents, trial: Trial): Generator<NamedContents> {
	const whole = contents.get(checkpointPath)!;
	const foreign = other.get(checkpointPath)!;
	const replaced = (name: string, bytes: Buffer): NamedContents => [
		`checkpoint ${name}`,
		withFile(contents, checkpointPath, bytes),
	];
	for (const length of slotOffsets(whole).filter(() => trial.isDue)) {
		yield replaced(`cut at ${length}`, whole.subarray(0, length));
		yield replaced(`zeros from ${length}`, Buffer.from(whole).fill(0, length));
	}

	for (let from = 0; from < slotCount; from++) {
		for (let to = 0; to < slotCount; to++) {
			yield replaced(`slot ${from} copied to ${to}`, withSlot(whole, to, whole, from));
			yield replaced(`slot ${from} of another queue in ${to}`, withSlot(whole, to, foreign, from));
			yield replaced(`slots ${from}, ${to} swapped`, withSlot(withSlot(whole, to, whole, from), from, whole, to));
		}
	}

	yield replaced('of another queue', foreign);
	yield ['checkpoint removed', new Map([...contents].filter(([path]) => path !== checkpointPath))];
}

function withSlot(checkpoint: Buffer, to: number, source: Buffer, from: number): Buffer {
	const mixed = Buffer.from(checkpoint);
	source.copy(mixed, to * slotBytes, from * slotBytes, (from + 1) * slotBytes);
	return mixed;
}
