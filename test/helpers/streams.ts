import type {Readable, Writable} from 'node:stream';
import type {ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {
	createReadStream,
	createWriteStream,
	DiskQueue,
	type DiskQueueOptions,
	type DiskQueueStream,
	type DiskQueueStreamOptions,
	diskQueue,
	type QueueReadStream,
	type ReadStreamOptions,
	type WriteStreamOptions,
} from '../../source/index.ts';
import {drain} from './queues.ts';
import {temporaryDirectory} from './temporary-directory.ts';

/** Chunks are the records themselves. */
type Leased = {objectMode?: true; acknowledge?: 'sink' | 'read' | undefined};

/** A `diskQueue` that has let its directory go when the test ends. */
export function queueStream<T = unknown>(
	t: ExecutionContext,
	target: string | DiskQueue<T> = temporaryDirectory(t),
	options: DiskQueueStreamOptions<T> & Leased = {},
): DiskQueueStream<T> {
	return closedAtEnd(t, diskQueue<T>(target, options));
}

/** A read view that is closed when the test ends. */
export function readView<T>(
	t: ExecutionContext,
	queue: DiskQueue<T>,
	options: ReadStreamOptions & Leased = {},
): QueueReadStream<T> {
	return closedAtEnd(t, createReadStream(queue, options));
}

/** A write view that is closed when the test ends. */
export function writeView<T>(t: ExecutionContext, queue: DiskQueue<T>, options: WriteStreamOptions = {}): Writable {
	return closedAtEnd(t, createWriteStream(queue, options));
}

/** A stream that is closed when the test ends. */
export function closedAtEnd<S extends Readable | Writable>(t: ExecutionContext, stream: S): S {
	t.teardown(async () => {
		stream.destroy();
		if (!stream.closed) {
			await pEvent(stream, 'close', {rejectionEvents: []});
		}
	});
	return stream;
}

/** Resolves when a stream is closed, whether or not it fails. */
export async function closed(stream: Readable | Writable): Promise<void> {
	if (!stream.closed) {
		await pEvent(stream, 'close', {rejectionEvents: []});
	}
}

/** The error of a stream that fails. */
export function errorOf(stream: NodeJS.EventEmitter): Promise<NodeJS.ErrnoException> {
	return pEvent<'error', NodeJS.ErrnoException>(stream, 'error', {rejectionEvents: []});
}

/** Takes what is left in a directory, in order. */
export async function leftovers<T = unknown>(directory: string, options: DiskQueueOptions<T> = {}): Promise<T[]> {
	const queue = await DiskQueue.open<T>(directory, options);
	const records = await drain(queue);
	await queue.close();
	return records;
}

/** Leaves records in a directory, for the next open. */
export async function leave<T>(directory: string, records: T[]): Promise<void> {
	const queue = await DiskQueue.open<T>(directory);
	await queue.putMany(records);
	await queue.close();
}

/** Writes as fast as it can and ends the stream; resolves to the count of records that were accepted. */
export async function writeAll(stream: NodeJS.WritableStream, records: unknown[]): Promise<number> {
	let accepted = 0;
	const outcomes = records.map(
		record =>
			new Promise<void>(resolve => {
				stream.write(record as string, error => {
					accepted += error ? 0 : 1;
					resolve();
				});
			}),
	);
	stream.end();
	await Promise.all(outcomes);
	return accepted;
}

/** Counts the records written to a stream from here on, and those that it calls back without an error. */
export function countWrites(stream: Writable): {written: number; accepted: number} {
	const counts = {written: 0, accepted: 0};
	const write = stream.write.bind(stream) as (record: unknown, callback: (error?: Error | null) => void) => boolean;
	stream.write = (record: unknown) => {
		counts.written++;
		return write(record, error => {
			counts.accepted += error ? 0 : 1;
		});
	};
	return counts;
}
