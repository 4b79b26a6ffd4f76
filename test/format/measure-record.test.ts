import {runInNewContext} from 'node:vm';
import test from 'ava';
import fc from 'fast-check';
import {QueueRecordError} from '../../source/errors.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import {measureRecord} from '../../source/format/measure-record.ts';
import {detached} from '../helpers/unstorable.ts';
import {anyValue} from '../helpers/values.ts';

class Order {
	id = 1;
}

class Names extends Array {}

class Index extends Map {}

class Bytes extends Uint8Array {}

class Deadline extends Date {}

const cyclic: {self?: unknown} = {};
cyclic.self = cyclic;

const nested = (levels: number) => JSON.parse(`${'['.repeat(levels)}1${']'.repeat(levels)}`);
const named = (name: unknown) => Object.assign(new Error('x'), {name});

/** What is refused, and the words that say where and why. */
const refused: Array<[string, unknown, RegExp]> = [
	['a function', () => {}, /the record is a function, which cannot be stored/],
	['a symbol', Symbol('x'), /the record is a symbol, which cannot be stored/],
	['a function in an object', {a: {b: () => {}}}, /has at \.a\.b a function/],
	['a symbol in an array', {a: [1, {b: Symbol('x')}]}, /has at \.a\[1\]\.b a symbol/],
	['a class', {handler: Order}, /has at \.handler a function/],
	['a class instance', new Order(), /is an instance of Order, .* put a plain object/],
	['a class instance in a map', new Map([['k', new Order()]]), /has at \[0\] an instance of Order/],
	['an instance of a class without a name', [new (class {})()], /has at \[0\] an instance of class/],
	['a WeakMap', {a: new WeakMap()}, /has at \.a an instance of WeakMap/],
	['a Promise', [Promise.resolve()], /has at \[0\] an instance of Promise, .*; is `await` missing\?/],
	['a boxed string', {a: Object('x')}, /has at \.a an instance of String/],
	['a SharedArrayBuffer', new SharedArrayBuffer(1), /is an instance of SharedArrayBuffer/],
	['a URL', {url: new URL('http://localhost')}, /has at \.url an instance of URL/],
	['a subclass of Map', {names: new Index()}, /has at \.names an instance of Index/],
	['a subclass of Uint8Array', new Bytes(3), /is an instance of Bytes/],
	['a subclass of Date', [new Deadline()], /has at \[0\] an instance of Deadline/],
	['an error of a class', {e: new (class OrderError extends Error {})('x')}, /has at \.e an instance of OrderError/],
	['an AggregateError', new AggregateError([1], 'x'), /is an instance of AggregateError/],
	['a Map of another realm', {m: runInNewContext('new Map([[1, 2]])')}, /has at \.m an instance of Map/],
	['a Date of another realm', runInNewContext('new Date(0)'), /is an instance of Date/],
	['a typed array of another realm', runInNewContext('new Uint8Array(3)'), /is an instance of Uint8Array/],
	['what only looks like a Map', Object.create(Map.prototype), /is an instance of Map/],
	[
		'an object that inherits properties',
		Object.create(Object.assign(Object.create(null), {a: 1})),
		/is an instance of/,
	],
	['half a surrogate pair', 'a\ud800', /is a string with half a surrogate pair/],
	['half a surrogate pair in a value', {a: ['\udc00']}, /has at \.a\[0\] a string with half a surrogate pair/],
	['half a surrogate pair in a key', {a: {'\ud800x': 1}}, /has at \.a\..* a key that cannot be stored/],
	['a __proto__ key', JSON.parse('{"a": {"__proto__": 1}}'), /has at \.a\.__proto__ a key that cannot be stored/],
	['a key that msgpackr keeps for itself', {__keys__: 1}, /has at \.__keys__ a key that cannot be stored/],
	['a cyclic object', cyclic, /is cyclic or nested deeper than 500 levels/],
	['600 levels of arrays', nested(600), /is cyclic or nested deeper than 500 levels/],
	['501 levels of arrays', nested(501), /is cyclic or nested deeper than 500 levels/],
	['an array of a class', {a: Names.from([1, 2])}, /has at \.a an instance of Names/],
	[
		'an array of a class of another realm',
		runInNewContext('new (class Names extends Array {})()'),
		/instance of Names/,
	],
	[
		'a typed array whose bytes are gone',
		[detached(new Float64Array(3))],
		/has at \[0\] bytes that were transferred away/,
	],
	['a DataView whose bytes are gone', {a: detached(new DataView(new ArrayBuffer(3)))}, /has at \.a bytes that were/],
	['an ArrayBuffer whose bytes are gone', detached(new Uint8Array(3)).buffer, /is bytes that were transferred away/],
	['a function in the cause of an error', new Error('x', {cause: () => {}}), /has at \.cause a function/],
	['half a surrogate pair in an error', [new Error('\ud800')], /has at \[0\]\.message a string with half a/],
	[
		'an error that would come back as another class',
		Object.assign(new TypeError('x'), {name: 'Mine'}),
		/an error with a name/,
	],
	['an error named as one of another class', {e: named('TypeError')}, /has at \.e an error with a name/],
	...['constructor', '__proto__', 'toString', 'AggregateError', 5, undefined].map((name): [string, unknown, RegExp] => [
		`an error named ${name}`,
		{e: named(name)},
		/has at \.e an error with a name/,
	]),
	[
		'an error whose message is no string',
		Object.assign(new Error('x'), {message: {}}),
		/an error with a name or message/,
	],
];

for (const [name, record, message] of refused) {
	test(`refuses ${name}, saying where and why`, t => {
		const error = t.throws(() => measureRecord(record), {instanceOf: QueueRecordError, message});
		t.is(error.code, 'QUEUE_RECORD');
	});
}

test('the table of refusals has not shrunk', t => {
	t.is(refused.length, 47);
});

test('a refusal leaves nothing behind for the next one', t => {
	t.throws(() => measureRecord({a: {b: {c: () => {}}}}), {message: /at \.a\.b\.c a function/});
	t.throws(() => measureRecord({x: () => {}}), {message: /at \.x a function/});
	t.throws(() => measureRecord(() => {}), {message: /record is a function/});
	t.true(measureRecord({a: 1}) > 0);
});

test('accepts plain objects and arrays of another realm', t => {
	const record = runInNewContext('({a: [1, {b: 2}]})');
	t.true(measureRecord(record) > 0);
	t.deepEqual(msgpackCodec().decode(msgpackCodec().encode([record])), [{a: [1, {b: 2}]}]);
});

test('500 levels are accepted and come back', t => {
	const record = nested(500);
	t.true(measureRecord(record) > 500);
	t.deepEqual(msgpackCodec().decode(msgpackCodec().encode([record])), [record]);
});

const sizes: Array<[string, unknown]> = [
	['ASCII', 'x'.repeat(1000)],
	['three-byte characters', '漢'.repeat(1000)],
	['short strings of three-byte characters', Array.from({length: 100}, () => '漢'.repeat(64))],
	['keys of three-byte characters', {['漢'.repeat(60)]: {['é'.repeat(60)]: 1}}],
	['undefined', Array.from({length: 100})],
	['dates', Array.from({length: 100}, (_, index) => new Date(index - 50.5))],
	['a large bigint', -(1n << 3000n)],
	['a Buffer', Buffer.alloc(5000)],
	['float arrays', [new Float64Array(500), new Float32Array(500)]],
	['a regular expression', new RegExp('漢'.repeat(500))],
	['errors', [new Error('x'.repeat(100)), new TypeError('漢'.repeat(100), {cause: 'c'.repeat(100)})]],
	['maps and sets', [new Map([['k'.repeat(30), 'v'.repeat(30)]]), new Set(['s'.repeat(50)])]],
];

for (const [name, record] of sizes) {
	test(`estimates the size of ${name} within a factor of three`, t => {
		const packed = msgpackCodec().encode([record]).byteLength;
		const estimate = measureRecord(record);
		t.true(estimate * 3 >= packed, `${estimate} for ${packed}`);
		t.true(estimate <= 3 * packed + 32 || name === 'a large bigint', `${estimate} for ${packed}`);
	});
}

test('no record takes more than three times its estimate, alone in its block', t => {
	const codec = msgpackCodec();
	let measured = 0;
	fc.assert(
		fc.property(anyValue, record => {
			let estimate: number;
			try {
				estimate = measureRecord(record);
			} catch (error) {
				return error instanceof QueueRecordError;
			}

			measured++;
			return 3 * estimate >= codec.encode([record]).byteLength - 8;
		}),
		{numRuns: 3000},
	);
	t.true(measured > 1500, `${measured} measured`);
	t.is(sizes.length, 12);
});
