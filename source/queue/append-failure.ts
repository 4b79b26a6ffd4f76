import {type QueueError, QueueFullError, QueueRecordError, QueueStorageError} from '../errors.ts';
import type {SegmentLog} from '../log/segment-log.ts';

/** Failures that pass by themselves: no room on the device or in a quota, no descriptor or memory left. */
const passing = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']);

/** Whether what could not be appended may be tried again later. */
export function isPassing(error: unknown): error is QueueError {
	return error instanceof QueueFullError || passing.has(storageCode(error)!);
}

/**
 * How many records to append first of those that could not be appended together: one of them may be at fault, or all take
 * more than the room there is, and the log has nothing left that could make some. Undefined if fewer would not go either.
 */
export function fewerToAppend<T>(error: unknown, records: number, log: SegmentLog<T>): number | undefined {
	const code = storageCode(error);
	const isWorthwhile =
		error instanceof QueueRecordError ||
		code === 'EFBIG' ||
		((code === 'ENOSPC' || code === 'EDQUOT') && log.segments.length === 0);
	return isWorthwhile && records > 1 ? records >> 1 : undefined;
}

function storageCode(error: unknown): string | undefined {
	return error instanceof QueueStorageError ? (error.cause as NodeJS.ErrnoException | undefined)?.code : undefined;
}
