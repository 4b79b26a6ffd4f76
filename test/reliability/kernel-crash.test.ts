import {join, relative} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {CrashingDevice, type JournalFate, onCrashingDevice} from '../helpers/crashing-device.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {consumerKind, control, queueKind} from '../helpers/interrupted-kinds.ts';
import {type CommonJob, InterruptedRuns, type Kind, sumFigures} from '../helpers/interrupted-runs.ts';
import {startWorker, type Worker} from '../helpers/jobs.ts';
import {range} from '../helpers/queues.ts';
import {pickFrom, randomFrom} from '../helpers/random.ts';

/** The longest time from the start of a run to the power cut, and from image to image, in milliseconds. */
const longestRun = 60;
const longestPause = 20;
const imagesPerRun = 5;
/** How many power cuts a directory lives through. */
const cutsPerDirectory = 12;

/** What is on a device depends on how its file system orders data and what names them. */
const mountOptions = ['defaults', 'nodelalloc', 'data=writeback', 'data=writeback,nodelalloc', 'data=journal'];
const journalFates: JournalFate[] = ['lost', 'lost', 'flushed'];

/** A file system, a child that works there, and its runs over a directory. */
type Bench<Job extends CommonJob, Found> = {
	t: ExecutionContext;
	kind: Kind<Job, Found>;
	random: () => number;
	device: CrashingDevice;
	worker: Worker<Job>;
	runs: InterruptedRuns<Job, Found>;
};

type Crashing<Job extends CommonJob, Found> = {
	kind: Kind<Job, Found>;
	cuts: number;
	images: number;
	/** Told of what is wrong after a power cut, or in an image: nothing, as a rule. */
	judge(problems: string[]): void;
};

/** Cuts the power of a file system while a child works on it, over and over, and looks at images of its device. */
async function crashRuns<Job extends CommonJob, Found>(
	t: ExecutionContext,
	{kind, cuts, images, judge}: Crashing<Job, Found>,
): Promise<Record<string, number>> {
	const random = randomFrom(seed);
	const device = await CrashingDevice.create(t);
	const makeRuns = (name: string) => new InterruptedRuns(t, kind, {directory: join(device.root, name), random});
	const bench: Bench<Job, Found> = {
		t,
		kind,
		random,
		device,
		worker: startWorker<Job>(t, kind.fixture),
		runs: makeRuns('0'),
	};
	const all = [bench.runs];
	const counts = {'power cuts': 0, images: 0, 'kills before a power cut': 0};
	for (; counts['power cuts'] < cuts; counts['power cuts']++) {
		if (counts['power cuts'] % cutsPerDirectory === 0) {
			bench.runs = makeRuns(String(all.length));
			all.push(bench.runs);
		}

		await bench.runs.begin(bench.worker);
		await setTimeout(random() * longestRun);
		if (random() < 0.1) {
			judge(await takeOver(bench));
			counts['kills before a power cut']++;
		}

		judge(await cutPower(bench));
	}

	for (; counts.images < images; counts.images += imagesPerRun) {
		await bench.runs.begin(bench.worker);
		for (const _ of range(0, imagesPerRun)) {
			judge(await compareImage(bench));
		}

		judge(await cutPower(bench));
	}

	return {...counts, ...sumFigures(all.map(({figures}) => figures))};
}

/** Kills the child, and lets another one go on for a while. */
async function takeOver<Job extends CommonJob, Found>(bench: Bench<Job, Found>): Promise<string[]> {
	const {t, kind, random, runs} = bench;
	await bench.worker.killAfter(0);
	const problems = await runs.interrupted('SIGKILL');
	bench.worker = startWorker<Job>(t, kind.fixture);
	await runs.begin(bench.worker);
	await setTimeout(random() * longestRun);
	return problems;
}

async function cutPower<Job extends CommonJob, Found>(bench: Bench<Job, Found>): Promise<string[]> {
	const {device, worker, random, runs} = bench;
	runs.notePowerCut();
	await device.crash(pickFrom(journalFates, random));
	await worker.stop();
	await device.remount(pickFrom(mountOptions, random));
	const problems = await runs.interrupted('power cut');
	// Otherwise the next run finds it as the power cut left it.
	if (random() < 0.5) {
		await runs.reopen();
	}

	return problems;
}

async function compareImage<Job extends CommonJob, Found>(bench: Bench<Job, Found>): Promise<string[]> {
	const {device, worker, random, runs} = bench;
	await setTimeout(random() * longestPause);
	const place = relative(device.root, runs.directory);
	return worker.whileFrozen(() => device.onImage(root => runs.compareImage(join(root, place))));
}

async function losesNothing<Job extends CommonJob, Found>(
	t: ExecutionContext,
	{what, ...crashing}: Omit<Crashing<Job, Found>, 'judge'> & {what: string},
): Promise<void> {
	announce(t);
	const report = startFigures(t, 'T2', what);
	const figures = await crashRuns(t, {...crashing, judge: problems => t.deepEqual(problems, [])});
	t.true(figures['records accepted']! > 0 && figures['records verified']! > 0);
	t.is(figures['power cuts'], crashing.cuts);
	report(figures);
}

for (const [durability, cuts, images] of [
	['spill', sized(6, 70), sized(5, 30)],
	['write', sized(6, 80), sized(5, 30)],
	['fsync', sized(12, 150), sized(5, 60)],
] as const) {
	onCrashingDevice(
		`'${durability}': ${cuts} power cuts and ${images} images: what was promised to be on the device is there`,
		t => losesNothing(t, {kind: queueKind(durability), cuts, images, what: `puts, gets and syncs, '${durability}'`}),
	);
}

for (const [durability, cuts, images] of [
	['write', sized(8, 100), sized(5, 40)],
	['fsync', sized(8, 100), sized(5, 40)],
] as const) {
	onCrashingDevice(
		`'${durability}': ${cuts} power cuts and ${images} images amid deliveries: what was acknowledged before a sync stays done`,
		t => losesNothing(t, {kind: consumerKind(durability), cuts, images, what: `deliveries, '${durability}'`}),
	);
}

onCrashingDevice(
	'without a sync a power cut loses records, so that this suite would see a sync that is missing',
	async t => {
		announce(t);
		const report = startFigures(t, 'T2', 'control, nothing forced to the device');
		let losing = 0;
		const cuts = sized(6, 30);
		const images = sized(5, 10);
		const figures = await crashRuns(t, {
			kind: control(),
			cuts,
			images,
			judge(problems) {
				losing += problems.some(problem => problem.startsWith('lost')) ? 1 : 0;
			},
		});
		t.true(losing > 0);
		report({'power cuts': figures['power cuts']!, images: figures.images!, 'control runs that lost records': losing});
	},
);
