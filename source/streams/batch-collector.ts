import {performance} from 'node:perf_hooks';
import {outOfRange, QueueError} from '../errors.ts';
import {measureRecord} from '../format/measure-record.ts';
import {checkInteger, checkMilliseconds, checkNames} from '../option-checks.ts';
import {QueueDelivery} from '../queue/delivery.ts';
import type {Delivery, Queue} from '../queue/queue.ts';

/** What bounds a batch: whatever is reached first. */
export type BatchOptions = {
	/** Records, from 1 up. @default 1 */
	maxRecords?: number | undefined;
	/** Estimated bytes, from 1 up; one record may exceed it. @default Infinity */
	maxBytes?: number | undefined;
	/** How long the first record waits for more, in milliseconds, from 0 up. @default 0 */
	maxWait?: number | undefined;
};

export type BatchLimits = {maxRecords: number; maxBytes: number; maxWait: number};

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option. */
export function resolveBatch(batch: BatchOptions = {}): BatchLimits {
	checkNames('batch', batch, ['maxRecords', 'maxBytes', 'maxWait']);
	const {maxRecords = 1, maxBytes = Number.POSITIVE_INFINITY, maxWait = 0} = batch;
	checkInteger('batch.maxRecords', maxRecords, {min: 1});
	checkMilliseconds('batch.maxWait', maxWait);
	if (!(maxBytes >= 1)) {
		throw outOfRange('batch.maxBytes', 'a number of bytes from 1 up', maxBytes);
	}

	return {maxRecords, maxBytes, maxWait};
}

/** Fills one batch after another, for as many handlers as there are: two at a time would share the records that come. */
export class BatchCollector<T> {
	readonly #queue: Queue<T>;
	readonly #limits: BatchLimits;
	readonly #signal: AbortSignal;
	/** One delivery too many for the last batch. */
	#spare: Delivery<T> | undefined;
	#last: Promise<unknown> = Promise.resolve();

	constructor(queue: Queue<T>, limits: BatchLimits, signal: AbortSignal) {
		this.#queue = queue;
		this.#limits = limits;
		this.#signal = signal;
	}

	/** The next batch; empty if the work is over. */
	next(): Promise<Array<Delivery<T>>> {
		const batch = this.#last.then(() => this.#collect());
		this.#last = batch.catch(() => {});
		return batch;
	}

	/** Gives back what no handler will see: there was none left. */
	release(): void {
		const spare = this.#spare;
		this.#spare = undefined;
		if (spare instanceof QueueDelivery) {
			spare.undo();
		} else {
			spare?.nack();
		}
	}

	async #collect(): Promise<Array<Delivery<T>>> {
		// The spare one was counted as delivered: it is in hand, whatever happens.
		if (this.#signal.aborted && !this.#spare) {
			return [];
		}

		const batch = this.#spare ? [this.#spare] : await this.#receive();
		this.#spare = undefined;
		if (Number.isFinite(this.#limits.maxBytes) && batch.length > 0) {
			await this.#fill(batch);
		}

		return batch;
	}

	/** The next deliveries, or the first of them if the batch is bounded in bytes. */
	async #receive(): Promise<Array<Delivery<T>>> {
		const {maxRecords, maxBytes, maxWait} = this.#limits;
		const signal = this.#signal;
		try {
			return Number.isFinite(maxBytes)
				? [await this.#queue.receive({signal})]
				: await this.#queue.receiveMany(maxRecords, {maxWait, signal});
		} catch (error) {
			if (isOver(error)) {
				return [];
			}

			throw error;
		}
	}

	/** Adds deliveries until a limit is reached. Late, aborted or over, the batch is what it is; the next one tells. */
	async #fill(batch: Array<Delivery<T>>): Promise<void> {
		const {maxRecords, maxBytes, maxWait} = this.#limits;
		const deadline = performance.now() + maxWait;
		let bytes = estimateBytes(batch[0]!.record);
		while (batch.length < maxRecords && bytes < maxBytes) {
			const timeout = Math.max(0, deadline - performance.now());
			const delivery = await this.#queue.receive({timeout, signal: this.#signal}).catch(() => undefined);
			if (!delivery) {
				return;
			}

			bytes += estimateBytes(delivery.record);
			if (bytes > maxBytes) {
				this.#spare = delivery;
				return;
			}

			batch.push(delivery);
		}
	}
}

/** A record that only the queue's own codec knows counts as nothing: `maxRecords` bounds those. */
function estimateBytes(record: unknown): number {
	try {
		return measureRecord(record);
	} catch {
		return 0;
	}
}

function isOver(error: unknown): boolean {
	const {code} = error as {code?: string};
	return (
		code === 'ABORT_ERR' || (error instanceof QueueError && ['QUEUE_SHUT_DOWN', 'QUEUE_CLOSED'].includes(error.code))
	);
}
