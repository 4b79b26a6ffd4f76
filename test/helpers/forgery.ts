import {crc32} from 'node:zlib';
import {blockHeaderBytes} from '../../source/format/block.ts';
import {slotBytes, slotCount} from '../../source/format/checkpoint.ts';
import {segmentHeaderBytes, segmentIdentity} from '../../source/format/segment-header.ts';
import {checkpointPath, type PlacedBlock, segmentPaths, type WrittenLog, withFile} from './damaged-log.ts';
import type {Contents} from './memory-storage.ts';

/** A log with bytes that check and were never written by a queue. */
export type Forgery = {
	name: string;
	contents: Contents;
	/** Sequences that it may have cost, or may give something else for: of the blocks it covers, and those it claims. */
	affected: Array<{first: number; last: number}>;
	/** Whether what it says of the whole log may be believed: a checkpoint, or the version and codec of a segment. */
	isOfLog: boolean;
};

type Random = () => number;

function pick<T>(values: readonly T[], random: Random): T {
	return values[Math.floor(random() * values.length)]!;
}

/** Numbers that a reader may stumble over. */
const numbers = [0, 1, 2, 7, 39, 40, 41, 255, 256, 65_535, 2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
const sequences = [
	0,
	1,
	5,
	24,
	25,
	26,
	54,
	55,
	70,
	74,
	75,
	76,
	1000,
	2 ** 32,
	2 ** 53 - 1,
	2 ** 53,
	2 ** 63,
	2 ** 64 - 2048,
];

/** Makes a random forgery of a log, with right checksums. */
export function forge(written: WrittenLog, random: Random): Forgery {
	const kinds = [forgeHeader, forgePayload, forgeBomb, forgeSegmentHeader, forgeSlot, forgeBody];
	return pick(kinds, random)(written, random);
}

/** Fields of a block header: offset, bytes, and what may be put there. */
const blockFields: Array<[name: string, offset: number, bytes: 4 | 8, values: number[]]> = [
	['payload bytes', 4, 4, numbers],
	['records', 8, 4, numbers],
	['flags', 12, 4, numbers],
	['first sequence', 16, 8, sequences],
	['time', 24, 8, sequences],
];

function forgeHeader(written: WrittenLog, random: Random): Forgery {
	const block = pick(written.blocks, random);
	const [name, offset, bytes, values] = pick(blockFields, random);
	const file = Buffer.from(written.contents.get(block.path)!);
	const value = random() < 0.7 ? pick(values, random) : Math.floor(random() * 300);
	put(file, block.offset + offset, bytes, value);
	return forgedBlock(written, block, file, `${name} ${value}`);
}

/** Changes some bytes of a payload. */
function forgePayload(written: WrittenLog, random: Random): Forgery {
	const block = pick(written.blocks, random);
	const file = Buffer.from(written.contents.get(block.path)!);
	const changed = 1 + Math.floor(random() * 8);
	for (let index = 0; index < changed; index++) {
		const at = block.offset + blockHeaderBytes + Math.floor(random() * (block.bytes - blockHeaderBytes));
		file[at] = Math.floor(random() * 256);
	}

	return forgedBlock(written, block, file, `${changed} bytes of payload`);
}

const hex = (text: string) => Buffer.from(text, 'hex');

/** Payloads that claim much, nest deep, or use what the codec never writes. */
const bombs: Record<string, (records: number) => Buffer> = {
	'an array of 2^32': () => hex('ddffffffff01'),
	'a map of 2^32': () => hex('95dfffffffff01020304'),
	'a string of 4 GiB': () => hex('95dbffffffff6101020304'),
	'bytes of 4 GiB': () => hex('95c6ffffffff0001020304'),
	'an extension of 4 GiB': () => hex('95c9ffffffff4201020304'),
	'arrays of 65535, nested': () => Buffer.concat(Array.from({length: 500}, () => hex('dcffff'))),
	'20,000 nested arrays': () => Buffer.concat([Buffer.alloc(20_000, 0x91), hex('01')]),
	'20,000 nested maps': () =>
		Buffer.concat([hex('95'), ...Array.from({length: 20_000}, () => hex('81a161')), hex('01')]),
	'extensions nobody knows': () => hex('95d4210001020304'),
	'a pointer to a structured clone': () => hex('95d6690000000191d67000000001020304'),
	'a shape with 2^32 keys': () => hex('95d47240ddffffffff01'),
	'a shape that is no array': () => hex('95d47240a16101020304'),
	'shapes never defined': () => hex('954041424344'),
	'a shape with __proto__': () => hex('95d4724091a95f5f70726f746f5f5f81a1610101020304'),
	'a map with __proto__': () => hex('9581a95f5f70726f746f5f5f81a16101c3c3c3c3'),
	'a regular expression that is none': () => hex('95d4780092a128a16701020304'),
	'an error named constructor': () => hex('95d4650093ab636f6e7374727563746f72a16dc001020304'),
	'a typed array of a type that is none': () => hex('95c7037463ff0001020304'),
	'a bigint without bytes': () => hex('95c7004201020304'),
	'a date of NaN': () => hex('95c70cffffffffffffffffffffffffff01020304'),
	'nil for each record': records => Buffer.concat([hex('95').fill(0x90 | records), Buffer.alloc(records, 0xc0)]),
	'undefined for each record': () => hex(`95${'d40000'.repeat(5)}`),
	'a string as long as the records': () => hex('a568656c6c6f'),
	'bytes as long as the records': () => hex('c40568656c6c6f'),
	'an object that says how long it is': () => hex('81a66c656e67746805'),
	'bytes behind the records': () => hex('950102030405c0c0c0'),
	'nothing but 0xc1': () => Buffer.alloc(64, 0xc1),
	'a megabyte of nothing': () => Buffer.alloc(1 << 19),
};

export const bombNames: readonly string[] = Object.keys(bombs);

/** Puts one of these payloads in the place of that of a block. */
export function forgeBomb(written: WrittenLog, random: Random, name: string = pick(bombNames, random)): Forgery {
	const block = pick(written.blocks, random);
	const whole = written.contents.get(block.path)!;
	const payload = bombs[name]!(block.last - block.first + 1);
	const header = Buffer.from(whole.subarray(block.offset, block.offset + blockHeaderBytes));
	header.writeUInt32LE(payload.byteLength, 4);
	const file = Buffer.concat([
		whole.subarray(0, block.offset),
		header,
		payload,
		whole.subarray(block.offset + block.bytes),
	]);
	return {...forgedBlock(written, block, file, name), affected: [block]};
}

/** Repairs the checksums of a block, over the payload that its header claims, as far as the file goes. */
function forgedBlock({blocks, contents}: WrittenLog, block: PlacedBlock, file: Buffer, name: string): Forgery {
	const {path, offset} = block;
	const header = file.subarray(offset, offset + blockHeaderBytes);
	const end = offset + blockHeaderBytes + header.readUInt32LE(4);
	header.writeUInt32LE(crc32(file.subarray(offset + blockHeaderBytes, end)), 32);
	const identity = segmentIdentity({
		queueId: file.subarray(8, 24),
		firstSequence: Number(file.readBigUInt64LE(24)),
		salt: file.readUInt32LE(56),
	});
	header.writeUInt32LE(crc32(header.subarray(0, 36), identity), 36);
	const covered = blocks.filter(each => each.path === path && each.offset >= offset && each.offset < end);
	const claimed = {first: Number(header.readBigUInt64LE(16)), last: 0};
	claimed.last = claimed.first + header.readUInt32LE(8) - 1;
	return {
		name: `${path} at ${offset}: ${name}`,
		contents: withFile(contents, path, file),
		affected: [block, ...covered, claimed],
		isOfLog: false,
	};
}

const segmentFields: Array<[name: string, offset: number, bytes: 2 | 4 | 8]> = [
	['version', 4, 2],
	['what is zero', 6, 2],
	['queue id', 8, 8],
	['first sequence', 24, 8],
	['codec name', 32, 8],
	['end of the codec name', 48, 8],
	['what is zero', 56, 4],
];

function forgeSegmentHeader({contents, blocks}: WrittenLog, random: Random): Forgery {
	const path = pick(segmentPaths(contents), random);
	const [name, offset, bytes] = pick(segmentFields, random);
	const file = Buffer.from(contents.get(path)!);
	const value = pick(sequences, random);
	put(file, offset, bytes, value);
	file.writeUInt32LE(crc32(file.subarray(0, segmentHeaderBytes - 4)), segmentHeaderBytes - 4);
	return {
		name: `${path}: ${name} ${value}`,
		contents: withFile(contents, path, file),
		affected: name === 'what is zero' ? [] : blocks.filter(each => each.path === path),
		isOfLog: name === 'version' || name.endsWith('codec name'),
	};
}

const slotFields: Array<[name: string, offset: number, bytes: 2 | 4 | 8]> = [
	['version', 4, 2],
	['flags', 6, 2],
	['queue id', 8, 8],
	['generation', 24, 8],
	['sequence', 32, 8],
	['block offset', 40, 8],
	['next sequence', 48, 8],
	['end segment', 56, 8],
	['end offset', 64, 8],
	['body bytes', 72, 4],
	['what is zero', 80, 4],
];

function forgeSlot({contents}: WrittenLog, random: Random): Forgery {
	const [name, offset, bytes] = pick(slotFields, random);
	const value = random() < 0.7 ? pick(sequences, random) : Math.floor(random() * 2000);
	return forgedSlot(contents, random, `${name} ${value}`, slot => put(slot, offset, bytes, value));
}

/** Puts random numbers into the body of a slot. */
function forgeBody({contents}: WrittenLog, random: Random): Forgery {
	const length = Math.floor(random() * 40);
	return forgedSlot(contents, random, `body of ${length} bytes`, slot => {
		slot.writeUInt32LE(length, 72);
		for (let index = 0; index < length; index++) {
			slot[88 + index] = random() < 0.5 ? Math.floor(random() * 8) : Math.floor(random() * 256);
		}
	});
}

function forgedSlot(contents: Contents, random: Random, name: string, change: (slot: Buffer) => void): Forgery {
	const file = Buffer.from(contents.get(checkpointPath)!);
	const index = Math.floor(random() * slotCount);
	const slot = file.subarray(index * slotBytes, (index + 1) * slotBytes);
	change(slot);
	slot.writeUInt32LE(crc32(slot.subarray(88, 88 + slot.readUInt32LE(72))), 76);
	slot.writeUInt32LE(crc32(slot.subarray(0, 84)), 84);
	return {
		name: `checkpoint slot ${index}: ${name}`,
		contents: withFile(contents, checkpointPath, file),
		affected: [],
		isOfLog: true,
	};
}

/** Writes the low bytes of a whole number, little-endian. */
function put(target: Buffer, offset: number, bytes: number, value: number): void {
	for (let index = 0, rest = BigInt(value); index < bytes; index++, rest >>= 8n) {
		target[offset + index] = Number(rest & 0xffn);
	}
}
