import {Ring} from '../ring.ts';
import {BlockRing} from './block-ring.ts';

/** Records that share one reading of the clock. */
const recordsPerTime = 64;

/** Bounds of a run of records; the first record may exceed that in bytes. */
export type RunLimit = {records: number; bytes: number};

/** Records in memory only, with their estimated bytes. */
class SizedRing<T> {
	readonly #records = new Ring<T>();
	readonly #sizes = new Ring<number>();
	#bytes = 0;
	/** When some of the records came, by their ordinal: a clock read for each would cost more than the rest. */
	readonly #times = new Ring<{ordinal: number; time: number}>();
	#taken = 0;

	get length(): number {
		return this.#records.length;
	}

	/** About when the first record came, in milliseconds since 1970; undefined if there is none. */
	get since(): number | undefined {
		return this.length > 0 ? this.#times.at(0).time : undefined;
	}

	get bytes(): number {
		return this.#bytes;
	}

	/** Adds a record that came now. */
	push(record: T, bytes: number): void {
		const ordinal = this.#taken + this.length;
		if (ordinal % recordsPerTime === 0 || this.length === 0) {
			this.#times.push({ordinal, time: Date.now()});
		}

		this.#records.push(record);
		this.#sizes.push(bytes);
		this.#bytes += bytes;
	}

	/** Takes the first `count` records, which must exist. */
	take(count: number): T[] {
		this.#forget(count);
		return this.#records.shiftMany(count);
	}

	/** Takes the first records, as many as fit `limit`, but at least one. */
	takeWithin(limit: RunLimit): T[] {
		return this.take(this.#countWithin(limit));
	}

	/** Copies the first records, as many as fit `limit`, but at least one. */
	first(limit: RunLimit): T[] {
		return this.#records.first(this.#countWithin(limit));
	}

	/** Copies the first records, up to `max`. */
	peek(max: number): T[] {
		return this.#records.first(Math.max(0, Math.min(max, this.length)));
	}

	/** Removes the first `count` records, which must exist. */
	drop(count: number): void {
		this.#forget(count);
		this.#records.drop(count);
	}

	#countWithin(limit: RunLimit): number {
		const most = Math.min(this.length, limit.records);
		if (this.#bytes <= limit.bytes) {
			return most;
		}

		let count = 0;
		let bytes = 0;
		while (count < most) {
			bytes += this.#sizes.at(count);
			if (count > 0 && bytes > limit.bytes) {
				break;
			}

			count++;
		}

		return count;
	}

	/** Forgets the sizes and times of the first `count` records, before they go. */
	#forget(count: number): void {
		for (let index = 0; index < count; index++) {
			this.#bytes -= this.#sizes.shift();
		}

		this.#taken += count;
		while (this.#times.length > 1 && this.#times.at(1).ordinal <= this.#taken) {
			this.#times.shift();
		}

		if (this.length === count) {
			this.#times.clear();
			this.#bytes = 0;
		}
	}
}

/**
 * What a queue holds in memory of what waits: the head, records of the log that are next to be delivered, and the tail,
 * records that are not in the log. Between the two may lie any number of records on disk.
 */
export class MemoryWindow<T> {
	readonly head: BlockRing<T> = new BlockRing();
	readonly tail: SizedRing<T> = new SizedRing();
	readonly #records: number;
	readonly #bytes: number;

	readonly #headShare: number;

	/** At most `records` and about `bytes`. The head keeps up to its share, from 0 to 1; the tail has half to itself. */
	constructor({records, bytes, headShare}: {records: number; bytes: number; headShare: number}) {
		this.#records = records;
		this.#bytes = bytes;
		this.#headShare = headShare;
	}

	get length(): number {
		return this.head.length + this.tail.length;
	}

	get bytes(): number {
		return this.head.bytes + this.tail.bytes;
	}

	/** Whether the tail may take one more record. */
	get hasRoomInTail(): boolean {
		const {head, tail} = this;
		return (
			(tail.length < this.#records / 2 || head.length + tail.length < this.#records) &&
			(tail.bytes < this.#bytes / 2 || head.bytes + tail.bytes < this.#bytes)
		);
	}

	/** Whether the head may keep the records of a block that has just been appended. */
	hasRoomInHead(records: number, bytes: number): boolean {
		const {head} = this;
		return (
			head.length + records <= this.#records * this.#headShare && head.bytes + bytes <= this.#bytes * this.#headShare
		);
	}
}
