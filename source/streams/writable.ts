import {addAbortSignal, type Writable as NodeWritable} from 'node:stream';
import {checkNames} from '../option-checks.ts';
import {defaults} from '../options.ts';
import type {DiskQueue} from '../queue/disk-queue.ts';
import {closeQuietly} from './close-quietly.ts';
import {Writable} from './stream-classes.ts';
import {checkQueue, resolveStreamOptions, type StreamSettings} from './stream-options.ts';
import {type Callback, WritingSide} from './writing-side.ts';

/** Options of `createWriteStream`. */
export type WriteStreamOptions = {
	/**
	 * `false`: bytes go in, as Buffers, Uint8Arrays or strings; each chunk is a record, cut if it is larger than a block, of
	 * 256 KiB.
	 * @default true
	 */
	objectMode?: boolean | undefined;
	/**
	 * Records that the stream holds while a put waits, and puts together then; in byte mode bytes. From 1 up.
	 * @default 1024, in byte mode 65536 (64 KiB)
	 */
	highWaterMark?: number | undefined;
	/** Destroys the stream when aborted. What was not called back may be put or not. */
	signal?: AbortSignal | undefined;
};

/**
 * Makes a Writable that puts records at the end of an open queue, which it leaves open. There may be many at once. A write
 * is called back when its put resolves: what that survives is the queue's `durability`. `finish` comes when all that was
 * written is put.
 *
 * ```ts
 * await pipeline(source, createWriteStream(queue));
 * ```
 *
 * @param queue Stays open, whatever happens to the stream.
 * @param options See `WriteStreamOptions`.
 * @throws `TypeError`, `RangeError` (`QUEUE_INVALID_ARGUMENT`). Errors of `put`, among them `QUEUE_CLOSED` and
 *   `QUEUE_SHUT_DOWN`, come as the stream's `error`.
 */
export function createWriteStream<T>(
	queue: DiskQueue<T>,
	options: WriteStreamOptions = {},
): NodeWritable & AsyncDisposable {
	checkQueue(queue);
	checkNames('options', options, ['objectMode', 'highWaterMark', 'signal']);
	return new QueueWritable<T>(queue, resolveStreamOptions(options, defaults.cacheSize));
}

class QueueWritable<T> extends Writable {
	readonly #writing: WritingSide<T>;

	constructor(queue: DiskQueue<T>, {isObjectMode, highWaterMark, signal}: StreamSettings) {
		super({objectMode: isObjectMode, highWaterMark});
		this.#writing = new WritingSide<T>({isObjectMode});
		this.#writing.start(queue, {isOwn: false});
		if (signal) {
			addAbortSignal(signal, this);
		}
	}

	override _write(record: T, _encoding: unknown, callback: Callback): void {
		this.#writing.write(record, callback);
	}

	override _writev(chunks: Array<{chunk: T}>, callback: Callback): void {
		this.#writing.writeAll(chunks, callback);
	}

	override _destroy(error: Error | null, callback: Callback): void {
		this.#writing.leave().then(() => callback(error));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await closeQuietly(this);
	}
}
