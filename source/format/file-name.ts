const digits = 20;
const pattern = /^\d{20}\.log$/;

/** Name of the checkpoint file in a queue directory. */
export const checkpointFileName = 'checkpoint';

/** Directory, inside the queue's, that keeps what no longer checks. */
export const quarantineDirectoryName = 'quarantine';

/** Name of the segment that starts at a sequence: 20 decimal digits and `.log`. */
export function segmentFileName(firstSequence: number): string {
	return `${String(firstSequence).padStart(digits, '0')}.log`;
}

/** First sequence of a segment by its name; undefined if the name is not exactly one of ours. */
export function parseSegmentFileName(name: string): number | undefined {
	if (!pattern.test(name)) {
		return undefined;
	}

	const firstSequence = Number(name.slice(0, digits));
	return Number.isSafeInteger(firstSequence) ? firstSequence : undefined;
}
