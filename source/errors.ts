import {hostname} from 'node:os';

/** The stable `code` of every error that disq makes; messages may change between versions, codes do not. */
export type QueueErrorCode =
	| 'QUEUE_CLOSED'
	| 'QUEUE_CODEC'
	| 'QUEUE_CORRUPT'
	| 'QUEUE_EMPTY'
	| 'QUEUE_FULL'
	| 'QUEUE_INVALID_ARGUMENT'
	| 'QUEUE_LOCKED'
	| 'QUEUE_RECORD'
	| 'QUEUE_SETTLED'
	| 'QUEUE_SHUT_DOWN'
	| 'QUEUE_STORAGE'
	| 'QUEUE_TASK_DONE'
	| 'QUEUE_UNFINISHED'
	| 'QUEUE_VERSION';

/** Base class of the errors that are not the caller's bug: tell them apart by `code`. */
export class QueueError extends Error {
	/** Stable name of the situation. */
	readonly code: QueueErrorCode;

	constructor(code: QueueErrorCode, message: string, options?: ErrorOptions) {
		super(message, options);
		this.name = new.target.name;
		this.code = code;
	}
}

/** `QUEUE_CLOSED`: the queue was closed, or is closing, before the call could be done. */
export class QueueClosedError extends QueueError {
	constructor(operation: string, directory: string) {
		super(
			'QUEUE_CLOSED',
			`Cannot ${operation}: the queue in ${directory} is closed. Open it again with DiskQueue.open().`,
		);
	}
}

/** `QUEUE_FULL`: there is no room, or none came up within the `timeout` of a put. The record was not taken. */
export class QueueFullError extends QueueError {
	constructor(directory: string, timeout: number | undefined, options?: ErrorOptions) {
		super('QUEUE_FULL', `No room in the queue in ${directory}${within(timeout)}; the record was not put.`, options);
	}
}

/** `QUEUE_EMPTY`: there is no record, or none came within the `timeout` of a get. */
export class QueueEmptyError extends QueueError {
	constructor(directory: string, timeout: number | undefined, options?: ErrorOptions) {
		super('QUEUE_EMPTY', `No record in the queue in ${directory}${within(timeout)}.`, options);
	}
}

function within(timeout: number | undefined): string {
	return timeout === undefined ? '' : ` within ${timeout} ms`;
}

/** `QUEUE_SHUT_DOWN`: the queue was shut down: nothing is put any more, and what waited has been taken. */
export class QueueShutDownError extends QueueError {
	constructor(operation: string, directory: string) {
		super('QUEUE_SHUT_DOWN', `Cannot ${operation}: the queue in ${directory} was shut down.`);
	}
}

/** `QUEUE_SETTLED`: a delivery was acknowledged, given back or rejected before; nothing was done. */
export class QueueSettledError extends QueueError {
	constructor(operation: string, sequence: number, how: string) {
		super('QUEUE_SETTLED', `Cannot ${operation} the delivery of record ${sequence}: it was ${how} before.`);
	}
}

/** `QUEUE_TASK_DONE`: `taskDone` was called more often than records were taken. */
export class QueueTaskDoneError extends QueueError {
	constructor(directory: string) {
		super(
			'QUEUE_TASK_DONE',
			`taskDone() was called more often than records were taken from the queue in ${directory}.`,
		);
	}
}

/** `QUEUE_UNFINISHED`: records were left to be done when the `timeout` of a join was over. */
export class QueueUnfinishedError extends QueueError {
	constructor(directory: string, timeout: number) {
		super('QUEUE_UNFINISHED', `Not all records of the queue in ${directory} were done${within(timeout)}.`);
	}
}

/** Who holds a queue directory, as far as it could be found out. */
export type LockOwner = {
	/** Process id, in the owner's pid namespace; 0 if it could not be found out. */
	pid: number;
	/** Host name of the owner, if it answered. */
	host?: string;
};

/** `QUEUE_LOCKED`: another living process, or another queue of this process, owns the directory. Nothing in it was touched. */
export class QueueLockedError extends QueueError {
	readonly directory: string;
	readonly owner: LockOwner;

	constructor(directory: string, owner: LockOwner, detail?: string) {
		const where = owner.host ? ` on ${owner.host}` : '';
		const who = describeOwner(owner);
		super(
			'QUEUE_LOCKED',
			`The queue in ${directory} belongs to ${who}${where}${detail ? `, ${detail}` : ''}. Close it there first: a directory has one owner at a time.`,
		);
		this.directory = directory;
		this.owner = owner;
	}
}

// The same pid on another host name is another container's process: in each of them it is often 1.
function describeOwner({pid, host}: LockOwner): string {
	if (pid === 0) {
		return 'another process';
	}

	return pid === process.pid && host === hostname() ? `this process (${pid})` : `process ${pid}`;
}

/** What a `QueueCorruptError` and a `corruption` event tell of a damaged piece of the log. */
export type Corruption = {
	/** File with the damage. */
	path: string;
	/** Where the damage starts, bytes from the start of the file. */
	offset: number;
	/** Length of the damaged piece. */
	bytes: number;
	/** First and last sequence that are lost; `undefined` when no record is. */
	lost: {first: number; last: number} | undefined;
	/** What a whole file would hold there, and what was found. */
	expected: string;
	found: string;
	/** Where the damaged bytes are kept, if they could be. */
	quarantine: string | undefined;
};

/** `QUEUE_CORRUPT`: bytes that were whole once no longer check (with `onCorruption: 'throw'`). */
export class QueueCorruptError extends QueueError {
	readonly corruption: Corruption;

	constructor(corruption: Corruption, options?: ErrorOptions) {
		const {path, offset, bytes, lost, expected, found} = corruption;
		const records = lost ? `records ${lost.first} to ${lost.last} cannot be read` : 'no record is affected';
		super(
			'QUEUE_CORRUPT',
			`${path} is damaged at offset ${offset} (${bytes} bytes): expected ${expected}, found ${found}; ${records}. Open with onCorruption: 'quarantine' to set the damage aside and go on.`,
			options,
		);
		this.corruption = corruption;
	}
}

/** `QUEUE_VERSION`: a file was written by a newer disq. Nothing was changed. */
export class QueueVersionError extends QueueError {
	readonly path: string;
	readonly version: number;

	constructor(path: string, version: number, supported: number) {
		super(
			'QUEUE_VERSION',
			`${path} has format version ${version}; this disq reads up to ${supported}. Update disq to open it; nothing was changed.`,
		);
		this.path = path;
		this.version = version;
	}
}

/** `QUEUE_CODEC`: waiting records were written with another codec than the queue was opened with. Nothing was changed. */
export class QueueCodecError extends QueueError {
	readonly path: string;

	constructor(path: string, found: string, expected: string) {
		super(
			'QUEUE_CODEC',
			`${path} was written with the codec "${found}", the queue was opened with "${expected}". Open it with the codec that wrote it, drain it, then change.`,
		);
		this.path = path;
	}
}

/**
 * `QUEUE_RECORD`: the record cannot be stored, and was not taken; or it is not bytes, as a stream in byte mode wants them,
 * and stays in the queue. Every other record is unaffected.
 */
export class QueueRecordError extends QueueError {}

/** Builds the error of a record that cannot be stored; `reason` follows "the record". */
export function refusedRecord(reason: string, options?: ErrorOptions): QueueRecordError {
	return new QueueRecordError('QUEUE_RECORD', `Cannot put: the record ${reason}.`, options);
}

/** Builds the error of a record that a stream in byte mode cannot give. */
export function notBytes(record: unknown): QueueRecordError {
	const advice = 'It stays at the head of the queue: read it in object mode.';
	return new QueueRecordError(
		'QUEUE_RECORD',
		`Cannot read as bytes: the next record is ${describe(record)}, not a Buffer, Uint8Array or string. ${advice}`,
	);
}

/** `QUEUE_STORAGE`: the file system refused a call; `cause` is its error. */
export class QueueStorageError extends QueueError {
	readonly path: string;

	constructor(what: string, path: string, cause: unknown, advice = '') {
		const reason = cause instanceof Error ? cause.message : String(cause);
		super('QUEUE_STORAGE', `Cannot ${what} ${path}: ${reason}.${advice && ` ${advice}`}`, {cause});
		this.path = path;
	}
}

/** Rejection of a call whose `signal` was aborted; `code` is `ABORT_ERR` as in Node, `cause` the signal's reason. */
export class AbortError extends Error {
	readonly code = 'ABORT_ERR';

	constructor(signal: AbortSignal) {
		super('The operation was aborted', {cause: signal.reason});
		this.name = 'AbortError';
	}
}

function describe(value: unknown): string {
	if (typeof value === 'string') {
		return `${JSON.stringify(value)} (string)`;
	}

	if (value === null || value === undefined) {
		return String(value);
	}

	if (value instanceof Promise) {
		return 'a promise: is `await` missing?';
	}

	if (typeof value !== 'object') {
		return typeof value === 'function' ? 'a function' : `${String(value)} (${typeof value})`;
	}

	const name = Object.getPrototypeOf(value)?.constructor?.name ?? 'Object';
	return name === 'Object' ? 'an object' : `an instance of ${name}`;
}

type InvalidArgument<E extends Error> = E & {code: 'QUEUE_INVALID_ARGUMENT'};

function invalidArgument<E extends Error>(error: E): InvalidArgument<E> {
	return Object.assign(error, {code: 'QUEUE_INVALID_ARGUMENT' as const});
}

/** A `TypeError` for a value of the wrong kind. */
export function wrongType(name: string, expected: string, value: unknown): InvalidArgument<TypeError> {
	return invalidArgument(new TypeError(`Expected \`${name}\` to be ${expected}, got ${describe(value)}`));
}

/** A `RangeError` for a value of the right kind that is out of range. */
export function outOfRange(name: string, expected: string, value: unknown): InvalidArgument<RangeError> {
	return invalidArgument(new RangeError(`Expected \`${name}\` to be ${expected}, got ${describe(value)}`));
}
