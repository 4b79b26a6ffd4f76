import {QueueRecordError} from '../errors.ts';
import {fewerToAppend} from './append-failure.ts';
import type {Held} from './held.ts';
import type {Lease} from './lease.ts';

/** A block holds at most so many records: from 64 on a larger one gains nothing. */
export const maxBlockRecords = 512;

/** Moves records that are in memory only to the log, oldest first, and keeps in memory those that are next. */
export class Spill<T> {
	readonly #held: Held<T>;
	/** Told of a record that cannot be encoded although it was accepted, and how many are lost: none if a consumer has it. */
	readonly #dropped: (error: QueueRecordError, count: number) => void;

	constructor(held: Held<T>, dropped: (error: QueueRecordError, count: number) => void) {
		this.#held = held;
		this.#dropped = dropped;
	}

	/** Appends records to the log, all or none. They stay in memory too if they are next and there is room. */
	append(records: T[]): void {
		const {log, memory} = this.#held;
		const block = log.append(records);
		if (log.reader.sequence === block.firstSequence && memory.hasRoomInHead(records.length, block.bytes)) {
			log.reader.pass(block);
			memory.head.push(records, block.bytes, block.appendedAt);
		}
	}

	/** Appends the oldest records that are in memory only, as one block; false if there are none. */
	next(): boolean {
		const {memory, pending} = this.#held;
		const lease = pending.firstUnlogged();
		if (lease) {
			this.#appendLease(lease);
			return true;
		}

		const isMore = memory.tail.length > 0;
		if (isMore) {
			this.#appendTail(maxBlockRecords);
		}

		return isMore;
	}

	/** Appends all records that are in memory only. */
	all(): void {
		let isMore = true;
		while (isMore) {
			isMore = this.next();
		}
	}

	/** Appends up to `max` records of the tail. One that the codec refuses after all is dropped, alone. */
	#appendTail(max: number): void {
		const {log, memory} = this.#held;
		const {tail} = memory;
		const records = tail.first(max);
		try {
			this.append(records);
		} catch (error) {
			const fewer = fewerToAppend(error, records.length, log);
			if (fewer !== undefined) {
				this.#appendTail(fewer);
				return;
			}

			this.#dropUnencodable(error, records.length);
		}

		tail.drop(records.length);
	}

	/** Gives a run with a consumer its place in the log, before the newer records. One that cannot have one stays there. */
	#appendLease(lease: Lease<T>): void {
		const {log} = this.#held;
		try {
			const block = log.append(lease.rest());
			lease.sequence = block.firstSequence - lease.done;
			log.reader.pass(block);
		} catch (error) {
			this.#dropUnencodable(error, 0);
			lease.isUnencodable = true;
		}
	}

	#dropUnencodable(error: unknown, count: number): void {
		if (!(error instanceof QueueRecordError)) {
			throw error;
		}

		this.#dropped(error, count);
	}
}
