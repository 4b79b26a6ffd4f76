import {EventEmitter} from 'node:events';
import {performance} from 'node:perf_hooks';
import {
	type Corruption,
	QueueClosedError,
	QueueCorruptError,
	type QueueRecordError,
	QueueStorageError,
} from '../errors.ts';
import {msgpackCodec} from '../format/codec.ts';
import type {DirectoryLock} from '../log/directory-lock.ts';
import type {RecoveryReport} from '../log/recovery.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import {
	checkDirectory,
	checkInteger,
	checkMilliseconds,
	checkWaitOptions,
	type DiskQueueOptions,
	type ResolvedOptions,
	resolveOptions,
	type WaitOptions,
} from '../options.ts';
import {fileSystem, type Storage} from '../storage.ts';
import {announceDeparture} from './departures.ts';
import {onExit} from './exit-handler.ts';
import {GetSide} from './get-side.ts';
import type {Lease} from './lease.ts';
import {openDirectory} from './open-directory.ts';
import {PutSide} from './put-side.ts';
import type {GetManyOptions, Queue, QueueStats} from './queue.ts';
import {RecordStore} from './record-store.ts';
import {runsOf} from './runs.ts';

/** Events of a `DiskQueue` and what their listeners are given. */
export type DiskQueueEvents = {
	/** The directory was not empty, or its last owner did not close it: what was found. Emitted once, after open. */
	recovered: [report: RecoveryReport];
	/** Damage was found and set aside. With no listener it is a process warning. */
	corruption: [corruption: Corruption];
	/** The queue begins to use the disk. */
	spill: [];
	/** The device has no room; puts wait. */
	full: [cause: QueueStorageError];
	/** It has room again. */
	resume: [];
	/** A record accepted into memory could not be encoded later, because it was changed after its put; it is lost. */
	error: [error: QueueRecordError];
	/** The queue was closed. */
	close: [];
};

/**
 * A FIFO queue in one directory: records wait in memory while the consumers keep up, and on disk when they do not.
 *
 * ```ts
 * await using queue = await DiskQueue.open<Order>('./orders');
 * await queue.put({id: 1});
 * const order = await queue.get();
 * ```
 */
export class DiskQueue<T = unknown> extends EventEmitter<DiskQueueEvents> implements Queue<T> {
	/** The queue's directory, absolute. */
	readonly directory: string;
	/** What opening found and did. */
	readonly recovery: RecoveryReport;
	readonly #log: SegmentLog<T>;
	readonly #lock: DirectoryLock;
	readonly #store: RecordStore<T>;
	readonly #puts: PutSide<T>;
	readonly #gets: GetSide<T>;
	readonly #forgetExit: () => void;
	#turn: NodeJS.Immediate | undefined;
	#closing: Promise<void> | undefined;
	/** From here on leases are not settled any more: what is not done comes back at the next open. */
	#isSaving = false;
	readonly #leaving = new Set<Promise<unknown>>();
	#isOnDisk: boolean;

	private constructor(log: SegmentLog<T>, lock: DirectoryLock, options: ResolvedOptions<T>) {
		super();
		this.directory = log.directory;
		this.recovery = log.recovery;
		this.#log = log;
		this.#lock = lock;
		this.#isOnDisk = log.recovery.records > 0;
		this.#store = new RecordStore<T>(log, {...options, headShare: options.durability === 'spill' ? 0.5 : 1});
		this.#gets = new GetSide<T>(this.directory, this.#store, () => this.#taken());
		this.#puts = new PutSide<T>(this.#store, log, options, {
			added: () => this.#gets.added(),
			schedule: () => this.#schedule(),
			full: cause => this.#emitSoon('full', cause),
			resume: () => this.#emitSoon('resume'),
			dropped: error => this.#emitSoon('error', error),
		});
		this.#forgetExit = onExit(() => this.#saveNow());
	}

	/**
	 * Opens the queue in a directory, creating it if it is missing, and recovers what an earlier run left.
	 *
	 * @param directory Path of the directory. It has one owner at a time, and should hold nothing else.
	 * @param options See `DiskQueueOptions`; other options than last time are fine.
	 * @returns The queue, holding first what was not done in earlier runs.
	 * @throws `TypeError`, `RangeError` (`QUEUE_INVALID_ARGUMENT`): an argument is wrong.
	 * @throws `QueueLockedError` (`QUEUE_LOCKED`): somebody else has the directory.
	 * @throws `QueueStorageError` (`QUEUE_STORAGE`): the path is a file, or may not be read or written.
	 * @throws `QueueVersionError` (`QUEUE_VERSION`), `QueueCodecError` (`QUEUE_CODEC`): written by a newer disq, or with
	 *   another codec. Nothing is changed.
	 */
	static async open<T = unknown>(directory: string, options: DiskQueueOptions<T> = {}): Promise<DiskQueue<T>> {
		checkDirectory(directory);
		const resolved = resolveOptions(options);
		// Damage is reported as the log is read, which only the queue does.
		const report = (corruption: Corruption) => setImmediate(() => queue.#reportCorruption(corruption));
		const codec = resolved.codec ?? msgpackCodec<T>();
		const storage = (resolved.storage as Storage | undefined) ?? fileSystem;
		const {log, lock} = await openDirectory<T>(directory, {...resolved, codec, storage, report});
		const queue = new DiskQueue<T>(log, lock, resolved);
		queue.#announceRecovery();
		return queue;
	}

	/** Records that wait for a consumer, in memory and on disk. */
	get size(): number {
		return this.#store.size;
	}

	/**
	 * Puts a record at the end.
	 *
	 * The queue keeps the object itself until it is written: do not change it afterwards.
	 *
	 * @param options `timeout` in milliseconds and `signal`, for a put that must wait.
	 * @returns Resolves when the record is in the queue, as the `durability` option says.
	 * @throws `QueueRecordError` (`QUEUE_RECORD`): it cannot be stored, or is larger than `maxRecordBytes`.
	 * @throws `QueueFullError` (`QUEUE_FULL`): no room within `timeout`. `AbortError` (`ABORT_ERR`): aborted.
	 *   In both cases the record was not taken.
	 * @throws `QueueClosedError` (`QUEUE_CLOSED`); `QueueStorageError` (`QUEUE_STORAGE`): the log cannot be written.
	 */
	put(record: T, options?: WaitOptions): Promise<void> {
		try {
			this.#check('put', options);
			return this.#puts.put(record, options);
		} catch (error) {
			return Promise.reject(error);
		}
	}

	/**
	 * Puts records in order. Those before one that is refused, late or aborted are put.
	 *
	 * @param records Any iterable; it is read as the queue takes records, up to 512 ahead.
	 * @param options As for `put`, for each part that must wait.
	 * @returns Resolves when the last record is in the queue. Errors are those of `put`, and of the iterable.
	 */
	async putMany(records: Iterable<T> | AsyncIterable<T>, options?: WaitOptions): Promise<void> {
		this.#check('put', options);
		for await (const run of runsOf(records)) {
			await this.putRun(run, options);
		}
	}

	/**
	 * Takes the first record. It is done when the promise resolves: a crash from then on does not bring it back, save as
	 * `sync` describes.
	 *
	 * @param options `timeout` in milliseconds and `signal`, for a get that must wait.
	 * @throws `QueueEmptyError` (`QUEUE_EMPTY`): no record within `timeout`. `AbortError` (`ABORT_ERR`): aborted.
	 *   In both cases none was taken.
	 * @throws `QueueClosedError` (`QUEUE_CLOSED`); `QueueStorageError` (`QUEUE_STORAGE`): the disk cannot be read, and
	 *   nothing is lost; `QueueCorruptError` (`QUEUE_CORRUPT`) with `onCorruption: 'throw'`.
	 */
	get(options?: WaitOptions): Promise<T> {
		try {
			this.#check('get', options);
			return this.#gets.take(takeOne<T>, options);
		} catch (error) {
			return Promise.reject(error);
		}
	}

	/**
	 * Takes up to `max` records, in order: waits for the first as `get` does, then up to `maxWait` for more.
	 *
	 * @param max From 1 up.
	 * @param options As for `get`; `maxWait` in milliseconds, 0 if not given.
	 * @returns At least one record. Once one is taken, an abort ends the wait and what was taken is returned.
	 */
	async getMany(max: number, options: GetManyOptions = {}): Promise<T[]> {
		this.#check('get', options);
		checkInteger('max', max, {min: 1});
		const {maxWait = 0, ...waitOptions} = options;
		checkMilliseconds('maxWait', maxWait);
		const records = await this.#gets.take(takeMany<T>(max), waitOptions);
		return maxWait > 0 && records.length < max ? this.#getMore(records, max, {...options, maxWait}) : records;
	}

	/**
	 * Forces all accepted records, and all that is done, to the device.
	 *
	 * @returns Resolves when they survive a power cut: nothing accepted is lost, and nothing done comes back.
	 * @throws `QueueStorageError` (`QUEUE_STORAGE`): the device refused; what was not synced before may be lost in a power cut.
	 */
	async sync(): Promise<void> {
		this.#check('sync');
		this.#puts.spillAll();
		await this.#log.sync();
	}

	/**
	 * Saves what is in memory to the device, gives back what is in flight, and lets go of the directory. Calls that wait
	 * for a record reject with `QUEUE_CLOSED`; puts that wait are finished. Idempotent.
	 *
	 * @throws `QueueStorageError` (`QUEUE_STORAGE`): something could not be saved. The directory is let go all the same.
	 */
	close(): Promise<void> {
		if (!this.#closing) {
			this.#closing = this.#close();
			announceDeparture(this.directory, this.#closing);
		}

		return this.#closing;
	}

	/** Figures of this moment. */
	stats(): QueueStats {
		const memory = this.#store.memory;
		return {
			size: this.#store.size,
			memoryRecords: memory.records,
			memoryBytes: memory.bytes,
			diskRecords: this.#store.diskSize,
			diskBytes: this.#log.bytes,
			segments: this.#log.segments.length,
			nextSequence: this.#log.nextSequence,
			inFlight: this.#store.inFlight,
			waitingPuts: this.#puts.waiting,
			waitingGets: this.#gets.waiting,
		};
	}

	/** Lets a call that waits for a record keep the process alive, as a socket does. The default. */
	ref(): this {
		this.#gets.keepProcessAlive(true);
		return this;
	}

	/** Lets the process end although a call waits for a record. */
	unref(): this {
		this.#gets.keepProcessAlive(false);
		return this;
	}

	/**
	 * Takes record by record, for ever; ends when the queue is closed. A record is done when the next one is asked for:
	 * leaving the loop by `break` or a throw puts it back at the head, and leaves the queue open.
	 */
	async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
		for (let lease = await this.#leaseNext(); lease; lease = await this.#leaseNext()) {
			let isDone = false;
			try {
				yield lease.records[lease.done]!;
				isDone = true;
			} finally {
				this.settle(lease, isDone ? 1 : 0);
				this.giveBack(lease);
			}
		}
	}

	/** Closes the queue. */
	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	/**
	 * Takes up to `max` records that stay the queue's until they are settled; undefined when none is left and `isOver`.
	 * @internal
	 */
	async lease(max: number, isOver: () => boolean, signal?: AbortSignal): Promise<Lease<T> | undefined> {
		this.#check('get');
		const request = (store: RecordStore<T>) => {
			const lease = store.lease(max);
			return lease || (isOver() && store.size === 0) ? {value: lease} : undefined;
		};
		return this.#gets.take(request, signal && {signal});
	}

	/** Puts records as one run, see `putMany`. @internal */
	async putRun(records: T[], options?: WaitOptions): Promise<void> {
		this.#check('put', options);
		await this.#puts.putRun(records, options);
	}

	/** Says that the next `count` records of a lease are done. Nothing happens once the queue is being saved. @internal */
	settle(lease: Lease<T>, count: number): void {
		if (!this.#isSaving && count > 0) {
			this.#store.settle(lease, count);
			this.#taken();
		}
	}

	/** Gives back what is not done of a lease, to its place in the queue. @internal */
	giveBack(lease: Lease<T>): void {
		if (!this.#isSaving) {
			this.#store.giveBack(lease);
			this.#gets.added();
		}
	}

	/** Lets a consumer that is leaving settle its leases before the queue closes. @internal */
	awaitBeforeClose(left: Promise<unknown>): void {
		this.#leaving.add(left);
		left.finally(() => this.#leaving.delete(left)).catch(() => {});
	}

	/** Asks again who waits for a lease whether it is over. @internal */
	wake(): void {
		this.#gets.added();
	}

	#check(operation: string, options?: WaitOptions): void {
		if (this.#closing) {
			throw new QueueClosedError(operation, this.directory);
		}

		if (options) {
			checkWaitOptions(options);
		}
	}

	/** Collects more records until there are enough or the time is over. What was taken is never lost by an error. */
	async #getMore(
		records: T[],
		max: number,
		{maxWait, signal}: {maxWait: number; signal?: AbortSignal | undefined},
	): Promise<T[]> {
		const deadline = performance.now() + maxWait;
		for (let left = maxWait; left > 0 && records.length < max; left = deadline - performance.now()) {
			try {
				const more = await this.#gets.take(takeMany<T>(max - records.length), {timeout: left, signal});
				records.push(...more);
			} catch {
				break;
			}
		}

		return records;
	}

	async #leaseNext(): Promise<Lease<T> | undefined> {
		try {
			return await this.lease(1, () => false);
		} catch (error) {
			if (error instanceof QueueClosedError) {
				return undefined;
			}

			throw error;
		}
	}

	/** There may be room for puts that wait, and more done than the checkpoint says. */
	#taken(): void {
		if (this.#log.isCheckpointDue || this.#puts.waiting > 0) {
			this.#schedule();
		}
	}

	#schedule(): void {
		this.#turn ??= setImmediate(() => {
			this.#turn = undefined;
			this.#puts.turn();
			this.#writeCheckpoint();
			this.#announceSpill();
		});
	}

	/** A checkpoint that cannot be written now costs redelivery only, and stays due: sync() and close() tell why. */
	#writeCheckpoint(): void {
		try {
			this.#log.writeCheckpoint();
		} catch {
			// Stays due.
		}
	}

	/** Listeners run later, so that none of them runs in the middle of an operation. */
	#emitSoon<Name extends keyof DiskQueueEvents>(name: Name, ...values: DiskQueueEvents[Name]): void {
		process.nextTick(() => (this as EventEmitter).emit(name, ...values));
	}

	#announceSpill(): void {
		const isOnDisk = this.#store.diskSize > 0;
		if (isOnDisk && !this.#isOnDisk) {
			this.#emitSoon('spill');
		}

		this.#isOnDisk = isOnDisk;
	}

	/** Tells what recovery found, once the opener has had a turn to listen. */
	#announceRecovery(): void {
		const {isClean, segments, corruptions} = this.recovery;
		if (!isClean || segments > 0 || corruptions.length > 0) {
			setImmediate(() => {
				this.emit('recovered', this.recovery);
				for (const corruption of corruptions) {
					this.#reportCorruption(corruption);
				}
			});
		}
	}

	#reportCorruption(corruption: Corruption): void {
		if (this.listenerCount('corruption') > 0) {
			this.emit('corruption', corruption);
		} else {
			process.emitWarning(new QueueCorruptError(corruption).message, {type: 'QueueCorruption', code: 'QUEUE_CORRUPT'});
		}
	}

	async #close(): Promise<void> {
		this.#gets.close(new QueueClosedError('get', this.directory));
		await Promise.allSettled(this.#leaving);
		this.#isSaving = true;
		clearImmediate(this.#turn);
		const failures: unknown[] = [];
		const attempt = (step: () => Promise<void>) => step().catch(error => failures.push(error));
		await attempt(() => this.#puts.finish());
		await attempt(() => this.#log.close());
		await attempt(() => this.#lock.release());
		this.#forgetExit();
		this.#emitSoon('close');
		if (failures.length > 0) {
			throw this.#notSaved(failures[0]);
		}
	}

	#notSaved(error: unknown): QueueStorageError {
		const cause = error instanceof QueueStorageError ? error.cause : error;
		const advice = 'What was in memory only may be lost; what is on disk is there at the next open.';
		return new QueueStorageError('save all records of the queue in', this.directory, cause, advice);
	}

	/** The process exits: what is in memory is handed to the operating system, in this turn. */
	#saveNow(): void {
		try {
			this.#puts.spillAll();
			this.#log.closeNow();
		} finally {
			this.#lock.releaseSync();
		}
	}
}

function takeOne<T>(store: RecordStore<T>): {value: T} | undefined {
	const records = store.take(1);
	return records && {value: records[0]!};
}

function takeMany<T>(max: number): (store: RecordStore<T>) => {value: T[]} | undefined {
	return store => wrap(store.take(max));
}

function wrap<V>(value: V | undefined): {value: V} | undefined {
	return value === undefined ? undefined : {value};
}
