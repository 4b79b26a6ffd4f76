import {writeFileSync} from 'node:fs';
import test, {type ExecutionContext} from 'ava';
import {encodeBlockHeader} from '../../source/format/block.ts';
import type {Segment} from '../../source/log/segment.ts';
import {segmentAt} from '../../source/log/segment.ts';
import {isTorn} from '../../source/log/torn.ts';
import {fileSystem} from '../../source/storage.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

function segmentOf(t: ExecutionContext, bytes: Buffer): Segment {
	const segment = segmentAt(
		temporaryDirectory(t),
		{queueId: Buffer.alloc(16, 3), firstSequence: 0, salt: 0},
		bytes.byteLength,
	);
	writeFileSync(segment.path, bytes);
	return segment;
}

/** Bytes without a zero, but for those from an offset to another. */
function bytesWithZeros(length: number, from: number, to: number): Buffer {
	return Buffer.alloc(length, 0x5a).fill(0, from, to);
}

const kibibyte = 1024;
const stretches: Array<[string, {bytes: Buffer; from: number; to: number}, boolean]> = [
	['zeros alone', {bytes: bytesWithZeros(2000, 100, 300), from: 100, to: 300}, true],
	['zeros in the place of a header', {bytes: bytesWithZeros(2000, 100, 140), from: 100, to: 300}, true],
	['zeros but for the first byte', {bytes: bytesWithZeros(2000, 101, 300), from: 100, to: 300}, false],
	['a sector of zeros among others', {bytes: bytesWithZeros(4000, 1024, 1536), from: 100, to: 3000}, true],
	['as many zeros that are no sector', {bytes: bytesWithZeros(4000, 1025, 1537), from: 100, to: 3000}, false],
	['the last sector of zeros, up to the end', {bytes: bytesWithZeros(1100, 1024, 1100), from: 100, to: 1100}, true],
	['the same, and more behind it', {bytes: bytesWithZeros(1200, 1024, 1100), from: 100, to: 1100}, false],
	['no zeros', {bytes: Buffer.alloc(4000, 0x5a), from: 64, to: 4000}, false],
	['a zero here and there', {bytes: Buffer.alloc(4000, Buffer.from([0, 1, 0])), from: 64, to: 4000}, false],
	[
		'a hole behind the first piece that is read',
		{bytes: bytesWithZeros(1300 * kibibyte, 1200 * kibibyte, 1201 * kibibyte), from: 70, to: 1300 * kibibyte},
		true,
	],
	['an end within a header', {bytes: Buffer.alloc(139, 0x5a), from: 100, to: 139}, true],
	['as few bytes before more', {bytes: Buffer.alloc(300, 0x5a), from: 100, to: 139}, false],
	['an end within the header of the segment', {bytes: Buffer.alloc(63, 0x5a), from: 0, to: 63}, true],
	['a whole header of the segment', {bytes: Buffer.alloc(64, 0x5a), from: 0, to: 64}, false],
];

for (const [name, {bytes, from, to}, expected] of stretches) {
	test(`${name}: ${expected ? 'torn' : 'not torn'}`, t => {
		t.is(isTorn(segmentOf(t, bytes), {from, to}, fileSystem), expected);
	});
}

test('a segment that ends within a block is torn there; one that ends with it is not', t => {
	const payload = Buffer.alloc(50, 0x5a);
	const {identity} = segmentOf(t, Buffer.alloc(0));
	const header = encodeBlockHeader(payload, {records: 1, firstSequence: 0, appendedAt: 0}, identity);
	const block = Buffer.concat([Buffer.alloc(64, 1), header, payload]);
	let torn = 0;
	for (let length = 64 + 40; length <= block.byteLength; length++) {
		const segment = segmentOf(t, block.subarray(0, length));
		torn += isTorn(segment, {from: 64, to: length}, fileSystem) ? 1 : 0;
	}

	t.is(torn, payload.byteLength);
});
