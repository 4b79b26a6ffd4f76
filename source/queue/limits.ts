import {QueueFullError} from '../errors.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import type {Overflow} from '../options.ts';
import type {RecordStore} from './record-store.ts';

/** Records that were given up: how many, why, and which, if they were at hand. */
export type Drop<T> = {
	count: number;
	reason: 'overflow' | 'maxAttempts' | 'rejected';
	records: T[];
};

export type LimitOptions<T> = {
	maxSize: number;
	maxBytes: number;
	overflow: Overflow;
	/** Told of records given up to keep the limits. */
	dropped(drop: Drop<T>): void;
};

/** Keeps a queue within `maxSize` and `maxBytes`: whether a record may come in, and what gives way if not. */
export class Limits<T> {
	readonly #store: RecordStore<T>;
	readonly #log: SegmentLog<T>;
	readonly #options: LimitOptions<T>;
	#isLifted = false;

	constructor(store: RecordStore<T>, log: SegmentLog<T>, options: LimitOptions<T>) {
		this.#store = store;
		this.#log = log;
		this.#options = options;
	}

	get overflow(): Overflow {
		return this.#options.overflow;
	}

	/** The queue closes: puts that wait are finished, beyond the limits if need be. */
	lift(): void {
		this.#isLifted = true;
	}

	/** Whether as many records wait as may. */
	get isFull(): boolean {
		return !this.#isLifted && this.#store.size >= this.#options.maxSize;
	}

	/** Records that may still be put. */
	get room(): number {
		return this.#isLifted ? Number.POSITIVE_INFINITY : Math.max(0, this.#options.maxSize - this.#store.size);
	}

	/**
	 * Makes room for one record, as `overflow` says; false, and nothing is dropped, if there is none to be made.
	 *
	 * @throws QueueFullError when what would be dropped cannot be read.
	 */
	makeRoom(): boolean {
		if (this.#options.overflow === 'dropOldest' && this.isFull) {
			const excess = this.#store.size - this.#options.maxSize + 1;
			for (let left = excess <= this.#store.takableSize ? excess : 0; left > 0 && this.isFull; left--) {
				this.drop(this.#discardFirst());
			}
		}

		return !this.isFull;
	}

	/**
	 * Checks that the log may take some bytes more. If not, it frees what it can: a log whose records are all done, and
	 * with `'dropOldest'` the oldest file.
	 *
	 * @throws QueueFullError when there is no room now.
	 */
	checkBytes(bytes: number): void {
		if (this.#isLifted || this.#log.contentBytes + bytes <= this.#options.maxBytes) {
			return;
		}

		if (this.#options.overflow === 'dropOldest') {
			this.#dropOldestSegment();
		}

		this.#log.freeDone();
		throw new QueueFullError(this.#log.directory, undefined);
	}

	/** Counts and tells of records that gave way. */
	drop(records: T[], count: number = records.length): void {
		if (count > 0) {
			this.#options.dropped({count, reason: 'overflow', records});
		}
	}

	#discardFirst(): T[] {
		try {
			return this.#store.discardFirst();
		} catch (cause) {
			throw new QueueFullError(this.#log.directory, undefined, {cause});
		}
	}

	#dropOldestSegment(): void {
		const end = this.#log.segments[1]?.firstSequence ?? this.#log.nextSequence;
		const {records, count} = this.#store.discardBefore(end);
		this.drop(records, count);
	}
}
