import {Ring} from '../ring.ts';

/** Records of one kind in memory, with their estimated bytes. */
export class SizedRing<T> {
	readonly #records = new Ring<T>();
	readonly #sizes = new Ring<number>();
	#bytes = 0;

	get length(): number {
		return this.#records.length;
	}

	get bytes(): number {
		return this.#bytes;
	}

	push(record: T, bytes: number): void {
		this.#records.push(record);
		this.#sizes.push(bytes);
		this.#bytes += bytes;
	}

	/** Adds records of one block, which are `bytes` together. */
	pushAll(records: T[], bytes: number): void {
		const average = bytes / records.length;
		for (const record of records) {
			this.push(record, average);
		}
	}

	/** Takes the first `count` records, which must exist. */
	take(count: number): T[] {
		this.#forgetSizes(count);
		return this.#records.shiftMany(count);
	}

	/** Copies the first records, as many as fit `limit`, but at least one. */
	first(limit: {records: number; bytes: number}): T[] {
		let count = 0;
		let bytes = 0;
		while (count < this.length && count < limit.records) {
			bytes += this.#sizes.at(count);
			if (count > 0 && bytes > limit.bytes) {
				break;
			}

			count++;
		}

		return this.#records.first(count);
	}

	/** Removes the first `count` records, which must exist. */
	drop(count: number): void {
		this.take(count);
	}

	#forgetSizes(count: number): void {
		for (let index = 0; index < count; index++) {
			this.#bytes -= this.#sizes.shift();
		}

		if (this.#sizes.length === 0) {
			this.#bytes = 0;
		}
	}
}

/**
 * What a queue holds in memory of what waits: the head, records of the log that are next to be delivered, and the tail,
 * records that are not in the log. Between the two may lie any number of records on disk.
 */
export class MemoryWindow<T> {
	readonly head: SizedRing<T> = new SizedRing();
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
			tail.length === 0 ||
			((tail.length < this.#records / 2 || head.length + tail.length < this.#records) &&
				(tail.bytes < this.#bytes / 2 || head.bytes + tail.bytes < this.#bytes))
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
