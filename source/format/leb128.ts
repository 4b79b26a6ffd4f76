const moreFlag = 0x80;
const groupValue = 0x80;

/** Bytes of the largest safe integer. */
export const maxNumberBytes = 8;

/** Encodes whole numbers from 0 up as unsigned LEB128: seven bits a byte, the lowest first. */
export function encodeNumbers(numbers: number[]): Buffer {
	const bytes: number[] = [];
	for (const number of numbers) {
		let rest = number;
		while (rest >= groupValue) {
			bytes.push((rest % groupValue) | moreFlag);
			rest = Math.floor(rest / groupValue);
		}

		bytes.push(rest);
	}

	return Buffer.from(bytes);
}

/** Decodes what `encodeNumbers` gave; a last number that is cut short is NaN. */
export function decodeNumbers(bytes: Uint8Array): number[] {
	const numbers: number[] = [];
	let number = 0;
	let scale = 1;
	for (const byte of bytes) {
		number += (byte % groupValue) * scale;
		scale *= groupValue;
		if (byte < moreFlag) {
			numbers.push(number);
			number = 0;
			scale = 1;
		}
	}

	return scale === 1 ? numbers : [...numbers, Number.NaN];
}
