import {Readable, Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {
	createReadStream,
	type DeadLetter,
	type Delivery,
	DiskQueue,
	diskQueue,
	type ReadStreamOptions,
} from '../../source/index.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {closed, closedAtEnd, errorOf, leave, leftovers} from '../helpers/streams.ts';
import {copyOf, temporaryDirectory} from '../helpers/temporary-directory.ts';

const manual = {acknowledge: 'manual'} as const;

/** A view of deliveries that is closed when the test ends. */
function manualView(
	t: ExecutionContext,
	queue: DiskQueue<number>,
	options: Omit<ReadStreamOptions, 'objectMode'> = {},
) {
	return closedAtEnd(t, createReadStream(queue, {...options, ...manual}));
}

/** A sink that settles each delivery a turn later, and keeps its record if that says so. */
function settlingSink(settle: (delivery: Delivery<number>) => boolean): {writable: Writable; records: number[]} {
	const records: number[] = [];
	const writable = new Writable({
		objectMode: true,
		write(delivery: Delivery<number>, _encoding, callback) {
			setImmediate(() => {
				if (settle(delivery)) {
					records.push(delivery.record);
				}

				callback();
			});
		},
	});
	return {writable, records};
}

for (const durability of ['spill', 'write', 'fsync'] as const) {
	test(`'${durability}': the chunks are deliveries, acknowledged in any order`, async t => {
		const queue = await openQueue<number>(t, {durability, cacheSize: 8});
		await queue.putMany(range(0, 100));
		const view = manualView(t, queue, {until: 'drained'});
		const held: Array<Delivery<number>> = [];
		const records: number[] = [];
		for await (const delivery of view) {
			t.is(delivery.attempts, 1);
			records.push(delivery.record);
			held.push(delivery);
			if (held.length === 10) {
				for (const each of held.splice(0).reverse()) {
					each.ack();
				}
			}
		}

		t.deepEqual(records, range(0, 100));
		t.is(queue.size, 0);
		t.is(queue.stats().inFlight, 0);
	});
}

test('what is not acknowledged is there at the next open, and only that', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 50));
	const view = manualView(t, queue);
	const taken: Array<Delivery<number>> = [];
	for await (const delivery of view) {
		taken.push(delivery);
		if (taken.length === 30) {
			break;
		}
	}

	await closed(view);
	for (const delivery of taken.filter(({record}) => record % 3 === 0)) {
		delivery.ack();
	}

	await queue.close();
	t.notThrows(() => taken[1]!.ack());
	t.deepEqual(
		await leftovers(queue.directory),
		range(0, 50).filter(id => id >= 30 || id % 3 !== 0),
	);
});

test('a delivery that was read can be settled when the view is gone; those read ahead are back, and count as never delivered', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 40));
	const view = manualView(t, queue);
	await pEvent(view, 'readable');
	const first = view.read()!;
	const second = view.read()!;
	await nextTurn();
	t.is(queue.stats().inFlight, 2 + view.readableLength);
	t.true(view.readableLength >= 14);
	view.destroy();
	await closed(view);
	t.is(queue.stats().inFlight, 2);
	t.deepEqual(queue.peek(3), [2, 3, 4]);
	first.ack();
	second.nack();
	t.is(queue.stats().inFlight, 0);
	const again = await queue.receiveMany(40);
	t.deepEqual(
		again.map(({record, attempts}) => [record, attempts]),
		range(1, 40).map(id => [id, id === 1 ? 2 : 1]),
	);
});

test('what was read ahead counts as never delivered at the next open too, however the queue was left', async t => {
	for (const how of ['destroyed', 'closed']) {
		const queue = await openQueue<number>(t, {durability: 'write'});
		await queue.putMany(range(0, 20));
		const view = manualView(t, queue);
		await pEvent(view, 'readable');
		t.is(view.read()!.record, 0);
		const failed = how === 'closed' ? errorOf(view) : undefined;
		if (how === 'destroyed') {
			view.destroy();
			await closed(view);
		}

		await queue.close();
		t.is((await failed)?.code, how === 'closed' ? 'QUEUE_CLOSED' : undefined);
		const again = await openQueue<number>(t, {}, queue.directory);
		const deliveries = await again.receiveMany(20);
		t.deepEqual(
			deliveries.map(({record, attempts}) => [record, attempts]),
			range(0, 20).map(id => [id, id === 0 ? 2 : 1]),
		);
	}
});

test('what was read ahead counts as never delivered if the process is killed after the view is gone', async t => {
	const queue = await openQueue<number>(t, {durability: 'write'});
	await queue.putMany(range(0, 20));
	const view = manualView(t, queue);
	await pEvent(view, 'readable');
	t.is(view.read()!.record, 0);
	view.destroy();
	await closed(view);
	await nextTurn();
	// What a killed process would leave.
	const left = await openQueue<number>(t, {}, copyOf(t, queue.directory));
	const deliveries = await left.receiveMany(20);
	t.deepEqual(
		deliveries.map(({record, attempts}) => [record, attempts]),
		range(0, 20).map(id => [id, id === 0 ? 2 : 1]),
	);
});

test('nack() brings a record again, before newer ones; after maxAttempts, or reject(), it is a dead letter', async t => {
	const letters = await openQueue<DeadLetter<number>>(t);
	const queue = await openQueue<number>(t, {maxAttempts: 3, deadLetter: letters});
	await queue.putMany(range(0, 30));
	const {writable, records} = settlingSink(delivery => {
		if (delivery.record === 7) {
			delivery.nack();
			return false;
		}

		if (delivery.record === 9) {
			delivery.reject('nine');
			return false;
		}

		delivery.ack();
		return true;
	});
	await pipeline(manualView(t, queue, {until: 'drained'}), writable);
	t.deepEqual(
		records,
		range(0, 30).filter(id => id !== 7 && id !== 9),
	);
	const buried = await drain(letters);
	t.deepEqual(
		buried.map(({record, reason, attempts}) => ({record, reason, attempts})).sort((a, b) => a.record - b.record),
		[
			{record: 7, reason: 'maxAttempts', attempts: 3},
			{record: 9, reason: 'nine', attempts: 1},
		],
	);
});

test("until: 'drained' waits until all deliveries are settled, a delayed one too", async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany([1, 2]);
	const view = manualView(t, queue, {until: 'drained'});
	const seen: Array<[number, number]> = [];
	view.on('data', (delivery: Delivery<number>) => {
		seen.push([delivery.record, delivery.attempts]);
		if (delivery.attempts === 1) {
			setImmediate(() => delivery.nack({delay: 10}));
		} else {
			setImmediate(() => delivery.ack());
		}
	});
	await pEvent(view, 'end');
	t.deepEqual(seen, [
		[1, 1],
		[2, 1],
		[1, 2],
		[2, 2],
	]);
	t.is(queue.size, 0);
});

test('two views share the work: what one gives back the other takes', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 200));
	const lazy = settlingSink(delivery => {
		delivery.nack();
		return false;
	});
	const stop = new AbortController();
	const busy = settlingSink(delivery => {
		delivery.ack();
		return true;
	});
	const idling = pipeline(manualView(t, queue, {highWaterMark: 1}), lazy.writable, {signal: stop.signal});
	await pipeline(manualView(t, queue, {until: 'drained'}), busy.writable);
	stop.abort();
	await t.throwsAsync(idling, {code: 'ABORT_ERR'});
	t.deepEqual(
		busy.records.sort((a, b) => a - b),
		range(0, 200),
	);
});

test('shutdown() ends it when all deliveries are settled', async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	const view = manualView(t, queue);
	const delivery = await pEvent<'data', Delivery<number>>(view, 'data');
	queue.shutdown();
	await nextTurn();
	t.false(view.readableEnded);
	delivery.nack();
	const again = await pEvent<'data', Delivery<number>>(view, 'data');
	t.is(again.attempts, 2);
	const ended = pEvent(view, 'end');
	again.ack();
	await ended;
});

test('a Duplex: ends when its input has ended and all deliveries are settled, and reads 16 ahead at most', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 50));
	const stream = diskQueue<number>(directory, {...manual, durability: 'write'});
	t.is(stream.readableHighWaterMark, 16);
	t.is(stream.writableHighWaterMark, 1024);
	let attempts = 0;
	const {writable, records} = settlingSink(delivery => {
		attempts++;
		if (delivery.attempts === 1 && delivery.record % 10 === 0) {
			delivery.nack();
			return false;
		}

		delivery.ack();
		return true;
	});
	await pipeline(Readable.from(range(50, 100)), stream, writable);
	t.is(attempts, 110);
	t.deepEqual(
		records.sort((a, b) => a - b),
		range(0, 100),
	);
	await closed(stream);
	t.deepEqual(await leftovers(directory), []);
});

test('a Duplex that fails: what was not acknowledged comes back, with the attempts of what was read', async t => {
	const directory = temporaryDirectory(t);
	const stream = diskQueue<number>(directory, {...manual, highWaterMark: 4});
	const failure = new Error('no more');
	const sink = new Writable({
		objectMode: true,
		highWaterMark: 1,
		write({record}: Delivery<number>, _encoding, callback) {
			setImmediate(callback, record === 5 ? failure : null);
		},
	});
	t.is(await t.throwsAsync(pipeline(Readable.from(range(0, 10)), stream, sink)), failure);
	await closed(stream);
	const queue = await DiskQueue.open<number>(directory);
	const deliveries = await queue.receiveMany(100);
	t.deepEqual(
		deliveries.map(({record}) => record),
		range(0, deliveries.length),
	);
	t.true(deliveries.length >= 6);
	t.is(deliveries[5]!.attempts, 2);
	await queue.close();
});

test('more than 4096 deliveries that nobody settles wait for some that are', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 5000));
	const deliveries: Array<Delivery<number>> = [];
	const view = manualView(t, queue, {highWaterMark: 100});
	view.on('data', (delivery: Delivery<number>) => deliveries.push(delivery));
	while (deliveries.length < 4096) {
		await pEvent(view, 'data');
	}

	await nextTurn();
	t.is(deliveries.length, 4096);
	deliveries[17]!.ack();
	await pEvent(view, 'data');
	t.is(deliveries.length, 4097);
	t.is(deliveries[4096]!.record, 4096);
	view.destroy();
});
