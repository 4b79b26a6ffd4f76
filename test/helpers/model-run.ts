import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import fc from 'fast-check';
import {type Corruption, type DeadLetter, type Delivery, DiskQueue, type DiskQueueOptions} from '../../source/index.ts';
import {type FillingStorage, fillingStorage} from './filling-storage.ts';
import {type Item, type ModelOptions, QueueModel, type Value} from './queue-model.ts';
import {nextTurn} from './queues.ts';

/** The options that a run of the model opens its queue with; no dead letters are kept without `hasDeadLetters`. */
export type RunOptions = Pick<DiskQueueOptions<Value>, 'cacheSize' | 'cacheBytes' | 'segmentBytes'> &
	ModelOptions & {durability: 'spill' | 'write' | 'fsync'};

/** The queue that is held against the model, and what its consumers have of it. */
export type Real = {
	queue: DiskQueue<Value>;
	/** Where it is, and where its next crash leaves it. */
	root: string;
	crashes: number;
	options: RunOptions;
	device: FillingStorage;
	deliveries: Map<number, Delivery<Value>>;
	letters: Array<DeadLetter<Value>>;
	corruptions: Corruption[];
	pending: Array<Promise<void>>;
	counts: Record<string, number>;
};

export type Command = fc.AsyncCommand<QueueModel, Real>;

export const runOptions: fc.Arbitrary<RunOptions> = fc.record({
	durability: fc.constantFrom('spill', 'write', 'fsync'),
	cacheSize: fc.constantFrom(1, 2, 3, 7, 20, 1024),
	cacheBytes: fc.constantFrom(100, 1000, 1_000_000),
	segmentBytes: fc.constantFrom(4096, 8192, 1_000_000),
	maxSize: fc.oneof(
		{weight: 2, arbitrary: fc.constant(Number.POSITIVE_INFINITY)},
		{weight: 1, arbitrary: fc.integer({min: 1, max: 40})},
	),
	overflow: fc.constantFrom('wait', 'dropNewest', 'dropOldest'),
	maxAttempts: fc.constantFrom(1, 2, 3, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY),
	hasDeadLetters: fc.boolean(),
});

/** Opens the queue of a run in a directory that is there for it alone. */
export async function openReal(root: string, options: RunOptions): Promise<Real> {
	const real: Omit<Real, 'queue'> & {queue?: DiskQueue<Value>} = {
		root,
		crashes: 0,
		options,
		device: fillingStorage(),
		deliveries: new Map(),
		letters: [],
		corruptions: [],
		pending: [],
		counts: {},
	};
	real.queue = await open(real, options);
	return real as Real;
}

export function makeModel({maxSize, overflow, maxAttempts, hasDeadLetters}: RunOptions): QueueModel {
	return new QueueModel({maxSize, overflow, maxAttempts, hasDeadLetters});
}

/** Opens the directory that the last crash left. */
export async function open(real: Omit<Real, 'queue'>, options: RunOptions): Promise<DiskQueue<Value>> {
	const {hasDeadLetters, ...others} = options;
	const deadLetter = {put: async (letter: DeadLetter<Value>) => void real.letters.push(letter)};
	const queue = await DiskQueue.open<Value>(join(real.root, String(real.crashes)), {
		...others,
		storage: real.device.storage,
		...(hasDeadLetters && {deadLetter}),
	});
	queue.on('corruption', corruption => real.corruptions.push(corruption));
	return queue;
}

type Steps = {
	run(model: QueueModel, real: Real): Promise<void> | void;
	when?: (model: QueueModel) => boolean;
};

/** A step that both take; afterwards both must be in the same state. */
export function command(name: string, {run, when = () => true}: Steps): Command {
	return {
		check: model => when(model as QueueModel),
		async run(model, real) {
			await run(model, real);
			await nextTurn();
			const kind = name.replace(/\(.*/, '');
			real.counts[kind] = (real.counts[kind] ?? 0) + 1;
			const {size, inFlight, dropped, deadLettered} = real.queue.stats();
			const more = size - model.waiting.length;
			same(more >= 0 && more <= model.pending.length, true, `${size} wait, ${model.waiting.length} should`);
			same(
				{inFlight, dropped, deadLettered},
				{
					inFlight: model.inFlight.length,
					dropped: model.dropped,
					deadLettered: model.deadLettered,
				},
			);
			const letters = real.letters.map(({record, attempts, reason}) => ({record, attempts, reason}));
			same(letters, model.letters);
			same(real.corruptions, []);
		},
		toString: () => name,
	};
}

export function same(actual: unknown, expected: unknown, what = ''): void {
	if (!isDeepStrictEqual(actual, expected)) {
		throw new Error(`${what} got ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`);
	}
}

export async function codeOf(call: () => unknown): Promise<string> {
	try {
		await call();
		return 'ok';
	} catch (error) {
		return (error as {code?: string}).code ?? String(error);
	}
}

export const values = (items: Item[]): Value[] => items.map(({value}) => value);
export const isOpen = (model: QueueModel): boolean => !model.isShutDown;
export const isQuiet = (model: QueueModel): boolean => model.pending.length === 0 && !model.isDeviceFull;
export const hasTakable = (model: QueueModel): boolean => model.takable.length > 0;

/** Checks records that were taken: the first of those that wait, and of those that may have come in since. */
export function took(model: QueueModel, taken: Value[]): void {
	const certain = Math.min(taken.length, model.takable.length);
	const items = [...model.take(certain), ...model.pending.splice(0, taken.length - certain)];
	same(taken, values(items));
	for (const item of items) {
		model.gone.set(item.ordinal, item);
	}
}

export const text: fc.Arbitrary<string> = fc.string({maxLength: 12}).map(part => part.repeat(8));
