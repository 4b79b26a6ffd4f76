import {Ring} from '../ring.ts';
import type {Segment} from './segment.ts';

/** Where a block begins, and the sequence of its first record. */
type BlockMark = {sequence: number; segment: Segment; offset: number};

/** Where the blocks given out begin, from the one with the oldest record that is not done. */
export class BlockMarks {
	readonly #marks = new Ring<BlockMark>();

	/** Adds a block, behind those before it. */
	add(mark: BlockMark): void {
		this.#marks.push(mark);
	}

	/** The block that holds a sequence, if that was given out. Forgets what is before it. */
	find(sequence: number): BlockMark | undefined {
		while (this.#marks.length > 1 && this.#marks.at(1).sequence <= sequence) {
			this.#marks.shift();
		}

		const mark = this.#marks.length > 0 ? this.#marks.at(0) : undefined;
		return mark && mark.sequence <= sequence ? mark : undefined;
	}
}
