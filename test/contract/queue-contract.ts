import test, {type ExecutionContext} from 'ava';
import type {DiskQueueOptions, Queue} from '../../source/index.ts';
import {range} from '../helpers/queues.ts';

/** How a backend opens a queue that is closed when the test ends, and opens what it closed again. */
export type Backend = {
	/** Said in the titles. */
	name: string;
	open<T>(t: ExecutionContext, options?: Pick<DiskQueueOptions<T>, 'maxSize' | 'maxAttempts'>): Promise<Queue<T>>;
	/** Closes a queue and opens it again. */
	reopen<T>(t: ExecutionContext, queue: Queue<T>): Promise<Queue<T>>;
};

/** What every `Queue` keeps: declares the tests of one backend in one setting. */
export function testContract({name, open, reopen}: Backend): void {
	const title = (text: string) => `${name}: ${text}`;

	test(title('records come out once, in the order they went in'), async t => {
		const queue = await open<number>(t);
		for (const record of range(0, 30)) {
			await queue.put(record);
		}

		await queue.putMany(range(30, 60));
		t.is(queue.size, 60);
		t.is(queue.qsize(), 60);
		t.false(queue.empty());
		const taken = [await queue.get(), ...(await queue.getMany(9))];
		while (!queue.empty()) {
			taken.push(...(await queue.getMany(100)));
		}

		t.deepEqual(taken, range(0, 60));
		t.is(queue.size, 0);
		t.true(queue.empty());
	});

	test(title('a get waits for a put, first come first served'), async t => {
		const queue = await open<number>(t);
		const gets = range(0, 10).map(() => queue.get());
		await queue.putMany(range(0, 10));
		t.deepEqual(await Promise.all(gets), range(0, 10));
	});

	test(title('a get that comes later takes nothing from one that waits, not even in the turn of the put'), async t => {
		const queue = await open<number>(t);
		const first = queue.get();
		const put = queue.put(1);
		const second = t.throwsAsync(queue.get({timeout: 0}), {code: 'QUEUE_EMPTY'});
		t.is(await first, 1);
		await Promise.all([put, second]);
	});

	test(title('a late or aborted get takes nothing, and says which it was'), async t => {
		const queue = await open<number>(t);
		await t.throwsAsync(queue.get({timeout: 0}), {code: 'QUEUE_EMPTY'});
		await t.throwsAsync(queue.get({signal: AbortSignal.abort()}), {code: 'ABORT_ERR'});
		const controller = new AbortController();
		const aborted = queue.getMany(3, {signal: controller.signal});
		const patient = queue.get();
		controller.abort();
		await t.throwsAsync(aborted, {code: 'ABORT_ERR'});
		await queue.putMany([1, 2]);
		t.is(await patient, 1);
		t.is(await queue.get(), 2);
	});

	test(title('wrong times are refused'), async t => {
		const queue = await open<number>(t);
		for (const timeout of [-1, Number.NaN]) {
			for (const call of [
				queue.put(1, {timeout}),
				queue.get({timeout}),
				queue.receive({timeout}),
				queue.join({timeout}),
			]) {
				await t.throwsAsync(call, {instanceOf: RangeError, code: 'QUEUE_INVALID_ARGUMENT'});
			}
		}

		t.is(queue.size, 0);
	});

	test(title('a put beyond maxSize waits for room; late or aborted, it puts nothing'), async t => {
		const queue = await open<number>(t, {maxSize: 3});
		t.false(queue.full());
		await queue.putMany(range(0, 3));
		t.true(queue.full());
		await t.throwsAsync(queue.put(9, {timeout: 1}), {code: 'QUEUE_FULL'});
		const controller = new AbortController();
		const aborted = queue.put(9, {signal: controller.signal});
		const waiting = range(3, 6).map(record => queue.put(record));
		controller.abort();
		await t.throwsAsync(aborted, {code: 'ABORT_ERR'});
		t.is(queue.size, 3);
		const taken: number[] = [];
		for (const _ of range(0, 6)) {
			taken.push(await queue.get());
		}

		await Promise.all(waiting);
		t.deepEqual(taken, range(0, 6));
	});

	test(title('join waits until every record is taken and done'), async t => {
		const queue = await open<number>(t);
		await queue.join();
		await queue.putMany(range(0, 5));
		await t.throwsAsync(queue.join({timeout: 1}), {code: 'QUEUE_UNFINISHED'});
		let isJoined = false;
		const joined = queue.join().then(() => {
			isJoined = true;
		});
		for (const _ of range(0, 4)) {
			await queue.get();
			t.false(isJoined);
			queue.taskDone();
		}

		const delivery = await queue.receive();
		t.false(isJoined);
		delivery.ack();
		await joined;
		t.throws(() => queue.taskDone(), {code: 'QUEUE_TASK_DONE'});
	});

	test(title('shutdown refuses puts, and lets gets go on until the queue is empty'), async t => {
		const queue = await open<number>(t, {maxSize: 3});
		await queue.putMany(range(0, 3));
		const waiting = t.throwsAsync(queue.put(3), {code: 'QUEUE_SHUT_DOWN'});
		queue.shutdown();
		await waiting;
		await t.throwsAsync(queue.put(4), {code: 'QUEUE_SHUT_DOWN'});
		t.deepEqual([await queue.get(), await queue.get(), await queue.get()], [0, 1, 2]);
		await t.throwsAsync(queue.get(), {code: 'QUEUE_SHUT_DOWN'});
		queue.shutdown();
	});

	test(title('shutdown ends gets that wait, and an immediate one drops what waits'), async t => {
		const queue = await open<number>(t);
		const waiting = [queue.get(), queue.getMany(2), queue.receive()].map(call =>
			t.throwsAsync(call as Promise<unknown>, {code: 'QUEUE_SHUT_DOWN'}),
		);
		queue.shutdown();
		await Promise.all(waiting);

		const other = await open<number>(t);
		await other.putMany(range(0, 20));
		await other.get();
		const joined = other.join();
		other.shutdown({immediate: true});
		t.is(other.size, 0);
		await t.throwsAsync(other.get(), {code: 'QUEUE_SHUT_DOWN'});
		other.taskDone();
		await joined;
	});

	test(title('clear drops what waits, and the queue goes on'), async t => {
		const queue = await open<number>(t);
		await queue.putMany(range(0, 30));
		await queue.get();
		await queue.clear();
		t.is(queue.size, 0);
		await queue.putMany([30, 31]);
		const again = await reopen(t, queue);
		t.deepEqual([await again.get(), await again.get()], [30, 31]);
		t.is(again.size, 0);
	});

	test(title('deliveries are acknowledged in any order, and only those that were not come back'), async t => {
		const queue = await open<number>(t);
		await queue.putMany(range(0, 30));
		const deliveries = await collect(20, max => queue.receiveMany(max));
		t.deepEqual(
			deliveries.map(({record}) => record),
			range(0, 20),
		);
		t.deepEqual(new Set(deliveries.map(({attempts}) => attempts)), new Set([1]));
		t.is(queue.stats().inFlight, 20);
		const unacknowledged = [0, 3, 4, 11, 19];
		for (const delivery of deliveries.toReversed()) {
			if (!unacknowledged.includes(delivery.record)) {
				delivery.ack();
			}
		}

		const again = await reopen(t, queue);
		t.is(again.size, unacknowledged.length + 10);
		const redelivered = await collect(again.size, max => again.receiveMany(max));
		t.deepEqual(
			redelivered.map(({record, attempts}) => [record, attempts]),
			[...unacknowledged.map(record => [record, 2]), ...range(20, 30).map(record => [record, 1])],
		);
		for (const delivery of redelivered) {
			delivery.ack();
		}

		t.is((await reopen(t, again)).size, 0);
	});

	test(title('a record given back comes again before newer ones, its attempts counted'), async t => {
		const queue = await open<number>(t);
		await queue.putMany([0, 1, 2]);
		const first = await queue.receive();
		first.nack();
		const again = await queue.receive();
		t.deepEqual([again.record, again.attempts, again.sequence], [0, 2, first.sequence]);
		again.ack();
		t.is(await queue.get(), 1);
	});

	test(title('a record given back goes to a get that waits'), async t => {
		const queue = await open<number>(t);
		await queue.put(0);
		const delivery = await queue.receive();
		const waiting = queue.get();
		delivery.nack();
		t.is(await waiting, 0);
	});

	test(title('a record given back with a delay lets others pass, and comes when it is over'), async t => {
		const queue = await open<number>(t);
		await queue.putMany([0, 1]);
		(await queue.receive()).nack({delay: 5});
		t.is(await queue.get(), 1);
		t.is(queue.size, 1);
		const again = await queue.receive();
		t.deepEqual([again.record, again.attempts], [0, 2]);
		t.throws(() => again.nack({delay: -1}), {instanceOf: RangeError});
		again.ack();
	});

	test(title('a delivery is settled once'), async t => {
		const queue = await open<number>(t);
		await queue.putMany([0, 1]);
		const delivery = await queue.receive();
		delivery.ack();
		for (const call of [() => delivery.ack(), () => delivery.nack(), () => delivery.reject()]) {
			t.throws(call, {code: 'QUEUE_SETTLED', message: /acknowledged before/});
		}

		const held = await queue.receive();
		const again = await reopen(t, queue);
		t.notThrows(() => held.ack());
		t.is(again.size, 1);
	});

	test(title('a record rejected, or delivered maxAttempts times, does not come again'), async t => {
		const queue = await open<number>(t, {maxAttempts: 2});
		await queue.putMany([0, 1, 2]);
		(await queue.receive()).reject('bad');
		(await queue.receive()).nack();
		const second = await queue.receive();
		t.deepEqual([second.record, second.attempts], [1, 2]);
		second.nack();
		const third = await queue.receive();
		t.is(third.record, 2);
		third.ack();
		t.is(queue.size, 0);
		t.is(queue.stats().dropped, 2);
	});

	test(title('iteration takes records until it is left, and puts the current one back then'), async t => {
		const queue = await open<number>(t);
		await queue.putMany(range(0, 10));
		const seen: number[] = [];
		for await (const record of queue) {
			seen.push(record);
			if (record === 4) {
				break;
			}
		}

		queue.shutdown();
		for await (const record of queue) {
			seen.push(record);
		}

		t.deepEqual(seen, [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]);
	});

	test(title('a closed queue refuses every call, and close may be called again'), async t => {
		const queue = await open<number>(t);
		const waiting = t.throwsAsync(queue.get(), {code: 'QUEUE_CLOSED'});
		await queue.close();
		await waiting;
		await queue.close();
		for (const call of [
			() => queue.put(1),
			() => queue.get(),
			() => queue.receive(),
			() => queue.sync(),
			() => queue.clear(),
		]) {
			await t.throwsAsync(call(), {code: 'QUEUE_CLOSED'});
		}
	});

	test(title('closing finishes puts that wait for room, beyond maxSize'), async t => {
		const queue = await open<number>(t, {maxSize: 2});
		const puts = range(0, 6).map(record => queue.put(record));
		const again = await reopen(t, queue);
		await Promise.all(puts);
		t.deepEqual(await collect(6, max => again.getMany(max)), range(0, 6));
	});

	test(title('after sync and close every record is there, whatever it is'), async t => {
		const queue = await open<unknown>(t);
		const records = [
			'text',
			1.5,
			true,
			[1, [2]],
			{a: {b: null}},
			Buffer.from('bytes'),
			new Date(5),
			2n ** 70n,
			new Map([[1, {}]]),
		];
		await queue.putMany(records);
		await queue.sync();
		const again = await reopen(t, queue);
		t.deepEqual(await collect(records.length, max => again.getMany(max)), records);
	});
}

/** Takes `count` of something that comes in runs. */
export async function collect<R>(count: number, take: (max: number) => Promise<R[]>): Promise<R[]> {
	const taken: R[] = [];
	while (taken.length < count) {
		taken.push(...(await take(count - taken.length)));
	}

	return taken;
}
