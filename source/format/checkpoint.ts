/*
The checkpoint file: four slots of 32 KiB, at 0, 32,768, 65,536 and 98,304. The valid slot with the highest generation counts. A slot starts with 88 bytes, integers little-endian, and holds a body after them:

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

Version and checksum stay where they are in every later version.

The body tells what a power cut may have taken, and what was delivered out of order; it is empty if there is neither. It
is a run of unsigned LEB128 numbers. First the count of the doubtful ranges of sequences, then for each of them, in order:
the gap from the range before (from 0 for the first) and the sequences in it. Then how far beyond `sequence`
records were delivered, then for each run of records that are not done, in order: the gap from the run before (from
`sequence` for the first), the records in it, and how often they were delivered. Records up to there that are in no run
are done.
*/
import {crc32} from 'node:zlib';
import {decodeNumbers, encodeNumbers, maxNumberBytes} from './leb128.ts';
import {checksumMismatch, Mismatch, magicMismatch} from './mismatch.ts';
import {formatVersion, queueIdBytes} from './segment-header.ts';

export const slotBytes: number = 32 * 1024;
export const slotCount = 4;
export const checkpointFileBytes: number = slotCount * slotBytes;

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
	/** Sequences that were not on the device for certain when a crash came: a power cut may have taken some. */
	doubtful: SequenceRange[];
	/** What was delivered out of order. */
	delivered: Delivered;
};

/** Sequences in a row, up to the one before `next`. */
export type SequenceRange = {first: number; next: number};

/** Records before `next` that are in no run are done. */
export type Delivered = {next: number; runs: PendingRun[]};

/** Records in a row that are not done, and how often they were delivered. */
export type PendingRun = {first: number; records: number; attempts: number};

export function encodeCheckpoint(checkpoint: Omit<Checkpoint, 'version'>): Buffer {
	const body = encodeBody(checkpoint);
	const bytes = Buffer.alloc(headerBytes + body.byteLength);
	body.copy(bytes, headerBytes);
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
	bytes.writeUInt32LE(body.byteLength, bodyBytesOffset);
	bytes.writeUInt32LE(crc32(body), bodyChecksumOffset);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, headerChecksumOffset)), headerChecksumOffset);
	return bytes;
}

function encodeBody({sequence, doubtful, delivered}: Pick<Checkpoint, 'sequence' | 'doubtful' | 'delivered'>): Buffer {
	if (doubtful.length === 0 && delivered.next <= sequence) {
		return Buffer.alloc(0);
	}

	const ranges = encodeRanges(doubtful);
	return Buffer.concat([ranges, encodeDelivered(delivered, sequence, slotBytes - headerBytes - ranges.byteLength)]);
}

function encodeRanges(ranges: SequenceRange[]): Buffer {
	const numbers = [ranges.length];
	let end = 0;
	for (const {first, next} of ranges) {
		numbers.push(first - end, next - first);
		end = next;
	}

	return encodeNumbers(numbers);
}

/** Encodes as many runs as there is room for; what follows them counts as not delivered, and comes again. */
function encodeDelivered({next, runs}: Delivered, sequence: number, bytes: number): Buffer {
	const encoded: Buffer[] = [];
	let room = bytes - maxNumberBytes;
	let end = sequence;
	for (const {first, records, attempts} of runs) {
		const run = encodeNumbers([first - end, records, attempts]);
		room -= run.byteLength;
		if (room < 0) {
			return Buffer.concat([encodeNumbers([end - sequence]), ...encoded]);
		}

		encoded.push(run);
		end = first + records;
	}

	return Buffer.concat([encodeNumbers([Math.max(0, next - sequence)]), ...encoded]);
}

/** Reads the body; undefined if its numbers do not fit together. */
function decodeBody(body: Buffer, sequence: number): Pick<Checkpoint, 'doubtful' | 'delivered'> | undefined {
	const [count = 0, ...numbers] = decodeNumbers(body);
	const areSafe = [count, ...numbers].every(Number.isSafeInteger);
	const doubtful = decodeRanges(numbers.splice(0, 2 * count));
	const delivered = decodeDelivered(numbers, sequence);
	return areSafe && doubtful.length === count && delivered ? {doubtful, delivered} : undefined;
}

function decodeRanges(numbers: number[]): SequenceRange[] {
	const ranges: SequenceRange[] = [];
	let end = 0;
	for (let index = 0; index + 1 < numbers.length; index += 2) {
		const first = end + numbers[index]!;
		end = first + numbers[index + 1]!;
		ranges.push({first, next: end});
	}

	return ranges;
}

function decodeDelivered([reach = 0, ...numbers]: number[], sequence: number): Delivered | undefined {
	if (numbers.length % 3 !== 0) {
		return undefined;
	}

	const next = sequence + reach;
	const runs: PendingRun[] = [];
	let end = sequence;
	for (let index = 0; index < numbers.length; index += 3) {
		const [gap, records, attempts] = numbers.slice(index, index + 3) as [number, number, number];
		runs.push({first: end + gap, records, attempts});
		end += gap + records;
	}

	return Number.isSafeInteger(next) && end <= next ? {next, runs} : undefined;
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
	if (checksum !== computed) {
		return checksumMismatch('checkpoint', checksum, computed);
	}

	const body = slot.subarray(headerBytes, headerBytes + slot.readUInt32LE(bodyBytesOffset));
	const bodyChecksum = slot.readUInt32LE(bodyChecksumOffset);
	const computedBody = crc32(body);
	return bodyChecksum === computedBody
		? readFields(slot, body)
		: checksumMismatch('checkpoint body', bodyChecksum, computedBody);
}

function emptyBody(sequence: number): Pick<Checkpoint, 'doubtful' | 'delivered'> {
	return {doubtful: [], delivered: {next: sequence, runs: []}};
}

function readFields(slot: Buffer, bytes: Buffer): Checkpoint | Mismatch {
	const read = (offset: number) => Number(slot.readBigUInt64LE(offset));
	const version = slot.readUInt16LE(versionOffset);
	const generation = read(generationOffset);
	const sequence = read(sequenceOffset);
	const blockOffset = read(blockOffsetOffset);
	const end = {
		nextSequence: read(nextSequenceOffset),
		segment: read(endSegmentOffset),
		offset: read(endOffsetOffset),
	};
	// What a later version keeps there is not ours to judge.
	const body = version > formatVersion ? emptyBody(sequence) : decodeBody(bytes, sequence);
	const numbers = [generation, sequence, blockOffset, ...Object.values(end)];
	if (!body || !(version > formatVersion || numbers.every(Number.isSafeInteger))) {
		return new Mismatch('a checkpoint whose numbers fit together', `${bytes.byteLength} bytes of body and ${numbers}`);
	}

	return {
		version,
		queueId: Buffer.from(slot.subarray(queueIdOffset, generationOffset)),
		generation,
		sequence,
		blockOffset,
		end,
		isClosed: (slot.readUInt16LE(flagsOffset) & closedFlag) !== 0,
		...body,
	};
}
