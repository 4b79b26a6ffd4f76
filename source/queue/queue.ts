import type {WaitOptions} from '../options.ts';

/** Figures of a queue at one moment. Times are milliseconds. */
export type QueueStats = {
	/** Records that wait for a consumer. */
	size: number;
	/** Of those, how many are in memory, and their size in bytes as far as it is known. */
	memoryRecords: number;
	memoryBytes: number;
	/** Of those, how many are on disk only. */
	diskRecords: number;
	/** Bytes of the queue's files: segments, done records included until their segment is reclaimed, and quarantine. */
	diskBytes: number;
	/** Segments. */
	segments: number;
	/** Sequence of the next record to go to the log: with `'write'` and `'fsync'`, how many were ever put. */
	nextSequence: number;
	/** Records delivered and not yet acknowledged. */
	inFlight: number;
	/** Calls of `put` and `get` that wait. */
	waitingPuts: number;
	waitingGets: number;
	/** Records put, and records done, since the queue was opened; those dropped or dead-lettered are not counted as done. */
	put: number;
	done: number;
	/** Records dropped by `overflow`, for want of a dead-letter queue, or since they could not be encoded after all, since then. */
	dropped: number;
	/** Records moved to the dead-letter queue since then. */
	deadLettered: number;
	/** How long the oldest record in memory has waited; undefined if none is in memory. */
	oldestAge: number | undefined;
	/** Blocks handed to the operating system since the queue was opened, and how long that took. */
	writes: number;
	writeTime: number;
	/** Times the device was waited for, how long that took, and the longest of them. */
	syncs: number;
	syncTime: number;
	slowestSync: number;
};

/** How many records `getMany` and `receiveMany` wait for, and how long. */
export type GetManyOptions = WaitOptions & {
	/** After the first record, how long to wait for more, in milliseconds, from 0 up. @default 0 */
	maxWait?: number | undefined;
};

/** Options of `nack`. */
export type NackOptions = {
	/** How long until it is delivered again, in milliseconds, from 0 up. */
	delay?: number | undefined;
	/** What went wrong: its text, up to 1000 characters of it, is in the dead letter if this was the last attempt. */
	error?: unknown;
};

/**
 * A record handed out by `receive`. It is the consumer's until it is settled by one of `ack`, `nack` and `reject`; a
 * second one throws `QueueSettledError`. After the queue was closed the first does nothing: the record comes back at the
 * next open, its attempts counted.
 */
export interface Delivery<T> {
	readonly record: T;
	/** The record's ordinal in the queue: with the queue's id, a key that is the same at every delivery. */
	readonly sequence: number;
	/** How often the record was delivered, this time counted; it survives crashes. */
	readonly attempts: number;
	/** Says that the record is done. */
	ack(): void;
	/** Gives it back, to be delivered again: at once and before newer ones, or after a delay. */
	nack(options?: NackOptions): void;
	/** Gives it up: it goes to the dead-letter queue with this reason. */
	reject(reason?: string): void;
}

/** What every backend of disq keeps: a FIFO queue of records of one type. */
export interface Queue<T> extends AsyncDisposable {
	/** Puts a record at the end; resolves as the queue's durability says. */
	put(record: T, options?: WaitOptions): Promise<void>;
	/** Puts records in order; resolves when the last one is put. */
	putMany(records: Iterable<T> | AsyncIterable<T>, options?: WaitOptions): Promise<void>;
	/** Takes the first record; it is done when the promise resolves. */
	get(options?: WaitOptions): Promise<T>;
	/** Takes up to `max` records, at least one. */
	getMany(max: number, options?: GetManyOptions): Promise<T[]>;
	/** Takes the first record until it is settled: at-least-once. */
	receive(options?: WaitOptions): Promise<Delivery<T>>;
	/** Takes up to `max` records, at least one, each until it is settled. */
	receiveMany(max: number, options?: GetManyOptions): Promise<Array<Delivery<T>>>;
	/** Says that a record taken by `get` or `getMany` is worked on; `join` waits for it. */
	taskDone(): void;
	/** Resolves when no record waits, and every one taken is done. */
	join(options?: WaitOptions): Promise<void>;
	/** Resolves when all accepted records, and all that is done, are on the device. */
	sync(): Promise<void>;
	/** Drops all records that wait. */
	clear(): Promise<void>;
	/** Refuses puts from now on; gets go on until the queue is empty. `immediate` drops what waits. */
	shutdown(options?: {immediate?: boolean | undefined}): void;
	/** Saves what is in memory, gives back what is in flight, and releases the queue. Idempotent. */
	close(): Promise<void>;
	/** Records that wait for a consumer. */
	readonly size: number;
	/** The same, by the name it has in Python. */
	qsize(): number;
	/** Whether no record waits. */
	empty(): boolean;
	/** Whether `maxSize` records wait. */
	full(): boolean;
	stats(): QueueStats;
	/** Takes record by record; each is done when the next one is asked for. */
	[Symbol.asyncIterator](): AsyncIterableIterator<T>;
	[Symbol.asyncDispose](): Promise<void>;
}
