import {basename, dirname} from 'node:path';
import {encodeBlockHeader} from '../../source/format/block.ts';
import {parseSegmentFileName} from '../../source/format/file-name.ts';
import {encodeSegmentHeader, segmentIdentity} from '../../source/format/segment-header.ts';
import {
	type Contents,
	FileContents,
	type Fill,
	fills,
	sectorBytes,
	type Tear,
	type WriteOperation,
} from './crash-contents.ts';
import {
	applyName,
	describeOperation,
	findDurable,
	hasParents,
	inodeOf,
	isNameOperation,
	type Names,
} from './crash-operations.ts';
import type {Content, DiskImage, Operation, SimulatedDisk} from './simulated-disk.ts';

/** A disk as a crash may leave it. Two with the same key are the same. */
export type CrashState = {
	key: string;
	/** Old bytes of the device stand at the beginning of a new file: that may be told as damage, if it cost nothing. */
	hasStaleStart: boolean;
	image(): DiskImage;
	/** What the segments held before the crash, by their first sequences: later ones may find it on the device. */
	former(): Map<number, Buffer>;
	describe(): string;
};

export type CrashModelOptions = {
	random(): number;
	/** All subsets of up to so many pending operations are tried. */
	exhaustive: number;
	/** Of more pending operations, so many subsets besides the systematic ones. */
	samples: number;
	/** Places at which a write is torn, at most. */
	cuts: number;
	/** What segments of an earlier run held, by their first sequences. */
	former?: Map<number, Buffer>;
};

/**
 * Enumerates what crashes may leave of a disk, from the log of its operations.
 *
 * What is written is on the device once its file was synced; a name that was created, moved or removed, once its
 * directory was. What is pending may be there or not, each by itself, and the last write of a file in part. A sync that
 * failed makes what it covered pending for ever.
 */
export class CrashModel {
	readonly operations: readonly Operation[];
	readonly #base: SimulatedDisk['base'];
	readonly #options: CrashModelOptions;
	/** The operation by which each one is on the device. */
	readonly #durableAt: number[];
	readonly #files = new Map<number, FileContents>();
	readonly #names: number[];

	constructor(disk: SimulatedDisk, contents: Contents, options: CrashModelOptions) {
		this.operations = disk.operations;
		this.#base = disk.base;
		this.#options = options;
		this.#durableAt = findDurable(this.operations);
		this.#names = [...this.operations.keys()].filter(index => isNameOperation(this.operations[index]!));
		for (const entry of this.#base.values()) {
			if (entry !== 'directory') {
				this.#files.set(entry.inode, new FileContents(entry.content, this.operations, contents));
			}
		}

		for (const [index, operation] of this.operations.entries()) {
			if (operation.kind === 'create') {
				this.#files.set(operation.inode, new FileContents(undefined, this.operations, contents));
			} else if (operation.kind === 'write' || operation.kind === 'truncate') {
				this.#files.get(operation.inode)!.indexes.push(index);
			}
		}
	}

	/** What a process killed before an operation leaves: all that it handed to the operating system. */
	afterKill(crash: number): CrashState {
		return this.#state(new Uint8Array(crash).fill(1), undefined, []);
	}

	/** What a power cut before an operation may leave. */
	*afterPowerCut(crash: number): Generator<CrashState> {
		const pending = this.pending(crash);
		const durable = new Uint8Array(crash).fill(1);
		for (const index of pending) {
			durable[index] = 0;
		}

		for (const isKept of this.#subsets(pending.length)) {
			yield this.#state(keep(durable, pending, isKept), undefined, pending);
		}

		for (const tear of this.#tears(crash, pending)) {
			for (const isKept of this.#contexts(pending.length)) {
				const kept = keep(durable, pending, isKept);
				kept[tear.operation] = 1;
				if (this.#isPlausible(tear, kept)) {
					yield this.#state(kept, tear, pending);
				}
			}
		}
	}

	/** The operations before a crash that it may undo; those of a file that is gone for certain make no difference. */
	pending(crash: number): number[] {
		const gone = new Set<number>();
		for (const index of this.#names) {
			const operation = this.operations[index]!;
			if (operation.kind === 'unlink' && this.#durableAt[index]! < crash) {
				gone.add(operation.inode);
			}
		}

		return [...this.operations.keys()].filter(
			index => index < crash && this.#durableAt[index]! >= crash && !gone.has(inodeOf(this.operations[index]!)),
		);
	}

	/** The last write to a segment before a crash, which tells what all of them held; -1 if there was none. */
	lastSegmentWrite(crash: number): number {
		return this.operations.findLastIndex(
			({kind, path}, index) => index < crash && kind === 'write' && path.endsWith('.log'),
		);
	}

	/** The operation by which the name of a file was on the device. */
	namedBy(inode: number): number {
		const created = this.operations.findIndex(each => each.kind === 'create' && each.inode === inode);
		return created === -1 ? -1 : this.#durableAt[created]!;
	}

	/** Content of a file as far as it was on the device before an operation. */
	durableContent(inode: number, before: number): Buffer {
		const kept = Uint8Array.from(this.#durableAt, index => (index < before ? 1 : 0));
		return this.#files.get(inode)!.content(kept, undefined).bytes;
	}

	/** A segment removed before a crash, as a new file may find it on the device; if none was, one of another queue. */
	#staleAt(crash: number): Buffer {
		const removed = this.operations.findLast(
			({kind, path}, index) => index < crash && kind === 'unlink' && path.endsWith('.log'),
		);
		const kept = new Uint8Array(crash).fill(1);
		const content = removed && this.#files.get(inodeOf(removed))!.content(kept, undefined).bytes;
		return content && content.byteLength > 0 ? content : foreignSegment();
	}

	/** What the segments held before a crash, those that were removed too. */
	#formerAt(crash: number): Map<number, Buffer> {
		const kept = new Uint8Array(crash).fill(1);
		const former = new Map<number, Buffer>();
		for (const operation of this.operations.slice(0, crash)) {
			if (operation.kind === 'create' && operation.path.endsWith('.log')) {
				const {path, inode} = operation;
				former.set(firstSequenceOf(path), this.#files.get(inode)!.content(kept, undefined).bytes);
			}
		}

		return former;
	}

	/** Which of a number of pending operations are kept. */
	*#subsets(count: number): Generator<(index: number) => boolean> {
		const {exhaustive, samples} = this.#options;
		if (count <= exhaustive) {
			for (let mask = 0; mask < 2 ** count; mask++) {
				yield index => ((mask >> index) & 1) === 1;
			}

			return;
		}

		for (let chosen = 0; chosen <= count; chosen++) {
			yield index => index < chosen;
			yield index => index !== chosen;
			yield index => index === chosen;
		}

		for (let sample = 0; sample < samples; sample++) {
			yield this.#anySubset(count);
		}
	}

	/** What else is kept beside a torn write. */
	*#contexts(count: number): Generator<(index: number) => boolean> {
		yield () => true;
		yield () => false;
		yield this.#anySubset(count);
	}

	#anySubset(count: number): (index: number) => boolean {
		const kept = Array.from({length: count}, () => this.#options.random() < 0.5);
		return index => kept[index]!;
	}

	/**
	 * Every way to tear the last pending write of each file. Old bytes, and parts of sectors, stand only where the log ends,
	 * in what the device gave it anew, and in the checkpoint.
	 */
	*#tears(crash: number, pending: number[]): Generator<Tear> {
		const isWrite = (index: number) => this.operations[index]!.kind === 'write';
		const isOfLog = (index: number) => this.operations[index]!.path.endsWith('.log');
		const last = new Map(pending.filter(isWrite).map(index => [inodeOf(this.operations[index]!), index]));
		const end = [...this.operations.keys()].findLast(index => index < crash && isWrite(index) && isOfLog(index));
		const stale = this.#staleAt(crash);
		for (const operation of last.values()) {
			const {inode, position, path} = this.operations[operation] as WriteOperation;
			const isLast = (operation === end && position >= this.#files.get(inode)!.baseBytes) || !isOfLog(operation);
			for (const cut of this.#cutsOf(operation, isLast, pending)) {
				for (const fill of fills.filter(each => isLast || !isOld(each))) {
					yield {operation, cut, fill, stale, from: position};
				}
			}

			const from = Math.min(...this.#pendingWrites(inode, pending).map(write => write.position));
			const former = this.#options.former?.get(firstSequenceOf(path)) ?? Buffer.alloc(0);
			if (from < former.byteLength) {
				yield {operation, cut: 0, fill: 'former', stale: former, from};
			}
		}
	}

	#pendingWrites(inode: number, pending: number[]): WriteOperation[] {
		return pending
			.map(index => this.operations[index]!)
			.filter((each): each is WriteOperation => each.kind === 'write' && each.inode === inode);
	}

	/**
	 * Sector borders in a write, and places that are none, as no device promises whole sectors: but a file that nothing
	 * was ever written to has no other way to tell what was begun from what was damaged.
	 */
	#cutsOf(index: number, isLast: boolean, pending: number[]): number[] {
		const {position, bytes} = this.operations[index] as WriteOperation;
		const length = bytes.byteLength;
		const isWithin = isLast && !this.#isNew(index, pending);
		const cuts = new Set((isWithin ? [0, 1, 40, length >> 1, length - 1] : [0]).filter(cut => cut < length));
		for (let border = sectorBytes - (position % sectorBytes); border < length; border += sectorBytes) {
			cuts.add(border);
		}

		const {cuts: most, random} = this.#options;
		const all = [...cuts];
		return all.length <= most ? all : Array.from({length: most}, () => all[Math.floor(random() * all.length)]!);
	}

	/** Whether nothing of a file tells that it was ever written to, before a pending write of its beginning. */
	#isNew(index: number, pending: number[]): boolean {
		const {inode, path, position} = this.operations[index] as WriteOperation;
		const isBeginning = position === 0 || path.endsWith('/checkpoint');
		return isBeginning && this.#files.get(inode)!.indexes.every(each => each > index || pending.includes(each));
	}

	/** Old bytes, and parts of sectors, stand where the log ends: not before a segment that was removed, and is back. */
	#isPlausible({operation, cut, fill}: Tear, kept: Uint8Array): boolean {
		const {path, position} = this.operations[operation] as WriteOperation;
		const isOrdinary = !isOld(fill) && (cut === 0 || (position + cut) % sectorBytes === 0);
		return isOrdinary || ![...this.#namesOf(kept).keys()].some(each => isLaterSegment(each, path));
	}

	#state(kept: Uint8Array, tear: Tear | undefined, pending: number[]): CrashState {
		const names = this.#namesOf(kept);
		const fileOf = (inode: number) => this.#files.get(inode)!;
		return {
			key: keyOfEntries([...names], inode => fileOf(inode).keyOf(kept, tear)),
			hasStaleStart: tear !== undefined && this.#hasStaleStart(tear, pending),
			former: () => this.#formerAt(kept.length),
			image() {
				const entries = [...names].map(([path, inode]): [string, Content | 'directory'] => [
					path,
					inode === 'directory' ? inode : fileOf(inode).content(kept, tear),
				]);
				return new Map(entries);
			},
			describe: () => this.#describe(kept, tear, pending),
		};
	}

	#hasStaleStart({operation, fill, from}: Tear, pending: number[]): boolean {
		return isOld(fill) && (fill === 'former' ? from === 0 : this.#isNew(operation, pending));
	}

	/** The paths there are, each with its inode. */
	#namesOf(kept: Uint8Array): Names {
		const names: Names = new Map();
		for (const [path, entry] of this.#base) {
			names.set(path, entry === 'directory' ? entry : entry.inode);
		}

		for (const index of this.#names) {
			if (index < kept.length && kept[index]) {
				applyName(names, this.operations[index]!);
			}
		}

		for (const path of names.keys()) {
			if (!hasParents(names, path)) {
				names.delete(path);
			}
		}

		return names;
	}

	#describe(kept: Uint8Array, tear: Tear | undefined, pending: number[]): string {
		const lines = pending.map(index => {
			const torn = tear?.operation === index ? `torn after ${tear.cut} bytes, ${tear.fill}` : undefined;
			return `  ${torn ?? (kept[index] ? 'kept' : 'lost')}: ${index} ${describeOperation(this.operations[index]!)}`;
		});
		return [`crash before operation ${kept.length}`, ...lines].join('\n');
	}
}

/** Equal for equal disks. */
export function keyOfEntries<T>(entries: Array<[string, T | 'directory']>, keyOf: (file: T) => string): string {
	const parts = entries.map(([path, entry]) => `${path}=${entry === 'directory' ? '/' : keyOf(entry)}`);
	return parts.sort().join(';');
}

function isOld(fill: Fill): boolean {
	return fill === 'garbage' || fill === 'stale' || fill === 'former';
}

/** NaN if the file is no segment. */
function firstSequenceOf(path: string): number {
	return parseSegmentFileName(basename(path))?.firstSequence ?? Number.NaN;
}

function isLaterSegment(path: string, other: string): boolean {
	return [path, other].every(each => each.endsWith('.log')) && dirname(path) === dirname(other) && path > other;
}

function keep(durable: Uint8Array, pending: number[], isKept: (index: number) => boolean): Uint8Array {
	const kept = durable.slice();
	for (const [index, operation] of pending.entries()) {
		kept[operation] = isKept(index) ? 1 : 0;
	}

	return kept;
}

function foreignSegment(): Buffer {
	const place = {queueId: Buffer.alloc(16, 7), firstSequence: 0, salt: 0};
	const payload = Buffer.from('91c0', 'hex');
	const block = encodeBlockHeader(payload, {records: 1, firstSequence: 0, appendedAt: 0}, segmentIdentity(place));
	return Buffer.concat([encodeSegmentHeader({...place, codecName: 'msgpack'}), block, payload]);
}
