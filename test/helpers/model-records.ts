import fc from 'fast-check';
import {pEvent} from 'p-event';
import {type Delivery, diskQueue} from '../../source/index.ts';
import {type Command, codeOf, command, hasTakable, isOpen, isQuiet, same, text, took, values} from './model-run.ts';
import type {Item, QueueModel, Value} from './queue-model.ts';
import {range} from './queues.ts';

export const putting: Array<fc.Arbitrary<Command>> = [
	text.map(part =>
		command(`put(${part.length})`, {
			when: model => isOpen(model) && isQuiet(model) && model.hasRoomFor(1),
			async run(model, {queue}) {
				const item = model.make(part);
				await queue.put(item.value);
				model.put(item);
			},
		}),
	),
	fc.tuple(fc.integer({min: 0, max: 30}), text).map(([count, part]) =>
		command(`putMany(${count} of ${part.length})`, {
			when: model => isOpen(model) && isQuiet(model) && model.hasRoomFor(count),
			async run(model, {queue}) {
				const items = range(0, count).map(() => model.make(part));
				await queue.putMany(values(items));
				for (const item of items) {
					model.put(item);
				}
			},
		}),
	),
	text.map(part =>
		command(`putNowait(${part.length})`, {
			when: isQuiet,
			async run(model, {queue}) {
				const item = model.make(part);
				const isRefused = model.options.overflow !== 'dropNewest' && !model.hasRoomFor(1);
				const expected = model.isShutDown ? 'QUEUE_SHUT_DOWN' : isRefused ? 'QUEUE_FULL' : 'ok';
				same(await codeOf(() => queue.putNowait(item.value)), expected, 'putNowait');
				if (expected === 'ok') {
					model.put(item);
				}
			},
		}),
	),
];

export const taking: Array<fc.Arbitrary<Command>> = [
	fc.constant(
		command('get', {
			when: hasTakable,
			async run(model, {queue}) {
				took(model, [await queue.get()]);
				model.openTasks++;
			},
		}),
	),
	fc.constant(
		command('get of none', {
			when: model => model.waiting.length === 0 && isQuiet(model),
			async run(model, {queue}) {
				const expected = model.isShutDown ? 'QUEUE_SHUT_DOWN' : 'QUEUE_EMPTY';
				same(await codeOf(() => queue.get({timeout: 0})), expected);
			},
		}),
	),
	fc.constant(
		command('getNowait', {
			when: hasTakable,
			run(model, {queue}) {
				took(model, [queue.getNowait()]);
				model.openTasks++;
			},
		}),
	),
	fc.integer({min: 1, max: 20}).map(max =>
		command(`getMany(${max})`, {
			when: hasTakable,
			async run(model, {queue}) {
				const taken = await queue.getMany(max);
				same(taken.length >= 1 && taken.length <= max, true);
				took(model, taken);
				model.openTasks += taken.length;
			},
		}),
	),
	fc.integer({min: 1, max: 8}).map(count =>
		command(`iterate(${count})`, {
			when: model => model.takable.length >= count,
			async run(model, {queue}) {
				const taken: Value[] = [];
				for await (const value of queue) {
					taken.push(value);
					if (taken.length === count) {
						break;
					}
				}

				same(taken, values(model.takable.slice(0, count)));
				model.take(count - 1);
			},
		}),
	),
	fc.tuple(fc.integer({min: 1, max: 12}), fc.constantFrom(1, 2, 16)).map(([count, highWaterMark]) =>
		command(`stream(${count}, ${highWaterMark})`, {
			when: model => model.takable.length >= count && isQuiet(model),
			async run(model, {queue}) {
				const stream = diskQueue<Value>(queue, {highWaterMark});
				const taken: Value[] = [];
				for await (const value of stream) {
					taken.push(value as Value);
					if (taken.length === count) {
						break;
					}
				}

				if (!stream.closed) {
					await pEvent(stream, 'close', {rejectionEvents: []});
				}

				took(model, taken);
			},
		}),
	),
	fc.integer({min: 1, max: 40}).map(count =>
		command(`peek(${count})`, {
			run(model, {queue}) {
				const peeked = queue.peek(count);
				const all = [...model.takable, ...model.pending];
				same(peeked.length >= Math.min(count, model.takable.length), true, 'peek');
				same(peeked, values(all.slice(0, peeked.length)));
			},
		}),
	),
];

const hasInFlight = (model: QueueModel) => model.inFlight.length > 0;

/** What was received, by a choice among what is in flight. */
function settling(
	name: string,
	settle: (delivery: Delivery<Value>) => void,
	inModel: (model: QueueModel, item: Item) => void,
): fc.Arbitrary<Command> {
	return fc.nat().map(choice =>
		command(`${name}(${choice})`, {
			when: hasInFlight,
			run(model, {deliveries}) {
				const item = model.inFlight[choice % model.inFlight.length]!;
				inModel(model, item);
				settle(deliveries.get(item.ordinal)!);
			},
		}),
	);
}

const longDelay = 600_000;

export const receiving: Array<fc.Arbitrary<Command>> = [
	fc.constant(
		command('receive', {
			when: model => model.receivable.length > 0 && isQuiet(model),
			async run(model, {queue, deliveries}) {
				const item = model.receive();
				const delivery = await queue.receive();
				same([delivery.record, delivery.attempts], [item.value, item.attempts]);
				deliveries.set(item.ordinal, delivery);
			},
		}),
	),
];

export const delivering: Array<fc.Arbitrary<Command>> = [
	settling(
		'ack',
		delivery => delivery.ack(),
		(model, item) => model.remove(item),
	),
	settling(
		'nack',
		delivery => delivery.nack(),
		(model, item) => model.nack(item, false),
	),
	settling(
		'delay',
		delivery => delivery.nack({delay: longDelay}),
		(model, item) => model.nack(item, true),
	),
	settling(
		'reject',
		delivery => delivery.reject('bad'),
		(model, item) => model.bury(item, 'bad'),
	),
	fc.constant(
		command('taskDone', {
			async run(model, {queue}) {
				same(await codeOf(() => queue.taskDone()), model.openTasks > 0 ? 'ok' : 'QUEUE_TASK_DONE');
				model.openTasks = Math.max(0, model.openTasks - 1);
			},
		}),
	),
	fc.constant(
		command('join', {
			when: isQuiet,
			async run(model, {queue}) {
				const isIdle = model.openTasks + model.waiting.length + model.inFlight.length === 0;
				same(await codeOf(() => queue.join({timeout: 0})), isIdle ? 'ok' : 'QUEUE_UNFINISHED');
			},
		}),
	),
];
