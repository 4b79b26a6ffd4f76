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
	QueueSettledError,
	QueueShutDownError,
	QueueStorageError,
	QueueTaskDoneError,
	QueueUnfinishedError,
	QueueVersionError,
} from './errors.ts';
export type {RecoveryReport} from './log/recovery.ts';
export type {
	Codec,
	DeadLetter,
	DeadLetterQueue,
	DiskQueueOptions,
	Durability,
	Overflow,
	WaitOptions,
} from './options.ts';
export {DiskQueue} from './queue/disk-queue.ts';
export type {DiskQueueEvents} from './queue/events.ts';
export type {Drop} from './queue/limits.ts';
export type {Delivery, GetManyOptions, NackOptions, Queue, QueueStats} from './queue/queue.ts';
export type {BatchOptions} from './streams/batch-collector.ts';
export {type ConsumeOptions, consume, type Handling} from './streams/consume.ts';
export {type DiskQueueStream, type DiskQueueStreamOptions, diskQueue} from './streams/duplex.ts';
export {createReadStream, type QueueReadStream, type ReadStreamOptions} from './streams/readable.ts';
export type {Backoff} from './streams/retry-delays.ts';
export {createWriteStream, type WriteStreamOptions} from './streams/writable.ts';
