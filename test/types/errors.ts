/* What the compiler must accept and refuse of errors; see queue.ts. */
import {
	AbortError,
	type Corruption,
	type LockOwner,
	QueueClosedError,
	QueueCodecError,
	QueueCorruptError,
	QueueEmptyError,
	QueueError,
	type QueueErrorCode,
	QueueFullError,
	QueueLockedError,
	QueueRecordError,
	QueueSettledError,
	QueueShutDownError,
	QueueStorageError,
	QueueTaskDoneError,
	QueueUnfinishedError,
	QueueVersionError,
} from 'disq';
import {type Equal, same} from './equal.ts';

type ErrorClass = abstract new (...parameters: never[]) => QueueError;

export const classes: ErrorClass[] = [
	QueueClosedError,
	QueueCodecError,
	QueueCorruptError,
	QueueEmptyError,
	QueueFullError,
	QueueLockedError,
	QueueRecordError,
	QueueSettledError,
	QueueShutDownError,
	QueueStorageError,
	QueueTaskDoneError,
	QueueUnfinishedError,
	QueueVersionError,
];

export function narrowing(error: unknown): void {
	if (error instanceof QueueLockedError) {
		same<Equal<typeof error.owner, LockOwner>>();
	} else if (error instanceof QueueCorruptError) {
		same<Equal<typeof error.corruption, Corruption>>();
	} else if (error instanceof QueueVersionError) {
		same<Equal<(typeof error)['version'], number>>();
	} else if (error instanceof QueueError) {
		same<Equal<typeof error.code, QueueErrorCode>>();
		// @ts-expect-error: no such code
		error.code === 'QUEUE_BROKEN';
	} else if (error instanceof AbortError) {
		same<Equal<typeof error.code, 'ABORT_ERR'>>();
	}
}
