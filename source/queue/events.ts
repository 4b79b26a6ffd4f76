import {channel} from 'node:diagnostics_channel';
import type {Corruption, QueueError} from '../errors.ts';
import type {RecoveryReport} from '../log/recovery.ts';
import type {Drop} from './limits.ts';

/**
 * Events of a `DiskQueue` and what their listeners are given. Each is also published to `node:diagnostics_channel`, on
 * the channel `disq:<event>`, as `{queue, values}`; that costs nothing while nobody subscribes.
 */
export type DiskQueueEvents<T = unknown> = {
	/** The directory was not empty, or its last owner did not close it: what was found. Emitted once, after open. */
	recovered: [report: RecoveryReport];
	/** Damage was found and set aside. With no listener it is a process warning. */
	corruption: [corruption: Corruption];
	/** The queue begins to use the disk. */
	spill: [];
	/** No room, by `maxSize` or `maxBytes` or on the device; puts wait, and deliveries of what is in memory only. */
	full: [cause: QueueError];
	/** There is room again. */
	resume: [];
	/** Records were given up: by `overflow`, or for want of a dead-letter queue. */
	drop: [drop: Drop<T>];
	/** Files whose records are all done were removed. */
	reclaim: [reclaimed: {segments: number; bytes: number}];
	/** The last record that waited was taken. */
	empty: [];
	/**
	 * Something failed that no call waits for: a record changed after its put cannot be encoded and is lost; the
	 * dead-letter queue refused a record, which stays; a sync by `syncInterval` failed.
	 */
	error: [error: Error];
	/** The queue was closed. */
	close: [];
};

const names = [
	'recovered',
	'corruption',
	'spill',
	'full',
	'resume',
	'drop',
	'reclaim',
	'empty',
	'error',
	'close',
] as const satisfies Array<keyof DiskQueueEvents>;

const channels = Object.fromEntries(names.map(name => [name, channel(`disq:${name}`)])) as Record<
	keyof DiskQueueEvents,
	ReturnType<typeof channel>
>;

/** Whether anybody subscribes to an event through `node:diagnostics_channel`. */
export function hasSubscribers(name: keyof DiskQueueEvents): boolean {
	return channels[name].hasSubscribers;
}

/** Publishes an event to `node:diagnostics_channel`. */
export function publish(name: keyof DiskQueueEvents, queue: object, values: unknown[]): void {
	if (channels[name].hasSubscribers) {
		channels[name].publish({queue, values});
	}
}
