import type {WaitOptions} from '../options.ts';

/** Figures of a queue at one moment. */
export type QueueStats = {
	/** Records that wait for a consumer. */
	size: number;
	/** Of those, how many are in memory, and their size in bytes as far as it is known. */
	memoryRecords: number;
	memoryBytes: number;
	/** Of those, how many are on disk only. */
	diskRecords: number;
	/** Bytes of the queue's segments, done records included until their segment is reclaimed. */
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
};

/** How many records `getMany` waits for, and how long. */
export type GetManyOptions = WaitOptions & {
	/** After the first record, how long to wait for more, in milliseconds, from 0 up. @default 0 */
	maxWait?: number | undefined;
};

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
	/** Resolves when all accepted records, and all that is done, are on the device. */
	sync(): Promise<void>;
	/** Saves what is in memory, gives back what is in flight, and releases the queue. Idempotent. */
	close(): Promise<void>;
	/** Records that wait for a consumer. */
	readonly size: number;
	stats(): QueueStats;
	/** Takes record by record; each is done when the next one is asked for. */
	[Symbol.asyncIterator](): AsyncIterableIterator<T>;
	[Symbol.asyncDispose](): Promise<void>;
}
