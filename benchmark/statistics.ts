/** The value that a share of the values, from 0 to 1, does not exceed. */
export function percentile(values: Iterable<number>, share: number): number {
	const sorted = Float64Array.from(values).sort();
	return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** The middle of several measurements, and between what they lie. */
export type Spread = {median: number; min: number; max: number};

export function spreadOf(values: number[]): Spread {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = (sorted.length - 1) / 2;
	const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
	return {median, min: sorted[0]!, max: sorted.at(-1)!};
}
