/*
 * What the compiler must accept and refuse of queues: compiling it is the test, and nothing of it is run. A line below
 * `@ts-expect-error` that compiles is an error too. `.ci/pack-check` compiles it against the packed package as well.
 */
import {
	type Codec,
	type DeadLetter,
	type Delivery,
	DiskQueue,
	type DiskQueueOptions,
	type Drop,
	type Durability,
	type Overflow,
	type Queue,
	type QueueError,
	type QueueStats,
	type RecoveryReport,
	type WaitOptions,
} from 'disq';
import {type Equal, same} from './equal.ts';

type Order = {id: number; lines: string[]};

export async function records(): Promise<void> {
	await using queue = await DiskQueue.open<Order>('orders');
	same<Equal<typeof queue, DiskQueue<Order>>>();
	await queue.put({id: 1, lines: []});
	await queue.put({id: 1, lines: []}, {timeout: 5, signal: AbortSignal.timeout(5)});
	queue.putNowait({id: 1, lines: []});
	await queue.putMany([{id: 1, lines: []}], {timeout: 5});
	await queue.putMany(new Set<Order>());
	await queue.putMany(orders());
	const order = await queue.get({timeout: 5});
	same<Equal<typeof order, Order>>();
	const many = await queue.getMany(10, {maxWait: 5, timeout: 5});
	same<Equal<typeof many, Order[]>>();
	const now = queue.getNowait();
	same<Equal<typeof now, Order>>();
	const next = queue.peek();
	same<Equal<typeof next, Order | undefined>>();
	const some = queue.peek(10);
	same<Equal<typeof some, Order[]>>();
	for await (const each of queue) {
		same<Equal<typeof each, Order>>();
	}

	const {size, waitingGets, oldestAge} = queue.stats();
	same<Equal<typeof oldestAge, number | undefined>>(size + waitingGets > 0 || true);
	same<Equal<ReturnType<typeof queue.stats>, QueueStats>>();
	same<Equal<ReturnType<typeof queue.ref>, typeof queue>>();

	// @ts-expect-error: no Order
	await queue.put({id: '1', lines: []});
	// @ts-expect-error: no Order
	queue.putNowait('one');
	// @ts-expect-error: an Order is no iterable of Orders
	await queue.putMany({id: 1, lines: []});
	// @ts-expect-error: so many that what?
	await queue.getMany();
	// @ts-expect-error: no such option
	await queue.get({maxWait: 5});
	// @ts-expect-error: the constructor is not for users
	new DiskQueue<Order>();
}

async function* orders(): AsyncGenerator<Order> {
	yield {id: 1, lines: []};
}

export async function withoutType(): Promise<void> {
	const queue = await DiskQueue.open('anything');
	same<Equal<typeof queue, DiskQueue<unknown>>>();
	await queue.put('whatever');
	const record = await queue.get();
	same<Equal<typeof record, unknown>>();
	// @ts-expect-error: unknown is no string
	record.length;
}

export async function deliveries(queue: Queue<Order>): Promise<void> {
	const delivery = await queue.receive({timeout: 5});
	same<Equal<typeof delivery, Delivery<Order>>>();
	same<Equal<typeof delivery.record, Order>>();
	same<Equal<(typeof delivery)['sequence' | 'attempts'], number>>();
	delivery.ack();
	delivery.nack();
	delivery.nack({delay: 5});
	delivery.reject('no');
	const many: Array<Delivery<Order>> = await queue.receiveMany(5, {maxWait: 5});
	// @ts-expect-error: it is read only
	many[0]!.attempts = 0;
	// @ts-expect-error: `getNowait` is of DiskQueue, not of every Queue
	queue.getNowait();
}

export async function options(): Promise<void> {
	const given: DiskQueueOptions<Order> = {
		cacheSize: 1,
		cacheBytes: 1,
		maxSize: 1,
		maxBytes: 262_144,
		overflow: 'dropOldest',
		maxRecordBytes: 1,
		durability: 'fsync',
		syncInterval: 1,
		maxRedelivery: 1,
		maxAttempts: 1,
		deadLetter: 'dead',
		segmentBytes: 4096,
		codec: json,
		onCorruption: 'throw',
	};
	await DiskQueue.open('orders', given);
	// What was read from elsewhere may be undefined, with exactOptionalPropertyTypes too.
	await DiskQueue.open('orders', {cacheSize: undefined, durability: undefined, codec: undefined});
	const wait: WaitOptions = {timeout: undefined, signal: undefined};
	const dead = await DiskQueue.open<DeadLetter<Order>>('dead');
	const queue = await DiskQueue.open<Order>('orders', {deadLetter: dead});
	await queue.put({id: 1, lines: []}, wait);
	const {record, reason, attempts, sequence} = await dead.get();
	same<Equal<typeof record, Order>>(reason.length + attempts + sequence > 0 || true);
	same<Equal<Durability, 'spill' | 'write' | 'fsync'>>();
	same<Equal<Overflow, 'wait' | 'dropNewest' | 'dropOldest'>>();

	// @ts-expect-error: no such option
	await DiskQueue.open('orders', {cachesize: 1});
	// @ts-expect-error: no such durability
	await DiskQueue.open('orders', {durability: 'always'});
	// @ts-expect-error: a codec of something else
	await DiskQueue.open<number>('orders', {codec: json});
	// @ts-expect-error: it takes records, not dead letters
	await DiskQueue.open<Order>('orders', {deadLetter: queue});
}

const json: Codec<Order> = {
	name: 'json',
	encode: orders => Buffer.from(JSON.stringify(orders)),
	decode: bytes => JSON.parse(Buffer.from(bytes).toString()) as Order[],
	measure: ({lines}) => lines.length,
};

export function events(queue: DiskQueue<Order>): void {
	queue.on('recovered', report => same<Equal<typeof report, RecoveryReport>>());
	queue.on('corruption', ({path, offset, expected, found}) => [path, offset, expected, found]);
	queue.once('full', cause => same<Equal<typeof cause, QueueError>>());
	queue.on('drop', drop => same<Equal<typeof drop, Drop<Order>>>());
	queue.on('reclaim', ({segments, bytes}) => segments + bytes);
	queue.on('error', error => error.message);
	for (const name of ['spill', 'resume', 'empty', 'close'] as const) {
		queue.on(name, () => {});
	}

	// @ts-expect-error: it has no such value
	queue.on('empty', (count: number) => count);
}
