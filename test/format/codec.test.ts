import {isDeepStrictEqual} from 'node:util';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import test, {type ExecutionContext} from 'ava';
import fc from 'fast-check';
import {msgpackCodec} from '../../source/format/codec.ts';
import {measureRecord} from '../../source/format/measure-record.ts';
import {anyValue, normal} from '../helpers/values.ts';

/** Encodes and decodes through one buffer that is overwritten afterwards, as the log's window is. */
function throughBlock(records: unknown[], codec: ReturnType<typeof msgpackCodec> = msgpackCodec()): unknown[] {
	const payload = Buffer.from(codec.encode(records));
	const decoded = codec.decode(payload);
	payload.fill(0xaa);
	return decoded;
}

function comesBack(t: ExecutionContext, record: unknown, message?: string): void {
	t.true(measureRecord(record) > 0, message);
	const isLarge = measureRecord(record) > 100_000;
	for (const count of isLarge ? [1, 2] : [1, 2, 64]) {
		const decoded = throughBlock(Array.from({length: count}, () => record));
		t.is(decoded.length, count, message);
		t.true(
			decoded.every(each => isDeepStrictEqual(normal(each), normal(record))),
			message,
		);
	}
}

const bytes = Uint8Array.from({length: 64}, (_, index) => index * 7).buffer;

const accepted: Record<string, unknown> = {
	'an empty string': '',
	'a string': 'héllo wörld',
	'a string with NUL': 'a\0b',
	'a string beyond the basic plane': '🚀𝄞'.repeat(50),
	'a long string': '漢'.repeat(70_000),
	'integers of every size': [0, 1, -1, 31, 32, 63, 64, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32, 2 ** 53],
	'negative integers': [-32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53)],
	floats: [0.1, 1e300, 5e-324, Number.MAX_VALUE, Number.EPSILON],
	NaN: Number.NaN,
	Infinity: Number.POSITIVE_INFINITY,
	'-Infinity': Number.NEGATIVE_INFINITY,
	true: true,
	false: false,
	'a small bigint': 5n,
	'bigints at the borders': [2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 64n)],
	'a bigint of 200 bits': (1n << 200n) - 3n,
	'a negative bigint of 200 bits': -(1n << 200n) + 3n,
	'a bigint of 70,000 bits': 1n << 70_000n,
	'a date': new Date(1_700_000_000_123),
	'dates at the borders': [0, 5, -5, -1000, 4_294_967_295_999, 4_294_967_296_001, 8.64e15, -8.64e15].map(
		time => new Date(time),
	),
	'an invalid date': new Date(Number.NaN),
	'a regular expression': /a\/b|漢/giu,
	'a map with object keys': new Map<unknown, unknown>([
		[{a: 1}, new Map([[[1], 2]])],
		[undefined, null],
		[Number.NaN, 'x'],
	]),
	'an empty map': new Map(),
	'a map of 70,000': new Map(Array.from({length: 70_000}, (_, index) => [index, index])),
	'a set': new Set([1, 'a', undefined, null, {b: 2}, new Set([1])]),
	'typed arrays': [
		new Int8Array(bytes, 8, 5),
		new Uint8Array(bytes, 8, 5),
		new Uint8ClampedArray(bytes, 8, 5),
		new Int16Array(bytes, 8, 5),
		new Uint16Array(bytes, 8, 5),
		new Int32Array(bytes, 8, 5),
		new Uint32Array(bytes, 8, 5),
		new Float32Array(bytes, 8, 5),
		new Float64Array(bytes, 8, 5),
		new BigInt64Array(bytes, 8, 5),
		new BigUint64Array(bytes, 8, 5),
	],
	'empty typed arrays': [new Uint8Array(0), new Float64Array(0), Buffer.alloc(0), new ArrayBuffer(0)],
	'an ArrayBuffer': bytes,
	'a large ArrayBuffer': new Uint8Array(70_000).fill(3).buffer,
	'a DataView': new DataView(bytes, 3, 9),
	'a Buffer': Buffer.from('some bytes'),
	'nested undefined and null': {a: undefined, b: [undefined, null], c: null},
	'an object without prototype': Object.assign(Object.create(null), {a: {b: 1}}),
	'an object with odd keys': {
		'': 1,
		constructor: 2,
		hasOwnProperty: 3,
		valueOf: 4,
		length: 5,
		toJSON: 6,
		'🚀': 7,
		0: 8,
	},
	'an object without prototype with toJSON': Object.assign(Object.create(null), {toJSON: 'x'}),
	'an object with a long key': {['k'.repeat(70_000)]: 1},
	'an object of 70,000 keys': Object.fromEntries(Array.from({length: 70_000}, (_, index) => [`k${index}`, index])),
	'an array of 70,000': Array.from({length: 70_000}, (_, index) => index),
	errors: [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map(
		each => new each('what went wrong', {cause: new TypeError('why', {cause: {code: 5}})}),
	),
	'an error of another name': Object.assign(new Error('x'), {name: 'OrderError'}),
	'490 levels': JSON.parse(`${'{"a":['.repeat(245)}1${']}'.repeat(245)}`),
};

for (const [name, record] of Object.entries(accepted)) {
	test(`gives back ${name}, alone and in blocks`, comesBack, record);
}

test('the table of kinds has not shrunk', t => {
	t.is(Object.keys(accepted).length, 42);
});

test('what measureRecord accepts, the codec gives back, whatever shares its block', t => {
	const codec = msgpackCodec();
	let records = 0;
	fc.assert(
		fc.property(fc.array(anyValue, {minLength: 1, maxLength: 12}), candidates => {
			const block = candidates.filter(isAccepted);
			if (block.length === 0) {
				return true;
			}

			records += block.length;
			return isDeepStrictEqual(throughBlock(block, codec).map(normal), block.map(normal));
		}),
		{numRuns: 1500},
	);
	t.true(records > 5000, `${records} records`);
});

function isAccepted(value: unknown): boolean {
	try {
		return measureRecord(value) > 0;
	} catch {
		return false;
	}
}

test('blocks with any number of object shapes come back', t => {
	const codec = msgpackCodec();
	const counts = [1, 31, 32, 33, 63, 64, 65, 66, 96, 97, 512, 5000];
	for (const count of counts) {
		const block = Array.from({length: count}, (_, index) => ({
			[`a${index}`]: {[`b${index % 70}`]: [{c: index}]},
			d: index,
		}));
		const mixed = [...block, ...block.slice(0, 100)];
		t.true(isDeepStrictEqual(throughBlock(mixed, codec), mixed), `${count} shapes`);
	}

	t.is(counts.length, 12);
});

test('a block says all that is needed to decode it: another codec, which never saw one before, can', t => {
	const codec = msgpackCodec();
	const blocks = Array.from({length: 200}, (_, index) => [
		{id: index, name: 'x'},
		{id: index, [`k${index % 5}`]: 1},
	]);
	for (const block of blocks) {
		const payload = Buffer.from(codec.encode(block));
		t.deepEqual(msgpackCodec().decode(payload), block);
	}

	t.is(blocks.length, 200);
});

test('a block that could not be encoded leaves no trace in the next one', t => {
	const codec = msgpackCodec();
	const shape = (index: number) => ({[`first${index}`]: 1, [`second${index}`]: {third: 2}});
	const failing = {
		get value(): never {
			throw new Error('this getter fails');
		},
	};
	for (let index = 0; index < 100; index++) {
		t.throws(() => codec.encode([shape(index), failing]), {message: 'this getter fails'});
		const payload = Buffer.from(codec.encode([shape(index), shape(index)]));
		t.deepEqual(msgpackCodec().decode(payload), [shape(index), shape(index)]);
	}
});

test('a decoded Buffer shares no memory with the payload', t => {
	const codec = msgpackCodec<Record<string, Uint8Array>>();
	const payload = Buffer.from(
		codec.encode([{a: Buffer.from('hello'), b: new Uint8Array([1, 2]), c: Buffer.alloc(9000, 7)}]),
	);
	const [record] = codec.decode(payload);
	const {a, b, c} = record!;
	t.true([a, b, c].every(each => each!.buffer !== payload.buffer));
	payload.fill(0xff);
	t.is(a!.toString(), 'hello');
	t.deepEqual(b, new Uint8Array([1, 2]));
	t.true(c!.every(byte => byte === 7));
	t.true(a!.buffer.byteLength < 1024, 'a small Buffer does not pin a large one');
});

test('no memory of the process gets into a payload', t => {
	const secret = Buffer.from('the secret of another user');
	const codec = msgpackCodec();
	let payloads = 0;
	for (let round = 0; round < 100; round++) {
		const garbage = Array.from({length: 20}, () => Buffer.allocUnsafeSlow(4096).fill(secret));
		garbage.length = 0;
		const records = [
			new Float64Array(64),
			new Uint16Array(300),
			new DataView(new ArrayBuffer(100)),
			new ArrayBuffer(500),
		];
		const payload = Buffer.from(
			codec.encode([...records, new BigUint64Array(40), {a: 'x'.repeat(round), b: new Date()}]),
		);
		t.false(payload.includes(secret.subarray(0, 8)));
		payloads++;
	}

	t.is(payloads, 100);
});

test('a payload may be kept in use until the next call, and large ones give their memory back', t => {
	const codec = msgpackCodec<string>();
	const large = codec.encode(['x'.repeat(6 * 1024 * 1024)]);
	t.is(codec.decode(large)[0]!.length, 6 * 1024 * 1024);
	t.true(codec.encode(['small']).buffer.byteLength < 1024 * 1024);
});

test('a large payload is let go of once it is decoded, or turned out to be damaged', async t => {
	setFlagsFromString('--expose-gc');
	const collectGarbage = runInNewContext('gc') as () => void;
	const codec = msgpackCodec<string>();
	const decodeLarge = (damage: number) => {
		const payload = Buffer.from(codec.encode(['x'.repeat(6 * 1024 * 1024)]));
		payload[0]! ^= damage;
		try {
			codec.decode(payload);
		} catch {
			t.is(damage, 1);
		}

		return new WeakRef(payload.buffer);
	};
	for (const damage of [0, 1]) {
		const buffer = decodeLarge(damage);
		await new Promise(setImmediate);
		collectGarbage();
		t.is(buffer.deref(), undefined);
	}
});

const damaged = {
	'an empty payload': '',
	'an array longer than the payload': 'ddffffffff01',
	'a string longer than the payload': '91dbffffffff61',
	'a record of a shape never defined': '9140',
	'an extension nobody knows': '91d4210000',
	'a byte that is no MessagePack': '91c1c1c1',
};

for (const [name, hex] of Object.entries(damaged)) {
	test(`${name} throws, or gives no record that was not there`, t => {
		let records: unknown;
		try {
			records = msgpackCodec().decode(Buffer.from(hex, 'hex'));
		} catch (error) {
			t.true(error instanceof Error);
			return;
		}

		t.log(name, records);
		t.true(!Array.isArray(records) || records.length < 2);
	});
}
