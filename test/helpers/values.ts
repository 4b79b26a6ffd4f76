import fc from 'fast-check';

/** Keys that a serializer may trip over, besides any other. */
const oddKeys = [
	'',
	'constructor',
	'toJSON',
	'hasOwnProperty',
	'then',
	'length',
	'valueOf',
	'0',
	'-1',
	'é',
	'漢🚀',
	'key',
];

const typedArrays = [
	fc.int8Array(),
	fc.uint8Array(),
	fc.uint8ClampedArray(),
	fc.int16Array(),
	fc.uint16Array(),
	fc.int32Array(),
	fc.uint32Array(),
	fc.float32Array(),
	fc.float64Array(),
	fc.bigInt64Array(),
	fc.bigUint64Array(),
];

const leaf = fc.oneof(
	fc.string({unit: 'binary'}),
	fc.string({unit: 'binary', minLength: 60, maxLength: 300}),
	fc.double(),
	fc.integer(),
	fc.maxSafeInteger(),
	fc.bigInt(),
	fc.bigInt({min: -(1n << 200n), max: 1n << 200n}),
	fc.boolean(),
	fc.constantFrom(null, undefined, Number.NaN, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
	fc.date({noInvalidDate: false}),
	fc.constantFrom(/a\/b/giu, /(?:)/, /[漢]+$/su),
	fc.uint8Array().map(bytes => Buffer.from(bytes)),
	fc.uint8Array().map(bytes => new DataView(bytes.buffer, 0, bytes.byteLength)),
	fc.uint8Array().map(bytes => bytes.slice().buffer),
	fc.string({unit: 'binary'}).map(text => new RangeError(text, {cause: text})),
	...typedArrays,
);

const key = fc.oneof(fc.constantFrom(...oddKeys), fc.string({unit: 'binary', maxLength: 8}));

/** Values of every kind that a record may hold, and some that it may not. */
export const anyValue: fc.Arbitrary<unknown> = fc.letrec(tie => ({
	value: fc.oneof(
		{depthSize: 'small', withCrossShrink: true},
		leaf,
		fc.array(tie('value'), {maxLength: 6}),
		fc.sparseArray(tie('value'), {maxLength: 6, noTrailingHole: true}),
		fc.dictionary(key, tie('value'), {maxKeys: 6, noNullPrototype: false}),
		fc.array(fc.tuple(tie('value'), tie('value')), {maxLength: 4}).map(entries => new Map(entries)),
		fc.array(tie('value'), {maxLength: 4}).map(items => new Set(items)),
	),
})).value;

/**
 * A value in a form that `isDeepStrictEqual` compares as a queue promises it: -0 is 0, a hole is undefined, an object
 * without prototype is plain, an error is its name, message and cause, an invalid date is one like any other.
 */
export function normal(value: unknown): unknown {
	if (typeof value === 'number') {
		return value === 0 ? 0 : value;
	}

	if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
		return value;
	}

	if (Array.isArray(value)) {
		return Array.from(value, normal);
	}

	if (value instanceof Date) {
		return ['a date', value.getTime()];
	}

	if (value instanceof Map) {
		return ['a map', [...value].map(([key, item]) => [normal(key), normal(item)])];
	}

	if (value instanceof Set) {
		return ['a set', [...value].map(normal)];
	}

	if (value instanceof Error) {
		return ['an error', value.constructor.name, value.name, value.message, normal(value.cause)];
	}

	if (value instanceof RegExp) {
		return value;
	}

	return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)]));
}
