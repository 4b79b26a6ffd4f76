import type {Writable} from 'node:stream';
import {pEvent, TimeoutError} from 'p-event';
import type {Lease} from '../queue/lease.ts';
import {Ring} from '../ring.ts';
import type {Meter} from './meter.ts';
import {SinkProgress} from './sink-progress.ts';

/** How often it is looked into what is done, in milliseconds: what a kill redelivers is bounded by it. */
const confirmInterval = 100;

/** How often a sink that a closing queue waits for may be found without progress: two seconds. */
const maxIdle = 20;

export type AcknowledgementOptions<T> = {
	/** Counts what the stream takes in and gives out. */
	meter: Meter;
	/** Told of records that are done: the next `count` of a lease. */
	settle(lease: Lease<T>, count: number): void;
	/** Told that a sink has failed that has not confirmed everything: nothing that follows can be done any more. */
	failed(error: Error | undefined): void;
};

/**
 * What of a stream's records is done: all that left its buffer, if it has no sinks; what every sink has confirmed, if it
 * has. Records are done in the order in which they were taken.
 */
export class Acknowledgement<T> {
	readonly #options: AcknowledgementOptions<T>;
	readonly #sinks = new Set<SinkProgress>();
	/** What was taken and is not done, in order. */
	readonly #leases = new Ring<Lease<T>>();
	#held = 0;
	#timer: NodeJS.Timeout | undefined;

	constructor(options: AcknowledgementOptions<T>) {
		this.#options = options;
	}

	/** Records that were taken and are not done, as far as it was looked into. */
	get held(): number {
		return this.#held;
	}

	/** Adds a run that was taken, behind the others. */
	add(lease: Lease<T>): void {
		this.#leases.push(lease);
		this.#held += lease.length;
		this.#lookLater();
	}

	/** Waits for a sink too from now on. */
	addSink(sink: Writable): void {
		const {meter} = this.#options;
		this.#sinks.add(
			new SinkProgress(sink, {isAlike: () => meter.isAlike(sink), onProgress: () => this.confirm(meter.given)}),
		);
	}

	/** Says that a sink, or all of them, are given no more than what they are by now. */
	endSinks(sink: unknown, given: number): void {
		for (const progress of this.#sinks) {
			if (sink === undefined || sink === progress.sink) {
				progress.endAt(given);
			}
		}
	}

	/** Settles what is done, of what is given: what has left the stream's buffer. */
	confirm(given: number): void {
		let confirmed = given;
		let lost: SinkProgress | undefined;
		for (const progress of this.#sinks) {
			confirmed = Math.min(confirmed, progress.confirmed(given));
			lost ??= progress.hasLost(given) ? progress : undefined;
			if (progress.isOver) {
				progress.close();
				this.#sinks.delete(progress);
			}
		}

		this.#settle(confirmed);
		if (lost) {
			this.#options.failed(lost.error);
		}
	}

	/**
	 * Waits until the sinks have confirmed all that was given, or failed: after a regular end they are still at work. Once
	 * aborted it waits for those only that go on confirming.
	 */
	async awaitSinks(given: number, signal: AbortSignal): Promise<void> {
		for (const progress of this.#sinks) {
			let confirmed = 0;
			let idle = 0;
			while (progress.isBehind(given) && idle < maxIdle) {
				const isIdle = signal.aborted && progress.confirmed(given) === confirmed;
				idle = isIdle ? idle + 1 : 0;
				confirmed = progress.confirmed(given);
				await pEvent(progress.sink, ['drain', 'finish', 'close'], {
					rejectionEvents: [],
					timeout: confirmInterval,
				}).catch(passTimeout);
			}
		}
	}

	/** Lets go of the sinks; gives what is not done, in order. */
	close(): Array<Lease<T>> {
		clearTimeout(this.#timer);
		for (const progress of this.#sinks) {
			progress.close();
		}

		return this.#leases.shiftMany(this.#leases.length);
	}

	/** Settles the records that lie wholly in what is confirmed. */
	#settle(confirmed: number): void {
		const {meter, settle} = this.#options;
		while (this.#leases.length > 0) {
			const lease = this.#leases.at(0);
			const {length} = lease;
			const count = meter.countWithin(confirmed, length);
			if (count === 0) {
				return;
			}

			settle(lease, count);
			meter.forget(count);
			this.#held -= count;
			if (count === length) {
				this.#leases.shift();
			}
		}
	}

	/** What was taken may be done without a sign: the last record read, before the next one comes. */
	#lookLater(): void {
		this.#timer ??= setTimeout(() => {
			this.#timer = undefined;
			this.confirm(this.#options.meter.given);
			if (this.#leases.length > 0) {
				this.#lookLater();
			}
		}, confirmInterval).unref();
	}
}

/** A wait that ends is looked into again. */
function passTimeout(error: unknown): void {
	if (!(error instanceof TimeoutError)) {
		throw error;
	}
}
