import {rmSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {DiskQueue, type DiskQueueOptions} from '../../source/index.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {inTime} from '../helpers/in-time.ts';
import {OverlappingLife, type Part} from '../helpers/overlapping-life.ts';
import {pickFrom, randomFrom} from '../helpers/random.ts';
import {restlessStorage} from '../helpers/restless-storage.ts';
import {memoryDirectory} from '../helpers/temporary-directory.ts';

const lives = sized(300, 1000);

/** In milliseconds: one takes some hundredths of it. */
const lifeLimit = 15_000;

function optionsOf(random: () => number): DiskQueueOptions<Part> {
	const maxSize = pickFrom([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 4, 30], random);
	return {
		durability: pickFrom(['spill', 'write', 'fsync'] as const, random),
		cacheSize: pickFrom([1, 2, 5, 64], random),
		cacheBytes: pickFrom([100, 1000, 20_000, 1_000_000], random),
		segmentBytes: pickFrom([4096, 30_000, 1_000_000], random),
		maxSize,
		overflow: pickFrom(['wait', 'wait', 'dropOldest', 'dropNewest'] as const, random),
	};
}

test('of calls that overlap in any way each record comes once and in order, while reads take their time', async t => {
	announce(t);
	const report = startFigures(t, 'Overlap', 'producers, consumers, clears and closes at once');
	const directory = memoryDirectory(t);
	const sums: Record<string, number> = {lives};
	for (let number = 0; number < lives; number++) {
		const random = randomFrom(seed + number);
		const path = join(directory, String(number));
		const options = optionsOf(random);
		const queue = await DiskQueue.open<Part>(path, {...options, storage: restlessStorage(random)});
		const life = new OverlappingLife(queue, {
			random,
			textLength: pickFrom([10, 1000, 200_000], random),
			producers: pickFrom([1, 2], random),
			consumers: pickFrom([1, 2, 4], random),
			puts: pickFrom([5, 20], random),
		});
		const closeAfter = random() < 0.3 ? Math.floor(random() * 40) : Number.POSITIVE_INFINITY;
		try {
			await inTime(life.live(closeAfter), lifeLimit);
			await using again = await DiskQueue.open<Part>(path);
			await inTime(life.compare(again), lifeLimit);
		} catch (error) {
			life.problems.push(`${(error as Error).stack}`);
			await queue.close().catch(() => {});
		}

		t.deepEqual(life.problems, [], `DISQ_SEED=${seed + number}: ${JSON.stringify(options)}`);
		rmSync(path, {recursive: true});
		for (const [what, count] of Object.entries(life.counts)) {
			sums[what] = (sums[what] ?? 0) + count;
		}
	}

	t.true(Object.values(sums).every(count => count > 0));
	report(sums);
});
