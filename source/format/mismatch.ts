/** Why bytes do not check: what a whole file holds there, and what was found. Never quotes payload. */
export class Mismatch {
	readonly expected: string;
	readonly found: string;

	constructor(expected: string, found: string) {
		this.expected = expected;
		this.found = found;
	}
}

/** The mismatch of two checksums, in the usual hexadecimal. */
export function checksumMismatch(what: string, expected: number, found: number): Mismatch {
	return new Mismatch(`${what} checksum ${hexadecimal(expected)}`, hexadecimal(found));
}

/** The mismatch of a header's magic number: tells a header of zeros, which a crash leaves, from other bytes. */
export function magicMismatch(what: string, header: Buffer): Mismatch {
	const found = header.every(byte => byte === 0) ? 'zeros' : `bytes ${header.toString('hex', 0, 4)}`;
	return new Mismatch(what, found);
}

function hexadecimal(value: number): string {
	return value.toString(16).padStart(8, '0');
}
