import type {ExecutionContext} from 'ava';
import {DiskQueue, type DiskQueueOptions} from '../../source/index.ts';
import {temporaryDirectory} from './temporary-directory.ts';

/** A queue in a directory of this test alone, closed when the test ends. */
export async function openQueue<T = unknown>(
	t: ExecutionContext,
	options: DiskQueueOptions<T> = {},
	directory: string = temporaryDirectory(t),
): Promise<DiskQueue<T>> {
	const queue = await DiskQueue.open<T>(directory, options);
	t.teardown(() => queue.close().catch(() => {}));
	return queue;
}

/** Takes all that waits, in order. */
export async function drain<T>(queue: DiskQueue<T>): Promise<T[]> {
	const records: T[] = [];
	while (queue.size > 0) {
		records.push(...(await queue.getMany(100)));
	}

	return records;
}

/** Takes all that there is of a queue that nobody puts to any more: the last records may turn out to be damaged. */
export async function takeRest<T>(queue: DiskQueue<T>): Promise<T[]> {
	queue.shutdown();
	const records: T[] = [];
	for await (const record of queue) {
		records.push(record);
	}

	return records;
}

/** The numbers from `from` to `to`, without `to`. */
export function range(from: number, to: number): number[] {
	return Array.from({length: to - from}, (_, index) => from + index);
}

/** Lets the event loop turn once: what was scheduled for the next turn has run. */
export function nextTurn(): Promise<void> {
	return new Promise(resolve => {
		setImmediate(() => setImmediate(resolve));
	});
}

/** Waits for so many microtasks, one after the other. */
export async function afterMicrotasks(count: number): Promise<void> {
	for (let left = count; left > 0; left--) {
		await undefined;
	}
}
