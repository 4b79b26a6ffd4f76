export {
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
	QueueStorageError,
	QueueVersionError,
} from './errors.ts';
export type {RecoveryReport} from './log/recovery.ts';
export type {Codec, DiskQueueOptions, Durability, WaitOptions} from './options.ts';
export {DiskQueue, type DiskQueueEvents} from './queue/disk-queue.ts';
export type {GetManyOptions, Queue, QueueStats} from './queue/queue.ts';
export {type DiskQueueStream, type DiskQueueStreamOptions, diskQueue} from './streams/duplex.ts';
