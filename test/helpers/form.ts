import type {ExecutionContext} from 'ava';

/** Whether the suites run in their long form, as `npm run test:reliability` does, and not in that of `npm test`. */
export const isLong: boolean = process.env.DISQ_FORM === 'long';

/** How many of something a suite tries, by form. */
export function sized(short: number, long: number): number {
	return isLong ? long : short;
}

/** Where the random choices of this run start: `DISQ_SEED`, or another one each time. */
export const seed: number = Number(process.env.DISQ_SEED ?? Date.now() % 2 ** 32);

/** Says the seed, before anything can fail, and lets a suite take as long as its form does. */
export function announce(t: ExecutionContext): void {
	t.timeout(15 * 60_000);
	t.log(`seed ${seed}`);
}
