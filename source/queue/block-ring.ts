import {Ring} from '../ring.ts';
import type {RunLimit} from './memory-window.ts';

/** Records of a block, the first `taken` of which are gone. */
type Part<T> = {records: T[]; taken: number; bytesEach: number; time: number};

/** Records of the log in memory, in the blocks they stand in. */
export class BlockRing<T> {
	readonly #parts = new Ring<Part<T>>();
	#length = 0;
	#bytes = 0;

	get length(): number {
		return this.#length;
	}

	/** What their blocks take in the log, about. */
	get bytes(): number {
		return this.#bytes;
	}

	/** When the first record was appended, in milliseconds since 1970; undefined if there is none. */
	get since(): number | undefined {
		return this.#length > 0 ? this.#parts.at(0).time : undefined;
	}

	/** Adds the records of one block, at least one, which are `bytes` together, and were appended at a time. */
	push(records: T[], bytes: number, time: number): void {
		this.#parts.push({records, taken: 0, bytesEach: bytes / records.length, time});
		this.#length += records.length;
		this.#bytes += bytes;
	}

	/** Takes up to `max` records of the first block; there must be one. */
	take(max: number): T[] {
		const part = this.#parts.at(0);
		const taken = part.records.slice(part.taken, part.taken + max);
		part.taken += taken.length;
		this.#length -= taken.length;
		this.#bytes -= taken.length * part.bytesEach;
		if (part.taken === part.records.length) {
			this.#parts.shift();
		}

		if (this.#length === 0) {
			this.#bytes = 0;
		}

		return taken;
	}

	/** Takes what fits `limit` of the first block, at least one record; there must be one. */
	takeWithin({records, bytes}: RunLimit): T[] {
		const {bytesEach} = this.#parts.at(0);
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

	/** Copies the first records, up to `max`. */
	peek(max: number): T[] {
		const found: T[] = [];
		for (let index = 0; index < this.#parts.length && found.length < max; index++) {
			const {records, taken} = this.#parts.at(index);
			found.push(...records.slice(taken, taken + max - found.length));
		}

		return found;
	}
}
