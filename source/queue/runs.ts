import {wrongType} from '../errors.ts';

/** A run amortises what a call costs; from a few hundred records on a longer one gains nothing. */
const runLength = 512;

/** Cuts an iterable into runs, arrays of their own: the caller may change his. An asynchronous one may be slow: each of its records is a run, and is not kept waiting. */
export async function* runsOf<T>(records: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T[], void, undefined> {
	const iterable = Object(records);
	if (Array.isArray(records) && records.length <= runLength) {
		yield records.slice();
	} else if (Symbol.iterator in iterable) {
		yield* cut(records as Iterable<T>);
	} else if (Symbol.asyncIterator in iterable) {
		for await (const record of records) {
			yield [record];
		}
	} else {
		throw wrongType('records', 'an iterable', records);
	}
}

function* cut<T>(records: Iterable<T>): Generator<T[], void, undefined> {
	let run: T[] = [];
	for (const record of records) {
		run.push(record);
		if (run.length === runLength) {
			yield run;
			run = [];
		}
	}

	if (run.length > 0) {
		yield run;
	}
}
