/* What the compiler must accept and refuse of streams and `consume`; see queue.ts. */
import {type Duplex, Readable, type Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {
	type Backoff,
	type BatchOptions,
	type ConsumeOptions,
	consume,
	type Delivery,
	DiskQueue,
	type DiskQueueStream,
	type DiskQueueStreamOptions,
	diskQueue,
	type Handling,
	type Queue,
} from 'disq';
import {type Equal, same} from './equal.ts';

type Order = {id: number};

export async function streams(sink: Writable): Promise<void> {
	const queue = await DiskQueue.open<Order>('orders');
	const options: DiskQueueStreamOptions<Order> = {
		highWaterMark: 16,
		acknowledge: 'read',
		signal: AbortSignal.timeout(5),
		durability: 'write',
		maxBytes: undefined,
	};
	await pipeline(Readable.from([{id: 1}]), diskQueue('orders', options), sink);
	await pipeline(
		Readable.from([{id: 1}]),
		async function* (orders: AsyncIterable<Order>) {
			yield* orders;
		},
		diskQueue<Order>(queue, {highWaterMark: 16}),
		async function* (orders: AsyncIterable<Order>) {
			for await (const {id} of orders) {
				yield `${id}\n`;
			}
		},
		sink,
	);
	const stream = diskQueue<Order>('orders');
	same<Equal<typeof stream, DiskQueueStream<Order>>>();
	const duplex: Duplex = stream;
	same<Equal<typeof stream.queue, DiskQueue<Order> | undefined>>();
	stream.once('ready', () => stream.queue?.stats());
	duplex.pipe(sink);
	diskQueue(queue).write({id: 1}, error => error?.message);

	// @ts-expect-error: a stream has highWaterMark
	diskQueue('orders', {cacheSize: 16});
	// @ts-expect-error: no such way
	diskQueue('orders', {acknowledge: 'write'});
	// @ts-expect-error: neither a path nor a queue
	diskQueue(5);
}

export async function consuming(queue: Queue<Order>, {signal}: AbortController): Promise<void> {
	await consume(queue, order => same<Equal<typeof order, Order>>());
	await consume(queue, async (order, handling) => {
		same<Equal<typeof order, Order>>();
		same<Equal<typeof handling, Handling<Order>>>();
		same<Equal<typeof handling.deliveries, ReadonlyArray<Delivery<Order>>>>();
	});
	await consume(queue, orders => same<Equal<typeof orders, Order[]>>(), {
		batch: {maxRecords: 5, maxBytes: 5, maxWait: 5},
		concurrency: 5,
		signal,
	});
	await consume(queue, order => order.id, {
		retry(error, delivery) {
			same<Equal<typeof error, unknown>>();
			same<Equal<typeof delivery, Delivery<Order>>>();
			return delivery.attempts * 1000;
		},
	});
	const retry: Backoff = {minDelay: 5, maxDelay: 5, factor: 2, jitter: 0};
	const batch: BatchOptions = {maxRecords: undefined};
	const options: ConsumeOptions<Order> = {retry, concurrency: undefined, signal: undefined};
	await consume(queue, (order: Order) => order.id, options);
	await consume(queue, ([first]) => first?.id, {...options, batch});

	// @ts-expect-error: without `batch` it is given one record
	await consume(queue, (orders: Order[]) => orders.length, {concurrency: 5});
	// @ts-expect-error: a delay is a number
	await consume(queue, order => order.id, {retry: () => 'soon'});
}
