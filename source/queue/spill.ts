import {QueueRecordError} from '../errors.ts';
import type {Held} from './held.ts';
import type {Lease} from './lease.ts';

/** A block holds at most so many records: from 64 on a larger one gains nothing. */
export const maxBlockRecords = 512;

/** Moves records that are in memory only to the log, oldest first, and keeps in memory those that are next. */
export class Spill<T> {
	readonly #held: Held<T>;
	/** Told of a record that cannot be encoded although it was accepted, and so is lost. */
	readonly #dropped: (error: QueueRecordError) => void;

	constructor(held: Held<T>, dropped: (error: QueueRecordError) => void) {
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

	/**
	 * Appends the oldest records that are in memory only, as one block; false if there are none. A record that the codec
	 * refuses after all is dropped alone.
	 */
	next(): boolean {
		try {
			return this.#appendFirst(maxBlockRecords);
		} catch (error) {
			rethrowUnlessRecord(error);
			this.#appendOne();
			return true;
		}
	}

	/** Appends all records that are in memory only. */
	all(): void {
		let isMore = true;
		while (isMore) {
			isMore = this.next();
		}
	}

	/** Appends up to `max` of the records that are first in the order of the queue. */
	#appendFirst(max: number): boolean {
		const {memory, pending} = this.#held;
		const lease = pending.firstUnlogged();
		if (lease) {
			this.#appendLease(lease);
			return true;
		}

		const {tail} = memory;
		if (tail.length === 0) {
			return false;
		}

		const records = tail.first(max);
		this.append(records);
		tail.drop(records.length);
		return true;
	}

	#appendOne(): void {
		try {
			this.#appendFirst(1);
		} catch (error) {
			rethrowUnlessRecord(error);
			this.#passUnencodable();
			this.#dropped(error);
		}
	}

	/** Passes over what is first to be appended: drops a record, leaves a run with its consumer. */
	#passUnencodable(): void {
		const {memory, pending} = this.#held;
		const lease = pending.firstUnlogged();
		if (lease) {
			lease.isUnencodable = true;
		} else {
			memory.tail.drop(1);
		}
	}

	/** Gives a run with a consumer its place in the log, before the newer records. */
	#appendLease(lease: Lease<T>): void {
		const {log} = this.#held;
		const block = log.append(lease.rest());
		lease.sequence = block.firstSequence - lease.done;
		log.reader.pass(block);
	}
}

function rethrowUnlessRecord(error: unknown): asserts error is QueueRecordError {
	if (!(error instanceof QueueRecordError)) {
		throw error;
	}
}
