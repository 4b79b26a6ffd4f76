import {outOfRange, wrongType} from '../errors.ts';
import {checkInteger, checkWaitOptions} from '../options.ts';
import {DiskQueue} from '../queue/disk-queue.ts';

/** When a record that was read is done: see the option of the streams. */
export type Acknowledge = 'sink' | 'read' | 'manual';

/** What of a Readable is known of its chunks. */
export type Gives<C> = {
	read(size?: number): C | null;
	toArray(options?: {signal?: AbortSignal}): Promise<C[]>;
	[Symbol.asyncIterator](): NodeJS.AsyncIterator<C>;
};

/** Options that a stream of any kind may have. */
export type StreamOptions = {
	highWaterMark?: number | undefined;
	acknowledge?: Acknowledge | undefined;
	signal?: AbortSignal | undefined;
};

/** The same with their defaults. */
export type StreamSettings = {highWaterMark: number; acknowledge: Acknowledge; signal: AbortSignal | undefined};

/** Checks that options are an object, and no other than these, if they are named. */
export function checkNames(options: unknown, names?: readonly string[]): void {
	if (typeof options !== 'object' || options === null) {
		throw wrongType('options', 'an object', options);
	}

	for (const [name, value] of Object.entries(options)) {
		if (value !== undefined && names && !names.includes(name)) {
			throw wrongType('options', `of ${names.join(', ')}`, name);
		}
	}
}

/** Fills in the defaults. Throws a `TypeError` or `RangeError` that names the option. */
export function resolveStreamOptions(options: StreamOptions, defaultHighWaterMark: number): StreamSettings {
	const {highWaterMark = defaultHighWaterMark, acknowledge = 'sink', signal} = options;
	checkInteger('highWaterMark', highWaterMark, {min: 1});
	if (!['sink', 'read', 'manual'].includes(acknowledge)) {
		throw outOfRange('acknowledge', "'sink', 'read' or 'manual'", acknowledge);
	}

	checkWaitOptions({signal});
	return {highWaterMark, acknowledge, signal};
}

/** Checks the queue of a view. */
export function checkQueue(queue: unknown): asserts queue is DiskQueue {
	if (!(queue instanceof DiskQueue)) {
		throw wrongType('queue', 'an open DiskQueue', queue);
	}
}
