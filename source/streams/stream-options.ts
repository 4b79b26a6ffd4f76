import {outOfRange, wrongType} from '../errors.ts';
import {checkInteger, checkWaitOptions} from '../option-checks.ts';
import {DiskQueue} from '../queue/disk-queue.ts';

/** When a record that was read is done: see the option of the streams. */
export type Acknowledge = 'sink' | 'read' | 'manual';

/** Options of a stream that is not in byte mode. */
export type InObjectMode = {objectMode?: true | undefined};

/** What of a Readable is known of its chunks. */
export type Gives<C> = {
	read(size?: number): C | null;
	toArray(options?: {signal?: AbortSignal}): Promise<C[]>;
	[Symbol.asyncIterator](): NodeJS.AsyncIterator<C>;
};

/** Options that a stream of any kind may have. */
export type StreamOptions = {
	objectMode?: boolean | undefined;
	highWaterMark?: number | undefined;
	acknowledge?: Acknowledge | undefined;
	signal?: AbortSignal | undefined;
};

/** The same with their defaults. */
export type StreamSettings = {
	isObjectMode: boolean;
	highWaterMark: number;
	acknowledge: Acknowledge;
	signal: AbortSignal | undefined;
};

/** In byte mode: as in Node from 22 on. */
const defaultBytes = 64 * 1024;

/** Fills in the defaults, of which that in records is given. Throws a `TypeError` or `RangeError` that names the option. */
export function resolveStreamOptions(options: StreamOptions, defaultRecords: number): StreamSettings {
	const {objectMode = true, acknowledge = 'sink', signal} = options;
	if (typeof objectMode !== 'boolean') {
		throw wrongType('objectMode', 'a boolean', objectMode);
	}

	const {highWaterMark = objectMode ? defaultRecords : defaultBytes} = options;
	checkInteger('highWaterMark', highWaterMark, {min: 1});
	const choices = objectMode ? ['sink', 'read', 'manual'] : ['sink', 'read'];
	if (!choices.includes(acknowledge)) {
		throw outOfRange('acknowledge', `one of ${choices.map(choice => `'${choice}'`).join(', ')}`, acknowledge);
	}

	checkWaitOptions({signal});
	return {isObjectMode: objectMode, highWaterMark, acknowledge, signal};
}

/** Checks the queue of a view. */
export function checkQueue(queue: unknown): asserts queue is DiskQueue {
	if (!(queue instanceof DiskQueue)) {
		throw wrongType('queue', 'an open DiskQueue', queue);
	}
}
