import type {DiskQueueOptions, Durability} from '../../source/index.ts';
import type {CrashScript} from '../helpers/crash-explorer.ts';
import type {CrashRecord} from '../helpers/crash-journal.ts';
import {QueueActor} from '../helpers/crash-queue-actor.ts';
import {nextTurn} from '../helpers/queues.ts';

/** Lets what runs by itself, as a checkpoint or a reclaim, come to its end. */
async function settle(): Promise<void> {
	for (let turn = 0; turn < 12; turn++) {
		await nextTurn();
	}
}

const durabilities: Durability[] = ['spill', 'write', 'fsync'];

type Options = DiskQueueOptions<CrashRecord>;

/** The same script for each durability. */
function forEach(
	name: string,
	act: (queue: QueueActor, options: Options) => Promise<void>,
	more: Options = {},
	hasLargeRecords = false,
): CrashScript[] {
	return durabilities.map(durability => ({
		name: `${durability}: ${name}`,
		hasLargeRecords,
		async act(stage) {
			const options = {durability, ...more};
			const queue = await new QueueActor(stage).open(options);
			await act(queue, options);
			await queue.kill();
		},
	}));
}

/** Scripts over a whole queue. */
export const queueScripts: CrashScript[] = [
	...forEach(
		'putMany, get, put',
		async queue => {
			await queue.putMany(7);
			await queue.get(3);
			await settle();
			await queue.put(3);
			await queue.get(2);
			await settle();
		},
		{cacheSize: 4},
	),
	...forEach(
		'put and get, with syncs',
		async queue => {
			await queue.put(2);
			await queue.sync();
			await queue.get();
			await queue.put(2);
			await queue.sync();
			await queue.get(2);
			await queue.sync();
		},
		{cacheSize: 4},
	),
	...forEach(
		'receive, ack out of order, nack, sync',
		async queue => {
			await queue.putMany(5);
			const deliveries = await queue.receive(4);
			queue.ack(deliveries[2]!);
			await settle();
			deliveries[0]!.nack();
			await queue.sync();
			queue.ack(deliveries[3]!);
			const [again] = await queue.receive();
			queue.ack(again!);
			await queue.sync();
			queue.ack(deliveries[1]!);
			await settle();
		},
		{cacheSize: 4},
	),
	...forEach(
		'closed with some in flight, reopened, drained, closed',
		async (queue, options) => {
			await queue.putMany(4);
			const [first] = await queue.receive(2);
			queue.ack(first!);
			await queue.close();
			await queue.open(options);
			await queue.get(2);
			await queue.put();
			await queue.get(2);
			await queue.close();
			await queue.open(options);
			await queue.put(2);
		},
		{cacheSize: 4},
	),
	...forEach(
		'killed, reopened, put, get, sync',
		async (queue, options) => {
			await queue.putMany(5);
			await queue.get(2);
			await settle();
			await queue.kill();
			await queue.open(options);
			await queue.put(2);
			await queue.get();
			await queue.sync();
			await queue.put();
		},
		{cacheSize: 2},
	),
	...forEach(
		'rolls and reclaims',
		async queue => {
			for (let round = 0; round < 3; round++) {
				await queue.putMany(3);
				await queue.get(3);
				await settle();
			}
		},
		{cacheSize: 2},
		true,
	),
	...forEach(
		'clear',
		async queue => {
			await queue.putMany(5);
			await queue.clear();
			await queue.put(2);
			await queue.sync();
			await queue.clear();
			await settle();
			await queue.put();
		},
		{cacheSize: 2},
	),
	...forEach(
		'the oldest dropped, by number',
		async queue => {
			queue.dropBefore(1);
			await queue.putMany(4);
			queue.dropBefore(3);
			await queue.put(2);
			await queue.sync();
		},
		{cacheSize: 2, maxSize: 3, overflow: 'dropOldest'},
	),
	...forEach(
		'put without waiting',
		async queue => {
			queue.putNowait();
			queue.putNowait();
			await queue.put();
			queue.putNowait();
			await settle();
			await queue.get(2);
			queue.putNowait();
			await queue.sync();
		},
		{cacheSize: 2},
	),
	...forEach(
		'shut down at once, closed',
		async queue => {
			await queue.putMany(4);
			await queue.get();
			queue.shutdown();
			await queue.close();
		},
		{cacheSize: 2},
	),
	{
		name: 'fsync: a failed sync of a group',
		async act(stage) {
			const queue = await new QueueActor(stage).open({durability: 'fsync', cacheSize: 4});
			await queue.putMany(2);
			stage.disk.fail('sync', '00000000000000000000.log');
			const putting = queue.putMany(3);
			await queue.get(3);
			await putting;
			await queue.put();
			await queue.get(2);
			await settle();
			await queue.put();
			await queue.kill();
		},
	},
	{
		name: 'fsync: a failed sync of a group over several segments',
		hasLargeRecords: true,
		async act(stage) {
			const queue = await new QueueActor(stage).open({durability: 'fsync', cacheSize: 4});
			await queue.putMany(2);
			stage.disk.fail('sync', '00000000000000000004.log');
			for (let record = 0; record < 5; record++) {
				queue.putNowait();
			}

			await queue.put();
			await queue.put(2);
			await queue.kill();
		},
	},
	{
		name: 'fsync: a sync of acknowledgements beside a failed one of a group',
		async act(stage) {
			const queue = await new QueueActor(stage).open({durability: 'fsync', cacheSize: 4});
			await queue.putMany(3);
			await queue.get();
			stage.disk.fail('sync', '00000000000000000000.log');
			const putting = queue.putMany(2);
			await queue.trySync();
			await putting;
			await queue.trySync();
			await queue.put();
			await queue.kill();
		},
	},
	...durabilities.map(
		(durability): CrashScript => ({
			name: `${durability}: rejected to a dead-letter queue`,
			hasDeadLetters: true,
			async act(stage) {
				const options = {durability, cacheSize: 4, deadLetter: stage.deadDirectory};
				const queue = await new QueueActor(stage).open(options);
				await queue.putMany(4);
				await queue.sync();
				const [first, second] = await queue.receive(2);
				queue.reject(second!);
				await settle();
				queue.ack(first!);
				await queue.sync();
				const [third] = await queue.receive();
				queue.reject(third!);
				await settle();
				await queue.close();
			},
		}),
	),
];
