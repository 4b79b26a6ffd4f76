import test from 'ava';
import fc from 'fast-check';
import {Packr} from 'msgpackr';
import {decodeBuffers, encodeBuffers} from '../../source/format/buffers.ts';
import {msgpackCodec} from '../../source/format/codec.ts';

const packer = new Packr({moreTypes: true, copyBuffers: true});

const sizes = [0, 1, 255, 256, 4096, 65_535, 65_536, 70_000];

function buffersOf(lengths: number[]): Buffer[] {
	return lengths.map((length, index) => Buffer.alloc(length, index + 1));
}

test('the pieces of Buffers are what msgpackr packs, and come back as Buffers of their own', t => {
	for (const lengths of [...sizes.map(size => [size, 300_000]), sizes, Array.from({length: 40}, () => 5000)]) {
		const buffers = buffersOf(lengths);
		const pieces = encodeBuffers(buffers)!;
		t.true(buffers.every(buffer => pieces.includes(buffer)));
		const payload = Buffer.concat(pieces);
		t.true(payload.equals(packer.pack(buffers)));
		const decoded = decodeBuffers(payload)!;
		t.deepEqual(decoded, buffers);
		for (const [index, buffer] of decoded.entries()) {
			t.true(Buffer.isBuffer(buffer));
			t.is(buffer.buffer.byteLength, lengths[index]!);
		}
	}
});

test('small Buffers, other records and subclasses are left to msgpackr', t => {
	const large = Buffer.alloc(100_000);
	class Own extends Uint8Array {}
	const own = Object.setPrototypeOf(Buffer.alloc(100_000), Own.prototype) as Own;
	for (const records of [buffersOf([4095]), [large, 'text'], [large, new Uint8Array(9000)], [own], [{large}]]) {
		t.is(encodeBuffers(records), undefined);
	}
});

test('anything that is no array of Buffers to its end is left to msgpackr', t => {
	const whole = packer.pack(buffersOf([3, 300]));
	t.truthy(decodeBuffers(whole));
	t.is(decodeBuffers(Buffer.alloc(0)), undefined);
	t.is(decodeBuffers(packer.pack([])), undefined);
	t.is(decodeBuffers(packer.pack(['text'])), undefined);
	t.is(decodeBuffers(packer.pack([Buffer.from('a'), 1])), undefined);
	t.is(decodeBuffers(Buffer.concat([whole, Buffer.alloc(1)])), undefined);
	for (let length = 0; length < whole.byteLength; length++) {
		t.is(decodeBuffers(whole.subarray(0, length)), undefined);
	}

	const many = packer.pack(buffersOf(Array.from({length: 20}, () => 1)));
	t.is(decodeBuffers(many)!.length, 20);
	t.is(decodeBuffers(many.subarray(0, 2)), undefined);
});

test('whatever the bytes, the codec gives what msgpackr gives', t => {
	const codec = msgpackCodec<unknown>();
	const bytes = fc.oneof(
		fc.uint8Array({minLength: 1, maxLength: 20}),
		fc
			.array(fc.uint8Array({maxLength: 9}), {minLength: 1, maxLength: 20})
			.map(arrays => packer.pack(arrays.map(array => Buffer.from(array)))),
	);
	const attempt = (decode: () => unknown) => {
		try {
			return {decoded: decode()};
		} catch {
			return 'refused';
		}
	};
	fc.assert(
		fc.property(bytes, given => {
			const payload = Buffer.from(given);
			t.deepEqual(
				attempt(() => codec.decode(payload)),
				attempt(() => packer.unpack(payload)),
			);
		}),
		{numRuns: 2000},
	);
});

test('a view that is no Buffer is decoded like one', t => {
	const payload = packer.pack(buffersOf([10, 20]));
	const view = new Uint8Array(new Uint8Array([0, ...payload]).buffer, 1);
	t.deepEqual(msgpackCodec().decode(view), buffersOf([10, 20]));
});
