import {resolve} from 'node:path';
import {wrongType} from '../errors.ts';
import {checkDirectory} from '../option-checks.ts';
import {type DiskQueueOptions, resolveOptions} from '../options.ts';
import {announceDeparture} from '../queue/departures.ts';
import {DiskQueue} from '../queue/disk-queue.ts';
import type {StreamSettings} from './stream-options.ts';

/** How a stream comes by its queue, and how it lets it go. */
export type QueueSource<T> = {
	/** `fail` is told of what goes wrong in a queue of the stream's own, where nobody else listens. */
	open(fail: (error: Error) => void): Promise<DiskQueue<T>>;
	/** Whether the queue is the stream's own. */
	isOwn: boolean;
	/** Told when the stream begins to let it go. */
	announce(left: Promise<void>): void;
	release(queue: DiskQueue<T>): Promise<void>;
};

/** Bytes that a chunk counts at least: a Buffer of a few bytes takes many times that. */
const minChunkBytes = 64;

/** A queue that the stream opens, and closes. */
export function opener<T>(
	directory: unknown,
	given: DiskQueueOptions<T>,
	{isObjectMode, highWaterMark}: Pick<StreamSettings, 'isObjectMode' | 'highWaterMark'>,
): QueueSource<T> {
	checkDirectory(directory);
	const cache: DiskQueueOptions<T> = isObjectMode
		? {cacheSize: highWaterMark}
		: {cacheBytes: highWaterMark, cacheSize: Math.ceil(highWaterMark / minChunkBytes)};
	for (const [name, value] of Object.entries(given)) {
		if (name in cache && value !== undefined) {
			throw wrongType(name, 'left out: a stream has `highWaterMark`', value);
		}
	}

	const options = {...given, ...cache};
	resolveOptions(options);
	return {
		isOwn: true,
		open: async fail => (await DiskQueue.open<T>(directory, options)).on('error', fail),
		announce: left => announceDeparture(resolve(directory), left),
		release: queue => queue.close(),
	};
}

/** A queue that is open, and stays so. */
export function borrow<T>(queue: DiskQueue<T>, given: DiskQueueOptions<T>): QueueSource<T> {
	const [name] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
	if (name !== undefined) {
		throw wrongType('options', 'of objectMode, highWaterMark, acknowledge, signal for a queue that is open', name);
	}

	return {isOwn: false, open: async () => queue, announce() {}, async release() {}};
}
