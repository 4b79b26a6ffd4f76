import {range} from './queues.ts';
import {pickFrom} from './random.ts';

class Order {
	id = 1;
}

class Names extends Array {}

class Index extends Map<number, number> {}

/** Gives its bytes away, as to another thread. */
export function detached<View extends ArrayBufferView<ArrayBuffer>>(view: View): View {
	structuredClone(view.buffer, {transfer: [view.buffer]});
	return view;
}

const asPlain = (name: string) => `an instance of ${name}, which would come back as a plain object; put a plain object`;

/** What no record may hold, made anew each time, and why. */
const offenders: Array<[() => unknown, string]> = [
	[() => () => {}, 'a function, which cannot be stored'],
	[() => Order, 'a function, which cannot be stored'],
	[() => Symbol('x'), 'a symbol, which cannot be stored'],
	[() => new Order(), asPlain('Order')],
	[() => Names.from([1]), asPlain('Names')],
	[() => new Index([[1, 2]]), asPlain('Index')],
	[() => new WeakMap(), asPlain('WeakMap')],
	[() => Promise.resolve(), 'an instance of Promise, which would come back as a plain object; is `await` missing?'],
	[() => Object('boxed'), asPlain('String')],
	[() => new SharedArrayBuffer(8), asPlain('SharedArrayBuffer')],
	[() => new AggregateError([]), asPlain('AggregateError')],
	[() => `half ${'🚀'[0]}`, 'a string with half a surrogate pair, which UTF-8 cannot hold'],
	[() => detached(new Float64Array(4)), 'bytes that were transferred away'],
	[() => Object.assign(new TypeError('x'), {name: 'Mine'}), 'an error with a name or message that cannot be stored'],
];

const keys = ['a', 'id', '0', 'with space', 'constructor', 'é', '[1]'];

/** Puts a value somewhere into another one, among siblings; gives that, and the step that leads from it to the value. */
const wraps: Array<(inner: unknown, siblings: unknown[], random: () => number) => [unknown, string]> = [
	(inner, siblings) => [[...siblings, inner, ...siblings], `[${siblings.length}]`],
	(inner, siblings, random) => {
		const key = pickFrom(keys, random);
		return [{...Object.fromEntries(siblings.map((value, index) => [`s${index}`, value])), [key]: inner}, `.${key}`];
	},
	(inner, siblings) => [
		new Map([...siblings.map((value, index): [unknown, unknown] => [index, value]), ['key', inner]]),
		`[${siblings.length}]`,
	],
	(inner, siblings) => [
		new Map<unknown, unknown>([...siblings.map((value, index): [unknown, unknown] => [index, value]), [inner, 1]]),
		`[${siblings.length}]`,
	],
	(inner, siblings) => [new Set([...range(0, siblings.length), inner, 'last']), `[${siblings.length}]`],
	inner => [new RangeError('x', {cause: inner}), '.cause'],
];

export type Unstorable = {record: unknown; message: string};

/** A record with something in it that cannot be stored, and what a put says of it. */
export function unstorable(siblings: unknown[], random: () => number): Unstorable {
	const [make, reason] = pickFrom(offenders, random);
	let record = make();
	let path = '';
	for (let level = Math.floor(random() * 6); level > 0; level--) {
		const around = range(0, Math.floor(random() * 4)).map(() => pickFrom(siblings, random));
		const [outer, step] = pickFrom(wraps, random)(record, around, random);
		record = outer;
		path = `${step}${path}`;
	}

	return {record, message: `Cannot put: the record ${path ? `has at ${path} ${reason}` : `is ${reason}`}.`};
}
