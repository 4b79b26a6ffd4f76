import {appendFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {startFigures} from '../helpers/figures.ts';
import {announce, isLong, seed, sized} from '../helpers/form.ts';
import {consumerKind, queueKind} from '../helpers/interrupted-kinds.ts';
import {type CommonJob, InterruptedRuns, type Kind, sumFigures} from '../helpers/interrupted-runs.ts';
import {startWorker} from '../helpers/jobs.ts';
import {type Call, type KillPoint, someMomentsOf} from '../helpers/kill-points.ts';
import {segmentNames} from '../helpers/logs.ts';
import {range} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';
import {memoryDirectory} from '../helpers/temporary-directory.ts';

/** Directories that children work on at the same time. */
const lanes = 2;
/** How many kills a directory lives through before the next one is begun. */
const killsPerDirectory = 8;
/** Records that a run puts, if it is not killed before. */
const recordsPerRun = 80;
/** How many runs the first call of a kind gets: one that gives most records back may end without a segment done. */
const runsPerPoint = 5;

/** The calls that every run makes, or nearly. */
const usualCalls: Call[] = [
	'rename claim',
	'unlink claim',
	'write checkpoint',
	'sync checkpoint',
	'close checkpoint',
	'create segment',
	'write header',
	'write block',
	'sync segment',
	'close segment',
	'unlink segment',
	'sync directory',
];
/** Those of the first run over a directory. */
const firstCalls: Call[] = ['make directory', 'sync parent directory', 'create checkpoint', 'allocate checkpoint'];

/** Those of a run that comes after a kill at a certain point. */
const callsAfter = new Map<Call, KillPoint>([
	['unlink checkpoint', {call: 'create checkpoint', moment: 'after', nth: 1}],
	['truncate segment', {call: 'sync segment', moment: 'before', nth: 1}],
]);

type Case = {point: KillPoint; isFirstRun: boolean; before: KillPoint | undefined};

/** Every call at every moment, the first times it is made; in the short form each call once. */
function makeCases(random: () => number): Case[] {
	return [...firstCalls, ...callsAfter.keys(), ...usualCalls].flatMap(call => {
		const isFirstRun = firstCalls.includes(call) || call === 'unlink checkpoint';
		const times = usualCalls.includes(call) ? sized(1, 3) : 1;
		return someMomentsOf(call, random).flatMap(moment =>
			range(1, times + 1).map(nth => ({point: {call, moment, nth}, isFirstRun, before: callsAfter.get(call)})),
		);
	});
}

type Killing<Job extends CommonJob, Found> = {
	kind: Kind<Job, Found>;
	what: string;
	/** The queue's directory, in that of its runs. */
	place?: string;
};

/** Kills a child at each point, over a few directories, and compares what each leaves. */
async function killAtPoints<Job extends CommonJob, Found>(
	t: ExecutionContext,
	{kind, what, place = ''}: Killing<Job, Found>,
): Promise<void> {
	announce(t);
	const report = startFigures(t, 'T3', `SIGKILL at named points: ${what}`);
	const cases = makeCases(randomFrom(seed));
	const missed: KillPoint[] = [];
	const finished = range(0, lanes).map(async lane => {
		const random = randomFrom(seed + lane);
		const all: Array<InterruptedRuns<Job, Found>> = [];
		let kills = 0;
		const killAt = async (runs: InterruptedRuns<Job, Found>, point: KillPoint) => {
			for (let left = point.nth === 1 ? runsPerPoint : 1; left > 0; left--) {
				const worker = startWorker<Job>(t, kind.fixture);
				await runs.begin(worker, {count: recordsPerRun, killPoint: point} as Partial<Job>);
				await worker.killed;
				t.deepEqual(await runs.interrupted('SIGKILL'), []);
				if (!runs.isEnded) {
					kills++;
					return;
				}
			}

			missed.push(point);
		};
		for (const [index, {point, isFirstRun, before}] of cases.entries()) {
			if (index % lanes !== lane) {
				continue;
			}

			if (isFirstRun || kills % killsPerDirectory === 0) {
				all.push(new InterruptedRuns(t, kind, {directory: join(memoryDirectory(t), 'queue'), random}));
			}

			const runs = all.at(-1)!;
			if (before) {
				await killAt(runs, before);
			}

			if (point.call === 'truncate segment') {
				tearLastSegment(join(runs.directory, place));
			}

			await killAt(runs, point);
			if (random() < 0.5) {
				await runs.reopen();
			}
		}

		return {kills, ...sumFigures(all.map(({figures}) => figures))};
	});

	const figures = sumFigures(await Promise.all(finished));
	t.true(figures.kills! >= cases.length - missed.length);
	// No run may make a call as often as that.
	const never = missed.filter(({nth}) => nth === 1);
	t.deepEqual(never, []);
	report({points: cases.length - missed.length, ...figures});
}

/** Puts a part of a block behind the last whole one, as a kill within a write does. */
function tearLastSegment(directory: string): void {
	appendFileSync(join(directory, segmentNames(directory).at(-1)!), Buffer.alloc(100, 0xa5));
}

for (const durability of isLong ? (['write', 'fsync'] as const) : (['write'] as const)) {
	test.serial(
		`'${durability}': SIGKILL at every call of the file system amid puts and gets loses nothing it must not`,
		t => killAtPoints(t, {kind: queueKind(durability), what: `puts and gets, '${durability}'`}),
	);
}

for (const durability of isLong ? (['write', 'fsync'] as const) : (['fsync'] as const)) {
	test.serial(
		`'${durability}': SIGKILL at every call of the file system amid deliveries loses nothing it must not`,
		t =>
			killAtPoints(t, {
				kind: consumerKind(durability),
				place: 'queue',
				what: `deliveries and dead letters, '${durability}'`,
			}),
	);
}
