import {addAbortSignal, type Readable as NodeReadable, type Writable as NodeWritable} from 'node:stream';
import {outOfRange} from '../errors.ts';
import {checkNames} from '../option-checks.ts';
import type {DiskQueue} from '../queue/disk-queue.ts';
import type {Delivery} from '../queue/queue.ts';
import {closeQuietly} from './close-quietly.ts';
import {ReadingSide} from './reading-side.ts';
import {Readable} from './stream-classes.ts';
import {
	type Acknowledge,
	checkQueue,
	type Gives,
	type InObjectMode,
	resolveStreamOptions,
	type StreamSettings,
} from './stream-options.ts';
import type {Callback} from './writing-side.ts';

/** In object mode: as of any stream in Node. Reading 16 ahead is fast enough for most sinks, and leaves something for others. */
const defaultHighWaterMark = 16;

/** Options of `createReadStream`. */
export type ReadStreamOptions = {
	/** `false`: gives the records, which must be Buffers, Uint8Arrays or strings, as bytes. @default true */
	objectMode?: boolean | undefined;
	/**
	 * Records read ahead, in byte mode bytes, which other consumers of the queue are not given meanwhile. From 1 up; a larger
	 * one is faster.
	 * @default 16, in byte mode 65536 (64 KiB)
	 */
	highWaterMark?: number | undefined;
	/**
	 * When a record is done: see `diskQueue`. With `'manual'` the chunks are deliveries; those read ahead count as
	 * delivered if the process is killed.
	 * @default 'sink'
	 */
	acknowledge?: Acknowledge | undefined;
	/**
	 * `'drained'`: ends when the queue is empty: no record waits, no put waits, and none is in flight with another consumer,
	 * which may give it back. Without it the stream waits for more.
	 */
	until?: 'drained' | undefined;
	/** Destroys the stream when aborted. What is not done goes back to the head of the queue. */
	signal?: AbortSignal | undefined;
};

/** A Readable that is known to give chunks of type `C`. */
export type QueueReadStream<C> = Gives<C> & NodeReadable;

/**
 * Makes a Readable of the records of an open queue. Several may share a queue: each record goes to one of them. It waits
 * for more records, and keeps the process alive meanwhile unless the queue is `unref`ed; it ends when the queue is shut
 * down and empty, or closed and empty.
 *
 * An error, `break`, `take()`, an AbortSignal or `cancel()` ends the stream and leaves the queue open: what the stream
 * had read ahead and what its destination had not confirmed goes back to the head, in order.
 *
 * ```ts
 * await pipeline(createReadStream(queue, {until: 'drained'}), upload);
 * ```
 *
 * @param queue Stays open. If it is closed while records wait or are not confirmed, the stream fails with `QUEUE_CLOSED`,
 *   and they come back at its next open.
 * @param options See `ReadStreamOptions`.
 * @throws `TypeError`, `RangeError` (`QUEUE_INVALID_ARGUMENT`). `QUEUE_STORAGE`, `QUEUE_CORRUPT` and `QUEUE_CLOSED` come
 *   as the stream's `error`; in byte mode also `QUEUE_RECORD`: the next record is not bytes.
 */
export function createReadStream<T>(
	queue: DiskQueue<T>,
	options?: ReadStreamOptions & InObjectMode & {acknowledge?: 'sink' | 'read' | undefined},
): QueueReadStream<T>;
export function createReadStream<T>(
	queue: DiskQueue<T>,
	options: ReadStreamOptions & InObjectMode & {acknowledge: 'manual'},
): QueueReadStream<Delivery<T>>;
export function createReadStream<T>(queue: DiskQueue<T>, options: ReadStreamOptions): NodeReadable;
export function createReadStream<T>(queue: DiskQueue<T>, options: ReadStreamOptions = {}): NodeReadable {
	checkQueue(queue);
	checkNames('options', options, ['objectMode', 'highWaterMark', 'acknowledge', 'until', 'signal']);
	const {until, ...streamOptions} = options;
	if (until !== undefined && until !== 'drained') {
		throw outOfRange('until', "'drained'", until);
	}

	const settings = {...resolveStreamOptions(streamOptions, defaultHighWaterMark), isUntilDrained: until === 'drained'};
	return new QueueReadable<T>(queue, settings);
}

type Settings = StreamSettings & {isUntilDrained: boolean};

class QueueReadable<T> extends Readable {
	readonly #reading: ReadingSide<T>;

	constructor(queue: DiskQueue<T>, {isObjectMode, highWaterMark, acknowledge, isUntilDrained, signal}: Settings) {
		super({objectMode: isObjectMode, highWaterMark});
		this.#reading = new ReadingSide<T>(this, {
			isObjectMode,
			acknowledge,
			isOver: ({isShutDown, inFlight, waitingPuts}) =>
				isShutDown || (isUntilDrained && inFlight === 0 && waitingPuts === 0),
			endsWithQueue: !isUntilDrained,
		});
		this.#reading.start(queue);
		if (signal) {
			addAbortSignal(signal, this);
		}
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

	override _destroy(error: Error | null, callback: Callback): void {
		this.#reading.leave().then(
			() => callback(error),
			failure => callback(error ?? failure),
		);
	}

	override async [Symbol.asyncDispose](): Promise<void> {
		await closeQuietly(this);
	}
}
