import {QueueClosedError, QueueShutDownError, QueueStorageError} from '../errors.ts';
import {headBytes} from '../format/measure-record.ts';
import type {DirectoryLock} from '../log/directory-lock.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import type {DeadLetterQueue, ResolvedOptions, WaitOptions} from '../options.ts';
import {Deliveries} from './deliveries.ts';
import {announceDeparture} from './departures.ts';
import type {DiskQueueEvents} from './events.ts';
import {onExit} from './exit-handler.ts';
import {GetSide} from './get-side.ts';
import {type Drop, Limits} from './limits.ts';
import {PutSide} from './put-side.ts';
import type {Delivery, QueueStats} from './queue.ts';
import {maxBlockBytes, type Reading, RecordStore} from './record-store.ts';
import {SharedCall} from './shared-call.ts';
import {Shortage} from './shortage.ts';
import {SyncTimer} from './sync-timer.ts';
import {Tasks} from './tasks.ts';
import {TurningPoints} from './turning-points.ts';

/** Records that may be done before the checkpoint is written, within a turn of the event loop. */
const maxUnwrittenDone = 1024;

/** A dead-letter queue, and what gives it back when the queue closes. */
export type DeadLetterTarget<T> = {queue: DeadLetterQueue<T>; close(): Promise<void>};

/** What may still bring records to a queue in which none waits. */
export type Activity = {isShutDown: boolean; inFlight: number; waitingPuts: number};

/** Whether a consumer is over when no record waits. */
export type IsOver = (activity: Activity) => boolean;

/** Tells of an event, later: no listener runs in the middle of an operation. */
type Emit<T> = <Name extends keyof DiskQueueEvents<T>>(name: Name, ...values: DiskQueueEvents<T>[Name]) => void;

export type EngineParts<T> = {
	log: SegmentLog<T>;
	lock: DirectoryLock;
	options: ResolvedOptions<T>;
	deadLetter: DeadLetterTarget<T> | undefined;
	emit: Emit<T>;
	/** Whether anybody wants to know that the queue is empty. */
	wantsEmpty(): boolean;
};

/** What makes a `DiskQueue` work: its store, its two sides, its turns of the event loop, and its end. */
export class Engine<T> {
	readonly store: RecordStore<T>;
	readonly puts: PutSide<T>;
	readonly gets: GetSide<T>;
	readonly deliveries: Deliveries<T>;
	readonly tasks: Tasks<T>;
	readonly limits: Limits<T>;
	/** Bytes of the largest Buffer that fits a block, and is not refused. */
	readonly pieceBytes: number;
	readonly #log: SegmentLog<T>;
	readonly #lock: DirectoryLock;
	readonly #options: ResolvedOptions<T>;
	readonly #emit: Emit<T>;
	readonly #wantsEmpty: () => boolean;
	readonly #shortage: Shortage;
	readonly #deadLetter: DeadLetterTarget<T> | undefined;
	readonly #forgetExit: () => void;
	readonly #leaving = new Set<Promise<unknown>>();
	readonly #closingListeners = new Set<() => void>();
	#dropped = 0;
	readonly #logSync: SharedCall;
	readonly #syncTimer: SyncTimer;
	readonly #turningPoints: TurningPoints;
	#turn: NodeJS.Immediate | undefined;
	#isShutDown = false;
	#closing: Promise<void> | undefined;
	/** From here on the log is being closed, and no turn is taken any more. */
	#isSaving = false;

	constructor({log, lock, options, deadLetter, emit, wantsEmpty}: EngineParts<T>) {
		const {cacheSize, cacheBytes, maxBytes, maxRecordBytes, durability} = options;
		const blockBytes = Math.min(maxBlockBytes, maxBytes / 8);
		this.pieceBytes = Math.max(1, Math.floor(Math.min(blockBytes, maxRecordBytes)) - headBytes);
		this.#log = log;
		this.#lock = lock;
		this.#options = options;
		this.#emit = emit;
		this.#wantsEmpty = wantsEmpty;
		this.#deadLetter = deadLetter;
		this.store = new RecordStore<T>(log, {
			cacheSize,
			cacheBytes,
			blockBytes,
			headShare: durability === 'spill' ? 0.5 : 1,
			dropped: (error, count) => this.#lost(error, count),
			missed: () => this.#settleSoon(),
		});
		this.#turningPoints = new TurningPoints(this.store, log.recovery.records > 0, {
			spilled: () => this.#emit('spill'),
			emptied: () => this.#emit('empty'),
		});
		this.#logSync = new SharedCall(() => log.sync());
		this.#syncTimer = new SyncTimer(
			() => this.sync(),
			error => this.#emit('error', error),
		);
		this.limits = new Limits(this.store, log, {...options, dropped: drop => this.#drop(drop)});
		this.tasks = new Tasks(this.store);
		this.#shortage = new Shortage(log, {
			began: cause => this.#emit('full', cause),
			ended: () => {
				this.#emit('resume');
				this.gets.added();
			},
			retry: () => {
				this.#schedule();
				this.gets.added();
			},
		});
		this.gets = new GetSide<T>(this.store, this.#shortage, () => this.#taken());
		this.puts = new PutSide<T>(this.store, log, {
			...options,
			blockBytes,
			limits: this.limits,
			shortage: this.#shortage,
			added: () => this.#added(),
			schedule: () => this.#schedule(),
			idle: () => this.gets.added(),
		});
		this.deliveries = new Deliveries<T>(this.store, {
			limits: this.limits,
			shortage: this.#shortage,
			maxAttempts: options.maxAttempts,
			deadLetter: deadLetter?.queue,
			attempted: () => this.#writeCheckpoint(),
			settled: () => this.#settled(),
			returned: () => this.#returned(),
			dropped: drop => this.#drop(drop),
			failed: error => this.#emit('error', error as Error),
		});
		this.#forgetExit = onExit(() => this.#saveNow());
	}

	get isClosing(): boolean {
		return this.#closing !== undefined;
	}

	get isShutDown(): boolean {
		return this.#isShutDown;
	}

	/** Brings back what an earlier run had in flight, and starts what runs by itself. */
	async start(): Promise<void> {
		await this.store.restore(this.#log.delivered);
		this.#syncTimer.start(this.#options.syncInterval);
	}

	/** Lets everything go as it was found, after a start that failed. */
	async abandon(): Promise<void> {
		this.#forgetExit();
		await this.#log.closeFiles();
		await this.#lock.release();
		await this.#deadLetter?.close();
	}

	/** Takes up to `max` records for good; undefined if none can be had in this turn. */
	take(max: number): T[] | undefined {
		const records = this.store.take(max);
		if (records) {
			this.tasks.taken(records.length);
		} else {
			this.#checkMoreToGet();
		}

		return records;
	}

	/** Takes one record for good; undefined if none can be had in this turn. */
	takeOne(reading: Reading = 'ahead'): T | undefined {
		const record = this.store.takeOne(reading);
		if (record === undefined) {
			this.#checkMoreToGet();
		} else {
			this.tasks.taken(1);
		}

		return record;
	}

	/** Takes up to `max` records to be delivered, for a call that is over when the queue is. */
	receive(max: number): Array<Delivery<T>> | undefined {
		const deliveries = this.deliveries.deliver(max);
		if (!deliveries && this.#isShutDown && this.store.size === 0 && this.store.inFlight === 0) {
			throw new QueueShutDownError('receive', this.#log.directory);
		}

		return deliveries;
	}

	/** Takes something of a stream or an iteration; undefined when it is over and no record waits. */
	takeUntil<R>(isOver: IsOver, take: () => R | undefined, options: WaitOptions | undefined): Promise<R | undefined> {
		const isLast = () => this.store.size === 0 && isOver(this.#activity);
		return this.gets.takeUntil(isLast, take, options);
	}

	/** Files were removed, which may be the room that somebody waits for. */
	reclaimed(): void {
		this.#shortage.retryNow();
	}

	clear(): void {
		this.store.clear();
		this.#settled();
	}

	shutdown(isImmediate: boolean): void {
		this.#isShutDown = true;
		this.puts.rejectAll(new QueueShutDownError('put', this.#log.directory));
		if (isImmediate) {
			this.clear();
		}

		this.gets.added();
	}

	async sync(): Promise<void> {
		this.store.spillAll();
		await this.#logSync.run();
	}

	/** Tells a consumer when the queue begins to close. Gives what takes it off again. */
	onClosing(listener: () => void): () => void {
		this.#closingListeners.add(listener);
		return () => this.#closingListeners.delete(listener);
	}

	/** Lets a consumer that is leaving settle its leases before the queue closes. */
	awaitBeforeClose(left: Promise<unknown>): void {
		this.#leaving.add(left);
		left.finally(() => this.#leaving.delete(left)).catch(() => {});
	}

	close(): Promise<void> {
		if (!this.#closing) {
			this.#closing = this.#close();
			announceDeparture(this.#log.directory, this.#closing);
		}

		return this.#closing;
	}

	stats(): QueueStats {
		const {store, puts, gets} = this;
		const {memory} = store;
		return {
			size: store.size,
			memoryRecords: memory.records,
			memoryBytes: memory.bytes,
			diskRecords: store.diskSize,
			diskBytes: this.#log.diskBytes,
			segments: this.#log.segments.length,
			nextSequence: this.#log.nextSequence,
			inFlight: store.inFlight,
			waitingPuts: puts.waiting,
			waitingGets: gets.waiting,
			...store.counts,
			dropped: this.#dropped,
			deadLettered: this.deliveries.deadLettered,
			oldestAge: store.oldestAge,
			...this.#log.figures,
		};
	}

	get #activity(): Activity {
		return {isShutDown: this.#isShutDown, inFlight: this.store.inFlight, waitingPuts: this.puts.waiting};
	}

	#checkMoreToGet(): void {
		if (this.#isShutDown && this.store.size === 0) {
			throw new QueueShutDownError('get', this.#log.directory);
		}
	}

	#added(): void {
		this.#turningPoints.added();
		this.gets.added();
	}

	/** There may be room for puts that wait, and more done than the checkpoint says. */
	#taken(): void {
		if (this.#log.unwrittenDone >= maxUnwrittenDone) {
			this.#writeCheckpoint();
		}

		if (this.#log.isCheckpointDue || this.puts.waiting > 0 || this.#wantsEmpty()) {
			this.#schedule();
		}
	}

	/** Something that was taken waits again: a put, or the checkpoint, may be due as well. */
	#returned(): void {
		this.#taken();
		this.#added();
	}

	#settled(): void {
		this.tasks.check();
		this.#taken();
		this.gets.added();
	}

	#schedule(): void {
		this.#turn ??= setImmediate(() => {
			this.#turn = undefined;
			if (this.#isSaving) {
				return;
			}

			this.puts.turn();
			this.#endShortage();
			this.#writeCheckpoint();
			this.#turningPoints.look();
		});
	}

	/** Who wanted room may have given up: once it was tried again, and nobody met the want of it, it is over. */
	#endShortage(): void {
		if (!this.#shortage.isRetryDue) {
			this.#shortage.check(this.puts.isDue);
		}
	}

	/** A checkpoint that cannot be written now costs redelivery only, and stays due: sync() and close() tell why. */
	#writeCheckpoint(): void {
		try {
			this.#log.writeCheckpoint();
		} catch {
			// Stays due.
		}
	}

	#drop(drop: Drop<T>): void {
		this.#dropped += drop.count;
		this.#emit('drop', drop);
		this.#settled();
	}

	/** Records that cannot be encoded after all. */
	#lost(error: Error, count: number): void {
		this.#dropped += count;
		this.#emit('error', error);
		this.#settleSoon();
	}

	/** Fewer records wait, though nobody took any. Who waits is told later: the log is being appended to, or read. */
	#settleSoon(): void {
		process.nextTick(() => {
			if (!this.#isSaving) {
				this.#settled();
			}
		});
	}

	async #close(): Promise<void> {
		this.#syncTimer.stop();
		for (const listener of this.#closingListeners) {
			listener();
		}

		const closed = new QueueClosedError('go on waiting', this.#log.directory);
		this.gets.close(closed);
		this.tasks.rejectAll(closed);
		while (this.#leaving.size > 0) {
			await Promise.allSettled(this.#leaving);
		}

		await this.deliveries.end();
		this.#isSaving = true;
		clearImmediate(this.#turn);

		const failures: unknown[] = [];
		const attempt = (step: () => Promise<void>) => step().catch(error => failures.push(error));
		await this.#logSync.settle();
		this.limits.lift();
		await attempt(() => this.puts.finish());
		await attempt(() => this.#log.close());
		await attempt(() => this.#lock.release());
		await attempt(async () => this.#deadLetter?.close());
		this.#forgetExit();
		this.#emit('close');
		if (failures.length > 0) {
			throw this.#notSaved(failures[0]);
		}
	}

	#notSaved(error: unknown): QueueStorageError {
		const cause = error instanceof QueueStorageError ? error.cause : error;
		const advice = 'What was in memory only may be lost; what is on disk is there at the next open.';
		return new QueueStorageError('save all records of the queue in', this.#log.directory, cause, advice);
	}

	/** The process exits: what is in memory is handed to the operating system, in this turn; without room, what is done. */
	#saveNow(): void {
		try {
			this.store.spillAll();
		} finally {
			try {
				this.#log.closeNow();
			} finally {
				this.#lock.releaseSync();
			}
		}
	}
}
