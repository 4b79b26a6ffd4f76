/*
The header of a segment file, 64 bytes, integers little-endian:

offset  bytes  field
     0      4  magic "disq"
     4      2  format version, 1
     6      2  zero
     8     16  queue id, random, the same in every file of a queue
    24      8  first sequence, also in the file's name
    32     24  codec name, ASCII, padded with zeros
    56      4  salt, also in the file's name; 0 in a name without one
    60      4  CRC-32 (IEEE) of bytes 0 to 59

The salt is drawn anew whenever a queue is opened: the file system may give a new file the blocks of one that a power
cut took, under the same first sequence, and their old content with them.

Blocks follow, see block.ts. Every later version keeps the magic, the version and the checksum of these 64 bytes where
they are, so that a version is believed only if the header checks. A segment's content ends where the next segment
begins: blocks from that sequence on are superseded.
*/
import {crc32} from 'node:zlib';
import {segmentFileName} from './file-name.ts';
import {checksumMismatch, Mismatch, magicMismatch} from './mismatch.ts';

export const formatVersion = 1;
export const queueIdBytes = 16;
export const codecNameBytes = 24;

const magic = Buffer.from('disq', 'latin1');
const versionOffset = magic.byteLength;
const queueIdOffset = versionOffset + 4;
const firstSequenceOffset = queueIdOffset + queueIdBytes;
const codecNameOffset = firstSequenceOffset + 8;
const saltOffset = codecNameOffset + codecNameBytes;
const checksumOffset = saltOffset + 4;
export const segmentHeaderBytes: number = checksumOffset + 4;

export type SegmentHeader = {
	version: number;
	queueId: Buffer;
	firstSequence: number;
	salt: number;
	codecName: string;
};

/** What tells a segment from every other one. */
export type SegmentPlace = Pick<SegmentHeader, 'queueId' | 'firstSequence' | 'salt'>;

export function encodeSegmentHeader({queueId, firstSequence, salt, codecName}: Omit<SegmentHeader, 'version'>): Buffer {
	const bytes = Buffer.alloc(segmentHeaderBytes);
	magic.copy(bytes);
	bytes.writeUInt16LE(formatVersion, versionOffset);
	queueId.copy(bytes, queueIdOffset);
	bytes.writeBigUInt64LE(BigInt(firstSequence), firstSequenceOffset);
	bytes.write(codecName, codecNameOffset, codecNameBytes, 'latin1');
	bytes.writeUInt32LE(salt, saltOffset);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, checksumOffset)), checksumOffset);
	return bytes;
}

/** Reads a segment header; a `Mismatch` if the bytes are not one. A newer version is a header with a higher `version`. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | Mismatch {
	if (bytes.byteLength < segmentHeaderBytes) {
		return new Mismatch(`a segment header of ${segmentHeaderBytes} bytes`, `${bytes.byteLength} bytes`);
	}

	if (!bytes.subarray(0, magic.byteLength).equals(magic)) {
		return magicMismatch('a segment header', bytes.subarray(0, segmentHeaderBytes));
	}

	const checksum = bytes.readUInt32LE(checksumOffset);
	const computed = crc32(bytes.subarray(0, checksumOffset));
	if (checksum !== computed) {
		return checksumMismatch('segment header', checksum, computed);
	}

	return {
		version: bytes.readUInt16LE(versionOffset),
		queueId: Buffer.from(bytes.subarray(queueIdOffset, firstSequenceOffset)),
		firstSequence: Number(bytes.readBigUInt64LE(firstSequenceOffset)),
		salt: bytes.readUInt32LE(saltOffset),
		codecName: bytes.toString('latin1', codecNameOffset, codecNameOffset + codecNameBytes).replace(/\0+$/, ''),
	};
}

/** Whether bytes are the beginning of a header, and zeros behind it: what a write leaves that did not come to its end. */
export function isBegunSegmentHeader(
	bytes: Buffer,
	{firstSequence, salt, codecName}: Pick<SegmentHeader, 'firstSequence' | 'salt' | 'codecName'>,
): boolean {
	const queueId = Buffer.concat([bytes.subarray(queueIdOffset, firstSequenceOffset)], queueIdBytes);
	const length = bytes.findLastIndex(byte => byte !== 0) + 1;
	const whole = encodeSegmentHeader({queueId, firstSequence, salt, codecName});
	return bytes.subarray(0, length).equals(whole.subarray(0, length));
}

/** Compares a header with the place it was found at; undefined if it belongs there. */
export function checkSegmentPlace(header: SegmentPlace, place: SegmentPlace): Mismatch | undefined {
	const {queueId, firstSequence, salt} = header;
	return firstSequence === place.firstSequence && salt === place.salt && queueId.equals(place.queueId)
		? undefined
		: new Mismatch(describePlace(place), describePlace(header));
}

function describePlace({queueId, firstSequence, salt}: SegmentPlace): string {
	return `the segment ${segmentFileName(firstSequence, salt)} of queue ${queueId.toString('hex')}`;
}

/** What ties a block to its place: the seed of its header checksum. */
export function segmentIdentity({queueId, firstSequence, salt}: SegmentPlace): number {
	const place = Buffer.alloc(queueIdBytes + 8);
	queueId.copy(place);
	place.writeBigUInt64LE(BigInt(firstSequence), queueIdBytes);
	return crc32(place, salt);
}
