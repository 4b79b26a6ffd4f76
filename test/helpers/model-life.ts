import {cpSync} from 'node:fs';
import {join} from 'node:path';
import fc from 'fast-check';
import {isClaimName} from '../../source/log/directory-lock.ts';
import {
	type Command,
	codeOf,
	command,
	isOpen,
	isQuiet,
	open,
	type Real,
	type RunOptions,
	runOptions,
	same,
	text,
	took,
} from './model-run.ts';
import type {QueueModel} from './queue-model.ts';

export const device: Array<fc.Arbitrary<Command>> = [
	fc.constant(
		command('fill the device', {
			when: model => isQuiet(model) && isOpen(model) && model.options.maxSize === Number.POSITIVE_INFINITY,
			run(model, real) {
				model.isDeviceFull = true;
				real.device.isFull = true;
			},
		}),
	),
	text.map(part =>
		command(`put on a full device(${part.length})`, {
			when: model => model.isDeviceFull,
			run(model, real) {
				const item = model.make(part);
				real.pending.push(real.queue.put(item.value));
				model.pending.push(item);
			},
		}),
	),
	fc.constant(
		command('sync on a full device', {
			when: model => model.isDeviceFull,
			async run(_model, {queue}) {
				same(['ok', 'QUEUE_STORAGE'].includes(await codeOf(() => queue.sync())), true);
			},
		}),
	),
	fc.constant(command('empty the device', {when: model => model.isDeviceFull, run: emptyDevice})),
	fc.constant(
		command('sync', {
			when: isQuiet,
			async run(model, {queue}) {
				await queue.sync();
				model.syncedOrdinal = model.nextOrdinal;
			},
		}),
	),
];

/** Puts go on by themselves, at the next try; a put that does not wait makes it the next turn. */
export async function emptyDevice(model: QueueModel, real: Real): Promise<void> {
	model.empty();
	real.device.isFull = false;
	const item = model.make('after');
	const outcome = await codeOf(() => real.queue.putNowait(item.value));
	same(['ok', 'QUEUE_FULL'].includes(outcome), true, outcome);
	await Promise.all(real.pending.splice(0));
	if (outcome === 'ok') {
		model.put(item);
	}
}

export const ending: Array<fc.Arbitrary<Command>> = [
	fc.constant(
		command('clear', {
			when: isQuiet,
			async run(model, {queue}) {
				await queue.clear();
				model.clear();
			},
		}),
	),
	fc.boolean().map(immediate =>
		command(`shutdown(${immediate})`, {
			when: model => isOpen(model) && isQuiet(model),
			run(model, {queue}) {
				queue.shutdown({immediate});
				model.isShutDown = true;
				if (immediate) {
					model.clear();
				}
			},
		}),
	),
	runOptions.map(options =>
		command(`reopen(${JSON.stringify(options)})`, {
			when: isQuiet,
			async run(model, real) {
				await real.queue.close();
				real.deliveries.clear();
				real.options = options;
				real.queue = await open(real, options);
				model.reopen(options);
			},
		}),
	),
	fc.tuple(runOptions, fc.boolean()).map(([options, isSettled]) =>
		command(`crash(${JSON.stringify(options)}, ${isSettled})`, {
			when: isQuiet,
			run: (model, real) => crash(model, real, {options, isSettled}),
		}),
	),
];

/** Goes on from a copy of the directory, which is what SIGKILL leaves; the one that was copied closes unseen. */
async function crash(
	model: QueueModel,
	real: Real,
	{options, isSettled}: {options: RunOptions; isSettled: boolean},
): Promise<void> {
	if (!isSettled && model.takable.length > 0) {
		// Done in the very turn of the crash.
		took(model, [real.queue.getNowait()]);
	}

	const {directory} = real.queue;
	const survivor = join(real.root, String(real.crashes + 1));
	cpSync(directory, survivor, {recursive: true, filter: path => !isClaimName(path.slice(directory.length + 1))});
	await real.queue.close();
	const survives = real.options.durability === 'spill' ? 'what was written' : 'all';
	real.crashes++;
	real.deliveries.clear();
	real.options = options;
	real.queue = await open(real, options);
	const problem = model.crash(real.queue.peek(1_000_000), {survives, isSettled});
	same(problem, undefined, 'crash');
	model.reopen(options);
}
