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
	doubtful: [],
	delivered: {next: 9, runs: []},
};
const slot = encodeCheckpoint(checkpoint);

test('a checkpoint slot has these bytes', t => {
	t.is(
		slot.toString('hex'),
		'6471637001000100000102030405060708090a0b0c0d0e0f050000000000000009000000000000004000000000000000' +
			'0c0000000000000007000000000000006d00000000000000000000000000000000000000e4ca131b',
	);
	t.is(checkpointFileBytes, 131_072);
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
	t.is(bytes.subarray(slot.byteLength).toString('hex'), '00' + '0b01020103' + '01ac02');
	t.deepEqual(decodeCheckpoint(bytes), {...checkpoint, version: 1, delivered});
	for (let offset = slot.byteLength; offset < bytes.byteLength; offset++) {
		const damaged = Buffer.from(bytes);
		damaged[offset]! ^= 0x10;
		t.true(decodeCheckpoint(damaged) instanceof Mismatch, `offset ${offset}`);
	}
});

test('what a power cut may have taken stands before them', t => {
	const doubtful = [
		{first: 3, next: 12},
		{first: 300, next: 301},
	];
	const bytes = encodeCheckpoint({...checkpoint, doubtful, delivered});
	t.is(bytes.subarray(slot.byteLength).toString('hex'), '02' + '0309' + 'a00201' + '0b01020103' + '01ac02');
	t.deepEqual(decodeCheckpoint(bytes), {...checkpoint, version: 1, doubtful, delivered});
	const alone = encodeCheckpoint({...checkpoint, doubtful});
	t.is(alone.subarray(slot.byteLength).toString('hex'), '02' + '0309' + 'a00201' + '00');
	t.deepEqual(decodeCheckpoint(alone), {...checkpoint, version: 1, doubtful});
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

/** A slot with a body of one's own, and right checksums. */
function slotWith(body: string, change: (slot: Buffer) => void = () => {}): Buffer {
	const bytes = Buffer.concat([slot, Buffer.from(body, 'hex')]);
	bytes.writeUInt32LE(body.length / 2, 72);
	bytes.writeUInt32LE(crc32(bytes.subarray(88)), 76);
	change(bytes);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, 84)), 84);
	return bytes;
}

test('a slot that checks, and whose numbers do not fit together, is refused', t => {
	t.like(decodeCheckpoint(slotWith('000b01020103010c')), {delivered: {next: 20}});
	const bodies = {
		'fewer ranges than there should be': '020101',
		'a range above 2^53': '01ffffffffffffffff7f01',
		'a number cut short': '000b010281',
		'a run without its attempts': '000b0102',
		'a run beyond what was delivered': '0005010a01',
		'a number above 2^53': '000b01ffffffffffffffff7f01',
		'attempts above 2^53': '000b0101ffffffffffffffff7f',
		'a reach above 2^53': '00ffffffffffffffff7f',
	};
	for (const [name, body] of Object.entries(bodies)) {
		const found = decodeCheckpoint(slotWith(body));
		t.is(found instanceof Mismatch && found.expected, 'a checkpoint whose numbers fit together', name);
	}

	const fields = [24, 32, 40, 48, 56, 64];
	for (const offset of fields) {
		const huge = slotWith('', bytes => bytes.writeBigUInt64LE(2n ** 53n, offset));
		t.true(decodeCheckpoint(huge) instanceof Mismatch, `field at ${offset}`);
	}

	t.is(fields.length + Object.keys(bodies).length, 14);
});

test('what a newer version keeps in its fields is not judged', t => {
	const newer = slotWith('81', bytes => {
		bytes.writeUInt16LE(2, 4);
		bytes.writeBigUInt64LE(2n ** 60n, 32);
	});
	t.is((decodeCheckpoint(newer) as Checkpoint).version, 2);
});
