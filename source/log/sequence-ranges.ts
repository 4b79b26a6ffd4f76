import type {SequenceRange} from '../format/checkpoint.ts';

/** So many ranges are kept apart; more are joined, and what lies between them counts as in them. */
const maxRanges = 16;

/** The ranges of both lists in order, joined where they meet. */
export function joinRanges(one: SequenceRange[], other: SequenceRange[]): SequenceRange[] {
	const joined: SequenceRange[] = [];
	for (const {first, next} of [...one, ...other].sort((a, b) => a.first - b.first)) {
		const last = joined.at(-1);
		if (last && (first <= last.next || joined.length === maxRanges)) {
			last.next = Math.max(last.next, next);
		} else if (first < next) {
			joined.push({first, next});
		}
	}

	return joined;
}

/** Whether sequences in a row are all in one of the ranges. */
export function coversRange(ranges: SequenceRange[], {first, next}: SequenceRange): boolean {
	return ranges.some(range => range.first <= first && next <= range.next);
}
