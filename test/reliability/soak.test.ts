import test, {type ExecutionContext} from 'ava';
import {checkpointFileBytes} from '../../source/format/checkpoint.ts';
import {runFixture} from '../helpers/children.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, isLong, seed, sized} from '../helpers/form.ts';
import {largestBytes, roundsPerCycle, type SoakPlan, type SoakSample, type SoakVariant} from '../helpers/soak.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const mebibyte = 1024 * 1024;
const segmentBytes = mebibyte;
const maxBytes = 4 * mebibyte;

/** What a queue may hold that is drained: a read-ahead buffer, those of the codec, and the code that ran. */
const idleBytes = 16 * mebibyte;
/** How far the medians of two samples of the same kind may lie apart by chance. */
const noiseBytes = 3 * mebibyte;
/** While it works: the huge record as it was put, encoded, read and decoded, and the young generation on top. */
const peakBytes = 400 * mebibyte;
/** The lock's socket, the checkpoint, the segments that are written to and read, and a directory while it is synced. */
const queueDescriptors = 5;

const variants: SoakVariant[] = [
	{through: 'queue', durability: 'spill'},
	{through: 'pipeline', durability: 'write'},
	{through: 'deliveries', durability: 'fsync'},
	{through: 'queue', durability: 'write', maxBytes},
];
const furtherVariants: SoakVariant[] = [
	{through: 'queue', durability: 'write'},
	{through: 'queue', durability: 'fsync'},
	{through: 'pipeline', durability: 'spill'},
	{through: 'pipeline', durability: 'fsync'},
	{through: 'deliveries', durability: 'write'},
	{through: 'reopened', durability: 'spill'},
];

for (const variant of isLong ? [...variants, ...furtherVariants] : variants) {
	const name = `${variant.through}, '${variant.durability}'${variant.maxBytes ? ', maxBytes' : ''}`;
	test(`${name}: memory, disk, descriptors and timers are as before after every round`, async t => {
		announce(t);
		const report = startFigures(t, 'T8', name);
		const samples = await soak(t, variant);
		const [start, end] = [samples[0]!, samples.at(-1)!];
		const rounds = samples.slice(1, -1);
		t.true(rounds.length >= 2 * roundsPerCycle && end.records > 0);
		assertMemory(t, start, rounds, end);
		assertDisk(t, rounds, variant);
		assertResources(t, start, rounds, end);
		const gigabytes = end.bytes / 1e9;
		report({
			'GB through': round(gigabytes, 2),
			records: end.records,
			rounds: rounds.length,
			'MB peak memory': round(end.peakRss / 1e6),
			'MB at the end': round(end.rss / 1e6),
			'kB growth per GB': round(growthOf(rounds) / 1e3 / (gigabytes / 2), 1),
			descriptors: Math.max(...rounds.map(({descriptors}) => descriptors.length - start.descriptors.length)),
		});
	});
}

async function soak(t: ExecutionContext, variant: SoakVariant): Promise<SoakSample[]> {
	const plan: SoakPlan = {
		...variant,
		directory: temporaryDirectory(t),
		rounds: 2 * roundsPerCycle,
		seconds: sized(0, 95),
		recordsPerRound: variant.maxBytes ? 400 : sized(150, 400),
		segmentBytes,
		seed,
	};
	const {code, stdout, stderr} = await runFixture(t, 'soak', [JSON.stringify(plan)], {execArgv: ['--expose-gc']});
	t.is(code, 0, stderr);
	t.is(stderr, '');
	return stdout.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as SoakSample]));
}

/** No round leaves more than a queue may hold, and the later ones leave no more than the earlier ones. */
function assertMemory(t: ExecutionContext, start: SoakSample, rounds: SoakSample[], end: SoakSample): void {
	const held = [...rounds, end].map(sample => sample.held - start.held);
	t.true(Math.max(...held) < idleBytes, `held after each round: ${held.map(bytes => round(bytes / mebibyte, 1))}`);
	t.true(growthOf(rounds) < noiseBytes, `grows by ${growthOf(rounds)}: ${held}`);
	t.true(end.peakRss < peakBytes, `${end.peakRss} at most`);
	if (isLong) {
		// The allocator takes what it needs for the huge records in the first rounds, and gives some of it back at times.
		const settled = rounds.slice(rounds.length / 4);
		const [earlier, later] = halves(settled).map(half => median(half.map(({rss}) => rss)));
		t.true(later! - earlier! < 8 * noiseBytes, `resident memory grows from ${earlier} to ${later}`);
	}
}

/** Space is given back but for the last file, and `maxBytes` is kept, give or take one block. */
function assertDisk(t: ExecutionContext, rounds: SoakSample[], variant: SoakVariant): void {
	const drained = segmentBytes + largestBytes + checkpointFileBytes;
	for (const {segments, hasHuge, diskBytes, peakDiskBytes} of rounds) {
		t.true(segments <= 1);
		t.true(hasHuge || diskBytes < drained, `${diskBytes} bytes of a drained queue`);
		t.true(!variant.maxBytes || peakDiskBytes < maxBytes + largestBytes, `${peakDiskBytes} bytes`);
	}

	t.is(rounds.at(-1)!.fulls > 0, variant.maxBytes !== undefined);
}

function assertResources(t: ExecutionContext, start: SoakSample, rounds: SoakSample[], end: SoakSample): void {
	for (const {descriptors, resources} of rounds) {
		const opened = descriptors.length - start.descriptors.length;
		t.true(opened <= queueDescriptors, `${descriptors.join()} after ${start.descriptors.join()}`);
		// A stream that waits for a record keeps the process alive, by one timer.
		t.true(resources.length <= start.resources.length + 1, resources.join());
	}

	t.is(end.descriptors.length, start.descriptors.length, `${end.descriptors.join()} after ${start.descriptors.join()}`);
	t.deepEqual(end.resources, start.resources);
}

/** By how much the later rounds hold more than the earlier ones. */
function growthOf(rounds: SoakSample[]): number {
	const [earlier, later] = halves(rounds).map(half => median(half.map(({held}) => held)));
	return later! - earlier!;
}

/** The first rounds and the last ones, whole cycles of both. */
function halves(rounds: SoakSample[]): [SoakSample[], SoakSample[]] {
	const cycles = Math.floor(rounds.length / roundsPerCycle);
	const half = (cycles >> 1) * roundsPerCycle;
	return [rounds.slice(0, half), rounds.slice(-half)];
}

function median(values: number[]): number {
	return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function round(value: number, digits = 0): number {
	return Number(value.toFixed(digits));
}
