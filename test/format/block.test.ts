import test from 'ava';
import {
	blockHeaderBytes,
	checkPayload,
	decodeBlockHeader,
	encodeBlockHeader,
	findBlockHeader,
} from '../../source/format/block.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import {Mismatch} from '../../source/format/mismatch.ts';
import {segmentIdentity} from '../../source/format/segment-header.ts';

const queueId = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
const identity = segmentIdentity({queueId, firstSequence: 7, salt: 0});
const place = {records: 3, firstSequence: 9, appendedAt: 1_700_000_000_000};
const payload = Buffer.from('9301a161c3', 'hex');
const header = encodeBlockHeader(payload, place, identity);
const masks = [0x01, 0x80, 0xff];

test('a block has these bytes', t => {
	t.is(Buffer.from(msgpackCodec().encode([1, 'a', true])).toString('hex'), payload.toString('hex'));
	t.is(header.toString('hex'), 'd15b10c5050000000300000000000000090000000000000000008056febc78420333094ea3263799');
	t.is(header.byteLength, blockHeaderBytes);
	t.is(identity, 0x6c1d65f);
});

test('a header comes back from anywhere in a buffer', t => {
	const bytes = Buffer.concat([Buffer.alloc(13), header, payload]);
	t.deepEqual(decodeBlockHeader(bytes, 13, identity), {
		payloadBytes: 5,
		records: 3,
		firstSequence: 9,
		appendedAt: 1_700_000_000_000,
		payloadChecksum: 0x4e093303,
	});
});

test('a payload in pieces has the header of the whole, wherever it is cut, also beside pieces without a byte', t => {
	const empty = [Buffer.alloc(0), Buffer.from(new ArrayBuffer(0)), new Uint8Array(new ArrayBuffer(0))];
	for (let cut = 0; cut <= payload.byteLength; cut++) {
		for (const none of empty) {
			const pieces = [none, payload.subarray(0, cut), none, payload.subarray(cut), none];
			t.deepEqual(encodeBlockHeader(pieces, place, identity), header);
		}
	}

	t.is(empty.length, 3);
});

test('a header with any byte changed is refused', t => {
	let cases = 0;
	for (let offset = 0; offset < header.byteLength; offset++) {
		for (const mask of masks) {
			const damaged = Buffer.from(header);
			damaged[offset]! ^= mask;
			t.true(decodeBlockHeader(damaged, 0, identity) instanceof Mismatch, `offset ${offset}, mask ${mask}`);
			cases++;
		}
	}

	t.is(cases, 40 * 3);
});

test('a payload with any byte changed does not check', t => {
	const decoded = decodeBlockHeader(header, 0, identity);
	t.false(decoded instanceof Mismatch);
	if (decoded instanceof Mismatch) {
		return;
	}

	t.is(checkPayload(payload, decoded), undefined);
	let cases = 0;
	for (let offset = 0; offset < payload.byteLength; offset++) {
		for (const mask of masks) {
			const damaged = Buffer.from(payload);
			damaged[offset]! ^= mask;
			t.regex(checkPayload(damaged, decoded)?.expected ?? '', /payload checksum 4e093303/);
			cases++;
		}
	}

	t.is(cases, 5 * 3);
});

test('a block moved to another segment or another queue, or of another salt, is refused', t => {
	const places = [
		{queueId, firstSequence: 8, salt: 0},
		{queueId, firstSequence: 2 ** 40 + 7, salt: 0},
		{queueId: Buffer.alloc(16, 1), firstSequence: 7, salt: 0},
		{queueId, firstSequence: 7, salt: 0x1234abcd},
	];
	for (const place of places) {
		const found = decodeBlockHeader(header, 0, segmentIdentity(place));
		t.true(found instanceof Mismatch);
		t.regex((found as Mismatch).expected, /block header checksum/);
	}

	t.is(places.length, 4);
});

test('zeros of any length are never a block', t => {
	const lengths = [0, 1, 39, 40, 41, 4096];
	for (const length of lengths) {
		const found = decodeBlockHeader(Buffer.alloc(length), 0, identity);
		t.true(found instanceof Mismatch);
		t.is((found as Mismatch).found, length < 40 ? `${length} bytes` : 'zeros');
		t.is(findBlockHeader(Buffer.alloc(length), 0, identity), -1);
	}

	t.is(lengths.length, 6);
});

test('a header that is cut short is refused at every length', t => {
	let cases = 0;
	for (let length = 0; length < header.byteLength; length++) {
		t.true(decodeBlockHeader(header.subarray(0, length), 0, identity) instanceof Mismatch);
		cases++;
	}

	t.is(cases, 40);
});

test('a header that checks and says nothing, or a flag not known, is refused', t => {
	const empty = encodeBlockHeader(Buffer.alloc(0), place, identity);
	const none = encodeBlockHeader(payload, {...place, records: 0}, identity);
	for (const bytes of [empty, none]) {
		const found = decodeBlockHeader(bytes, 0, identity);
		t.true(found instanceof Mismatch);
		t.is((found as Mismatch).expected, 'a block with payload, records and no flags');
	}
});

test('a header is found behind others, behind its magic number alone, and never before the offset', t => {
	const foreign = encodeBlockHeader(payload, place, identity + 1);
	const magic = header.subarray(0, 4);
	const bytes = Buffer.concat([foreign, payload, magic, magic, header, payload, header, payload]);
	const first = foreign.byteLength + payload.byteLength + 8;
	const second = first + header.byteLength + payload.byteLength;
	t.is(findBlockHeader(bytes, 0, identity), first);
	t.is(findBlockHeader(bytes, first, identity), first);
	t.is(findBlockHeader(bytes, first + 1, identity), second);
	t.is(findBlockHeader(bytes, second + 1, identity), -1);
});

test('sequences up to the largest safe integer come back', t => {
	const sequences = [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER - 3];
	for (const firstSequence of sequences) {
		const found = decodeBlockHeader(encodeBlockHeader(payload, {...place, firstSequence}, identity), 0, identity);
		t.like(found, {firstSequence});
	}

	t.is(sequences.length, 4);
});

test('a header that checks with a sequence that no number holds exactly is refused', t => {
	for (const firstSequence of [Number.MAX_SAFE_INTEGER - 2, 2 ** 53, 2 ** 63]) {
		const bytes = encodeBlockHeader(payload, {...place, firstSequence}, identity);
		t.true(decodeBlockHeader(bytes, 0, identity) instanceof Mismatch, `${firstSequence}`);
	}
});
