import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {performance} from 'node:perf_hooks';
import test from 'ava';
import fc from 'fast-check';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {inTime} from '../helpers/in-time.ts';
import {device, emptyDevice, ending} from '../helpers/model-life.ts';
import {delivering, putting, receiving, taking} from '../helpers/model-records.ts';
import {type Command, makeModel, openReal, type Real, runOptions} from '../helpers/model-run.ts';
import type {QueueModel} from '../helpers/queue-model.ts';
import {range} from '../helpers/queues.ts';
import {memoryDirectory} from '../helpers/temporary-directory.ts';

const runs = sized(2000, 20_000);

/** No run is begun later. */
const timeLimit = 55_000;

/** A run takes some milliseconds: one that takes so many hangs. */
const runLimit = 10_000;

/** How many kinds of questions there are: each is asked in a few thousand runs. */
const kinds = 26;

const often = (times: number, each: Array<fc.Arbitrary<Command>>) => range(0, times).flatMap(() => each);

/** All that may be asked of a queue: most often what leaves something for the others to do. */
const commands: Array<fc.Arbitrary<Command>> = [
	...often(4, putting),
	...often(2, taking),
	...often(6, receiving),
	...often(3, delivering),
	...device,
	...ending,
];

test('a queue does what lists in memory do, whatever is asked of it, on a device that fills, over crashes and reopens', async t => {
	announce(t);
	const report = startFigures(t, 'T6', 'a queue against a model');
	const root = memoryDirectory(t);
	const counts: Record<string, number> = {};
	let run = 0;
	const start = performance.now();
	const property = fc.asyncProperty(
		runOptions,
		fc.commands(commands, {maxCommands: 60, size: 'max'}),
		async (first, all) => {
			if (performance.now() - start > timeLimit) {
				return;
			}

			const directory = join(root, String(run++));
			const real = await openReal(directory, first);
			const model = makeModel(first);
			try {
				await inTime(
					fc.asyncModelRun(() => ({model, real}), all),
					runLimit,
				);
				await inTime(end(model, real), runLimit);
			} finally {
				await close(real);
				rmSync(directory, {recursive: true});
			}

			for (const [kind, count] of Object.entries(real.counts)) {
				counts[kind] = (counts[kind] ?? 0) + count;
			}
		},
	);
	await fc.assert(property, {numRuns: runs, seed: seed | 0});
	const steps = Object.values(counts).reduce((sum, count) => sum + count, 0);
	t.log(counts);
	t.is(Object.keys(counts).length, kinds);
	t.true(steps > 10 * run);
	report({runs: run, 'steps compared': steps, crashes: counts.crash!, reopens: counts.reopen!});
});

async function end(model: QueueModel, real: Real): Promise<void> {
	if (model.isDeviceFull) {
		await emptyDevice(model, real);
	}
}

/** Also after a failure, when puts may still wait for a device that is full. */
async function close(real: Real): Promise<void> {
	real.device.isFull = false;
	await real.queue.close().catch(() => {});
	await Promise.allSettled(real.pending);
}
