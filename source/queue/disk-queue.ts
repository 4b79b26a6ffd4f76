import {EventEmitter} from 'node:events';
import {performance} from 'node:perf_hooks';
import {
	type Corruption,
	QueueClosedError,
	QueueCorruptError,
	QueueEmptyError,
	QueueShutDownError,
	wrongType,
} from '../errors.ts';
import {msgpackCodec} from '../format/codec.ts';
import type {RecoveryReport} from '../log/recovery.ts';
import {checkDirectory, checkInteger, checkMilliseconds, checkNames, checkWaitOptions} from '../option-checks.ts';
import {
	type DeadLetter,
	type DiskQueueOptions,
	largestRecordBytes,
	type ResolvedOptions,
	resolveOptions,
	type WaitOptions,
} from '../options.ts';
import {fileSystem, type Storage} from '../storage.ts';
import type {QueueDelivery} from './delivery.ts';
import {type DeadLetterTarget, Engine, type EngineParts, type IsOver} from './engine.ts';
import {type DiskQueueEvents, hasSubscribers, publish} from './events.ts';
import type {Lease} from './lease.ts';
import {openDirectory} from './open-directory.ts';
import type {Delivery, GetManyOptions, Queue, QueueStats} from './queue.ts';
import {runsOf} from './runs.ts';

const getManyNames = ['timeout', 'signal', 'maxWait'];

/**
 * A FIFO queue in one directory: records wait in memory while the consumers keep up, and on disk when they do not.
 *
 * ```ts
 * await using queue = await DiskQueue.open<Order>('./orders');
 * await queue.put({id: 1});
 * const order = await queue.get();
 * ```
 */
export class DiskQueue<T = unknown> extends EventEmitter<DiskQueueEvents<T>> implements Queue<T> {
	/** The queue's directory, absolute. */
	readonly directory: string;
	/** Random id of the queue, in hexadecimal, kept for as long as its directory: with a sequence it names a record. */
	readonly id: string;
	/** What opening found and did. */
	readonly recovery: RecoveryReport;
	readonly #engine: Engine<T>;

	private constructor(parts: Pick<EngineParts<T>, 'log' | 'lock' | 'options' | 'deadLetter'>) {
		super();
		if (!parts?.log) {
			// TypeScript keeps it private; JavaScript does not.
			throw wrongType('DiskQueue', 'opened by `await DiskQueue.open(directory)`, not made by `new`', parts);
		}

		this.directory = parts.log.directory;
		this.id = parts.log.queueId.toString('hex');
		this.recovery = parts.log.recovery;
		this.#engine = new Engine<T>({
			...parts,
			emit: (name, ...values) => this.#emitSoon(name, values),
			wantsEmpty: () => this.listenerCount('empty') > 0 || hasSubscribers('empty'),
		});
	}

	/**
	 * Opens the queue in a directory, creating it if it is missing, and recovers what an earlier run left.
	 *
	 * ```ts
	 * const queue = await DiskQueue.open<Order>('./orders', {durability: 'write'});
	 * ```
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
		const codec = resolved.codec ?? msgpackCodec<T>();
		const storage = (resolved.storage as Storage | undefined) ?? fileSystem;
		// The log tells of itself as it is read and reclaimed, which only the queue makes it do.
		const {log, lock} = await openDirectory<T>(directory, {
			...resolved,
			codec,
			storage,
			report: corruption => setImmediate(() => queue.#reportCorruption(corruption)),
			reclaimed: (segments, bytes) => {
				queue.#engine.reclaimed();
				queue.#emitSoon('reclaim', [{segments, bytes}]);
			},
		});
		const deadLetter = await openDeadLetter(resolved).catch(async error => {
			await log.closeFiles();
			await lock.release();
			throw error;
		});
		const queue = new DiskQueue<T>({log, lock, options: resolved, deadLetter});
		try {
			await queue.#engine.start();
		} catch (error) {
			await queue.#engine.abandon();
			throw error;
		}

		queue.#announceRecovery();
		return queue;
	}

	/** Records that wait for a consumer, in memory and on disk; damaged ones too, until they are met: `const {size} = queue;` */
	get size(): number {
		return this.#engine.store.size;
	}

	/** The same as `size`, by the name it has in Python: `queue.qsize()`. */
	qsize(): number {
		return this.size;
	}

	/** Whether no record waits: `if (queue.empty()) …`. */
	empty(): boolean {
		return this.size === 0;
	}

	/** Whether as many records wait as `maxSize` allows: `if (!queue.full()) queue.putNowait(order);` */
	full(): boolean {
		return this.#engine.limits.isFull;
	}

	/**
	 * Puts a record at the end.
	 *
	 * The queue keeps the object itself until it is written: do not change it afterwards.
	 *
	 * ```ts
	 * await queue.put({id: 1}, {timeout: 1000});
	 * ```
	 *
	 * @param options `timeout` in milliseconds and `signal`, for a put that must wait.
	 * @returns Resolves when the record is in the queue, as the `durability` option says.
	 * @throws `QueueRecordError` (`QUEUE_RECORD`): it cannot be stored, or is larger than `maxRecordBytes`.
	 * @throws `QueueFullError` (`QUEUE_FULL`): no room within `timeout`. `AbortError` (`ABORT_ERR`): aborted.
	 *   In both cases the record was not taken.
	 * @throws `QueueShutDownError` (`QUEUE_SHUT_DOWN`), `QueueClosedError` (`QUEUE_CLOSED`); `QueueStorageError`
	 *   (`QUEUE_STORAGE`): the log cannot be written.
	 */
	put(record: T, options?: WaitOptions): Promise<void> {
		try {
			this.#checkPut(options);
			return this.#engine.puts.put(record, options);
		} catch (error) {
			return Promise.reject(error);
		}
	}

	/**
	 * Puts a record without waiting: with `'spill'` and `'write'` it is as durable as after `put`, with `'fsync'` a
	 * moment later; `sync` tells when.
	 *
	 * ```ts
	 * queue.putNowait({id: 1});
	 * ```
	 *
	 * @throws `QueueFullError` (`QUEUE_FULL`): there is no room, or other puts wait for it.
	 * @throws Otherwise as `put`.
	 */
	putNowait(record: T): void {
		this.#checkPut();
		this.#engine.puts.putNow(record);
	}

	/**
	 * Puts records in order. Those before one that is refused, late or aborted are put.
	 *
	 * ```ts
	 * await queue.putMany(orders);
	 * ```
	 *
	 * @param records Any iterable; it is read as the queue takes records, up to 512 ahead.
	 * @param options As for `put`, for each part that must wait.
	 * @returns Resolves when the last record is in the queue. Errors are those of `put`, and of the iterable.
	 */
	async putMany(records: Iterable<T> | AsyncIterable<T>, options?: WaitOptions): Promise<void> {
		this.#checkPut(options);
		for await (const run of runsOf(records)) {
			await this.putRun(run, options);
		}
	}

	/**
	 * Takes the first record. It is done when the promise resolves: a crash from then on does not bring it back, save as
	 * `sync` describes.
	 *
	 * ```ts
	 * const order = await queue.get({timeout: 1000});
	 * ```
	 *
	 * @param options `timeout` in milliseconds and `signal`, for a get that must wait.
	 * @throws `QueueEmptyError` (`QUEUE_EMPTY`): no record within `timeout`. `AbortError` (`ABORT_ERR`): aborted.
	 *   In both cases none was taken.
	 * @throws `QueueShutDownError` (`QUEUE_SHUT_DOWN`): shut down, and empty. `QueueClosedError` (`QUEUE_CLOSED`).
	 * @throws `QueueStorageError` (`QUEUE_STORAGE`): the disk cannot be read, and nothing is lost; `QueueCorruptError`
	 *   (`QUEUE_CORRUPT`) with `onCorruption: 'throw'`.
	 */
	get(options?: WaitOptions): Promise<T> {
		try {
			this.#check('get', options);
			return this.#engine.gets.take(this.#takeOne, options);
		} catch (error) {
			return Promise.reject(error);
		}
	}

	/**
	 * Takes the first record without waiting; one that is on disk is read in this turn.
	 *
	 * ```ts
	 * const order = queue.getNowait();
	 * ```
	 *
	 * @throws `QueueEmptyError` (`QUEUE_EMPTY`): no record waits, or other gets wait for it.
	 * @throws Otherwise as `get`.
	 */
	getNowait(): T {
		this.#check('get');
		const record = this.#engine.gets.takeNow(() => this.#engine.takeOne('now'));
		if (record === undefined) {
			throw new QueueEmptyError(this.directory, undefined);
		}

		return record;
	}

	/**
	 * Takes up to `max` records, in order: waits for the first as `get` does, then up to `maxWait` for more. What must be
	 * read from disk first is left to the next batch, unless there is time to wait.
	 *
	 * ```ts
	 * const batch = await queue.getMany(500, {maxWait: 1000});
	 * ```
	 *
	 * @param max From 1 up.
	 * @param options As for `get`; `maxWait` in milliseconds, 0 if not given.
	 * @returns At least one record. Once one is taken, an abort ends the wait and what was taken is returned.
	 */
	async getMany(max: number, options?: GetManyOptions): Promise<T[]> {
		return this.#collect(max, options, count => this.#engine.take(count));
	}

	/**
	 * Takes the first record until it is settled: what was not acknowledged comes back, after a crash too, and says how
	 * often it was delivered. A record is in the log when it is delivered. At most 4096
	 * may be in flight or wait for the delay of a `nack`; more wait.
	 *
	 * ```ts
	 * const delivery = await queue.receive();
	 * await upload(delivery.record).then(() => delivery.ack(), () => delivery.nack({delay: 1000}));
	 * ```
	 *
	 * @param options `timeout` in milliseconds and `signal`, for a call that must wait.
	 * @throws As `get`.
	 */
	async receive(options?: WaitOptions): Promise<Delivery<T>> {
		this.#check('get', options);
		const [delivery] = await this.#engine.gets.take(() => this.#engine.receive(1), options);
		return delivery!;
	}

	/**
	 * Takes up to `max` records, each until it is settled. Waits as `getMany` does.
	 *
	 * ```ts
	 * for (const delivery of await queue.receiveMany(100, {maxWait: 500})) delivery.ack();
	 * ```
	 */
	async receiveMany(max: number, options?: GetManyOptions): Promise<Array<Delivery<T>>> {
		return this.#collect(max, options, count => this.#engine.receive(count));
	}

	/**
	 * Copies the next record, or up to `count`, without taking them; those on disk are read in this turn. Records that
	 * wait for the delay of a `nack` are left out.
	 *
	 * ```ts
	 * const next = queue.peek();
	 * const some = queue.peek(10);
	 * ```
	 *
	 * @param count From 1 up.
	 * @returns `undefined`, or an empty array, if no record waits.
	 * @throws `RangeError` (`QUEUE_INVALID_ARGUMENT`); `QueueClosedError` (`QUEUE_CLOSED`); errors of reading as `get`.
	 */
	peek(): T | undefined;
	peek(count: number): T[];
	peek(count?: number): T | T[] | undefined {
		this.#check('peek');
		if (count === undefined) {
			return this.#engine.store.peek(1)[0];
		}

		checkInteger('count', count, {min: 1});
		return this.#engine.store.peek(count);
	}

	/**
	 * Says that a record taken by `get`, `getNowait` or `getMany` is worked on. The `ack` of a delivery says the same.
	 *
	 * ```ts
	 * await work(await queue.get());
	 * queue.taskDone();
	 * ```
	 *
	 * @throws `QueueTaskDoneError` (`QUEUE_TASK_DONE`): called more often than records were taken.
	 */
	taskDone(): void {
		this.#engine.tasks.done();
	}

	/**
	 * Waits until no record waits, and every record taken is done.
	 *
	 * ```ts
	 * await queue.join();
	 * ```
	 *
	 * @param options `timeout` in milliseconds and `signal`.
	 * @throws `QueueUnfinishedError` (`QUEUE_UNFINISHED`): not within `timeout`; `AbortError` (`ABORT_ERR`);
	 *   `QueueClosedError` (`QUEUE_CLOSED`).
	 */
	async join(options?: WaitOptions): Promise<void> {
		this.#check('join', options);
		await this.#engine.tasks.join(options);
	}

	/**
	 * Forces all accepted records, and all that is done, to the device. Calls that come while one is under way share the next.
	 *
	 * ```ts
	 * await queue.sync();
	 * ```
	 *
	 * @returns Resolves when they survive a power cut: nothing accepted is lost, and nothing done comes back.
	 * @throws `QueueStorageError` (`QUEUE_STORAGE`): the device refused; what was not synced before may be lost in a power cut.
	 */
	async sync(): Promise<void> {
		this.#check('sync');
		await this.#engine.sync();
	}

	/**
	 * Drops all records that wait, on disk too. Deliveries in flight stay with their consumers; puts that wait come in.
	 *
	 * ```ts
	 * await queue.clear();
	 * ```
	 */
	async clear(): Promise<void> {
		this.#check('clear');
		this.#engine.clear();
	}

	/**
	 * Ends the queue's work, as `queue.Queue.shutdown` does in Python 3.13: puts are refused from now on, and those that
	 * wait reject; gets go on until no record is left, then reject. Streams and iterations end there. The queue stays open.
	 *
	 * ```ts
	 * queue.shutdown();
	 * ```
	 *
	 * @param options `immediate` also drops all records that wait.
	 * @throws `TypeError` (`QUEUE_INVALID_ARGUMENT`); `QueueClosedError` (`QUEUE_CLOSED`).
	 */
	shutdown(options: {immediate?: boolean | undefined} = {}): void {
		this.#check('shut down');
		checkNames('options', options, ['immediate']);
		const {immediate = false} = options;
		if (typeof immediate !== 'boolean') {
			throw wrongType('immediate', 'a boolean', immediate);
		}

		this.#engine.shutdown(immediate);
	}

	/**
	 * Saves what is in memory to the device, gives back what is in flight, and lets go of the directory. Calls that wait
	 * for a record reject with `QUEUE_CLOSED`; puts that wait are finished, beyond the limits if need be. Idempotent.
	 *
	 * ```ts
	 * await queue.close();
	 * ```
	 *
	 * @throws `QueueStorageError` (`QUEUE_STORAGE`): something could not be saved. The directory is let go all the same.
	 */
	close(): Promise<void> {
		return this.#engine.close();
	}

	/** Figures of this moment, and since the queue was opened: `const {size, diskBytes, inFlight} = queue.stats();` */
	stats(): QueueStats {
		return this.#engine.stats();
	}

	/** Lets a call that waits for a record keep the process alive, as a socket does. The default: `queue.ref()`. */
	ref(): this {
		this.#engine.gets.keepProcessAlive(true);
		return this;
	}

	/** Lets the process end although a call waits for a record: `queue.unref()`. */
	unref(): this {
		this.#engine.gets.keepProcessAlive(false);
		return this;
	}

	/**
	 * Takes record by record; ends when the queue is closed, or shut down and empty. A record is done when the next one is
	 * asked for: leaving the loop by `break` or a throw puts it back at the head, and leaves the queue open.
	 *
	 * ```ts
	 * for await (const order of queue) await work(order);
	 * ```
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

	/** Closes the queue: `await using queue = await DiskQueue.open('./orders');` */
	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	/**
	 * Takes up to `max` records that stay the queue's until they are settled; undefined when none waits and `isOver`.
	 * @internal
	 */
	async lease(
		max: number,
		isOver: IsOver,
		{signal, maxBytes = Number.POSITIVE_INFINITY}: {signal?: AbortSignal; maxBytes?: number} = {},
	): Promise<Lease<T> | undefined> {
		this.#check('get');
		const limit = {records: max, bytes: maxBytes};
		return this.#engine.takeUntil(isOver, () => this.#engine.store.lease(limit), signal && {signal});
	}

	/** Takes up to `max` deliveries; undefined when no record waits and `isOver`. @internal */
	async deliver(max: number, isOver: IsOver, signal: AbortSignal): Promise<Array<QueueDelivery<T>> | undefined> {
		this.#check('get');
		return this.#engine.takeUntil(isOver, () => this.#engine.deliveries.deliver(max), {signal});
	}

	/** Puts records as one run, see `putMany`. @internal */
	async putRun(records: T[], options?: WaitOptions): Promise<void> {
		this.#checkPut(options);
		await this.#engine.puts.putRun(records, options);
	}

	/** Bytes of the largest Buffer that fits a block, and is not refused. @internal */
	get pieceBytes(): number {
		return this.#engine.pieceBytes;
	}

	/** Says that the next `count` records of a lease are done. Nothing happens once the queue is being saved. @internal */
	settle(lease: Lease<T>, count: number): void {
		this.#engine.deliveries.settle(lease, count);
	}

	/** Gives back what is not done of a lease, to its place in the queue. @internal */
	giveBack(lease: Lease<T>): void {
		this.#engine.deliveries.giveBack(lease);
	}

	/** Tells a consumer when the queue begins to close; gives what takes it off again. @internal */
	onClosing(listener: () => void): () => void {
		return this.#engine.onClosing(listener);
	}

	/** Lets a consumer that is leaving settle its leases before the queue closes. @internal */
	awaitBeforeClose(left: Promise<unknown>): void {
		this.#engine.awaitBeforeClose(left);
	}

	/** Asks again who waits for a lease whether it is over. @internal */
	wake(): void {
		this.#engine.gets.added();
	}

	readonly #takeOne = (): T | undefined => this.#engine.takeOne();

	#check(operation: string, options?: WaitOptions, names?: readonly string[]): void {
		if (this.#engine.isClosing) {
			throw new QueueClosedError(operation, this.directory);
		}

		if (options !== undefined) {
			checkWaitOptions(options, names);
		}
	}

	#checkPut(options?: WaitOptions): void {
		this.#check('put', options);
		if (this.#engine.isShutDown) {
			throw new QueueShutDownError('put', this.directory);
		}
	}

	/** Takes up to `max` of something: waits for the first, then up to `maxWait` for more. */
	async #collect<R>(
		max: number,
		options: GetManyOptions | undefined,
		take: (count: number) => R[] | undefined,
	): Promise<R[]> {
		this.#check('get', options, getManyNames);
		checkInteger('max', max, {min: 1});
		const {maxWait = 0, signal} = options ?? {};
		checkMilliseconds('maxWait', maxWait);
		const taken = await this.#engine.gets.take(() => take(max), options);
		const deadline = performance.now() + maxWait;
		for (let left = maxWait; left > 0 && taken.length < max; left = deadline - performance.now()) {
			let more: R[];
			try {
				more = await this.#engine.gets.take(() => take(max - taken.length), {timeout: left, signal});
			} catch {
				// Late, aborted or closed: what was taken is never lost by an error.
				break;
			}

			for (const record of more) {
				taken.push(record);
			}
		}

		return taken;
	}

	async #leaseNext(): Promise<Lease<T> | undefined> {
		try {
			return await this.lease(1, ({isShutDown}) => isShutDown);
		} catch (error) {
			if (error instanceof QueueClosedError) {
				return undefined;
			}

			throw error;
		}
	}

	/** Listeners and subscribers run later, so that none of them runs in the middle of an operation. */
	#emitSoon<Name extends keyof DiskQueueEvents<T>>(name: Name, values: DiskQueueEvents<T>[Name]): void {
		process.nextTick(() => {
			publish(name, this, values);
			(this as EventEmitter).emit(name, ...values);
		});
	}

	/** Tells what recovery found, once the opener has had a turn to listen. */
	#announceRecovery(): void {
		const {isClean, segments, corruptions} = this.recovery;
		if (!isClean || segments > 0 || corruptions.length > 0) {
			setImmediate(() => {
				this.#emitSoon('recovered', [this.recovery]);
				for (const corruption of corruptions) {
					this.#reportCorruption(corruption);
				}
			});
		}
	}

	#reportCorruption(corruption: Corruption): void {
		if (this.listenerCount('corruption') === 0) {
			process.emitWarning(new QueueCorruptError(corruption).message, {type: 'QueueCorruption', code: 'QUEUE_CORRUPT'});
		}

		this.#emitSoon('corruption', [corruption]);
	}
}

/**
 * Opens the dead-letter queue that is given as a directory. A record that a sync has made durable here leaves when it is
 * there: so it must be durable there at once. A letter is larger than its record.
 */
async function openDeadLetter<T>(options: ResolvedOptions<T>): Promise<DeadLetterTarget<T> | undefined> {
	const {deadLetter, codec, storage} = options;
	if (typeof deadLetter !== 'string') {
		return deadLetter && {queue: deadLetter, close: async () => {}};
	}

	const queue: DiskQueue<DeadLetter<T>> = await DiskQueue.open<DeadLetter<T>>(deadLetter, {
		durability: 'fsync',
		maxRecordBytes: largestRecordBytes,
		codec: codec as never,
		storage,
	});
	return {queue, close: () => queue.close()};
}
