import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {startFigures} from './figures.ts';
import {announce, seed} from './form.ts';
import {type CommonJob, InterruptedRuns, type Kind, sumFigures} from './interrupted-runs.ts';
import {startWorker} from './jobs.ts';
import {range} from './queues.ts';
import {randomFrom} from './random.ts';
import {temporaryDirectory} from './temporary-directory.ts';

/** Directories that runs work on at the same time, each in a child of its own. */
const lanes = 2;
/** The longest that a child works, in milliseconds. */
const longestRun = 150;

export type Killing<Job extends CommonJob, Found> = {kind: Kind<Job, Found>; kills: number; what: string};

/** Kills children at any moment of their work, over and over on the same directories, and compares what they leave. */
export async function killRuns<Job extends CommonJob, Found>(
	t: ExecutionContext,
	{kind, kills, what}: Killing<Job, Found>,
): Promise<void> {
	announce(t);
	const report = startFigures(t, 'T3', `SIGKILL at any moment: ${what}`);
	const finished = range(0, lanes).map(async lane => {
		const random = randomFrom(seed + lane);
		const runs = new InterruptedRuns(t, kind, {directory: join(temporaryDirectory(t), 'queue'), random});
		let killed = 0;
		for (; killed < Math.ceil((kills - lane) / lanes); killed++) {
			const worker = startWorker<Job>(t, kind.fixture);
			await runs.begin(worker);
			await worker.killAfter(random() * longestRun);
			t.deepEqual(await runs.interrupted('SIGKILL'), []);
			// Otherwise the next child finds what the killed one left as it is.
			if (random() < 0.5) {
				await runs.reopen();
			}
		}

		return {kills: killed, ...runs.figures, 'ms to open again at most': Math.ceil(runs.longestOpen)};
	});

	const figures = sumFigures(await Promise.all(finished));
	t.is(figures.kills, kills);
	t.true((figures['records accepted']! > 0 && figures['records verified']! > 0) || kills < 10);
	report(figures);
}
