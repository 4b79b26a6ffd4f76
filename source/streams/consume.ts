import {performance} from 'node:perf_hooks';
import {outOfRange, QueueError, wrongType} from '../errors.ts';
import {measureRecord} from '../format/measure-record.ts';
import {checkInteger, checkMilliseconds, checkNames, checkWaitOptions} from '../options.ts';
import {QueueDelivery} from '../queue/delivery.ts';
import type {Delivery, Queue} from '../queue/queue.ts';

/** How long a record waits after a failure: exponential backoff, as Kafka and AWS clients do. Times are milliseconds. */
export type Backoff = {
	/** Wait after the first failure, from 0 up. @default 1000 */
	minDelay?: number | undefined;
	/** No wait is longer. From 0 up. @default 60000 */
	maxDelay?: number | undefined;
	/** Each wait is so many times the one before. From 1 up. @default 2 */
	factor?: number | undefined;
	/**
	 * The part of a wait that is left to chance, from 0 to 1, so that retries do not come all at once. The records of a
	 * batch wait equally long, and come back as one.
	 * @default 0.5
	 */
	jitter?: number | undefined;
};

/** What bounds a batch: whatever is reached first. */
export type BatchOptions = {
	/** Records, from 1 up. @default 1 */
	maxRecords?: number | undefined;
	/** Estimated bytes, from 1 up; one record may exceed it. @default Infinity */
	maxBytes?: number | undefined;
	/** How long the first record waits for more, in milliseconds, from 0 up. @default 0 */
	maxWait?: number | undefined;
};

/** Options of `consume`. */
export type ConsumeOptions<T> = {
	/** Handlers at work at once, from 1 up. With more than one, records may be done out of order. @default 1 */
	concurrency?: number | undefined;
	/** Hands the handler batches. */
	batch?: BatchOptions | undefined;
	/** How long a record waits before it is delivered again; or a function that says so of each, in milliseconds. */
	retry?: Backoff | ((error: unknown, delivery: Delivery<T>) => number) | undefined;
	/** Stops when aborted, after what is in hand. */
	signal?: AbortSignal | undefined;
};

/** What a handler is given beside the records. */
export type Handling<T> = {deliveries: ReadonlyArray<Delivery<T>>};

type Handler<T> = (records: T[], handling: Handling<T>) => unknown;

/**
 * Hands the records of a queue to a function, one by one: a record is done when the function's promise resolves, and
 * comes again, after a while, when it rejects. After `maxAttempts` of the queue it goes to the dead-letter queue, with the
 * text of the last error.
 *
 * ```ts
 * await consume(queue, record => upload(record), {concurrency: 4, signal});
 * await consume(queue, records => upload(records), {batch: {maxRecords: 500, maxWait: 1000}});
 * ```
 *
 * @param queue Any queue.
 * @param handler Given a record, or with `batch` an array of them, and their deliveries.
 * @param options See `ConsumeOptions`.
 * @returns Resolves when the signal was aborted and what was in hand is done; when the queue is shut down and empty; or
 *   when it is closed. Rejects, after what is in hand, if the queue or the function `retry` fails.
 * @throws `TypeError`, `RangeError` (`QUEUE_INVALID_ARGUMENT`): an argument is wrong, or what `retry` returned.
 */
export function consume<T>(
	queue: Queue<T>,
	handler: (records: T[], handling: Handling<T>) => unknown,
	options: ConsumeOptions<T> & {batch: BatchOptions},
): Promise<void>;
export function consume<T>(
	queue: Queue<T>,
	handler: (record: T, handling: Handling<T>) => unknown,
	options?: ConsumeOptions<T>,
): Promise<void>;
export async function consume<T>(
	queue: Queue<T>,
	handler: ((records: T[], handling: Handling<T>) => unknown) | ((record: T, handling: Handling<T>) => unknown),
	options: ConsumeOptions<T> = {},
): Promise<void> {
	if (typeof queue?.receiveMany !== 'function') {
		throw wrongType('queue', 'an open queue', queue);
	}

	if (typeof handler !== 'function') {
		throw wrongType('handler', 'a function', handler);
	}

	checkNames('options', options, ['concurrency', 'batch', 'retry', 'signal']);
	const {concurrency = 1, batch, retry = {}, signal} = options;
	checkInteger('concurrency', concurrency, {min: 1});
	checkWaitOptions({signal});
	const handle: Handler<T> = batch
		? (handler as Handler<T>)
		: ([record], handling) => (handler as (record: T, handling: Handling<T>) => unknown)(record!, handling);
	const delaysAfter = typeof retry === 'function' ? askEach(retry) : backoff(resolveBackoff(retry));
	const limits = resolveBatch(batch);
	const stop = new AbortController();
	const signals = signal ? [signal, stop.signal] : [stop.signal];
	const collector = new BatchCollector(queue, limits, AbortSignal.any(signals));
	const workers = Array.from({length: concurrency}, () =>
		consumeBatches({collector, handle, delaysAfter}).catch(error => {
			stop.abort();
			throw error;
		}),
	);
	const results = await Promise.allSettled(workers);
	collector.release();
	for (const result of results) {
		if (result.status === 'rejected') {
			throw result.reason;
		}
	}
}

type BatchLimits = {maxRecords: number; maxBytes: number; maxWait: number};

/** Wait after a first failure, in milliseconds. */
const defaultDelay = 1000;

/** How long each record of a failed batch waits. Those that wait equally long come back as one batch. */
type Delays<T> = (error: unknown, batch: ReadonlyArray<Delivery<T>>) => number[];

type Consumption<T> = {
	collector: BatchCollector<T>;
	handle: Handler<T>;
	delaysAfter: Delays<T>;
};

async function consumeBatches<T>({collector, handle, delaysAfter}: Consumption<T>): Promise<void> {
	for (let batch = await collector.next(); batch.length > 0; batch = await collector.next()) {
		try {
			await handle(
				batch.map(({record}) => record),
				{deliveries: batch},
			);
		} catch (error) {
			giveBack(batch, error, () => delaysAfter(error, batch));
			continue;
		}

		for (const delivery of batch) {
			delivery.ack();
		}
	}
}

/** Gives a failed batch back, also if nobody can say for how long. */
function giveBack<T>(batch: Array<Delivery<T>>, error: unknown, decideDelays: () => number[]): void {
	let delays: number[] | undefined;
	try {
		delays = decideDelays();
	} finally {
		for (const [index, delivery] of batch.entries()) {
			delivery.nack({delay: delays?.[index] ?? defaultDelay, error});
		}
	}
}

/** Fills one batch after another, for as many handlers as there are: two at a time would share the records that come. */
class BatchCollector<T> {
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

function resolveBatch(batch: BatchOptions = {}): BatchLimits {
	checkNames('batch', batch, ['maxRecords', 'maxBytes', 'maxWait']);
	const {maxRecords = 1, maxBytes = Number.POSITIVE_INFINITY, maxWait = 0} = batch;
	checkInteger('batch.maxRecords', maxRecords, {min: 1});
	checkMilliseconds('batch.maxWait', maxWait);
	if (!(maxBytes >= 1)) {
		throw outOfRange('batch.maxBytes', 'a number of bytes from 1 up', maxBytes);
	}

	return {maxRecords, maxBytes, maxWait};
}

type BackoffFigures = {[Key in keyof Backoff]-?: number};

function resolveBackoff(retry: Backoff): BackoffFigures {
	checkNames('retry', retry, ['minDelay', 'maxDelay', 'factor', 'jitter']);
	const {minDelay = defaultDelay, maxDelay = 60_000, factor = 2, jitter = 0.5} = retry;
	checkMilliseconds('retry.minDelay', minDelay);
	checkMilliseconds('retry.maxDelay', maxDelay);
	if (!(factor >= 1)) {
		throw outOfRange('retry.factor', 'a number from 1 up', factor);
	}

	if (!(jitter >= 0 && jitter <= 1)) {
		throw outOfRange('retry.jitter', 'a number from 0 to 1', jitter);
	}

	return {minDelay, maxDelay, factor, jitter};
}

function backoff<T>({minDelay, maxDelay, factor, jitter}: BackoffFigures): Delays<T> {
	return (_error, batch) => {
		const attempts = Math.max(...batch.map(delivery => delivery.attempts));
		const delay =
			Math.min(maxDelay, minDelay * Math.min(Number.MAX_VALUE, factor ** (attempts - 1))) *
			(1 - jitter * Math.random());
		return batch.map(() => delay);
	};
}

function askEach<T>(retry: (error: unknown, delivery: Delivery<T>) => number): Delays<T> {
	return (error, batch) =>
		batch.map(delivery => {
			const delay = retry(error, delivery);
			checkMilliseconds('retry()', delay);
			return delay;
		});
}
