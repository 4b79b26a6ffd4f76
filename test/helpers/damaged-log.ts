import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {type Corruption, QueueCorruptError, QueueError} from '../../source/errors.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import type {RecoveryReport} from '../../source/log/recovery.ts';
import {SegmentLog, type SegmentLogOptions} from '../../source/log/segment-log.ts';
import {RecordStore} from '../../source/queue/record-store.ts';
import {numbered, recordAt, recordsAt, type TestRecord} from './logs.ts';
import {type Contents, memoryStorage} from './memory-storage.ts';

/** Where the logs of these tests are, in a storage in memory. */
export const directory = '/queue';
export const checkpointPath: string = join(directory, 'checkpoint');

const blockCount = 15;
const recordsPerBlock = 5;
const segmentBytes = 1100;
/** The blocks before which a log is synced, so that every slot of its checkpoint is written; the last of them ends its durable part. */
const syncedBefore = [4, 8, 12];
/** Calls of the file system that no open and reading of such a log comes near to. */
const callLimit = 2000;

const codec = msgpackCodec<TestRecord>();

/** A block of a written log: where it is, and what it holds. */
export type PlacedBlock = {path: string; offset: number; bytes: number; first: number; last: number};

export type WrittenLog = {
	state: State;
	contents: Contents;
	blocks: PlacedBlock[];
	/** The sequences that come back at an open, in order. */
	pending: number[];
	/** The next sequence of the durable end: what comes before it is damaged or there, never torn. */
	durable: number;
};

/** How a log was left. In all of them some records are done. */
export type State = 'closed' | 'killed' | 'acknowledged out of order' | 'un-synced';

export const states: readonly State[] = ['closed', 'killed', 'acknowledged out of order', 'un-synced'];

/** A log of three segments of 4 to 6 blocks of five records, as its last owner left it. */
export async function writeLog(state: State): Promise<WrittenLog> {
	const {storage, contents} = memoryStorage();
	const log = await SegmentLog.open(directory, optionsOf({storage}));
	const blocks: PlacedBlock[] = [];
	for (let block = 0; block < blockCount; block++) {
		if (syncedBefore.includes(block)) {
			await log.sync();
		}

		const first = block * recordsPerBlock;
		const {segment, offset, bytes} = log.append(recordsAt(first, first + recordsPerBlock));
		blocks.push({path: segment.path, offset, bytes, first, last: first + recordsPerBlock - 1});
	}

	const done = await deliverSome(log, state);
	await leave(log, state);
	const pending = recordsAt(0, log.nextSequence)
		.map(({id}) => id)
		.filter(id => !done.has(id));
	const durable = state === 'un-synced' ? syncedBefore.at(-1)! * recordsPerBlock : log.nextSequence;
	return {state, contents: contents(), blocks, pending, durable};
}

async function leave(log: SegmentLog<TestRecord>, state: State): Promise<void> {
	if (state === 'un-synced') {
		log.writeCheckpoint();
	} else if (state === 'closed') {
		await log.close();
	} else {
		await log.sync();
	}
}

/**
 * Delivers records and says which of them are done: the first eight, or some of the first thirty, so that of the blocks
 * that begin at 10, 15, 20 and 25 the first has gaps, the second is done, the third is not, and the fourth is in part.
 */
async function deliverSome(log: SegmentLog<TestRecord>, state: State): Promise<Set<number>> {
	const isOutOfOrder = state === 'acknowledged out of order';
	const isDone = (sequence: number) =>
		isOutOfOrder ? sequence < 3 || (sequence > 10 && sequence < 20 && sequence !== 12) || sequence > 27 : true;
	const done = new Set<number>();
	const store = storeOf(log);
	while (store.diskSize > log.nextSequence - (isOutOfOrder ? 30 : 8) || store.memory.records > 0) {
		const lease = store.lease({records: 1, bytes: Number.POSITIVE_INFINITY});
		if (!lease) {
			await store.load();
		} else if (lease.first! >= (isOutOfOrder ? 30 : 8)) {
			break;
		} else if (isDone(lease.first!)) {
			done.add(lease.first!);
			store.settle(lease, 1);
		}
	}

	return done;
}

function optionsOf(options: Partial<SegmentLogOptions<TestRecord>>): SegmentLogOptions<TestRecord> {
	return {
		codec,
		salt: 0,
		segmentBytes,
		maxBytes: Number.POSITIVE_INFINITY,
		onCorruption: 'quarantine',
		storage: memoryStorage().storage,
		report() {},
		maxRedelivery: Number.POSITIVE_INFINITY,
		reclaimed() {},
		...options,
	};
}

function storeOf(log: SegmentLog<TestRecord>): RecordStore<TestRecord> {
	return new RecordStore(log, {
		cacheSize: 1024,
		cacheBytes: 1 << 20,
		headShare: 0.5,
		blockBytes: 4096,
		dropped() {},
		missed() {},
	});
}

export type Opened = {
	/** What was delivered, by sequence. */
	found: Array<[number, TestRecord]>;
	recovery: RecoveryReport | undefined;
	/** What was reported while reading. */
	corruptions: Corruption[];
	/** What open, or a read, threw. */
	thrown: QueueError | undefined;
	nextSequence: number;
	/** Records that the queue counts as waiting when all was delivered. */
	left: number;
	after: Contents;
};

export type OpenOptions = {
	/** Whether to read in one turn, and not through `load`. */
	isSync?: boolean;
	onCorruption?: 'quarantine' | 'throw';
	/** Records to append before anything is read. */
	append?: number;
};

/** Opens a log, delivers all that comes, and leaves it without a close. An error that is none of ours rejects. */
export async function openAndDrain(contents: Contents, options: OpenOptions = {}): Promise<Opened> {
	const memory = memoryStorage(contents, callLimit);
	const opened: Opened = {
		found: [],
		recovery: undefined,
		corruptions: [],
		thrown: undefined,
		nextSequence: 0,
		left: 0,
		after: contents,
	};
	try {
		await drain(memory.storage, opened, options);
	} catch (error) {
		if (!(error instanceof QueueError)) {
			throw error;
		}

		opened.thrown = error;
	}

	opened.after = memory.contents();
	return opened;
}

async function drain(
	storage: SegmentLogOptions<TestRecord>['storage'],
	opened: Opened,
	{isSync = false, onCorruption = 'quarantine', append = 0}: OpenOptions,
): Promise<void> {
	const report = (corruption: Corruption) => opened.corruptions.push(corruption);
	const log = await SegmentLog.open(directory, optionsOf({storage, onCorruption, report}));
	try {
		opened.recovery = log.recovery;
		opened.nextSequence = log.nextSequence;
		if (append > 0) {
			log.append(recordsAt(log.nextSequence, log.nextSequence + append));
		}

		const store = storeOf(log);
		await store.restore(log.delivered);
		await (isSync ? takeAll : leaseAll)(store, opened.found);
		opened.left = store.size;
	} finally {
		log.closeFiles();
	}
}

async function leaseAll(store: RecordStore<TestRecord>, found: Opened['found']): Promise<void> {
	for (
		let lease = store.lease({records: 1000, bytes: Number.POSITIVE_INFINITY});
		lease || store.isLoadDue;
		lease = store.lease({records: 1000, bytes: Number.POSITIVE_INFINITY})
	) {
		if (lease) {
			found.push(...lease.rest().map((record, index): [number, TestRecord] => [lease!.first! + index, record]));
			store.settle(lease, lease.length);
		} else {
			await store.load();
		}
	}
}

/** The same in one turn, where a record must say itself at which sequence it was. */
async function takeAll(store: RecordStore<TestRecord>, found: Opened['found']): Promise<void> {
	for (let record = store.takeOne('now'); record !== undefined; record = store.takeOne('now')) {
		found.push([record.id, record]);
	}
}

/** The blocks that a damage changed. */
export function touchedBlocks({blocks, contents}: WrittenLog, damaged: Contents): PlacedBlock[] {
	const bytesOf = ({path, offset, bytes}: PlacedBlock, files: Contents) =>
		files.get(path)?.subarray(offset, offset + bytes) ?? Buffer.alloc(0);
	return blocks.filter(block => !bytesOf(block, contents).equals(bytesOf(block, damaged)));
}

/** All sequences of ranges that include their ends. */
export function sequencesOf(ranges: Array<{first: number; last: number}>): Set<number> {
	return new Set(
		ranges.flatMap(({first, last}) => Array.from({length: last - first + 1}, (_, index) => first + index)),
	);
}

/** What is wrong with how a damaged log was opened and read; nothing, if all promises were kept. */
export function judge(
	written: WrittenLog,
	damaged: Contents,
	{found, recovery, corruptions, thrown, nextSequence, left, after}: Opened,
	{mayRepeat = false}: {mayRepeat?: boolean} = {},
): string[] {
	if (thrown) {
		return [`thrown: ${thrown.message}`];
	}

	const touched = sequencesOf(touchedBlocks(written, damaged));
	const delivered = new Set(found.map(([sequence]) => sequence));
	const pending = new Set(written.pending);
	const all = [...recovery!.corruptions, ...corruptions];
	const reported = sequencesOf(all.flatMap(({lost}) => lost ?? []));
	const missing = written.pending.filter(sequence => !delivered.has(sequence));
	return describe({
		'not what was written': notWritten(found),
		'out of order': outOfOrder(found),
		'done, and came back': mayRepeat ? [] : [...delivered].filter(sequence => !pending.has(sequence)),
		'lost beyond the damage': missing.filter(sequence => !touched.has(sequence)),
		'delivered from damage': [...delivered].filter(sequence => touched.has(sequence)),
		'lost and not reported': missing.filter(sequence => sequence < written.durable && !reported.has(sequence)),
		'reported and not lost': [...reported].filter(sequence => !touched.has(sequence) || delivered.has(sequence)),
		'not kept': all.filter(corruption => !isKept(corruption, damaged, after)),
		'numbers anew': nextSequence < written.durable ? [nextSequence] : [],
		'counted and not there': left > 0 ? [left] : [],
	});
}

export function notWritten(found: Opened['found']): unknown[] {
	return found.filter(([sequence, record]) => !isDeepStrictEqual(record, recordAt(sequence)));
}

export function outOfOrder(found: Opened['found']): unknown[] {
	return found.filter(([sequence], index) => index > 0 && !(sequence > found[index - 1]![0]));
}

/** The kinds of problems that have cases, each with them. */
export function describe(problems: Record<string, unknown[]>): string[] {
	return Object.entries(problems)
		.filter(([, cases]) => cases.length > 0)
		.map(([name, cases]) => `${name}: ${JSON.stringify(cases).slice(0, 300)}`);
}

/** Whether the damaged bytes are in quarantine as they were found. */
function isKept({path, offset, bytes, quarantine}: Corruption, damaged: Contents, after: Contents): boolean {
	const found = damaged.get(path)?.subarray(offset, offset + bytes) ?? Buffer.alloc(0);
	return bytes === 0
		? quarantine === undefined
		: quarantine !== undefined && found.byteLength === bytes && after.get(quarantine)?.equals(found) === true;
}

/**
 * What is wrong with what comes after a first open: a second one and a third must find and report the same, and what
 * was appended; one with `onCorruption: 'throw'` must throw what the first one reported, and change nothing.
 */
export async function judgeNext(damaged: Contents, first: Opened, isSync: boolean): Promise<string[]> {
	const second = await openAndDrain(first.after, {isSync, append: 5});
	const third = await openAndDrain(second.after, {isSync: !isSync});
	const thrown = await openAndDrain(damaged, {isSync, onCorruption: 'throw'});
	const expected = [...first.found, ...numbered(first.nextSequence, first.nextSequence + 5)];
	const places = ({corruptions}: Opened) => corruptions.map(each => [placeOf(each), each.quarantine]);
	const isSame = (opened: Opened) =>
		isDeepStrictEqual([opened.found, places(opened), opened.left], [expected, places(first), 0]);
	const isSettled = ({recovery}: Opened) => recovery?.corruptions.length === 0 && recovery.truncatedBytes === 0;
	const isThrown = isDeepStrictEqual(thrownDamage(thrown), firstDamage(first));
	return describe({
		'other than at the first open': [second, third]
			.filter(opened => !isSame(opened))
			.map(each => [each.found, each.corruptions]),
		'not settled by the first open': [second, third].filter(opened => !isSettled(opened)).map(each => each.recovery),
		'thrown otherwise than reported': isThrown ? [] : [thrown.thrown?.message],
		'changed by an open that throws': changed(damaged, thrown),
	});
}

export type Place = Pick<Corruption, 'path' | 'offset' | 'bytes' | 'lost'>;

/** Where damage was, and what was lost by it. */
export function placeOf({path, offset, bytes, lost}: Corruption): Place {
	return {path, offset, bytes, lost};
}

function firstDamage({recovery, corruptions}: Opened): Corruption | undefined {
	const [corruption] = [...recovery!.corruptions, ...corruptions];
	return corruption && {...corruption, quarantine: undefined};
}

function thrownDamage({thrown}: Opened): Corruption | undefined {
	return thrown instanceof QueueCorruptError ? thrown.corruption : undefined;
}

/** Files that an open changed otherwise than by cutting a torn tail, or removing a checkpoint that was never written. */
function changed(before: Contents, {after}: Opened): string[] {
	const isCut = (bytes: Buffer, path: string) => {
		const left = after.get(path) ?? Buffer.alloc(0);
		return after.has(path) ? bytes.subarray(0, left.byteLength).equals(left) : bytes.every(byte => byte === 0);
	};
	const missing = [...before].filter(([path, bytes]) => !isCut(bytes, path)).map(([path]) => path);
	return [...missing, ...[...after.keys()].filter(path => !before.has(path))];
}

/** The paths of the segments, in order. */
export function segmentPaths(contents: Contents): string[] {
	return [...contents.keys()].filter(path => path.endsWith('.log')).sort();
}

/** Contents with one file replaced. */
export function withFile(contents: Contents, path: string, bytes: Buffer): Contents {
	return new Map([...contents, [path, bytes]]);
}
