import {appendFileSync} from 'node:fs';
import {performance} from 'node:perf_hooks';
import type {ExecutionContext} from 'ava';
import {seed} from './form.ts';

/** What a part of a suite did: a row of the table in docs/reliability.md. */
export type Figures = {
	/** `T1` to `T11`, or a word. */
	suite: string;
	what: string;
	/** How many of what, by name: `{kills: 1000, 'records verified': 81234}`. */
	counts: Record<string, number>;
	seconds: number;
	seed: number;
};

/** Starts the clock of a part of a suite; the function it returns prints the figures, and keeps them for the table. */
export function startFigures(
	t: ExecutionContext,
	suite: string,
	what: string,
): (counts: Record<string, number>) => void {
	const start = performance.now();
	return counts => reportFigures(t, {suite, what, counts, seconds: (performance.now() - start) / 1000});
}

/** Prints figures that were gathered over several tests, and keeps them for the table. */
export function reportFigures(t: ExecutionContext, figures: Omit<Figures, 'seed'>): void {
	const {suite, what, counts, seconds} = figures;
	t.log(`${suite} ${what}: ${describeCounts(counts)}; ${seconds.toFixed(1)} s`);
	const file = process.env.DISQ_FIGURES;
	if (file) {
		appendFileSync(file, `${JSON.stringify({...figures, seed})}\n`);
	}
}

/** Counts as a reader wants them: `1,000 kills, 81,234 records verified`. */
export function describeCounts(counts: Record<string, number>): string {
	return Object.entries(counts)
		.map(([name, count]) => `${count.toLocaleString('en-US')} ${name}`)
		.join(', ');
}
