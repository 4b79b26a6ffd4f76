import {setTimeout} from 'node:timers/promises';

/** Waits for work that is done in a small part of so many milliseconds, if it does not hang: then it rejects. */
export async function inTime<T>(work: Promise<T>, milliseconds: number): Promise<T> {
	const ended = new AbortController();
	const late = setTimeout(milliseconds, undefined, {signal: ended.signal}).then(() => {
		throw new Error(`hangs: not done in ${milliseconds} ms`);
	});
	try {
		return await Promise.race([work, late]);
	} finally {
		ended.abort();
	}
}
