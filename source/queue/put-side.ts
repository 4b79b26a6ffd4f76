import {QueueFullError, QueueRecordError, QueueStorageError, refusedRecord} from '../errors.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import type {ResolvedOptions, WaitOptions} from '../options.ts';
import {type Admission, type AdmissionEvents, isTaken, type Put, type PutLine} from './admission.ts';
import {LogAdmission} from './log-admission.ts';
import {MemoryAdmission} from './memory-admission.ts';
import type {RecordStore} from './record-store.ts';
import {WaitingLine} from './waiting-line.ts';

/** What a put returns that did not have to wait: one promise for all, told by its identity. */
export const accepted: Promise<void> = Promise.resolve();

/** How often a log that the file system has no room for tries again, in milliseconds. */
const retryInterval = 250;

/** Failures that pass by themselves: no room on the device or in a quota, no descriptor or memory left. */
const passing = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']);

/** What the put side tells the queue. */
export type PutEvents = AdmissionEvents & {
	/** The next turn of the event loop has work. */
	schedule(): void;
	/** The log has no room; puts wait. */
	full(cause: QueueStorageError): void;
	/** It has room again. */
	resume(): void;
};

/** The producers' side of a queue: who may put now, who waits, and what a failing log means to them. */
export class PutSide<T> {
	readonly #log: SegmentLog<T>;
	readonly #options: ResolvedOptions<T>;
	readonly #events: PutEvents;
	readonly #line: PutLine<T>;
	readonly #admission: Admission<T>;
	readonly #estimate: (record: T) => number;
	/** The admission under way, with `'fsync'`. It never rejects. */
	#admitting: Promise<void> | undefined;
	#retry: NodeJS.Timeout | undefined;
	#stallCause: QueueStorageError | undefined;
	/** A failure that does not pass: nothing more is written. */
	#failure: {error: unknown} | undefined;

	constructor(store: RecordStore<T>, log: SegmentLog<T>, options: ResolvedOptions<T>, events: PutEvents) {
		this.#log = log;
		this.#options = options;
		this.#events = events;
		this.#line = new WaitingLine(
			timeout => new QueueFullError(log.directory, timeout, this.#stallCause && {cause: this.#stallCause}),
		);
		const {codec} = log;
		const {durability} = options;
		this.#estimate = codec.measure?.bind(codec) ?? (record => codec.encode([record]).byteLength);
		this.#admission =
			durability === 'spill'
				? new MemoryAdmission(store, this.#line, events)
				: new LogAdmission(store, log, this.#line, {...events, isSyncing: durability === 'fsync'});
	}

	/** Calls that wait. */
	get waiting(): number {
		return this.#line.length;
	}

	/** Puts one record; `accepted` itself if it did not have to wait. Throws if the record is refused. */
	put(record: T, options: WaitOptions | undefined): Promise<void> {
		return this.#put({records: [record], sizes: [this.#measure(record)], taken: 0}, options);
	}

	/** Puts records in order. If one is refused, those before it are put and the promise rejects. */
	async putRun(records: T[], options: WaitOptions | undefined): Promise<void> {
		const {sizes, refusal} = this.#measureRun(records);
		if (sizes.length > 0) {
			await this.#put({records, sizes, taken: 0}, options);
		}

		if (refusal) {
			throw refusal;
		}
	}

	/** Does what is due: admits who waits, making room for them. */
	turn(): void {
		if (this.#line.length === 0 || this.#failure || this.#admitting) {
			return;
		}

		const sequence = this.#log.nextSequence;
		try {
			const admitting = this.#admission.admit();
			if (admitting) {
				this.#admitting = admitting
					.then(
						() => this.#admitted(sequence),
						error => this.#stallOrFail(error),
					)
					.finally(() => {
						this.#admitting = undefined;
						this.#scheduleIfWaiting();
					});
			} else {
				this.#admitted(sequence);
				this.#scheduleIfWaiting();
			}
		} catch (error) {
			this.#stallOrFail(error);
		}
	}

	/** Appends everything that was put, and settles who waits. Rejects if the file system refuses. */
	async finish(): Promise<void> {
		clearTimeout(this.#retry);
		await this.#admitting;
		try {
			await this.#admission.finish();
		} catch (error) {
			this.#line.rejectAll(error);
			throw error;
		}
	}

	/** Appends all that is in memory only, in this turn. */
	spillAll(): void {
		this.#admission.spillAll();
	}

	#measure(record: T): number {
		let bytes: number;
		try {
			bytes = this.#estimate(record);
		} catch (error) {
			throw error instanceof QueueRecordError ? error : refusedRecord('cannot be encoded', {cause: error});
		}

		const {maxRecordBytes} = this.#options;
		if (bytes > maxRecordBytes) {
			throw refusedRecord(`takes about ${bytes} bytes, more than maxRecordBytes (${maxRecordBytes})`);
		}

		return bytes;
	}

	#measureRun(records: T[]): {sizes: number[]; refusal: unknown} {
		const sizes: number[] = [];
		try {
			for (const record of records) {
				sizes.push(this.#measure(record));
			}
		} catch (refusal) {
			return {sizes, refusal};
		}

		return {sizes, refusal: undefined};
	}

	#put(put: Put<T>, options: WaitOptions | undefined): Promise<void> {
		if (this.#failure) {
			return Promise.reject(this.#failure.error);
		}

		if (this.#line.length === 0 && !options?.signal?.aborted) {
			this.#admission.addNow(put);
		}

		return isTaken(put) ? accepted : this.#wait(put, options);
	}

	#wait(put: Put<T>, options: WaitOptions | undefined): Promise<void> {
		const promise = this.#line.wait(put, options);
		if (!this.#retry) {
			this.#scheduleIfWaiting();
		}

		return promise;
	}

	#admitted(sequence: number): void {
		if (this.#stallCause && this.#log.nextSequence > sequence) {
			this.#stallCause = undefined;
			this.#events.resume();
		}
	}

	#scheduleIfWaiting(): void {
		if (this.#line.length > 0 && !this.#retry) {
			this.#events.schedule();
		}
	}

	/** Without room on the device puts wait, and the log tries again; any other failure is for good. */
	#stallOrFail(error: unknown): void {
		if (!isPassing(error)) {
			this.#failure = {error};
			this.#line.rejectAll(error);
			return;
		}

		if (!this.#stallCause) {
			this.#events.full(error);
		}

		this.#stallCause = error;
		this.#retry ??= setTimeout(() => {
			this.#retry = undefined;
			this.#scheduleIfWaiting();
		}, retryInterval);
	}
}

function isPassing(error: unknown): error is QueueStorageError {
	const cause = error instanceof QueueStorageError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
	return cause?.code !== undefined && passing.has(cause.code);
}
