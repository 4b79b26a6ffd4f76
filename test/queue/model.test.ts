import {rmSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import {type Delivery, DiskQueue, type DiskQueueOptions} from '../../source/index.ts';
import {memoryDirectory} from '../helpers/temporary-directory.ts';

const runs = Number(process.env.DISQ_MODEL_RUNS ?? 2000);
const seed = Number(process.env.DISQ_SEED ?? Math.floor(Math.random() * 2 ** 31));

type Value = {id: number; text: string};
type Item = {ordinal: number; value: Value; attempts: number};

/** What a queue should hold: a list in memory. */
type Model = {waiting: Item[]; inFlight: Item[]; next: number};
type Real = {queue: DiskQueue<Value>; directory: string; deliveries: Map<number, Delivery<Value>>; check: Check};
type Check = {deepEqual(actual: unknown, expected: unknown): void};
type Command = fc.AsyncCommand<Model, Real>;

const options: fc.Arbitrary<DiskQueueOptions<Value>> = fc.record({
	durability: fc.constantFrom('spill', 'write', 'fsync'),
	cacheSize: fc.constantFrom(1, 2, 3, 7, 20, 1024),
	cacheBytes: fc.constantFrom(100, 1000, 1_000_000),
	segmentBytes: fc.constantFrom(4096, 8192, 1_000_000),
});

function command(name: string, run: (model: Model, real: Real) => Promise<void>, check = (_: Model) => true): Command {
	return {
		check,
		async run(model, real) {
			await run(model, real);
			real.check.deepEqual([name, real.queue.size], [name, model.waiting.length]);
			real.check.deepEqual(real.queue.stats().inFlight, model.inFlight.length);
		},
		toString: () => name,
	};
}

const hasWaiting = (model: Model) => model.waiting.length > 0;

function addNext(model: Model, text: string): Value {
	const ordinal = model.next++;
	const value = {id: ordinal, text};
	model.waiting.push({ordinal, value, attempts: 0});
	return value;
}

function giveBack(model: Model, item: Item): void {
	model.inFlight.splice(model.inFlight.indexOf(item), 1);
	model.waiting.push(item);
	model.waiting.sort((a, b) => a.ordinal - b.ordinal);
}

const text = fc.string({maxLength: 12}).map(part => part.repeat(8));

const commands: Array<fc.Arbitrary<Command>> = [
	text.map(part =>
		command(`put(${part.length})`, async (model, {queue}) => {
			await queue.put(addNext(model, part));
		}),
	),
	fc.tuple(fc.integer({min: 0, max: 30}), text).map(([count, part]) =>
		command(`putMany(${count} of ${part.length})`, async (model, {queue}) => {
			await queue.putMany(Array.from({length: count}, () => addNext(model, part)));
		}),
	),
	text.map(part =>
		command(`putNowait(${part.length})`, async (model, {queue}) => {
			queue.putNowait(addNext(model, part));
		}),
	),
	fc.constant(
		command(
			'get',
			async (model, {queue, check}) => {
				check.deepEqual(await queue.get(), model.waiting.shift()!.value);
			},
			hasWaiting,
		),
	),
	fc.constant(
		command(
			'getNowait',
			async (model, {queue, check}) => {
				check.deepEqual(queue.getNowait(), model.waiting.shift()!.value);
			},
			hasWaiting,
		),
	),
	fc.integer({min: 1, max: 20}).map(max =>
		command(
			`getMany(${max})`,
			async (model, {queue, check}) => {
				const taken = await queue.getMany(max);
				check.deepEqual(
					taken,
					model.waiting.splice(0, taken.length).map(({value}) => value),
				);
			},
			hasWaiting,
		),
	),
	fc.constant(
		command(
			'receive',
			async (model, {queue, deliveries, check}) => {
				const item = model.waiting.shift()!;
				item.attempts++;
				model.inFlight.push(item);
				const delivery = await queue.receive();
				check.deepEqual([delivery.record, delivery.attempts], [item.value, item.attempts]);
				deliveries.set(item.ordinal, delivery);
			},
			hasWaiting,
		),
	),
	...(['ack', 'nack'] as const).map(how =>
		fc.nat().map(choice =>
			command(
				`${how}(${choice})`,
				async (model, {deliveries}) => {
					const item = model.inFlight[choice % model.inFlight.length]!;
					if (how === 'nack') {
						giveBack(model, item);
						deliveries.get(item.ordinal)!.nack();
					} else {
						model.inFlight.splice(model.inFlight.indexOf(item), 1);
						deliveries.get(item.ordinal)!.ack();
					}
				},
				model => model.inFlight.length > 0,
			),
		),
	),
	fc.integer({min: 1, max: 40}).map(count =>
		command(`peek(${count})`, async (model, {queue, check}) => {
			check.deepEqual(
				queue.peek(count),
				model.waiting.slice(0, count).map(({value}) => value),
			);
		}),
	),
	fc.constant(
		command('sync', async (_model, {queue}) => {
			await queue.sync();
		}),
	),
	fc.constant(
		command('clear', async (model, {queue}) => {
			model.waiting.length = 0;
			await queue.clear();
		}),
	),
	options.map(other =>
		command(`reopen(${JSON.stringify(other)})`, async (model, real) => {
			for (const item of [...model.inFlight]) {
				giveBack(model, item);
			}

			await real.queue.close();
			real.queue = await DiskQueue.open<Value>(real.directory, other);
			real.deliveries.clear();
		}),
	),
];

test(`a queue does what a list in memory does, whatever is asked of it (${runs} runs, seed ${seed})`, async t => {
	const root = memoryDirectory(t);
	let run = 0;
	let steps = 0;
	const check: Check = {
		deepEqual(actual, expected) {
			steps++;
			if (JSON.stringify(actual) !== JSON.stringify(expected)) {
				throw new Error(`got ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`);
			}
		},
	};
	await fc.assert(
		fc.asyncProperty(options, fc.commands(commands, {maxCommands: 60, size: 'max'}), async (first, all) => {
			const directory = join(root, String(run++));
			const real: Real = {queue: await DiskQueue.open(directory, first), directory, deliveries: new Map(), check};
			try {
				await fc.asyncModelRun(() => ({model: {waiting: [], inFlight: [], next: 0}, real}), all);
			} finally {
				await real.queue.close();
				rmSync(directory, {recursive: true});
			}
		}),
		{numRuns: runs, seed},
	);
	t.true(steps > 10 * runs, `${steps} checks`);
	t.log(`${run} runs, ${steps} checks, seed ${seed}`);
});
