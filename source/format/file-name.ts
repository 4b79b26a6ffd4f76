const digits = 20;
const pattern = /^(\d{20})(?:\.(?!0{8})([0-9a-f]{8}))?\.log$/;

/** Name of the checkpoint file in a queue directory. */
export const checkpointFileName = 'checkpoint';

/** Directory, inside the queue's, that keeps what no longer checks. */
export const quarantineDirectoryName = 'quarantine';

/** Name of the segment that starts at a sequence: 20 decimal digits, the salt in 8 hexadecimal ones if it has any, `.log`. */
export function segmentFileName(firstSequence: number, salt = 0): string {
	return `${String(firstSequence).padStart(digits, '0')}${salt === 0 ? '' : `.${salt.toString(16).padStart(8, '0')}`}.log`;
}

/** First sequence and salt of a segment by its name; undefined if the name is not exactly one of ours. */
export function parseSegmentFileName(name: string): {firstSequence: number; salt: number} | undefined {
	const [, sequence, salt = '0'] = pattern.exec(name) ?? [];
	const firstSequence = Number(sequence);
	return Number.isSafeInteger(firstSequence) ? {firstSequence, salt: Number.parseInt(salt, 16)} : undefined;
}
