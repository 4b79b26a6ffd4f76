const bucketsPerDecade = 10;
const decades = 6;
const firstMicroseconds = 0.1;

/** Counts microseconds in buckets of equal width on a logarithmic scale, ten from 1 to 10 and so on. */
export function histogramOf(microseconds: Float64Array): number[] {
	const counts = new Array<number>(bucketsPerDecade * decades).fill(0);
	for (const value of microseconds) {
		const bucket = Math.floor(bucketsPerDecade * Math.log10(value / firstMicroseconds));
		counts[Math.min(Math.max(bucket, 0), counts.length - 1)]!++;
	}

	return counts;
}

/** Where a bucket begins, in microseconds. */
export function bucketStart(bucket: number): number {
	return firstMicroseconds * 10 ** (bucket / bucketsPerDecade);
}
