import {crc32} from 'node:zlib';
import test from 'ava';
import {Mismatch} from '../../source/format/mismatch.ts';
import {
	checkSegmentPlace,
	decodeSegmentHeader,
	encodeSegmentHeader,
	isBegunSegmentHeader,
	type SegmentHeader,
	segmentHeaderBytes,
	segmentIdentity,
} from '../../source/format/segment-header.ts';

const queueId = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
const header = encodeSegmentHeader({queueId, firstSequence: 7, salt: 0, codecName: 'msgpack'});

test('a segment header has these bytes', t => {
	t.is(
		header.toString('hex'),
		'6469737101000000000102030405060708090a0b0c0d0e0f07000000000000006d73677061636b0000000000000000000000000000000000000000002f8489cf',
	);
	t.is(header.byteLength, segmentHeaderBytes);
});

test('a header that was begun, with zeros behind it, is told from other bytes', t => {
	const place = {firstSequence: 7, salt: 0, codecName: 'msgpack'};
	for (let length = 0; length <= segmentHeaderBytes; length++) {
		t.true(isBegunSegmentHeader(Buffer.from(header).fill(0, length), place), `length ${length}`);
		t.true(isBegunSegmentHeader(header.subarray(0, length), place), `length ${length}`);
	}

	t.false(isBegunSegmentHeader(Buffer.from(header).fill(0, 40), {...place, firstSequence: 8}));
	t.false(isBegunSegmentHeader(Buffer.alloc(segmentHeaderBytes, 0xa5), place));
	t.false(isBegunSegmentHeader(Buffer.from(header).fill(1, 60), place));
});

test('a segment header comes back', t => {
	t.deepEqual(decodeSegmentHeader(header), {version: 1, queueId, firstSequence: 7, salt: 0, codecName: 'msgpack'});
	const longest = 'abcdefghijklmnopqrstuvwx';
	const largest = {firstSequence: Number.MAX_SAFE_INTEGER, salt: 2 ** 32 - 1, codecName: longest};
	t.like(decodeSegmentHeader(encodeSegmentHeader({queueId, ...largest})), largest);
});

test('a segment header with any byte changed is refused', t => {
	let cases = 0;
	for (let offset = 0; offset < header.byteLength; offset++) {
		for (const mask of [0x01, 0x80, 0xff]) {
			const damaged = Buffer.from(header);
			damaged[offset]! ^= mask;
			t.true(decodeSegmentHeader(damaged) instanceof Mismatch, `offset ${offset}, mask ${mask}`);
			cases++;
		}
	}

	t.is(cases, 64 * 3);
});

test('zeros, and a header that is cut short, are refused', t => {
	t.is((decodeSegmentHeader(Buffer.alloc(64)) as Mismatch).found, 'zeros');
	let cases = 0;
	for (let length = 0; length < header.byteLength; length++) {
		t.true(decodeSegmentHeader(header.subarray(0, length)) instanceof Mismatch);
		cases++;
	}

	t.is(cases, 64);
});

test('a magic number of zeros before other bytes is not called zeros', t => {
	const damaged = Buffer.from(header);
	damaged.fill(0, 0, 4);
	t.is((decodeSegmentHeader(damaged) as Mismatch).found, 'bytes 00000000');
});

test('a newer version is reported as such if its header checks', t => {
	const newer = Buffer.from(header);
	newer.writeUInt16LE(2, 4);
	newer.writeUInt32LE(crc32(newer.subarray(0, 60)), 60);
	t.is((decodeSegmentHeader(newer) as SegmentHeader).version, 2);
});

test('a header is told from that of another queue, another segment or another salt', t => {
	const place = {queueId, firstSequence: 7, salt: 0xabcd};
	const foundFor = (change: Partial<typeof place>) => checkSegmentPlace({...place, ...change}, place)?.found ?? '';
	t.is(checkSegmentPlace(place, {...place}), undefined);
	t.regex(foundFor({firstSequence: 8}), /^the segment 0{19}8\.0000abcd\.log /);
	t.regex(foundFor({salt: 0}), /^the segment 0{19}7\.log /);
	t.regex(foundFor({queueId: Buffer.alloc(16)}), /\.0000abcd\.log of queue 0{32}$/);
});

test('every segment of every queue has its own identity', t => {
	const places = [0, 1, 2, 2 ** 33].flatMap(firstSequence => [
		{queueId, firstSequence, salt: 0},
		{queueId, firstSequence, salt: 1},
		{queueId, firstSequence, salt: 2 ** 32 - 1},
		{queueId: Buffer.alloc(16), firstSequence, salt: 0},
	]);
	t.is(new Set(places.map(segmentIdentity)).size, 16);
});
