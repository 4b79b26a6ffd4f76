import {QueueStorageError} from '../errors.ts';

/** Failures that pass by themselves: no room on the device or in a quota, no descriptor or memory left. */
const passing: ReadonlySet<string | undefined> = new Set([
	'ENOSPC',
	'EDQUOT',
	'EFBIG',
	'EMFILE',
	'ENFILE',
	'ENOMEM',
	'EAGAIN',
	'EINTR',
]);

/** Whether what the file system refused may be tried again later. */
export function isPassingFailure(error: unknown): error is QueueStorageError {
	return passing.has(systemError(error)?.code);
}

/** Whether a sync was never begun, for want of a descriptor that may be there later: it has lost nothing. */
export function isSyncPutOff(error: unknown): error is QueueStorageError {
	return isPassingFailure(error) && systemError(error)?.syscall === 'open';
}

/** What the system said. */
export function systemError(error: unknown): NodeJS.ErrnoException | undefined {
	return error instanceof QueueStorageError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
}
