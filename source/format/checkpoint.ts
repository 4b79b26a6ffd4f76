/*
The checkpoint file: two slots of 32 KiB, at 0 and 32,768, overwritten in turn. The valid slot with the higher
generation counts. A slot starts with 88 bytes, integers little-endian, and holds a body after them:

offset  bytes  field
     0      4  magic "dqcp"
     4      2  format version, 1
     6      2  flags: bit 0 = the queue was closed in order, and nothing follows the end said here
     8     16  queue id
    24      8  generation, counts the slots written
    32      8  sequence: every record before it is done
    40      8  offset of the block that holds this sequence, in its segment; 0 = not known
    48      8  next sequence behind what is known to be on the device, the durable end of the log
    56      8  first sequence of the segment with the durable end
    64      8  its offset there; 0 = there is no segment
    72      4  body bytes
    76      4  CRC-32 (IEEE) of the body
    80      4  zero
    84      4  CRC-32 of bytes 0 to 83

Version and checksum stay where they are in every later version. The body is empty in version 1.
*/
import {crc32} from 'node:zlib';
import {checksumMismatch, Mismatch, magicMismatch} from './mismatch.ts';
import {formatVersion, queueIdBytes} from './segment-header.ts';

export const slotBytes: number = 32 * 1024;
export const checkpointFileBytes: number = 2 * slotBytes;

const magic = Buffer.from('dqcp', 'latin1');
const versionOffset = magic.byteLength;
const flagsOffset = versionOffset + 2;
const queueIdOffset = flagsOffset + 2;
const generationOffset = queueIdOffset + queueIdBytes;
const sequenceOffset = generationOffset + 8;
const blockOffsetOffset = sequenceOffset + 8;
const nextSequenceOffset = blockOffsetOffset + 8;
const endSegmentOffset = nextSequenceOffset + 8;
const endOffsetOffset = endSegmentOffset + 8;
const bodyBytesOffset = endOffsetOffset + 8;
const bodyChecksumOffset = bodyBytesOffset + 4;
const headerChecksumOffset = bodyChecksumOffset + 8;
const headerBytes = headerChecksumOffset + 4;

const closedFlag = 1;

export type Checkpoint = {
	version: number;
	queueId: Buffer;
	generation: number;
	/** Every record before this sequence is done. */
	sequence: number;
	/** Where the block with that sequence starts in its segment; 0 if not known. */
	blockOffset: number;
	/** The durable end of the log: what stands before it and does not check is damage, never a torn tail. */
	end: {nextSequence: number; segment: number; offset: number};
	/** The queue was closed in order: nothing follows `end`. */
	isClosed: boolean;
};

export function encodeCheckpoint(checkpoint: Omit<Checkpoint, 'version'>): Buffer {
	const bytes = Buffer.alloc(headerBytes);
	magic.copy(bytes);
	bytes.writeUInt16LE(formatVersion, versionOffset);
	bytes.writeUInt16LE(checkpoint.isClosed ? closedFlag : 0, flagsOffset);
	checkpoint.queueId.copy(bytes, queueIdOffset);
	bytes.writeBigUInt64LE(BigInt(checkpoint.generation), generationOffset);
	bytes.writeBigUInt64LE(BigInt(checkpoint.sequence), sequenceOffset);
	bytes.writeBigUInt64LE(BigInt(checkpoint.blockOffset), blockOffsetOffset);
	bytes.writeBigUInt64LE(BigInt(checkpoint.end.nextSequence), nextSequenceOffset);
	bytes.writeBigUInt64LE(BigInt(checkpoint.end.segment), endSegmentOffset);
	bytes.writeBigUInt64LE(BigInt(checkpoint.end.offset), endOffsetOffset);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, headerChecksumOffset)), headerChecksumOffset);
	return bytes;
}

/** Reads a slot; a `Mismatch` if it holds no whole checkpoint: of zeros, or nothing, if it was never written. */
export function decodeCheckpoint(slot: Buffer): Checkpoint | Mismatch {
	const header = slot.subarray(0, headerBytes);
	if (!header.subarray(0, magic.byteLength).equals(magic)) {
		return magicMismatch('a checkpoint', header);
	}

	if (header.byteLength < headerBytes) {
		return new Mismatch(`a checkpoint of ${headerBytes} bytes`, `${slot.byteLength} bytes`);
	}

	const checksum = slot.readUInt32LE(headerChecksumOffset);
	const computed = crc32(slot.subarray(0, headerChecksumOffset));
	return checksum === computed ? readFields(slot) : checksumMismatch('checkpoint', checksum, computed);
}

function readFields(slot: Buffer): Checkpoint {
	const read = (offset: number) => Number(slot.readBigUInt64LE(offset));
	return {
		version: slot.readUInt16LE(versionOffset),
		queueId: Buffer.from(slot.subarray(queueIdOffset, generationOffset)),
		generation: read(generationOffset),
		sequence: read(sequenceOffset),
		blockOffset: read(blockOffsetOffset),
		end: {
			nextSequence: read(nextSequenceOffset),
			segment: read(endSegmentOffset),
			offset: read(endOffsetOffset),
		},
		isClosed: (slot.readUInt16LE(flagsOffset) & closedFlag) !== 0,
	};
}
