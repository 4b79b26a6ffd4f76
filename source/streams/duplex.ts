import {resolve} from 'node:path';
import {addAbortSignal, type Duplex as NodeDuplex, type Writable as NodeWritable} from 'node:stream';
import {Duplex, Writable} from 'readable-stream';
import {outOfRange, wrongType} from '../errors.ts';
import {
	checkDirectory,
	checkInteger,
	checkWaitOptions,
	type DiskQueueOptions,
	defaults,
	resolveOptions,
} from '../options.ts';
import {announceDeparture} from '../queue/departures.ts';
import {DiskQueue} from '../queue/disk-queue.ts';
import {accepted} from '../queue/put-side.ts';
import {Acknowledgement} from './acknowledgement.ts';

/** Options of `diskQueue`: those of the stream, and those of `DiskQueue.open` for a queue that the stream opens. */
export type DiskQueueStreamOptions<T> = Omit<DiskQueueOptions<T>, 'cacheSize'> & {
	/**
	 * Records held in memory before the queue uses the disk, its `cacheSize`; also what the stream's own two buffers
	 * hold, each. From 1 up.
	 * @default 1024
	 */
	highWaterMark?: number | undefined;
	/**
	 * When a record is done and will not come back. `'sink'`: when the destination of `pipe()` or `pipeline()` has
	 * confirmed it, by the callback of its write; without a destination, when it is read. `'read'`: when it has left the
	 * stream's buffer.
	 * @default 'sink'
	 */
	acknowledge?: 'sink' | 'read' | undefined;
	/** Destroys the stream when aborted. What is not done comes back at the next open. */
	signal?: AbortSignal | undefined;
};

/** The stream that `diskQueue` makes. */
export type DiskQueueStream<T> = NodeDuplex & {
	/** The queue; undefined until the stream is `ready`. */
	readonly queue: DiskQueue<T> | undefined;
};

/**
 * Makes a Duplex in object mode that is a queue on disk: what is written waits, in memory and if need be on disk, until
 * it is read. It ends when its writable side has ended and everything was read, what earlier runs left first.
 *
 * Destroying it, by an error at either end or an AbortSignal, loses nothing: at the next open every record that is not
 * done comes back, in order. It emits `ready` with the queue when it is open.
 *
 * ```ts
 * await pipeline(source, diskQueue('./spool'), sink);
 * ```
 *
 * @param target Path of the queue's directory, which the stream opens and closes; or an open `DiskQueue`, which it leaves open.
 * @param options See `DiskQueueStreamOptions`. With an open queue: `highWaterMark`, `acknowledge` and `signal`.
 * @throws `TypeError`, `RangeError` (`QUEUE_INVALID_ARGUMENT`). All other errors of `DiskQueue.open` and `put` come as the
 *   stream's `error`.
 */
export function diskQueue<T = unknown>(
	target: string | DiskQueue<T>,
	options: DiskQueueStreamOptions<T> = {},
): DiskQueueStream<T> {
	if (typeof options !== 'object' || options === null) {
		throw wrongType('options', 'an object', options);
	}

	const {highWaterMark = defaults.cacheSize, acknowledge = 'sink', signal, ...queueOptions} = options;
	checkInteger('highWaterMark', highWaterMark, {min: 1});
	if (acknowledge !== 'sink' && acknowledge !== 'read') {
		throw outOfRange('acknowledge', "'sink' or 'read'", acknowledge);
	}

	checkWaitOptions({signal});

	const open =
		target instanceof DiskQueue ? borrow(target, queueOptions) : opener<T>(target, queueOptions, highWaterMark);
	return new QueueDuplex<T>(open, {highWaterMark, acknowledge, signal}) as unknown as DiskQueueStream<T>;
}

/** How a stream comes by its queue, and how it lets it go. */
type QueueSource<T> = {
	/** `fail` is told of what goes wrong in a queue of the stream's own, where nobody else listens. */
	open(fail: (error: Error) => void): Promise<DiskQueue<T>>;
	/** Told when the stream begins to leave the queue. */
	announce(left: Promise<void>): void;
	release(queue: DiskQueue<T>): Promise<void>;
};

function opener<T>(directory: unknown, given: DiskQueueOptions<T>, cacheSize: number): QueueSource<T> {
	checkDirectory(directory);
	if (given.cacheSize !== undefined) {
		throw wrongType('cacheSize', 'left out: a stream has `highWaterMark`', given.cacheSize);
	}

	const options = {...given, cacheSize};
	resolveOptions(options);
	return {
		open: async fail => (await DiskQueue.open<T>(directory, options)).on('error', fail),
		announce: left => announceDeparture(resolve(directory), left),
		release: queue => queue.close(),
	};
}

function borrow<T>(queue: DiskQueue<T>, given: DiskQueueOptions<T>): QueueSource<T> {
	const [name] = Object.keys(given);
	if (name !== undefined) {
		throw wrongType('options', 'of highWaterMark, acknowledge, signal for a queue that is open', name);
	}

	return {open: async () => queue, announce: left => queue.awaitBeforeClose(left), async release() {}};
}

/** Calls back when a hook of the stream is done. */
type Callback = (error?: Error | null) => void;

type Settings = {highWaterMark: number; acknowledge: 'sink' | 'read'; signal: AbortSignal | undefined};

class QueueDuplex<T> extends Duplex {
	readonly #source: QueueSource<T>;
	readonly #isAcknowledgedBySinks: boolean;
	readonly #acknowledgement: Acknowledgement<T>;
	#queue: DiskQueue<T> | undefined;
	#isPulling = false;
	#isInputOver = false;
	#pushed = 0;
	/** Aborted when the stream is destroyed: it takes nothing more. */
	readonly #gone = new AbortController();

	constructor(source: QueueSource<T>, {highWaterMark, acknowledge, signal}: Settings) {
		super({objectMode: true, highWaterMark});
		this.#source = source;
		this.#isAcknowledgedBySinks = acknowledge === 'sink';
		this.#acknowledgement = new Acknowledgement<T>({
			given: () => this.#given,
			settle: (lease, count) => this.#queue!.settle(lease, count),
		});
		if (signal) {
			// Not by the option: that one destroys a stream that is not made yet.
			addAbortSignal(signal, this as unknown as NodeDuplex);
		}
	}

	get queue(): DiskQueue<T> | undefined {
		return this.#queue;
	}

	_construct(callback: Callback): void {
		if (this.destroyed) {
			callback();
			return;
		}

		const fail = (error: Error) => this.destroy(error);
		this.#source.open(fail).then(queue => {
			this.#queue = queue;
			callback();
			if (!this.destroyed) {
				this.emit('ready', queue);
			}
		}, callback);
	}

	override _write(record: T, _encoding: unknown, callback: Callback): void {
		whenAccepted(this.#queue!.put(record), callback);
	}

	override _writev(chunks: Array<{chunk: T}>, callback: Callback): void {
		whenAccepted(this.#queue!.putRun(chunks.map(({chunk}) => chunk)), callback);
	}

	override _final(callback: Callback): void {
		this.#isInputOver = true;
		this.#queue!.wake();
		callback();
	}

	override _read(size: number): void {
		this.#acknowledgement.confirm();
		if (!this.#isPulling) {
			this.#isPulling = true;
			this.#pull(Math.max(1, size - this.readableLength)).catch(error => this.destroy(error));
		}
	}

	override pipe<S extends NodeJS.WritableStream>(destination: S, options?: {end?: boolean}): S {
		if (this.#isAcknowledgedBySinks && !this.destroyed) {
			this.#acknowledgement.addSink(destination as unknown as NodeWritable);
		}

		return super.pipe(destination, options);
	}

	override unpipe(destination?: Parameters<Duplex['unpipe']>[0]): this {
		this.#acknowledgement.endSinks(destination);
		// Not now: one record may be on its way to it.
		process.nextTick(() => {
			if (!this.destroyed) {
				this.#acknowledgement.confirm();
			}
		});
		return super.unpipe(destination);
	}

	/** As in node:stream: the Duplex of readable-stream does not call back writes that wait. */
	override destroy(error?: Error): this {
		Writable.prototype.destroy.call(this, error);
		return this;
	}

	override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
		const given = this.#given;
		// One record may be on its way to the sink at this very moment, in neither buffer.
		this.#acknowledgement.confirm(given - 1);
		this.#stopFlow();
		this.#gone.abort();
		const left = this.#leave(given);
		this.#source.announce(left);
		left.then(
			() => callback(error),
			failure => callback(error ?? failure),
		);
	}

	/** Records that have left the stream's buffer. */
	get #given(): number {
		return this.#pushed - this.readableLength;
	}

	async #pull(max: number): Promise<void> {
		const lease = await this.#queue!.lease(max, () => this.#isInputOver, this.#gone.signal);
		this.#isPulling = false;
		if (this.destroyed) {
			if (lease) {
				this.#queue!.giveBack(lease);
			}

			return;
		}

		if (!lease) {
			this.push(null);
			return;
		}

		this.#acknowledgement.add(lease);
		for (const record of lease.rest()) {
			this.#pushed++;
			this.push(record);
		}
	}

	/** What is in the stream's buffer stays there. With an empty one, the end may be on its way to the sinks. */
	#stopFlow(): void {
		if (this.readableLength > 0) {
			this.unpipe();
			this.pause();
		}
	}

	/** Lets go of sinks and queue. After a regular end the sinks are still at work. */
	async #leave(given: number): Promise<void> {
		await (this.readableEnded ? this.#acknowledgement.awaitSinks(given) : undefined);
		this.#acknowledgement.confirm(given);
		const leases = this.#acknowledgement.close();
		if (this.#queue) {
			for (const lease of leases) {
				this.#queue.giveBack(lease);
			}

			await this.#source.release(this.#queue);
		}
	}
}

/** Calls back in this turn if a put did not have to wait. */
function whenAccepted(put: Promise<void>, callback: Callback): void {
	if (put === accepted) {
		callback();
	} else {
		put.then(() => callback(), callback);
	}
}
