import type {Readable, Writable} from 'node:stream';
import {QueueClosedError} from '../errors.ts';
import type {DiskQueue} from '../queue/disk-queue.ts';
import type {IsOver} from '../queue/engine.ts';
import {ByteMeter} from './byte-meter.ts';
import {DeliveryIntake} from './delivery-intake.ts';
import type {Intake} from './intake.ts';
import {LeaseIntake} from './lease-intake.ts';
import {type Meter, RecordMeter} from './meter.ts';
import type {Acknowledge} from './stream-options.ts';

/** What a reading side asks of its stream. */
type Outlet = Pick<
	Readable,
	'push' | 'destroy' | 'unpipe' | 'pause' | 'destroyed' | 'readableEnded' | 'readableLength' | 'readableEncoding'
>;

export type ReadingOptions = {
	isObjectMode: boolean;
	acknowledge: Acknowledge;
	/** Whether the stream ends when no record waits; `inFlight` counts those that it should wait for. */
	isOver: IsOver;
	/** Whether it ends when the queue is closed and no record waits. Otherwise it fails. */
	endsWithQueue: boolean;
};

/**
 * Fills a stream with the records of a queue: takes them, pushes them, says when they are done, and gives back what is
 * not done when the stream is destroyed.
 */
export class ReadingSide<T> {
	readonly #stream: Outlet;
	readonly #options: ReadingOptions;
	readonly #meter: Meter;
	readonly #intake: Intake<T, unknown>;
	#queue: DiskQueue<T> | undefined;
	#forget: (() => void) | undefined;
	/** The records on their way. It never rejects. */
	#pulling: Promise<void> | undefined;
	/** Aborted when the stream is destroyed: it takes nothing more. */
	readonly #gone = new AbortController();
	/** Aborted when the queue closes before everything is done: a sink that is stuck is not waited for. */
	readonly #closing = new AbortController();

	constructor(stream: Outlet, options: ReadingOptions) {
		this.#stream = stream;
		this.#options = options;
		this.#meter = options.isObjectMode ? new RecordMeter(stream) : new ByteMeter(stream);
		const fail = (error: Error | undefined) => this.#stream.destroy(error);
		this.#intake = options.acknowledge === 'manual' ? new DeliveryIntake<T>() : new LeaseIntake<T>(this.#meter, fail);
	}

	/** From here on there is a queue to read. */
	start(queue: DiskQueue<T>): void {
		this.#queue = queue;
		this.#intake.start(queue);
	}

	/** Brings more records, if none are on their way; the stream's buffer has room for `size` in all. */
	read(size: number): void {
		this.#forget ??= this.#queue!.onClosing(() => this.#queue!.awaitBeforeClose(this.#breakOff()));
		this.#intake.confirm(this.#meter.given);
		this.#pulling ??= this.#pull(Math.max(1, size - this.#stream.readableLength)).catch(error => {
			this.#stream.destroy(error);
		});
	}

	/** Waits for a destination to confirm records, from now on. */
	addSink(sink: Writable): void {
		if (this.#options.acknowledge === 'sink' && !this.#stream.destroyed) {
			this.#intake.addSink(sink);
		}
	}

	/** Says that a destination, or all of them, are given no more. */
	endSinks(sink: unknown): void {
		this.#intake.endSinks(sink, this.#meter.given);
		// Not now: one record may be on its way to it.
		process.nextTick(() => {
			if (!this.#stream.destroyed) {
				this.#intake.confirm(this.#meter.given);
			}
		});
	}

	/** Does what changes the encoding of the stream. */
	setEncoding(change: () => void): void {
		this.#meter.recount(change);
	}

	/** Asks again whether the stream is over. */
	wake(): void {
		this.#queue?.wake();
	}

	/** The stream is destroyed: resolves when what is done is settled, and the rest given back. */
	leave(): Promise<void> {
		const {given} = this.#meter;
		// One record may be on its way to the sink at this very moment, in neither buffer.
		this.#intake.confirm(given - 1);
		this.#stopFlow();
		this.#gone.abort();
		const left = this.#giveBack(given);
		this.#queue?.awaitBeforeClose(left);
		return left;
	}

	/** The queue closes. What is done is settled before, and what is not is given to nobody: it comes back at the next open. */
	async #breakOff(): Promise<void> {
		// In the next microtask no record is on its way to a sink.
		await undefined;
		this.#intake.confirm(this.#meter.given);
		if (this.#intake.isHolding) {
			this.#closing.abort();
			this.#stream.destroy(new QueueClosedError('read on', this.#queue!.directory));
		}
	}

	async #pull(room: number): Promise<void> {
		const {isOver} = this.#options;
		const run = await this.#intake.take(room, isOver, this.#gone.signal).catch(error => this.#endOr(error));
		this.#pulling = undefined;
		if (this.#stream.destroyed) {
			run && this.#intake.refuse(run);
			return;
		}

		if (!run) {
			this.#meter.end();
			this.#stream.push(null);
			return;
		}

		for (const chunk of this.#intake.accept(run)) {
			this.#push(this.#meter.countIn(chunk));
		}
	}

	/** Text is in the stream's encoding already; Buffers in object mode the stream decodes itself. */
	#push(chunk: unknown): void {
		const encoding = typeof chunk === 'string' ? (this.#stream.readableEncoding ?? undefined) : undefined;
		this.#stream.push(chunk, encoding);
	}

	/** A stream that has given out all there was may end with its queue. */
	#endOr(error: unknown): undefined {
		this.#intake.confirm(this.#meter.given);
		const isAllDone = this.#queue!.size === 0 && !this.#intake.isHolding;
		if (!(error instanceof QueueClosedError && this.#options.endsWithQueue && isAllDone)) {
			throw error;
		}
	}

	/** What is in the stream's buffer stays there. With an empty one, the end may be on its way to the sinks. */
	#stopFlow(): void {
		if (this.#stream.readableLength > 0) {
			this.#stream.unpipe();
			this.#stream.pause();
		}
	}

	/** Lets go of sinks and queue. After a regular end the sinks are still at work. */
	async #giveBack(given: number): Promise<void> {
		try {
			await this.#pulling;
			await (this.#stream.readableEnded ? this.#intake.awaitSinks(given, this.#closing.signal) : undefined);
		} finally {
			this.#forget?.();
			this.#intake.close(given);
		}
	}
}
