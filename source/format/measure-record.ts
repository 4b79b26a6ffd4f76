import {types} from 'node:util';
import {type QueueRecordError, refusedRecord} from '../errors.ts';

/** Deeper values overflow a cold stack on decoding (measured: 1,300 levels pack, 2,600 unpack); a cycle ends here too. */
const maxDepth = 500;

// Bounds of the MessagePack encoding, in bytes.
const numberBytes = 9;
export const headBytes = 5;

/** Longer strings are worth the call that counts their UTF-8 bytes; shorter ones count as their length. */
const shortStringLength = 64;

const builtInErrors = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];
const errorPrototypes = prototypesOf(...builtInErrors);
const prototypesByErrorName = new Map<string, object>(builtInErrors.map(({name, prototype}) => [name, prototype]));

/** Instances of a subclass, or of another realm, are not among them: the codec would give back something else. */
const builtIns = prototypesOf(
	...[Date, Map, Set, RegExp, ArrayBuffer, DataView, Buffer, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array],
	...[Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
);

/**
 * Keys that can be stored, by their place among those of a record, as far as they are kept: records of one shape meet the
 * same ones again, and are spared the look at their characters.
 */
const storableKeys: string[] = Array.from({length: 64}, () => '');
let keysSeen = 0;

/** The keys and indexes that lead to the value being measured, for the message of a refusal. */
const trail: Array<string | number> = [];

/**
 * Estimates the encoded size of a record in bytes, and refuses what the default codec would not give back equal.
 *
 * @throws QueueRecordError `QUEUE_RECORD` with the place and the reason.
 */
export function measureRecord(record: unknown): number {
	keysSeen = 0;
	return measureValue(record, 0);
}

function measureValue(value: unknown, depth: number): number {
	switch (typeof value) {
		case 'string':
			return measureString(value, depth);
		case 'number':
			return numberBytes;
		case 'object':
			return value === null ? 1 : measureObject(value, depth);
		case 'boolean':
		case 'undefined':
			return 1;
		case 'bigint':
			return measureBigint(value);
		default:
			throw refuse(`a ${typeof value}, which cannot be stored`, depth);
	}
}

function measureString(text: string, depth: number): number {
	if (!text.isWellFormed()) {
		throw refuse('a string with half a surrogate pair, which UTF-8 cannot hold', depth);
	}

	return headBytes + (text.length > shortStringLength ? Buffer.byteLength(text) : text.length);
}

function measureBigint(value: bigint): number {
	return BigInt.asIntN(64, value) === value ? numberBytes : headBytes + value.toString(16).length;
}

function measureObject(value: object, depth: number): number {
	if (depth >= maxDepth) {
		throw refusedRecord(`is cyclic or nested deeper than ${maxDepth} levels`);
	}

	const prototype = Object.getPrototypeOf(value);
	if (prototype === Object.prototype || prototype === null) {
		return measureProperties(value, depth);
	}

	// The prototype of a plain array is one itself, in every realm; that of a subclass is not.
	return Array.isArray(value) && Array.isArray(prototype)
		? measureArray(value, depth)
		: measureBuiltIn(value, prototype, depth);
}

function measureProperties(value: object, depth: number): number {
	let bytes = headBytes;
	for (const key in value) {
		trail[depth] = key;
		if (storableKeys[keysSeen % storableKeys.length] !== key) {
			checkKey(key, depth);
		}

		keysSeen++;
		bytes += key.length + 1 + measureValue((value as Record<string, unknown>)[key], depth + 1);
	}

	return bytes;
}

/** A key must be UTF-8, and none that msgpackr renames or takes for its own. */
function checkKey(key: string, depth: number): void {
	if (key === '__proto__' || key === '__keys__' || !key.isWellFormed()) {
		throw refuse('a key that cannot be stored', depth + 1);
	}

	storableKeys[keysSeen % storableKeys.length] = key;
}

function measureArray(items: unknown[], depth: number): number {
	let bytes = headBytes;
	for (let index = 0; index < items.length; index++) {
		trail[depth] = index;
		bytes += measureValue(items[index], depth + 1);
	}

	return bytes;
}

function measureItems(items: Iterable<unknown>, depth: number): number {
	let bytes = headBytes;
	let index = 0;
	for (const item of items) {
		trail[depth] = index++;
		bytes += measureValue(item, depth + 1);
	}

	return bytes;
}

function measureBuiltIn(value: object, prototype: object, depth: number): number {
	if (!builtIns.has(prototype)) {
		return measureError(value, prototype, depth);
	}

	if (ArrayBuffer.isView(value) || types.isArrayBuffer(value)) {
		return measureBytes(value, depth);
	}

	if (types.isDate(value)) {
		return 2 * numberBytes;
	}

	if (types.isMap(value)) {
		return measureItems(value.keys(), depth) + measureItems(value.values(), depth);
	}

	if (types.isSet(value)) {
		return measureItems(value, depth);
	}

	if (types.isRegExp(value)) {
		return headBytes + value.source.length + value.flags.length;
	}

	return measureError(value, prototype, depth);
}

function measureBytes(value: ArrayBufferView | ArrayBuffer, depth: number): number {
	if (isDetached(ArrayBuffer.isView(value) ? value.buffer : value)) {
		throw refuse('bytes that were transferred away', depth);
	}

	return headBytes + value.byteLength;
}

/** A buffer that was transferred to another thread has no bytes, and cannot be read any more. */
function isDetached(buffer: ArrayBufferLike): boolean {
	if (buffer.byteLength > 0) {
		return false;
	}

	try {
		buffer.slice(0);
		return false;
	} catch {
		return true;
	}
}

/** Name, message and cause are kept of the language's own errors. */
function measureError(value: object, prototype: object, depth: number): number {
	if (value instanceof Error && errorPrototypes.has(prototype)) {
		const {name, message, cause} = value;
		if (!isErrorName(name, prototype) || typeof message !== 'string') {
			throw refuse('an error with a name or message that cannot be stored', depth);
		}

		return measureProperties({name, message, cause}, depth);
	}

	if (isObjectPrototype(prototype)) {
		return measureProperties(value, depth);
	}

	const name = prototype.constructor?.name || 'class';
	const advice = value instanceof Promise ? 'is `await` missing?' : 'put a plain object';
	throw refuse(`an instance of ${name}, which would come back as a plain object; ${advice}`, depth);
}

/**
 * Whether an error comes back as one of its class. msgpackr looks its name up among the constructors it knows, and takes
 * `Error` for others: `constructor` or `AggregateError` would come back as another thing.
 */
function isErrorName(name: unknown, prototype: object): boolean {
	return (
		typeof name === 'string' &&
		name !== 'AggregateError' &&
		!(name in Object.prototype) &&
		(prototypesByErrorName.get(name) ?? Error.prototype) === prototype
	);
}

/** Whether it is another realm's `Object.prototype`, as in a `vm` context: what inherits from it is a plain object. */
function isObjectPrototype(prototype: object): boolean {
	return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf');
}

function prototypesOf(...constructors: Array<{prototype: unknown}>): Set<unknown> {
	return new Set(constructors.map(({prototype}) => prototype));
}

function refuse(reason: string, depth: number): QueueRecordError {
	const place = trail
		.slice(0, depth)
		.map(step => (typeof step === 'number' ? `[${step}]` : `.${step}`))
		.join('');
	return refusedRecord(place ? `has at ${place} ${reason}` : `is ${reason}`);
}
