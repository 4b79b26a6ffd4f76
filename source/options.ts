import {outOfRange, wrongType} from './errors.ts';

/** What a resolved `put` survives. */
export type Durability = 'spill' | 'write' | 'fsync';

/** How the records of a block become bytes and back. A block must be complete in itself: keep no state between calls. */
export type Codec<T> = {
	/** 1 to 24 of the characters A-Z a-z 0-9 . _ -; stored in every segment and checked when it is read. */
	name: string;
	/** Encodes at least one record. The bytes are used before the next call, so a reused buffer is fine. */
	encode(records: T[]): Uint8Array;
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

type OptionWithDefault = 'cacheSize' | 'cacheBytes' | 'maxRecordBytes' | 'durability' | 'segmentBytes' | 'onCorruption';

/** Options with their defaults filled in. */
export type ResolvedOptions<T> = Required<{
	[Key in OptionWithDefault]: Exclude<DiskQueueOptions<T>[Key], undefined>;
}> & {
	codec?: Codec<T> | undefined;
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

const codecNameLength = 24;

/** Defaults of the options; the layers that use them have those of `codec` and `storage`. */
export const defaults: Readonly<Pick<ResolvedOptions<never>, OptionWithDefault>> = Object.freeze({
	cacheSize: 1024,
	cacheBytes: 32 * mebibyte,
	maxRecordBytes: 64 * mebibyte,
	durability: 'spill',
	segmentBytes: 16 * mebibyte,
	onCorruption: 'quarantine',
});

const names = new Set([...Object.keys(defaults), 'codec', 'storage']);

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option. */
export function resolveOptions<T>(options: DiskQueueOptions<T>): ResolvedOptions<T> {
	if (typeof options !== 'object' || options === null) {
		throw wrongType('options', 'an object', options);
	}

	const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
	const unknown = Object.keys(given).find(name => !names.has(name));
	if (unknown !== undefined) {
		throw wrongType('options', `of ${[...Object.keys(defaults), 'codec'].join(', ')}`, unknown);
	}

	const resolved: ResolvedOptions<T> = {...defaults, ...given};
	checkInteger('cacheSize', resolved.cacheSize, {min: 1});
	checkInteger('cacheBytes', resolved.cacheBytes, {min: 1});
	checkInteger('maxRecordBytes', resolved.maxRecordBytes, {min: 1, max: gibibyte});
	checkInteger('segmentBytes', resolved.segmentBytes, {min: 4 * kibibyte, max: gibibyte});
	checkChoice('durability', resolved.durability, ['spill', 'write', 'fsync']);
	checkChoice('onCorruption', resolved.onCorruption, ['quarantine', 'throw']);
	if (resolved.codec !== undefined) {
		checkCodec(resolved.codec);
	}

	return resolved;
}

/** Checks a whole number of a call or an option. */
export function checkInteger(
	name: string,
	value: unknown,
	{min, max = Number.MAX_SAFE_INTEGER}: {min: number; max?: number},
): void {
	if (typeof value !== 'number') {
		throw wrongType(name, 'a number', value);
	}

	if (!Number.isInteger(value) || value < min || value > max) {
		const upTo = max === Number.MAX_SAFE_INTEGER ? 'up' : `to ${max}`;
		throw outOfRange(name, `a whole number from ${min} ${upTo}`, value);
	}
}

function checkChoice(name: string, value: unknown, choices: string[]): void {
	if (typeof value !== 'string') {
		throw wrongType(name, 'a string', value);
	}

	if (!choices.includes(value)) {
		throw outOfRange(name, `one of ${choices.map(choice => `'${choice}'`).join(', ')}`, value);
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

/** Checks the directory of a queue. */
export function checkDirectory(directory: unknown): asserts directory is string {
	if (typeof directory !== 'string') {
		throw wrongType('directory', 'a path', directory);
	}

	if (directory === '' || directory.includes('\0')) {
		throw outOfRange('directory', 'a path that is not empty and has no NUL', directory);
	}
}

/** Checks the options of a call that may have to wait. */
export function checkWaitOptions(options: WaitOptions): void {
	const {timeout, signal} = options;
	if (timeout !== undefined) {
		checkMilliseconds('timeout', timeout);
	}

	if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
		throw wrongType('signal', 'an AbortSignal', signal);
	}
}

/** Checks a time in milliseconds. */
export function checkMilliseconds(name: string, value: unknown): void {
	if (typeof value !== 'number') {
		throw wrongType(name, 'a number of milliseconds', value);
	}

	if (!(value >= 0)) {
		throw outOfRange(name, 'a number of milliseconds from 0 up', value);
	}
}
