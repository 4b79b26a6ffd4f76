import {outOfRange} from '../errors.ts';
import {checkMilliseconds, checkNames} from '../option-checks.ts';
import type {Delivery} from '../queue/queue.ts';

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

/** Wait after a first failure, in milliseconds. */
export const defaultDelay = 1000;

/** How long each record of a failed batch waits. Those that wait equally long come back as one batch. */
export type Delays<T> = (error: unknown, batch: ReadonlyArray<Delivery<T>>) => number[];

/** What is asked after a failure. Throws a `TypeError` or `RangeError` that names the option. */
export function delaysOf<T>(retry: Backoff | ((error: unknown, delivery: Delivery<T>) => number)): Delays<T> {
	return typeof retry === 'function' ? askEach(retry) : backoff(resolveBackoff(retry));
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
