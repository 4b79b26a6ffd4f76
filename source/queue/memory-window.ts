import type {Put} from './admission.ts';
import {BlockRing, type RunLimit} from './block-ring.ts';

export type MemoryWindowOptions = {
	/** At most so many records, and about so many bytes. */
	records: number;
	bytes: number;
	/** The part of both, from 0 to 1, that the head keeps at most; the tail has half to itself. */
	headShare: number;
	/** Bounds of the blocks that the tail is appended in. */
	block: RunLimit;
};

/**
 * What a queue holds in memory of what waits: the head, records of the log that are next to be delivered, and the tail,
 * records that are not in the log. Between the two may lie any number of records on disk.
 */
export class MemoryWindow<T> {
	readonly head: BlockRing<T> = new BlockRing();
	readonly tail: BlockRing<T> = new BlockRing();
	readonly #options: MemoryWindowOptions;

	constructor(options: MemoryWindowOptions) {
		this.#options = options;
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
		const {records, bytes} = this.#options;
		return (
			(tail.length < records / 2 || head.length + tail.length < records) &&
			(tail.bytes < bytes / 2 || head.bytes + tail.bytes < bytes)
		);
	}

	/** Whether the head may keep the records of a block that has just been appended. */
	hasRoomInHead(records: number, bytes: number): boolean {
		const {head} = this;
		const {headShare} = this.#options;
		return (
			head.length + records <= this.#options.records * headShare &&
			head.bytes + bytes <= this.#options.bytes * headShare
		);
	}

	/** Adds a record at the end of the tail. */
	add(record: T, bytes: number): void {
		this.tail.add(record, bytes, this.#options.block);
	}

	/** The same for records of a put that are not taken, while there is room, at most `max`; gives how many. */
	addSome({records, sizes, taken}: Readonly<Put<T>>, max: number): number {
		const end = Math.min(sizes.length, taken + max);
		let index = taken;
		while (index < end && this.hasRoomInTail) {
			this.add(records[index]!, sizes[index]!);
			index++;
		}

		return index - taken;
	}
}
