import {Ring} from '../ring.ts';

/** Records that share one reading of the clock. */
const recordsPerTime = 64;

/** Bounds of a run or block of records; the first record may exceed that in bytes. */
export type RunLimit = {records: number; bytes: number};

/** Records of a block, of so many bytes, the first `taken` of which are gone; the others take about `bytesLeft`. */
type Part<T> = {records: T[]; bytes: number; taken: number; bytesLeft: number; times: number[]};

/** Records in memory, in the blocks that they stand in, or will stand in, in the log. */
export class BlockRing<T> {
	readonly #parts = new Ring<Part<T>>();
	/** The last block, while single records are added to it. */
	#open: Part<T> | undefined;
	#length = 0;
	#bytes = 0;

	get length(): number {
		return this.#length;
	}

	/** What the records take in the log, about. */
	get bytes(): number {
		return this.#bytes;
	}

	/** What those of the first block take, about. */
	get firstBytes(): number {
		return this.#length > 0 ? this.#parts.at(0).bytesLeft : 0;
	}

	/** About when the first record came, in milliseconds since 1970; undefined if there is none. */
	get since(): number | undefined {
		if (this.#length === 0) {
			return undefined;
		}

		const {times, taken} = this.#parts.at(0);
		return times[Math.min(times.length - 1, Math.floor(taken / recordsPerTime))];
	}

	/** Adds the records of one block, at least one, which are `bytes` together, and came at a time. */
	push(records: T[], bytes: number, time: number): void {
		this.#parts.push({records, bytes, taken: 0, bytesLeft: bytes, times: [time]});
		this.#open = undefined;
		this.#length += records.length;
		this.#bytes += bytes;
	}

	/** Adds a record that comes now, to the last block or, if that is full by `limit`, to one of its own. */
	add(record: T, bytes: number, limit: RunLimit): void {
		let part = this.#open;
		if (!part || part.records.length >= limit.records || part.bytes + bytes > limit.bytes) {
			part = {records: [], bytes: 0, taken: 0, bytesLeft: 0, times: []};
			this.#parts.push(part);
			this.#open = part;
		}

		if (part.records.length % recordsPerTime === 0) {
			part.times.push(Date.now());
		}

		part.records.push(record);
		part.bytes += bytes;
		part.bytesLeft += bytes;
		this.#length++;
		this.#bytes += bytes;
	}

	/** Takes the first record; there must be one. */
	takeOne(): T {
		const part = this.#parts.at(0);
		const record = part.records[part.taken]!;
		this.#forget(part, 1);
		return record;
	}

	/** Takes up to `max` records of the first block; there must be one. */
	take(max: number): T[] {
		const part = this.#parts.at(0);
		const taken = part.records.slice(part.taken, part.taken + max);
		this.#forget(part, taken.length);
		return taken;
	}

	/** Takes what fits `limit` of the first block, at least one record; there must be one. */
	takeWithin({records, bytes}: RunLimit): T[] {
		const part = this.#parts.at(0);
		const bytesEach = part.bytesLeft / (part.records.length - part.taken);
		return this.take(Math.max(1, Math.min(records, Math.floor(bytes / bytesEach))));
	}

	/** Takes the first `count` records, or all there are. */
	takeAll(count: number = this.#length): T[] {
		const taken: T[] = [];
		while (taken.length < count && this.#length > 0) {
			taken.push(...this.take(count - taken.length));
		}

		return taken;
	}

	/** The records of the first block, up to `max`, which stay, and must not be changed; there must be one. */
	first(max: number): T[] {
		const {records, taken} = this.#parts.at(0);
		return taken === 0 && records.length <= max ? records : records.slice(taken, taken + max);
	}

	/** Removes the first `count` records, which must be in the first block. */
	drop(count: number): void {
		this.#forget(this.#parts.at(0), count);
	}

	clear(): void {
		this.#parts.clear();
		this.#open = undefined;
		this.#length = 0;
		this.#bytes = 0;
	}

	/** Copies the first records, up to `max`. */
	peek(max: number): T[] {
		const found: T[] = [];
		for (let index = 0; index < this.#parts.length && found.length < max; index++) {
			const {records, taken} = this.#parts.at(index);
			found.push(...records.slice(taken, taken + max - found.length));
		}

		return found;
	}

	#forget(part: Part<T>, count: number): void {
		const left = part.records.length - part.taken;
		const bytes = count === left ? part.bytesLeft : part.bytesLeft * (count / left);
		part.taken += count;
		part.bytesLeft -= bytes;
		this.#length -= count;
		this.#bytes = this.#length === 0 ? 0 : this.#bytes - bytes;
		if (count === left) {
			this.#parts.shift();
			this.#open = this.#open === part ? undefined : this.#open;
		}
	}
}
