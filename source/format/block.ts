/*
A block: a header of 40 bytes and its payload, integers little-endian:

offset  bytes  field
     0      4  magic D1 5B 10 C5
     4      4  payload bytes, at least 1
     8      4  records in the payload, at least 1
    12      4  flags, zero: a reader refuses a flag it does not know
    16      8  sequence of the first record
    24      8  time of append, ms since 1970, IEEE double; for age figures only, nothing is ordered by it
    32      4  CRC-32 (IEEE) of the payload
    36      4  CRC-32 of bytes 0 to 35, started from the segment's identity

The segment's identity is the CRC-32 of queue id (16 bytes) and first sequence of the segment (8), started from its salt:
a block that was moved to another place, or came back from a deleted file, does not check. The payload is the codec's;
for "msgpack" one MessagePack array of all records, complete in itself. The next block follows at once. Zeros are never
a block.
*/
import {crc32} from 'node:zlib';
import {checksumMismatch, Mismatch, magicMismatch} from './mismatch.ts';

const magic = Buffer.from([0xd1, 0x5b, 0x10, 0xc5]);
const payloadBytesOffset = magic.byteLength;
const recordsOffset = payloadBytesOffset + 4;
const flagsOffset = recordsOffset + 4;
const firstSequenceOffset = flagsOffset + 4;
const appendedAtOffset = firstSequenceOffset + 8;
const payloadChecksumOffset = appendedAtOffset + 8;
const headerChecksumOffset = payloadChecksumOffset + 4;
export const blockHeaderBytes: number = headerChecksumOffset + 4;

export type BlockHeader = {
	payloadBytes: number;
	records: number;
	firstSequence: number;
	/** Milliseconds since 1970 at append. */
	appendedAt: number;
	payloadChecksum: number;
};

/** The header for a payload, whole or in pieces; `identity` is the segment's, see `segmentIdentity`. */
export function encodeBlockHeader(
	payload: Uint8Array | Uint8Array[],
	{records, firstSequence, appendedAt}: Pick<BlockHeader, 'records' | 'firstSequence' | 'appendedAt'>,
	identity: number,
): Buffer {
	const bytes = Buffer.allocUnsafe(blockHeaderBytes);
	const pieces = Array.isArray(payload) ? payload : [payload];
	magic.copy(bytes);
	bytes.writeUInt32LE(countBytes(pieces), payloadBytesOffset);
	bytes.writeUInt32LE(records, recordsOffset);
	bytes.writeUInt32LE(0, flagsOffset);
	bytes.writeBigUInt64LE(BigInt(firstSequence), firstSequenceOffset);
	bytes.writeDoubleLE(appendedAt, appendedAtOffset);
	bytes.writeUInt32LE(checksumOf(pieces), payloadChecksumOffset);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, headerChecksumOffset), identity), headerChecksumOffset);
	return bytes;
}

/** Without the empty pieces: zlib starts anew at one that has no memory at all. */
function checksumOf(pieces: readonly Uint8Array[]): number {
	return pieces.reduce((checksum, piece) => (piece.byteLength === 0 ? checksum : crc32(piece, checksum)), 0);
}

/** The bytes of a payload in pieces. */
export function countBytes(pieces: readonly Uint8Array[]): number {
	return pieces.reduce((bytes, {byteLength}) => bytes + byteLength, 0);
}

/** Reads the block header at an offset of `bytes`; a `Mismatch` if there is none of this segment. */
export function decodeBlockHeader(bytes: Buffer, offset: number, identity: number): BlockHeader | Mismatch {
	const available = bytes.byteLength - offset;
	if (available < blockHeaderBytes) {
		return new Mismatch(`a block header of ${blockHeaderBytes} bytes`, `${available} bytes`);
	}

	const header = bytes.subarray(offset, offset + blockHeaderBytes);
	if (header.readUInt32LE(0) !== magic.readUInt32LE(0)) {
		return magicMismatch('a block header', header);
	}

	const checksum = header.readUInt32LE(headerChecksumOffset);
	const computed = crc32(header.subarray(0, headerChecksumOffset), identity);
	if (checksum !== computed) {
		return checksumMismatch('block header', checksum, computed);
	}

	return readFields(header);
}

function readFields(header: Buffer): BlockHeader | Mismatch {
	const payloadBytes = header.readUInt32LE(payloadBytesOffset);
	const records = header.readUInt32LE(recordsOffset);
	const flags = header.readUInt32LE(flagsOffset);
	const firstSequence = Number(header.readBigUInt64LE(firstSequenceOffset));
	if (payloadBytes === 0 || records === 0 || flags !== 0) {
		return new Mismatch(
			'a block with payload, records and no flags',
			`${payloadBytes} bytes, ${records} records, flags ${flags}`,
		);
	}

	if (!Number.isSafeInteger(firstSequence + records)) {
		return new Mismatch('a block with sequences below 2^53', `sequence ${firstSequence}`);
	}

	return {
		payloadBytes,
		records,
		firstSequence,
		appendedAt: header.readDoubleLE(appendedAtOffset),
		payloadChecksum: header.readUInt32LE(payloadChecksumOffset),
	};
}

/** Compares a payload with its header; undefined if it is whole. */
export function checkPayload(payload: Uint8Array, header: BlockHeader): Mismatch | undefined {
	const computed = crc32(payload);
	return computed === header.payloadChecksum
		? undefined
		: checksumMismatch('payload', header.payloadChecksum, computed);
}

/** Offset of the next block header of this segment at or after `from`; -1 if there is none in `bytes`. */
export function findBlockHeader(bytes: Buffer, from: number, identity: number): number {
	for (let offset = bytes.indexOf(magic, from); offset !== -1; offset = bytes.indexOf(magic, offset + 1)) {
		if (!(decodeBlockHeader(bytes, offset, identity) instanceof Mismatch)) {
			return offset;
		}
	}

	return -1;
}
