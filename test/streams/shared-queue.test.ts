import test from 'ava';
import {pEvent} from 'p-event';
import {nextTurn, openQueue} from '../helpers/queues.ts';
import {queueStream} from '../helpers/streams.ts';

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
