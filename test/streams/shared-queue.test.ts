import {PassThrough} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {pEvent} from 'p-event';
import {DiskQueue} from '../../source/index.ts';
import {nextTurn, openQueue, range} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {leftovers, queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

test('a stream whose input has ended ends, although another one waits for a record before it', async t => {
	const queue = await openQueue<number>(t);
	const waiting = queueStream(t, queue).resume();
	while (queue.stats().waitingGets < 1) {
		await nextTurn();
	}

	const ending = queueStream(t, queue).resume();
	while (queue.stats().waitingGets < 2) {
		await nextTurn();
	}

	ending.end();
	await pEvent(ending, 'close');
	t.true(ending.readableEnded);
	t.false(waiting.readableEnded);
	t.is(queue.stats().waitingGets, 1);
	await queue.put(1);
	t.deepEqual(await pEvent(waiting, 'data'), 1);
});

test('a stream whose input has ended and that finds another one waiting ends at once', async t => {
	const queue = await openQueue<number>(t);
	queueStream(t, queue).resume();
	while (queue.stats().waitingGets < 1) {
		await nextTurn();
	}

	t.deepEqual(await queueStream(t, queue).end().toArray(), []);
	t.is(queue.stats().waitingGets, 1);
});

test('shutdown() of the queue ends a stream when the queue is empty, though its input is open', async t => {
	const queue = await openQueue<number>(t);
	const stream = queueStream(t, queue);
	stream.write(1);
	const records = stream.toArray();
	while (queue.stats().waitingGets === 0) {
		await nextTurn();
	}

	queue.shutdown();
	t.deepEqual(await records, [1]);
});

test('a queue that is closed under a stream gives out nothing more: what the sink had not confirmed is there at the next open, once', async t => {
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory);
	await queue.putMany(range(0, 500));
	let closing: Promise<void> | undefined;
	const {writable, confirmed} = makeSink<number>({
		kind: 'async',
		highWaterMark: 1000,
		refuse([id]) {
			closing ??= id === 99 ? queue.close() : undefined;
			return undefined;
		},
	});
	const run = pipeline(new PassThrough({objectMode: true}), queueStream(t, queue), writable);
	t.like(await t.throwsAsync(run), {code: 'QUEUE_CLOSED'});
	await closing;
	t.deepEqual(confirmed, range(0, confirmed.length));
	const rest = await leftovers<number>(directory);
	t.deepEqual(rest, range(500 - rest.length, 500));
	t.true(confirmed.length - rest[0]! <= 1, `${rest[0]} is the first to come back, ${confirmed.length} were confirmed`);
});

test('a stream that is destroyed while it waits for room gives the queue nothing more', async t => {
	const queue = await openQueue<number>(t, {maxSize: 3});
	const stream = queueStream(t, queue);
	for (const id of range(0, 10)) {
		stream.write(id);
	}

	while (queue.stats().waitingPuts === 0) {
		await nextTurn();
	}

	stream.destroy();
	await pEvent(stream, 'close');
	t.is(queue.stats().waitingPuts, 0);
	t.deepEqual(await queue.getMany(10), range(0, 3));
	await nextTurn();
	t.is(queue.size, 0);
});
