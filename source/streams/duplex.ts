import {addAbortSignal, type Duplex as NodeDuplex, type Writable as NodeWritable} from 'node:stream';
import {checkNames} from '../option-checks.ts';
import {type DiskQueueOptions, defaults} from '../options.ts';
import {DiskQueue} from '../queue/disk-queue.ts';
import type {Delivery} from '../queue/queue.ts';
import {closeQuietly} from './close-quietly.ts';
import {borrow, opener, type QueueSource} from './queue-source.ts';
import {ReadingSide} from './reading-side.ts';
import {Duplex, Writable} from './stream-classes.ts';
import {
	type Acknowledge,
	type Gives,
	type InObjectMode,
	resolveStreamOptions,
	type StreamSettings,
} from './stream-options.ts';
import {type Callback, WritingSide} from './writing-side.ts';

/** Deliveries that a stream reads ahead: a kill counts an attempt of each. */
const maxDeliveriesAhead = 16;

/** Options of `diskQueue`: those of the stream, and those of `DiskQueue.open` for a queue that the stream opens. */
export type DiskQueueStreamOptions<T> = Omit<DiskQueueOptions<T>, 'cacheSize'> & {
	/**
	 * `false`: bytes go in, as Buffers, Uint8Arrays or strings, and come out as Buffers. Each chunk is a record of the
	 * queue; one that is larger than a block, of 256 KiB, is cut.
	 * @default true
	 */
	objectMode?: boolean | undefined;
	/**
	 * Records held in memory before the queue uses the disk, its `cacheSize`; also what the stream's own two buffers
	 * hold, each. In byte mode bytes, the queue's `cacheBytes`. From 1 up.
	 * @default 1024, in byte mode 65536 (64 KiB)
	 */
	highWaterMark?: number | undefined;
	/**
	 * When a record is done and will not come back. `'sink'`: when the destination of `pipe()` or `pipeline()` has
	 * confirmed it, by the callback of its write; without a destination, when it is read. `'read'`: when it has left the
	 * stream's buffer. `'manual'`: the chunks are deliveries, as `receive` gives them, and a record is done when its
	 * delivery says so. At most 16 are read ahead then; the stream ends when all are settled.
	 * @default 'sink'
	 */
	acknowledge?: Acknowledge | undefined;
	/** Destroys the stream when aborted. What is not done comes back at the next open. */
	signal?: AbortSignal | undefined;
};

type WithQueue<T> = {
	/** The queue; undefined until the stream is `ready`. */
	readonly queue: DiskQueue<T> | undefined;
};

/** The stream that `diskQueue` makes, of records of type `T`; it is known to give chunks of type `C`. */
export type DiskQueueStream<T, C = T> = Gives<C> & NodeDuplex & WithQueue<T>;

/**
 * Makes a Duplex that is a queue on disk: what is written waits, in memory and if need be on disk, until it is read. It
 * ends when its writable side has ended and everything was read, what earlier runs left first.
 *
 * Destroying it, by an error at either end or an AbortSignal, loses no record whose write was called back: at the next
 * open every one that is not done comes back, in order. What its writable buffer still held is not put: with `'write'` and
 * `'fsync'` the queue's `nextSequence` tells where the source is to go on. It emits `ready` with the queue when it is open.
 *
 * ```ts
 * await pipeline(source, diskQueue('./spool'), sink);
 * ```
 *
 * @param target Path of the queue's directory, which the stream opens and closes; or an open `DiskQueue`, which it leaves open.
 * @param options See `DiskQueueStreamOptions`. With an open queue: `objectMode`, `highWaterMark`, `acknowledge`, `signal`.
 * @throws `TypeError`, `RangeError` (`QUEUE_INVALID_ARGUMENT`). All other errors of `DiskQueue.open` and `put` come as the
 *   stream's `error`.
 */
export function diskQueue<T = unknown>(
	target: string | DiskQueue<T>,
	options?: DiskQueueStreamOptions<T> & InObjectMode & {acknowledge?: 'sink' | 'read' | undefined},
): DiskQueueStream<T>;
export function diskQueue<T = unknown>(
	target: string | DiskQueue<T>,
	options: DiskQueueStreamOptions<T> & InObjectMode & {acknowledge: 'manual'},
): DiskQueueStream<T, Delivery<T>>;
export function diskQueue<T = Buffer>(
	target: string | DiskQueue<T>,
	options: DiskQueueStreamOptions<T>,
): NodeDuplex & WithQueue<T>;
export function diskQueue<T = unknown>(
	target: string | DiskQueue<T>,
	options: DiskQueueStreamOptions<T> = {},
): NodeDuplex & WithQueue<T> {
	checkNames('options', options);
	const {objectMode, highWaterMark, acknowledge, signal, ...queueOptions} = options;
	const settings = resolveStreamOptions({objectMode, highWaterMark, acknowledge, signal}, defaults.cacheSize);
	const source = target instanceof DiskQueue ? borrow(target, queueOptions) : opener<T>(target, queueOptions, settings);
	return new QueueDuplex<T>(source, settings);
}

class QueueDuplex<T> extends Duplex {
	readonly #source: QueueSource<T>;
	readonly #reading: ReadingSide<T>;
	readonly #writing: WritingSide<T>;
	#queue: DiskQueue<T> | undefined;
	#isInputOver = false;

	constructor(source: QueueSource<T>, {isObjectMode, highWaterMark, acknowledge, signal}: StreamSettings) {
		const readAhead = acknowledge === 'manual' ? maxDeliveriesAhead : Number.POSITIVE_INFINITY;
		super({
			objectMode: isObjectMode,
			writableHighWaterMark: highWaterMark,
			readableHighWaterMark: Math.min(highWaterMark, readAhead),
		});
		this.#source = source;
		this.#writing = new WritingSide<T>({isObjectMode});
		this.#reading = new ReadingSide<T>(this, {
			isObjectMode,
			acknowledge,
			isOver: ({isShutDown}) => isShutDown || this.#isInputOver,
			endsWithQueue: false,
		});
		if (signal) {
			// Not by the option: that one destroys a stream that is not made yet.
			addAbortSignal(signal, this);
		}
	}

	get queue(): DiskQueue<T> | undefined {
		return this.#queue;
	}

	override _construct(callback: Callback): void {
		if (this.destroyed) {
			callback();
			return;
		}

		const fail = (error: Error) => this.destroy(error);
		this.#source.open(fail).then(queue => {
			this.#queue = queue;
			this.#reading.start(queue);
			this.#writing.start(queue, this.#source);
			callback();
			if (!this.destroyed) {
				this.emit('ready', queue);
			}
		}, callback);
	}

	override _write(record: T, _encoding: unknown, callback: Callback): void {
		this.#writing.write(record, callback);
	}

	override _writev(chunks: Array<{chunk: T}>, callback: Callback): void {
		this.#writing.writeAll(chunks, callback);
	}

	override _final(callback: Callback): void {
		this.#isInputOver = true;
		this.#reading.wake();
		callback();
	}

	override _read(size: number): void {
		this.#reading.read(size);
	}

	override setEncoding(encoding: BufferEncoding): this {
		this.#reading.setEncoding(() => super.setEncoding(encoding));
		return this;
	}

	override pipe<S extends NodeJS.WritableStream>(destination: S, options?: {end?: boolean}): S {
		this.#reading.addSink(destination as unknown as NodeWritable);
		return super.pipe(destination, options);
	}

	override unpipe(destination?: NodeJS.WritableStream): this {
		this.#reading.endSinks(destination);
		return super.unpipe(destination);
	}

	/** As in node:stream: the Duplex of readable-stream does not call back writes that wait. */
	override destroy(error?: Error): this {
		Writable.prototype.destroy.call(this, error);
		return this;
	}

	override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
		const left = this.#leave();
		this.#source.announce(left);
		left.then(
			() => callback(error),
			failure => callback(error ?? failure),
		);
	}

	override async [Symbol.asyncDispose](): Promise<void> {
		await closeQuietly(this);
	}

	async #leave(): Promise<void> {
		try {
			await Promise.all([this.#reading.leave(), this.#writing.leave()]);
		} finally {
			await (this.#queue && this.#source.release(this.#queue));
		}
	}
}
