import {outOfRange, wrongType} from './errors.ts';
import type {WaitOptions} from './options.ts';

/** Checks a whole number of a call or an option. */
export function checkInteger(
	name: string,
	value: unknown,
	{min, max = Number.MAX_SAFE_INTEGER}: {min: number; max?: number},
): void {
	if (typeof value !== 'number') {
		throw wrongType(name, 'a number', value);
	}

	if (!Number.isInteger(value) || value < min || value > max) {
		const upTo = max === Number.MAX_SAFE_INTEGER ? 'up' : `to ${max}`;
		throw outOfRange(name, `a whole number from ${min} ${upTo}`, value);
	}
}

/** Checks a whole number that may be left out, or `Infinity`. */
export function checkLimit(name: string, value: unknown, min: number): void {
	if (value !== Number.POSITIVE_INFINITY) {
		checkInteger(name, value, {min});
	}
}

/** Checks one of several words. */
export function checkChoice(name: string, value: unknown, choices: string[]): void {
	if (typeof value !== 'string') {
		throw wrongType(name, 'a string', value);
	}

	if (!choices.includes(value)) {
		throw outOfRange(name, `one of ${choices.map(choice => `'${choice}'`).join(', ')}`, value);
	}
}

/** Checks the directory of a queue. */
export function checkDirectory(directory: unknown): asserts directory is string {
	if (typeof directory !== 'string') {
		const path = directory instanceof URL ? 'a path, as fileURLToPath() gives it' : 'a path';
		throw wrongType('directory', path, directory);
	}

	if (directory === '' || directory.includes('\0')) {
		throw outOfRange('directory', 'a path that is not empty and has no NUL', directory);
	}
}

/** Checks that options are an object, and no other than these, if they are named. */
export function checkNames(what: string, options: unknown, names?: readonly string[]): void {
	if (typeof options !== 'object' || options === null) {
		throw wrongType(what, 'an object', options);
	}

	for (const [name, value] of Object.entries(options)) {
		if (value !== undefined && names && !names.includes(name)) {
			throw wrongType(what, `of ${names.join(', ')}`, name);
		}
	}
}

const waitNames = ['timeout', 'signal'];

/** Checks the options of a call that may have to wait. */
export function checkWaitOptions(options: WaitOptions, names: readonly string[] = waitNames): void {
	checkNames('options', options, names);
	const {timeout, signal} = options;
	if (timeout !== undefined) {
		checkMilliseconds('timeout', timeout);
	}

	if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
		throw wrongType('signal', 'an AbortSignal', signal);
	}
}

/** Checks a time in milliseconds. */
export function checkMilliseconds(name: string, value: unknown): void {
	if (typeof value !== 'number') {
		throw wrongType(name, 'a number of milliseconds', value);
	}

	if (!(value >= 0)) {
		throw outOfRange(name, 'a number of milliseconds from 0 up', value);
	}
}
