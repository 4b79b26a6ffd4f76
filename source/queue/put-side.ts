import {QueueFullError, QueueRecordError, refusedRecord} from '../errors.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import type {Durability, WaitOptions} from '../options.ts';
import {type Admission, isTaken, type Put, type PutLine} from './admission.ts';
import {isPassing} from './append-failure.ts';
import type {Limits} from './limits.ts';
import {LogAdmission} from './log-admission.ts';
import {MemoryAdmission} from './memory-admission.ts';
import type {RecordStore} from './record-store.ts';
import type {Shortage} from './shortage.ts';
import {WaitingLine} from './waiting-line.ts';

/** What a put returns that did not have to wait: one promise for all, told by its identity. */
export const accepted: Promise<void> = Promise.resolve();

export type PutSideOptions<T> = {
	durability: Durability;
	maxRecordBytes: number;
	blockBytes: number;
	limits: Limits<T>;
	shortage: Shortage;
	/** There are new records to take. */
	added(): void;
	/** No call waits any more. */
	idle(): void;
	/** The next turn of the event loop has work. */
	schedule(): void;
};

/** The producers' side of a queue: who may put now, who waits, and what a failing log means to them. */
export class PutSide<T> {
	readonly #log: SegmentLog<T>;
	readonly #options: PutSideOptions<T>;
	readonly #line: PutLine<T>;
	readonly #admission: Admission<T>;
	readonly #shortage: Shortage;
	readonly #estimate: (record: T) => number;
	/** The admission under way, with `'fsync'`. It never rejects. */
	#admitting: Promise<void> | undefined;
	/** A failure that does not pass: nothing more is written. */
	#failure: {error: unknown} | undefined;

	constructor(store: RecordStore<T>, log: SegmentLog<T>, options: PutSideOptions<T>) {
		this.#log = log;
		this.#options = options;
		this.#shortage = options.shortage;
		this.#line = new WaitingLine(
			timeout => this.#noRoom(timeout),
			() => this.#line.length === 0 && options.idle(),
		);
		const {codec} = log;
		const {durability, limits, blockBytes, added} = options;
		this.#estimate = codec.measure?.bind(codec) ?? (record => codec.encode([record]).byteLength);
		this.#admission =
			durability === 'spill'
				? new MemoryAdmission(store, this.#line, limits, added)
				: new LogAdmission(store, log, this.#line, limits, {isSyncing: durability === 'fsync', blockBytes, added});
	}

	/** Calls that wait. */
	get waiting(): number {
		return this.#line.length;
	}

	/** Whether puts wait, or what was put waits for the device. Nothing does any more when writing has ended. */
	get isDue(): boolean {
		return !this.#failure && (this.#line.length > 0 || this.#admission.isDue);
	}

	/** Puts one record; `accepted` itself if it did not have to wait. Throws if the record is refused. */
	put(record: T, options: WaitOptions | undefined): Promise<void> {
		const bytes = this.#measure(record);
		if (this.#isFree(options) && this.#admission.addNow(record, bytes)) {
			return accepted;
		}

		return this.#put({records: [record], sizes: [bytes], taken: 0}, options);
	}

	/** Puts one record in this turn. Throws `QueueFullError` if there is no room, or others wait for it. */
	putNow(record: T): void {
		const put = {records: [record], sizes: [this.#measure(record)], taken: 0};
		this.turn();
		if (this.#failure) {
			throw this.#failure.error;
		}

		if (this.#line.length > 0) {
			throw this.#noRoom();
		}

		try {
			this.#admission.admitNow(put);
		} catch (error) {
			this.#refuseNow(record, error);
		}

		this.#scheduleIfDue();
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
		if (!this.isDue || this.#admitting) {
			return;
		}

		try {
			const admitting = this.#admission.admit();
			if (admitting) {
				this.#admitting = admitting
					.then(
						() => this.#admitted(),
						error => this.#stallOrFail(error),
					)
					.finally(() => {
						this.#admitting = undefined;
						this.#scheduleIfDue();
					});
			} else {
				this.#admitted();
				this.#scheduleIfDue();
			}
		} catch (error) {
			this.#stallOrFail(error);
		}
	}

	/** Appends everything that was put, and settles who waits. Rejects if the file system refuses. */
	async finish(): Promise<void> {
		await this.#admitting;
		this.#shortage.close();
		try {
			await this.#admission.finish();
		} catch (error) {
			this.#line.rejectAll(error);
			throw error;
		}
	}

	/** Rejects who waits. */
	rejectAll(error: unknown): void {
		this.#line.rejectAll(error);
	}

	/** Tells of a record that found no room in the queue or on the device, unless it may be dropped. */
	#refuseNow(record: T, error: unknown): void {
		if (!(error instanceof QueueFullError)) {
			throw isPassing(error) ? new QueueFullError(this.#log.directory, undefined, {cause: error}) : error;
		}

		if (!this.#isDropping) {
			throw error;
		}

		this.#options.limits.drop([record]);
	}

	get #isDropping(): boolean {
		return this.#options.limits.overflow === 'dropNewest';
	}

	#measure(record: T): number {
		if (record === null || record === undefined) {
			throw refusedRecord(`is ${record}, which marks the end of a stream`);
		}

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

		if (this.#isFree(options)) {
			this.#admission.addSome(put);
			if (!isTaken(put) && this.#isDropping && this.#options.limits.isFull) {
				this.#options.limits.drop(put.records.slice(put.taken, put.sizes.length));
				return accepted;
			}
		}

		return isTaken(put) ? accepted : this.#wait(put, options);
	}

	/** Whether a put has nobody to wait for. */
	#isFree(options: WaitOptions | undefined): boolean {
		return this.#line.length === 0 && !this.#failure && !options?.signal?.aborted;
	}

	#wait(put: Put<T>, options: WaitOptions | undefined): Promise<void> {
		const promise = this.#line.wait(put, options);
		if (!this.#shortage.isRetryDue) {
			this.#scheduleIfDue();
		}

		return promise;
	}

	#admitted(): void {
		this.#shortage.check(this.#line.length > 0);
	}

	#noRoom(timeout?: number): QueueFullError {
		const {cause} = this.#shortage;
		return new QueueFullError(this.#log.directory, timeout, cause && {cause});
	}

	#scheduleIfDue(): void {
		if (this.isDue && !this.#shortage.isRetryDue) {
			this.#options.schedule();
		}
	}

	#dropAllWaiting(): void {
		for (const waiter of this.#line.claimAll()) {
			const {records, sizes, taken} = waiter.request;
			this.#options.limits.drop(records.slice(taken, sizes.length));
			waiter.resolve();
		}
	}

	/** Without room puts wait, and are tried again; any other failure is for good. */
	#stallOrFail(error: unknown): void {
		if (!isPassing(error)) {
			this.#failure = {error};
			this.#line.rejectAll(error);
			this.#shortage.check(false);
			return;
		}

		if (error instanceof QueueFullError && this.#isDropping && !this.#log.isMakingRoom) {
			this.#dropAllWaiting();
			return;
		}

		this.#shortage.meet(error);
	}
}
