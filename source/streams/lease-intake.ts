import type {Writable} from 'node:stream';
import type {DiskQueue} from '../queue/disk-queue.ts';
import type {IsOver} from '../queue/engine.ts';
import type {Lease} from '../queue/lease.ts';
import {Acknowledgement} from './acknowledgement.ts';
import type {Intake} from './intake.ts';
import type {Meter} from './meter.ts';

/** Takes records by leases: they are done when they are read, or when the stream's sinks have confirmed them. */
export class LeaseIntake<T> implements Intake<T, Lease<T>> {
	readonly #meter: Meter;
	readonly #acknowledgement: Acknowledgement<T>;
	#queue!: DiskQueue<T>;

	/** `failed` is told of a sink that will never confirm what it was given. */
	constructor(meter: Meter, failed: (error: Error | undefined) => void) {
		this.#meter = meter;
		this.#acknowledgement = new Acknowledgement<T>({
			meter,
			settle: (lease, count) => this.#queue.settle(lease, count),
			failed,
		});
	}

	get isHolding(): boolean {
		return this.#acknowledgement.held > 0;
	}

	start(queue: DiskQueue<T>): void {
		this.#queue = queue;
	}

	/** Its own records in flight do not keep a stream from its end: they are with its sinks. */
	take(room: number, isOver: IsOver, signal: AbortSignal): Promise<Lease<T> | undefined> {
		const {max, maxBytes} = this.#meter.limit(room);
		const isOverForIt: IsOver = activity =>
			isOver({...activity, inFlight: activity.inFlight - this.#acknowledgement.held});
		return this.#queue.lease(max, isOverForIt, {signal, maxBytes});
	}

	refuse(lease: Lease<T>): void {
		this.#queue.giveBack(lease);
	}

	accept(lease: Lease<T>): unknown[] {
		let chunks: unknown[];
		try {
			chunks = this.#meter.chunksOf(lease.rest());
		} catch (error) {
			this.#queue.giveBack(lease);
			throw error;
		}

		this.#acknowledgement.add(lease);
		return chunks;
	}

	confirm(given: number): void {
		this.#acknowledgement.confirm(given);
	}

	addSink(sink: Writable): void {
		this.#acknowledgement.addSink(sink);
	}

	endSinks(sink: unknown, given: number): void {
		this.#acknowledgement.endSinks(sink, given);
	}

	awaitSinks(given: number, signal: AbortSignal): Promise<void> {
		return this.#acknowledgement.awaitSinks(given, signal);
	}

	close(given: number): void {
		this.#acknowledgement.confirm(given);
		for (const lease of this.#acknowledgement.close()) {
			this.#queue.giveBack(lease);
		}
	}
}
