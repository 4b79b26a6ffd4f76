import {outOfRange, wrongType} from './errors.ts';
import {checkChoice, checkDirectory, checkInteger, checkLimit, checkNames} from './option-checks.ts';

/** What a resolved `put` survives. */
export type Durability = 'spill' | 'write' | 'fsync';

/** How the records of a block become bytes and back. A block must be complete in itself: keep no state between calls. */
export type Codec<T> = {
	/** 1 to 24 of the characters A-Z a-z 0-9 . _ -; stored in every segment and checked when it is read. */
	name: string;
	/** Encodes at least one record. The bytes are used before the next call, so a reused buffer is fine. */
	encode(records: T[]): Uint8Array;
	/**
	 * The same as pieces, which are written one behind the other without being copied; undefined where that gains nothing.
	 * They may be parts of the records.
	 */
	encodePieces?(records: T[]): Uint8Array[] | undefined;
	/** Gives back the records in order. The bytes are reused after the call: copy what the records keep of them. */
	decode(bytes: Uint8Array): T[];
	/**
	 * Estimated encoded size of a record in bytes; throws if it cannot be encoded. Called at every put.
	 * Without it a record is encoded alone at put, and again in its block.
	 */
	measure?(record: T): number;
};

/** Options of `DiskQueue.open` and `diskQueue`. A directory may be opened with other options each time. */
export type DiskQueueOptions<T> = {
	/**
	 * Records held in memory before the queue uses the disk. A stream's `highWaterMark` sets it.
	 * From 1 up. A block read back from disk is held whole, so memory may exceed this by one block (at most 512 records).
	 * @default 1024
	 */
	cacheSize?: number | undefined;
	/**
	 * The same bound in estimated bytes, for large records. From 1 up; one record may exceed it.
	 * @default 33554432 (32 MiB)
	 */
	cacheBytes?: number | undefined;
	/**
	 * Records that may wait in the queue, in memory and on disk; a put beyond does what `overflow` says. From 1 up.
	 * @default Infinity
	 */
	maxSize?: number | undefined;
	/**
	 * Bytes the queue's files may take, quarantine counted; a put beyond does what `overflow` says. From 262144 (256 KiB)
	 * up, and at least four times `maxRecordBytes`, if that is given; otherwise a quarter of this bounds a record.
	 * @default Infinity
	 */
	maxBytes?: number | undefined;
	/**
	 * What a put beyond `maxSize` or `maxBytes` does. `'wait'`: it waits for room. `'dropNewest'`: its record is dropped.
	 * `'dropOldest'`: it makes room by dropping what waits longest. Drops are counted and emitted.
	 * @default 'wait'
	 */
	overflow?: Overflow | undefined;
	/**
	 * A larger record, in estimated encoded bytes, is refused at put. From 1 to 1 GiB.
	 * @default 67108864 (64 MiB)
	 */
	maxRecordBytes?: number | undefined;
	/**
	 * What a resolved put survives. `'spill'`: an orderly exit of the process; after SIGKILL or a power cut, what had
	 * been spilled or synced. `'write'`: also SIGKILL. `'fsync'`: also a power cut.
	 * @default 'spill'
	 */
	durability?: Durability | undefined;
	/**
	 * Also forces everything to the device this often, as `sync` does, in milliseconds from 1 up; not while it is doing so.
	 * @default Infinity
	 */
	syncInterval?: number | undefined;
	/**
	 * Forces the checkpoint to the device whenever this many more records are done: after a power cut about as many come
	 * back at most. After SIGKILL those come back that were done in the last turn of the event loop, 1024 at most. From 1
	 * up.
	 * @default Infinity
	 */
	maxRedelivery?: number | undefined;
	/**
	 * How often `receive` delivers a record at most; then it goes to the dead-letter queue. From 1 up.
	 * @default Infinity
	 */
	maxAttempts?: number | undefined;
	/**
	 * Where rejected records go, and those delivered `maxAttempts` times: the path of a directory, opened with `'fsync'` and
	 * closed with this queue; or another open queue, whose own durability then counts for them. Without it they are
	 * dropped, counted and emitted.
	 * @default none
	 */
	deadLetter?: string | DeadLetterQueue<T> | undefined;
	/**
	 * Starts the next file of the log after this many bytes. Space is given back a file at a time. From 4096 to 1 GiB.
	 * @default 16777216 (16 MiB)
	 */
	segmentBytes?: number | undefined;
	/**
	 * How records become bytes.
	 * @default MessagePack, by msgpackr
	 */
	codec?: Codec<T> | undefined;
	/**
	 * What to do with bytes that were whole once and no longer check. `'quarantine'`: keep them under `quarantine/`, emit
	 * `corruption` with the exact range, go on behind them. `'throw'`: reject the read with `QUEUE_CORRUPT`.
	 * @default 'quarantine'
	 */
	onCorruption?: 'quarantine' | 'throw' | undefined;
	/** The file system, for fault injection. @internal */
	storage?: unknown;
};

/** What a put beyond the limits of a queue does. */
export type Overflow = 'wait' | 'dropNewest' | 'dropOldest';

/** A record that was given up, as the dead-letter queue holds it. */
export type DeadLetter<T> = {
	record: T;
	/** Why: what was given to `reject`, or that `maxAttempts` was reached. */
	reason: string;
	/** What went wrong at the last attempt, if `nack` or `consume` told it: its text, of up to 1000 characters. */
	error?: string;
	/** How often it was delivered. */
	attempts: number;
	/** Its sequence in the queue it comes from. */
	sequence: number;
};

/**
 * What a dead-letter queue must be able to do; every queue is. The signal is aborted when the queue that gives up the
 * record has been closing for a second: a put that then rejects leaves the record in its queue, for the next open.
 */
export type DeadLetterQueue<T> = {put(letter: DeadLetter<T>, options: {signal: AbortSignal}): Promise<void>};

type OptionWithDefault =
	| 'cacheSize'
	| 'cacheBytes'
	| 'maxSize'
	| 'maxBytes'
	| 'overflow'
	| 'maxRecordBytes'
	| 'durability'
	| 'syncInterval'
	| 'maxRedelivery'
	| 'maxAttempts'
	| 'segmentBytes'
	| 'onCorruption';

/** Options with their defaults filled in. */
export type ResolvedOptions<T> = Required<{
	[Key in OptionWithDefault]: Exclude<DiskQueueOptions<T>[Key], undefined>;
}> & {
	codec?: Codec<T> | undefined;
	deadLetter?: string | DeadLetterQueue<T> | undefined;
	storage?: unknown;
};

/** Options of a call that may have to wait. */
export type WaitOptions = {
	/** How long to wait, in milliseconds, from 0 up; without it, as long as it takes. */
	timeout?: number | undefined;
	/** Aborts the wait: what was not done by then is not done. */
	signal?: AbortSignal | undefined;
};

const kibibyte = 1024;
const mebibyte = kibibyte * kibibyte;
const gibibyte = kibibyte * mebibyte;
const minMaxBytes = 256 * kibibyte;

/** The most that `maxRecordBytes` may be. */
export const largestRecordBytes: number = gibibyte;

const codecNameLength = 24;

/** Defaults of the options; the layers that use them have those of `codec` and `storage`. */
export const defaults: Readonly<Pick<ResolvedOptions<never>, OptionWithDefault>> = Object.freeze({
	cacheSize: 1024,
	cacheBytes: 32 * mebibyte,
	maxSize: Number.POSITIVE_INFINITY,
	maxBytes: Number.POSITIVE_INFINITY,
	overflow: 'wait',
	maxRecordBytes: 64 * mebibyte,
	durability: 'spill',
	syncInterval: Number.POSITIVE_INFINITY,
	maxRedelivery: Number.POSITIVE_INFINITY,
	maxAttempts: Number.POSITIVE_INFINITY,
	segmentBytes: 16 * mebibyte,
	onCorruption: 'quarantine',
});

const names = new Set([...Object.keys(defaults), 'codec', 'deadLetter', 'storage']);

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option. */
export function resolveOptions<T>(options: DiskQueueOptions<T>): ResolvedOptions<T> {
	checkNames('options', options);
	const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
	const unknown = Object.keys(given).find(name => !names.has(name));
	if (unknown !== undefined) {
		throw wrongType('options', `of ${[...Object.keys(defaults), 'codec', 'deadLetter'].join(', ')}`, unknown);
	}

	const resolved: ResolvedOptions<T> = {...defaults, ...given};
	checkInteger('cacheSize', resolved.cacheSize, {min: 1});
	checkInteger('cacheBytes', resolved.cacheBytes, {min: 1});
	checkInteger('maxRecordBytes', resolved.maxRecordBytes, {min: 1, max: largestRecordBytes});
	checkInteger('segmentBytes', resolved.segmentBytes, {min: 4 * kibibyte, max: gibibyte});
	checkLimit('maxSize', resolved.maxSize, 1);
	checkLimit('maxBytes', resolved.maxBytes, minMaxBytes);
	checkLimit('syncInterval', resolved.syncInterval, 1);
	checkLimit('maxRedelivery', resolved.maxRedelivery, 1);
	checkLimit('maxAttempts', resolved.maxAttempts, 1);
	fitToMaxBytes(resolved, given);
	checkChoice('overflow', resolved.overflow, ['wait', 'dropNewest', 'dropOldest']);
	checkChoice('durability', resolved.durability, ['spill', 'write', 'fsync']);
	checkChoice('onCorruption', resolved.onCorruption, ['quarantine', 'throw']);
	if (resolved.codec !== undefined) {
		checkCodec(resolved.codec);
	}

	if (resolved.deadLetter !== undefined) {
		checkDeadLetter(resolved.deadLetter);
	}

	return resolved;
}

/** Sizes a file and a record so that `maxBytes` always leaves room for both: given otherwise, it would never be kept. */
function fitToMaxBytes<T>(resolved: ResolvedOptions<T>, given: DiskQueueOptions<T>): void {
	const quarter = Math.floor(resolved.maxBytes / 4);
	for (const name of ['maxRecordBytes', 'segmentBytes'] as const) {
		if (given[name] !== undefined && resolved[name] > quarter) {
			throw outOfRange(name, `at most a quarter of maxBytes (${quarter})`, resolved[name]);
		}

		resolved[name] = Math.min(resolved[name], quarter);
	}
}

function checkDeadLetter(deadLetter: unknown): void {
	if (typeof deadLetter === 'string') {
		checkDirectory(deadLetter);
	} else if (typeof (deadLetter as DeadLetterQueue<unknown> | null)?.put !== 'function') {
		throw wrongType('deadLetter', 'a queue or the path of a directory', deadLetter);
	}
}

function checkCodec<T>(codec: Codec<T>): void {
	if (typeof codec !== 'object' || codec === null) {
		throw wrongType('codec', 'an object', codec);
	}

	if (typeof codec.encode !== 'function' || typeof codec.decode !== 'function') {
		throw wrongType('codec', 'an object with the functions `encode` and `decode`', codec);
	}

	if (typeof codec.name !== 'string' || !/^[\w.-]+$/.test(codec.name) || codec.name.length > codecNameLength) {
		throw outOfRange('codec.name', `1 to ${codecNameLength} of the characters A-Z a-z 0-9 . _ -`, codec.name);
	}
}
