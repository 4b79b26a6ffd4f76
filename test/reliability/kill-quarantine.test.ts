import {cpSync, readdirSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {blockHeaderBytes} from '../../source/format/block.ts';
import {checkpointFileBytes} from '../../source/format/checkpoint.ts';
import {segmentFileName} from '../../source/format/file-name.ts';
import {DiskQueue} from '../../source/index.ts';
import type {DrainingJob} from '../fixtures/killed-draining.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {startWorker} from '../helpers/jobs.ts';
import {isEnded, readJournal} from '../helpers/journal.ts';
import {type Call, type KillPoint, someMomentsOf} from '../helpers/kill-points.ts';
import {openLog, recordAt, recordsAt, type TestRecord} from '../helpers/logs.ts';
import {range, takeRest} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';
import {memoryDirectory} from '../helpers/temporary-directory.ts';

const blocks = 15;
const recordsPerBlock = 4;
const damagedBlock = 7;
/** Records of all blocks but the damaged one. */
const intact = range(0, blocks * recordsPerBlock).filter(id => Math.floor(id / recordsPerBlock) !== damagedBlock);

const calls: Call[] = [
	'rename checkpoint',
	'rename segment',
	'make quarantine',
	'create copy',
	'write copy',
	'close copy',
	'sync copy',
	'sync quarantine',
];

/** A directory, and all of its bytes that do not check. */
type Damaged = {directory: string; damage: Buffer[]};

/** Segments with a block that does not check, a checkpoint that is none, and a last segment that is none. */
async function makeDamaged(t: ExecutionContext): Promise<Damaged> {
	const directory = memoryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 700});
	const appended = range(0, blocks).map(block =>
		log.append(recordsAt(block * recordsPerBlock, (block + 1) * recordsPerBlock)),
	);
	await log.close();
	t.true(log.segments.length > 3);

	const {segment, offset, bytes} = appended[damagedBlock]!;
	const file = readFileSync(segment.path);
	file[offset + blockHeaderBytes + 3]! ^= 0xff;
	const checkpoint = Buffer.alloc(checkpointFileBytes, 'no checkpoint');
	const foreign = Buffer.alloc(3000, 'no segment');
	writeFileSync(segment.path, file);
	writeFileSync(join(directory, 'checkpoint'), checkpoint);
	writeFileSync(join(directory, segmentFileName(log.nextSequence)), foreign);
	return {directory, damage: [file.subarray(offset, offset + bytes), checkpoint, foreign]};
}

/** Kills a child that drains a directory; gives the ids that it took. */
async function killDraining(t: ExecutionContext, directory: string, killPoint: KillPoint): Promise<number[]> {
	const journal = join(memoryDirectory(t), 'journal');
	const worker = startWorker<DrainingJob>(t, 'killed-draining');
	await worker.begin({directory, journal, killPoint});
	await worker.killed;
	t.false(isEnded(journal), `${JSON.stringify(killPoint)} was not reached`);
	return readJournal(journal).flatMap(([, ...ids]) => ids);
}

async function drainAll(directory: string): Promise<TestRecord[]> {
	const queue = (await DiskQueue.open<TestRecord>(directory)).on('corruption', () => {});
	const records = await takeRest(queue);
	await queue.close();
	return records;
}

/** Whether some file holds these bytes. */
function isKept(directory: string, bytes: Buffer): boolean {
	const paths = readdirSync(directory, {recursive: true, encoding: 'utf8'}).map(name => join(directory, name));
	return paths.some(path => statSync(path).isFile() && readFileSync(path).includes(bytes));
}

test('SIGKILL at every call that sets damage aside costs no damaged byte, and no other record', async t => {
	announce(t);
	const report = startFigures(t, 'T3', 'SIGKILL while damage is set aside');
	const {directory: template, damage} = await makeDamaged(t);
	let kills = 0;
	let verified = 0;
	const random = randomFrom(seed);
	for (const call of calls) {
		for (const moment of someMomentsOf(call, random)) {
			const what = `${moment} ${call}`;
			const directory = memoryDirectory(t);
			cpSync(template, directory, {recursive: true});
			const taken = await killDraining(t, directory, {call, moment, nth: 1});
			t.true(
				damage.every(bytes => isKept(directory, bytes)),
				what,
			);
			kills++;

			const records = await drainAll(directory);
			t.deepEqual(
				records,
				records.map(({id}) => recordAt(id)),
				what,
			);
			const found = new Set([...taken, ...records.map(({id}) => id)]);
			t.deepEqual(
				[...found].sort((one, other) => one - other),
				intact,
				what,
			);
			t.true(
				damage.every(bytes => isKept(directory, bytes)),
				what,
			);
			verified += records.length;
		}
	}

	t.is(kills, sized(calls.length, 19));
	report({kills, 'records verified': verified});
});
