import type {ExecutionContext} from 'ava';

/** Whether the suites run in their long form, as `npm run test:reliability` does, and not in that of `npm test`. */
export const isLong: boolean = process.env.DISQ_FORM === 'long';

/** How many of something a suite tries, by form. */
export function sized(short: number, long: number): number {
	return isLong ? long : short;
}

/** Where the random choices of this run start: `DISQ_SEED`, or another one each time. */
export const seed: number = Number(process.env.DISQ_SEED ?? Date.now() % 2 ** 32);

/**
 * In minutes. The short one is less than the runner waits for a process that says nothing: while a test has longer than
 * that, the runner does not notice a process that does not end.
 */
const patience = sized(4, 15);

/** Says the seed, before anything can fail, and lets a suite take as long as its form does. */
export function announce(t: ExecutionContext): void {
	t.timeout(patience * 60_000);
	t.log(`seed ${seed}`);
}
