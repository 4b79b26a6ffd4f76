import {performance} from 'node:perf_hooks';
import {crc32} from 'node:zlib';
import test, {type ExecutionContext} from 'ava';
import {
	type Candidate,
	type Counts,
	type CrashScript,
	directoriesOf,
	Explorer,
	record,
} from '../helpers/crash-explorer.ts';
import type {CrashModelOptions} from '../helpers/crash-model.ts';
import {keyOfImage} from '../helpers/crash-outcome.ts';
import {drainQueueOn} from '../helpers/crash-queue-actor.ts';
import {recordSecondLife} from '../helpers/crash-second-life.ts';
import {reportFigures} from '../helpers/figures.ts';
import {announce, isLong, seed, sized} from '../helpers/form.ts';
import {randomFrom} from '../helpers/random.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {logScripts} from './crash-log-scripts.ts';
import {queueScripts} from './crash-queue-scripts.ts';

type Sizes = Omit<CrashModelOptions, 'random'>;

const sizes: Sizes = isLong ? {exhaustive: 9, samples: 24, cuts: 84} : {exhaustive: 4, samples: 4, cuts: 2};
const secondSizes: Sizes = isLong ? {exhaustive: 5, samples: 8, cuts: 6} : {exhaustive: 2, samples: 2, cuts: 2};
/** States of each script whose recovery is crashed, and that are opened as whole queues. */
const secondLives = sized(1, 8);
const wholeQueues = sized(1, 5);

const scripts: CrashScript[] = [...logScripts, ...queueScripts];
const first = {scripts: 0, crashes: 0, states: 0, distinct: 0, seconds: 0};
const second = {recoveries: 0, crashes: 0, states: 0, distinct: 0, 'whole queues': 0, seconds: 0};

for (const script of scripts) {
	test.serial(`no crash breaks a promise: ${script.name}`, async t => {
		announce(t);
		const random = randomFrom(seed ^ crc32(script.name));
		const parent = temporaryDirectory(t);
		const crashed = new Sample<Candidate>(secondLives, random);
		const opened = new Sample<Candidate>(wholeQueues, random);
		const explorer = new Explorer(directoriesOf(script, parent), candidate => {
			opened.offer(candidate);
			if (!script.hasDeadLetters && isRecovered(candidate)) {
				crashed.offer(candidate);
			}
		});

		let start = performance.now();
		const truth = await record(script, parent, explorer.contents, {random, ...sizes});
		add(first, {scripts: 1, ...(await explorer.explore(truth)), seconds: secondsSince(start)});

		start = performance.now();
		const found: Array<Candidate> = [...opened.items];
		for (const candidate of [...crashed.items]) {
			const life = await recordSecondLife(candidate, explorer, {random, ...secondSizes});
			add(second, {recoveries: 1, ...(await explorer.explore(life))});
		}

		for (const candidate of found) {
			await opensAsWhole(t, candidate, explorer.directories[0]!);
			add(second, {'whole queues': 1});
		}

		add(second, {seconds: secondsSince(start)});
		t.pass();
	});
}

test.serial('the scripts made as many states as they should', t => {
	const {seconds, ...counts} = first;
	reportFigures(t, {suite: 'T1', what: 'crashes at any operation', counts, seconds});
	const {seconds: more, ...others} = second;
	reportFigures(t, {suite: 'T1', what: 'crashes of the recovery and after it', counts: others, seconds: more});
	t.true(first.scripts >= 60);
	t.true(first.distinct >= sized(5000, 200_000));
	t.true(second.distinct >= sized(1000, 50_000));
	t.true(second['whole queues'] >= first.scripts);
});

/** Some of many, each as likely as any other. */
class Sample<T> {
	readonly items: T[] = [];
	readonly #size: number;
	readonly #random: () => number;
	#offered = 0;

	constructor(size: number, random: () => number) {
		this.#size = size;
		this.#random = random;
	}

	offer(item: T): void {
		const place = Math.floor(this.#random() * ++this.#offered);
		if (this.items.length < this.#size) {
			this.items.push(item);
		} else if (place < this.#size) {
			this.items[place] = item;
		}
	}
}

/** Whether opening a state changed it, and told no damage. */
function isRecovered({state, outcome}: Candidate): boolean {
	return outcome.queues.every(({corruptions}) => corruptions.length === 0) && state.key !== keyOfImage(outcome.image);
}

async function opensAsWhole(t: ExecutionContext, {state, outcome}: Candidate, directory: string): Promise<void> {
	const ids = await drainQueueOn(state.image(), directory);
	t.deepEqual(
		ids,
		outcome.queues[0]!.delivered.map(({record}) => record.id),
		state.describe(),
	);
}

function add<Key extends string>(sums: Record<Key, number>, more: Partial<Record<Key, number>> | Counts): void {
	for (const [key, count] of Object.entries(more)) {
		sums[key as Key] += count as number;
	}
}

function secondsSince(start: number): number {
	return (performance.now() - start) / 1000;
}
