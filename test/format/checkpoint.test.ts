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
};
const slot = encodeCheckpoint(checkpoint);

test('a checkpoint slot has these bytes', t => {
	t.is(
		slot.toString('hex'),
		'6471637001000100000102030405060708090a0b0c0d0e0f050000000000000009000000000000004000000000000000' +
			'0c0000000000000007000000000000006d00000000000000000000000000000000000000e4ca131b',
	);
	t.is(checkpointFileBytes, 65_536);
	t.is(slotBytes, 32_768);
});

test('a checkpoint comes back, from a whole slot too', t => {
	t.deepEqual(decodeCheckpoint(slot), {...checkpoint, version: 1});
	const padded = Buffer.alloc(slotBytes);
	encodeCheckpoint({...checkpoint, isClosed: false}).copy(padded);
	t.deepEqual(decodeCheckpoint(padded), {...checkpoint, version: 1, isClosed: false});
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
