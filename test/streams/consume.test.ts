import test from 'ava';
import {consume, type DeadLetter} from '../../source/index.ts';
import {openQueue, range} from '../helpers/queues.ts';

test('every record is handed over once, done when its handler resolves, and it ends when the queue is shut down', async t => {
	for (const concurrency of [1, 4]) {
		const queue = await openQueue<number>(t, {cacheSize: 8});
		await queue.putMany(range(0, 200));
		const seen: number[] = [];
		let atWork = 0;
		let most = 0;
		const consuming = consume(
			queue,
			async record => {
				most = Math.max(most, ++atWork);
				await new Promise(resolve => {
					setImmediate(resolve);
				});
				seen.push(record);
				atWork--;
			},
			{concurrency},
		);
		queue.shutdown();
		await consuming;
		t.is(most, concurrency);
		t.deepEqual(
			seen.sort((a, b) => a - b),
			range(0, 200),
		);
		t.like(queue.stats(), {size: 0, inFlight: 0, done: 200});
	}
});

test('a record whose handler fails comes again after a growing delay, and ends in the dead-letter queue', async t => {
	const dead: Array<DeadLetter<number>> = [];
	const queue = await openQueue<number>(t, {
		maxAttempts: 3,
		deadLetter: {
			async put(letter) {
				dead.push(letter);
			},
		},
	});
	await queue.putMany([1, 2, 3]);
	const attempts: Array<[number, number]> = [];
	const delays: number[] = [];
	const consuming = consume(
		queue,
		(record, {deliveries}) => {
			attempts.push([record, deliveries[0]!.attempts]);
			if (record === 2) {
				throw new Error('no');
			}
		},
		{
			retry(error, delivery) {
				t.is((error as Error).message, 'no');
				delays.push(delivery.attempts);
				return delivery.attempts;
			},
		},
	);
	await queue.join();
	queue.shutdown();
	await consuming;
	t.deepEqual(
		attempts.filter(([record]) => record === 2),
		[
			[2, 1],
			[2, 2],
			[2, 3],
		],
	);
	t.deepEqual(delays, [1, 2, 3]);
	t.deepEqual(dead, [{record: 2, reason: 'maxAttempts', error: 'Error: no', attempts: 3, sequence: 1}]);
});

test('batches are bounded by records and by bytes, and wait for more no longer than told', async t => {
	const queue = await openQueue<string>(t);
	const text = 'x'.repeat(1000);
	await queue.putMany(range(0, 25).map(index => `${index} ${text}`));
	const byRecords: number[] = [];
	queue.shutdown();
	await consume(queue, records => byRecords.push(records.length), {batch: {maxRecords: 10}});
	t.deepEqual(byRecords, [10, 10, 5]);

	const other = await openQueue<string>(t);
	await other.putMany([...range(0, 9).map(index => `${index} ${text}`), text.repeat(20), 'last']);
	const byBytes: number[] = [];
	other.shutdown();
	await consume(other, records => byBytes.push(records.length), {batch: {maxRecords: 100, maxBytes: 4100, maxWait: 5}});
	t.deepEqual(byBytes, [4, 4, 1, 1, 1]);
	t.is(other.stats().done, 11);
});

test('handlers at work at once do not share out what would be one batch', async t => {
	for (const maxBytes of [Number.POSITIVE_INFINITY, 1_000_000]) {
		const queue = await openQueue<number>(t);
		const batches: number[][] = [];
		const consuming = consume(queue, records => batches.push(records), {
			concurrency: 4,
			batch: {maxRecords: 10, maxBytes, maxWait: 60_000},
		});
		for (const record of range(0, 40)) {
			await queue.put(record);
		}

		await queue.join();
		queue.shutdown();
		await consuming;
		t.deepEqual(
			batches,
			range(0, 4).map(index => range(index * 10, index * 10 + 10)),
		);
	}
});

test('a batch that fails comes back whole', async t => {
	for (const batch of [{maxRecords: 100}, {maxRecords: 100, maxBytes: 1_000_000}]) {
		const queue = await openQueue<number>(t);
		await queue.putMany(range(0, 100));
		const batches: number[][] = [];
		const consuming = consume(
			queue,
			records => {
				batches.push(records);
				if (batches.length < 4) {
					throw new Error('no');
				}
			},
			{batch, retry: {minDelay: 20}},
		);
		await queue.join();
		queue.shutdown();
		await consuming;
		t.deepEqual(
			batches.map(({length}) => length),
			[100, 100, 100, 100],
		);
	}
});

test('an abort lets the handler at work finish, and leaves the rest in the queue', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 10));
	const controller = new AbortController();
	const seen: number[] = [];
	await consume(
		queue,
		async record => {
			seen.push(record);
			if (record === 2) {
				controller.abort();
				await new Promise(resolve => {
					setImmediate(resolve);
				});
			}
		},
		{signal: controller.signal},
	);
	t.deepEqual(seen, [0, 1, 2]);
	t.like(queue.stats(), {size: 7, inFlight: 0, done: 3});
	await consume(queue, () => t.fail(), {signal: AbortSignal.abort()});
	const idle = new AbortController();
	await queue.clear();
	const waiting = consume(queue, () => t.fail(), {signal: idle.signal, batch: {maxRecords: 5, maxWait: 60_000}});
	idle.abort();
	await waiting;
});

test('a record that did not fit the last batch is handled after an abort: it was counted as delivered', async t => {
	const queue = await openQueue<string>(t, {maxAttempts: 1});
	await queue.putMany(['a', 'b', 'c'].map(letter => letter.repeat(100)));
	const stop = new AbortController();
	const seen: string[] = [];
	const handler = (records: string[]) => {
		seen.push(...records.map(record => record[0]!));
		stop.abort();
	};
	await consume(queue, handler, {batch: {maxRecords: 10, maxBytes: 150, maxWait: 10}, signal: stop.signal});
	t.deepEqual(seen, ['a', 'b']);
	t.like(queue.stats(), {size: 1, dropped: 0, inFlight: 0});
});

test('a record that did not fit the last batch was never delivered if consume fails then', async t => {
	const queue = await openQueue<string>(t, {maxAttempts: 1});
	await queue.putMany(['a'.repeat(100), 'b'.repeat(100)]);
	const failing = consume(
		queue,
		() => {
			throw new Error('no');
		},
		{
			batch: {maxRecords: 10, maxBytes: 150, maxWait: 10},
			retry() {
				throw new Error('no delay');
			},
		},
	);
	await t.throwsAsync(failing, {message: 'no delay'});
	t.like(queue.stats(), {size: 1, dropped: 1});
	const delivery = await queue.receive();
	t.is(delivery.record, 'b'.repeat(100));
	t.is(delivery.attempts, 1);
});

test('records whose retry fails or gives no delay go back to the queue, and consume says why', async t => {
	for (const [given, message] of [
		['throw', /^a bug in retry$/],
		[Number.NaN, /`retry\(\)` to be a number of milliseconds from 0 up, got NaN/],
		[-1, /`retry\(\)` to be a number of milliseconds from 0 up, got -1/],
		['1', /`retry\(\)` to be a number of milliseconds, got "1"/],
	] as Array<[unknown, RegExp]>) {
		const queue = await openQueue<number>(t);
		await queue.putMany([1, 2, 3]);
		let asked = 0;
		const failing = consume(
			queue,
			() => {
				throw new Error('no');
			},
			{
				batch: {maxRecords: 3},
				retry() {
					if (++asked < 2) {
						return 0;
					}

					if (given === 'throw') {
						throw new TypeError('a bug in retry');
					}

					return given as number;
				},
			},
		);
		const error = await t.throwsAsync(failing, {message});
		t.is((error as {code?: string}).code, given === 'throw' ? undefined : 'QUEUE_INVALID_ARGUMENT');
		t.like(queue.stats(), {size: 3, inFlight: 0});
	}
});

test('a backoff without a first delay stays without one, however often a record fails', async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	let attempts = 0;
	const consuming = consume(
		queue,
		() => {
			if (++attempts < 4) {
				throw new Error('no');
			}
		},
		{retry: {minDelay: 0, factor: 1e200}},
	);
	await queue.join();
	queue.shutdown();
	await consuming;
	t.is(attempts, 4);
});

test('it ends quietly when the queue is closed, and fails when the queue does', async t => {
	const queue = await openQueue<number>(t);
	const consuming = consume(queue, () => {});
	await queue.close();
	await consuming;

	const failing = await openQueue<number>(t);
	const broken = Object.create(failing, {
		receiveMany: {
			value: async () => {
				throw new Error('broken');
			},
		},
	});
	await t.throwsAsync(
		consume(broken, () => {}, {concurrency: 2}),
		{message: 'broken'},
	);
});

test('wrong options are refused', async t => {
	const queue = await openQueue<number>(t);
	const nothing = () => {};
	for (const call of [
		() => consume(queue, undefined as never),
		() => consume(queue, nothing, {concurrency: 0}),
		() => consume(queue, nothing, {batch: {maxRecords: 0}}),
		() => consume(queue, nothing, {batch: {maxBytes: 0}}),
		() => consume(queue, nothing, {batch: {maxWait: -1}}),
		() => consume(queue, nothing, {retry: {minDelay: -1}}),
		() => consume(queue, nothing, {retry: {factor: 0}}),
		() => consume(queue, nothing, {retry: {jitter: 2}}),
		() => consume(queue, nothing, {signal: 5 as never}),
		() => consume('./directory' as never, nothing),
		() => consume(undefined as never, nothing),
		() => consume(queue, nothing, 4 as never),
		() => consume(queue, nothing, null as never),
		() => consume(queue, nothing, {concurency: 4} as never),
		() => consume(queue, nothing, {batch: 100 as never}),
		() => consume(queue, nothing, {batch: null as never}),
		() => consume(queue, nothing, {batch: {maxrecords: 100} as never}),
		() => consume(queue, nothing, {retry: 3 as never}),
		() => consume(queue, nothing, {retry: null as never}),
		() => consume(queue, nothing, {retry: {delay: 3} as never}),
	]) {
		await t.throwsAsync(call(), {code: 'QUEUE_INVALID_ARGUMENT'});
	}

	await t.throwsAsync(consume(Promise.resolve(queue) as never, nothing), {
		instanceOf: TypeError,
		message: 'Expected `queue` to be an open queue, got a promise: is `await` missing?',
	});
	await t.throwsAsync(consume(queue, nothing, {batch: {max: 1} as never}), {
		message: 'Expected `batch` to be of maxRecords, maxBytes, maxWait, got "max" (string)',
	});
});
