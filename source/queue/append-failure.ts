import {type QueueError, QueueFullError, QueueRecordError} from '../errors.ts';
import {isPassingFailure, systemError} from '../log/passing-failure.ts';
import type {SegmentLog} from '../log/segment-log.ts';

/** Whether what could not be appended may be tried again later. */
export function isPassing(error: unknown): error is QueueError {
	return error instanceof QueueFullError || isPassingFailure(error);
}

/**
 * How many records to append first of those that could not be appended together: one of them may be at fault, or all take
 * more than the room there is, and the log has nothing left that could make some. Undefined if fewer would not go either.
 */
export function fewerToAppend<T>(error: unknown, records: number, log: SegmentLog<T>): number | undefined {
	const code = systemError(error)?.code;
	const isWorthwhile =
		error instanceof QueueRecordError ||
		code === 'EFBIG' ||
		((code === 'ENOSPC' || code === 'EDQUOT') && log.segments.length === 0);
	return isWorthwhile && records > 1 ? records >> 1 : undefined;
}
