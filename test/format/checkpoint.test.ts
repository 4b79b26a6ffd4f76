import {crc32} from 'node:zlib';
import test from 'ava';
import {
	type Checkpoint,
	checkpointFileBytes,
	decodeCheckpoint,
	encodeCheckpoint,
	slotBytes,
} from '../../source/format/checkpoint.ts';
import {Mismatch} from '../../source/format/mismatch.ts';

const checkpoint = {
	queueId: Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'),
	generation: 5,
	sequence: 9,
	blockOffset: 64,
	end: {nextSequence: 12, segment: 7, offset: 109},
	isClosed: true,
	delivered: {next: 9, runs: []},
};
const slot = encodeCheckpoint(checkpoint);

test('a checkpoint slot has these bytes', t => {
	t.is(
		slot.toString('hex'),
		'6471637001000100000102030405060708090a0b0c0d0e0f050000000000000009000000000000004000000000000000' +
			'0c0000000000000007000000000000006d00000000000000000000000000000000000000e4ca131b',
	);
	t.is(checkpointFileBytes, 98_304);
	t.is(slotBytes, 32_768);
});

test('a checkpoint comes back, from a whole slot too', t => {
	t.deepEqual(decodeCheckpoint(slot), {...checkpoint, version: 1});
	const padded = Buffer.alloc(slotBytes);
	encodeCheckpoint({...checkpoint, isClosed: false}).copy(padded);
	t.deepEqual(decodeCheckpoint(padded), {...checkpoint, version: 1, isClosed: false});
});

const delivered = {
	next: 20,
	runs: [
		{first: 10, records: 2, attempts: 1},
		{first: 15, records: 1, attempts: 300},
	],
};

test('what was delivered out of order stands behind the slot as LEB128 numbers', t => {
	const bytes = encodeCheckpoint({...checkpoint, delivered});
	t.is(bytes.subarray(slot.byteLength).toString('hex'), '0b01020103' + '01ac02');
	t.deepEqual(decodeCheckpoint(bytes), {...checkpoint, version: 1, delivered});
	for (let offset = slot.byteLength; offset < bytes.byteLength; offset++) {
		const damaged = Buffer.from(bytes);
		damaged[offset]! ^= 0x10;
		t.true(decodeCheckpoint(damaged) instanceof Mismatch, `offset ${offset}`);
	}
});

test('more runs than a slot has room for are left out, as not delivered', t => {
	const runs = Array.from({length: 20_000}, (_, index) => ({first: 10 + 2 * index, records: 1, attempts: 1}));
	const bytes = encodeCheckpoint({...checkpoint, delivered: {next: 50_000, runs}});
	t.true(bytes.byteLength <= slotBytes);
	const read = decodeCheckpoint(bytes);
	const kept = read instanceof Mismatch ? [] : read.delivered.runs;
	t.true(kept.length > 4096);
	t.deepEqual(kept, runs.slice(0, kept.length));
	t.is(read instanceof Mismatch ? 0 : read.delivered.next, kept.at(-1)!.first + 1);
});

test('a checkpoint with any byte changed is refused', t => {
	let cases = 0;
	for (let offset = 0; offset < slot.byteLength; offset++) {
		for (const mask of [0x01, 0x80, 0xff]) {
			const damaged = Buffer.from(slot);
			damaged[offset]! ^= mask;
			t.true(decodeCheckpoint(damaged) instanceof Mismatch, `offset ${offset}, mask ${mask}`);
			cases++;
		}
	}

	t.is(cases, 88 * 3);
});

test('zeros, and an empty slot, are told from damage', t => {
	t.is((decodeCheckpoint(Buffer.alloc(slotBytes)) as Mismatch).found, 'zeros');
	t.is((decodeCheckpoint(Buffer.alloc(0)) as Mismatch).found, 'zeros');
	const torn = Buffer.from(slot);
	torn.fill(0, 0, 4);
	t.is((decodeCheckpoint(torn) as Mismatch).found, 'bytes 00000000');
});

test('a slot that is cut short is refused at every length', t => {
	let cases = 0;
	for (let length = 0; length < slot.byteLength; length++) {
		t.true(decodeCheckpoint(slot.subarray(0, length)) instanceof Mismatch);
		cases++;
	}

	t.is(cases, 88);
});

test('a newer version is reported as such if its slot checks', t => {
	const newer = Buffer.from(slot);
	newer.writeUInt16LE(3, 4);
	newer.writeUInt32LE(crc32(newer.subarray(0, 84)), 84);
	t.is((decodeCheckpoint(newer) as Checkpoint).version, 3);
});
