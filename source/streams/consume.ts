import {wrongType} from '../errors.ts';
import {checkInteger, checkNames, checkWaitOptions} from '../option-checks.ts';
import type {Delivery, Queue} from '../queue/queue.ts';
import {BatchCollector, type BatchOptions, resolveBatch} from './batch-collector.ts';
import {type Backoff, type Delays, defaultDelay, delaysOf} from './retry-delays.ts';

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
	const delaysAfter = delaysOf(retry);
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
