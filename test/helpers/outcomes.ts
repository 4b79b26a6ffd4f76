import type {ExecutionContext} from 'ava';
import {range} from './queues.ts';

/** The value that a loop over places gives to one of them, so that all values meet all kinds of places. */
export const pick = <V>(values: readonly V[], place: number): V => values[place % values.length]!;

/** What became of the records 0, 1, ...: how many were written, called back as accepted, and confirmed by the sink. */
export type Outcome = {written: number; accepted: number; confirmed: number};

/**
 * Holds what came back against it: one run of records without gap or repetition, that starts at the first record that
 * was not confirmed, or before it, and reaches the last one that was accepted. Returns how many came back in vain.
 */
export function assertComplete(
	t: ExecutionContext,
	returned: number[],
	{written, accepted, confirmed}: Outcome,
): number {
	const first = returned[0] ?? confirmed;
	const end = first + returned.length;
	const what = `${first} to ${end} came back; ${written} written, ${accepted} accepted, ${confirmed} confirmed`;
	t.deepEqual(returned, range(first, end), what);
	t.true(first <= confirmed, what);
	t.true(end >= Math.max(accepted, confirmed) && end <= written, what);
	return confirmed - first;
}

/** Units of time at which a run can be interrupted. */
export const steps: Record<string, (action: () => void) => void> = {
	'turn of the event loop': setImmediate,
	tick: process.nextTick,
	microtask: queueMicrotask,
};

/** Does something after so many steps. */
export function afterSteps(count: number, step: (action: () => void) => void, action: () => void): void {
	if (count === 0) {
		action();
	} else {
		step(() => afterSteps(count - 1, step, action));
	}
}
