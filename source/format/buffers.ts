/*
A MessagePack array of Buffers, as any packer writes it; here the Buffers themselves are pieces of it, to be written
without a copy, and each is read with one copy, into memory that was not filled with zeros before.

An array is 9x (x: count to 15) or dc and the count in 2 bytes; a Buffer is c4, c5 or c6, its length in 1, 2 or 4 bytes,
and its bytes. Numbers are big-endian.
*/

const fixArray = 0x90;
const fixArrayMax = 0x0f;
const array16 = 0xdc;
const arrayHeadBytes = 3;

/** Kinds of a Buffer, with the bytes of their length. */
const kinds = [
	{type: 0xc4, lengthBytes: 1},
	{type: 0xc5, lengthBytes: 2},
	{type: 0xc6, lengthBytes: 4},
];
const maxHeadBytes = 5;
const max16 = 0xffff;

/** Smaller Buffers, on average, are copied in less time than it takes to write a piece of its own. */
const minBytesEach = 4096;

/** The pieces of an array of Buffers; undefined if other records are among them, or small ones for the most part. */
export function encodeBuffers(records: readonly unknown[]): Uint8Array[] | undefined {
	return records.length <= max16 && records.every(isBuffer) && isLarge(records) ? piecesOf(records) : undefined;
}

/** The Buffers of such an array, each with memory of its own; undefined if it is anything else. */
export function decodeBuffers(bytes: Buffer): Buffer[] | undefined {
	return findBuffers(bytes)?.map(buffer => {
		const copy = Buffer.allocUnsafeSlow(buffer.byteLength);
		copy.set(buffer);
		return copy;
	});
}

/** A subclass is none: the codec knows what to do with it. */
function isBuffer(value: unknown): value is Buffer {
	return Buffer.isBuffer(value) && Object.getPrototypeOf(value) === Buffer.prototype;
}

function isLarge(buffers: readonly Buffer[]): boolean {
	return buffers.reduce((bytes, {byteLength}) => bytes + byteLength, 0) >= minBytesEach * buffers.length;
}

function piecesOf(buffers: readonly Buffer[]): Uint8Array[] {
	const heads = Buffer.allocUnsafe(arrayHeadBytes + maxHeadBytes * buffers.length);
	const pieces: Uint8Array[] = [];
	let start = 0;
	let end = writeArrayHead(heads, buffers.length);
	for (const buffer of buffers) {
		end = writeBufferHead(heads, end, buffer.byteLength);
		pieces.push(heads.subarray(start, end), buffer);
		start = end;
	}

	return pieces;
}

function writeArrayHead(heads: Buffer, count: number): number {
	if (count <= fixArrayMax) {
		return heads.writeUInt8(fixArray + count, 0);
	}

	heads.writeUInt8(array16, 0);
	return heads.writeUInt16BE(count, 1);
}

function writeBufferHead(heads: Buffer, offset: number, length: number): number {
	const {type, lengthBytes} = kinds.find(kind => length < 2 ** (8 * kind.lengthBytes))!;
	heads.writeUInt8(type, offset);
	return heads.writeUIntBE(length, offset + 1, lengthBytes);
}

/** Where the Buffers of an array are, if it is of nothing else and ends with the bytes. */
function findBuffers(bytes: Buffer): Buffer[] | undefined {
	const head = readArrayHead(bytes);
	if (!head) {
		return undefined;
	}

	const buffers: Buffer[] = [];
	let {offset} = head;
	for (let left = head.count; left > 0; left--) {
		const kind = kinds.find(({type}) => type === bytes[offset]);
		const start = offset + 1 + (kind?.lengthBytes ?? 0);
		if (!kind || start > bytes.byteLength) {
			return undefined;
		}

		offset = start + bytes.readUIntBE(offset + 1, kind.lengthBytes);
		buffers.push(bytes.subarray(start, offset));
	}

	return offset === bytes.byteLength ? buffers : undefined;
}

function readArrayHead(bytes: Buffer): {count: number; offset: number} | undefined {
	const first = bytes[0] ?? 0;
	if (first > fixArray && first <= fixArray + fixArrayMax) {
		return {count: first - fixArray, offset: 1};
	}

	return first === array16 && bytes.byteLength >= arrayHeadBytes
		? {count: bytes.readUInt16BE(1), offset: arrayHeadBytes}
		: undefined;
}
