import {createHook} from 'node:async_hooks';
import {getEventListeners, setMaxListeners} from 'node:events';
import {readdirSync} from 'node:fs';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {pEvent} from 'p-event';
import {createReadStream, createWriteStream, type DiskQueue} from '../../source/index.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {closed, queueStream, readView, writeView} from '../helpers/streams.ts';

const rounds = 300;

/** Timers of the process, those too that do not keep it alive. */
const timers = new Set<number>();
createHook({
	init(id, type) {
		if (type === 'Timeout') {
			timers.add(id);
		}
	},
	destroy: id => void timers.delete(id),
}).enable();

/** Counts those who want to know that a queue closes. */
function countListeners(queue: DiskQueue<number>): {listeners: number} {
	const count = {listeners: 0};
	const onClosing = queue.onClosing.bind(queue);
	queue.onClosing = listener => {
		count.listeners++;
		const forget = onClosing(listener);
		return () => {
			count.listeners--;
			forget();
		};
	};
	return count;
}

/** What the process and the queue hold; descriptors are counted where the system lists them. */
function usage(queue: DiskQueue<number>, signal: AbortSignal): Record<string, number> {
	const {inFlight, waitingGets, waitingPuts} = queue.stats();
	return {
		inFlight,
		waitingGets,
		waitingPuts,
		queueListeners: queue.eventNames().length,
		processListeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
		signalListeners: getEventListeners(signal, 'abort').length,
		descriptors: process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0,
		timers: timers.size,
	};
}

/** Ways of opening, using and closing a view, each leaving the queue as it was. */
const uses: Record<string, (queue: DiskQueue<number>, signal: AbortSignal) => Promise<unknown>> = {
	async 'reading by break'(queue, signal) {
		for await (const id of createReadStream(queue, {signal})) {
			await queue.put(id);
			break;
		}
	},
	async 'reading until drained'(queue, signal) {
		const records: number[] = await createReadStream(queue, {until: 'drained', signal}).toArray();
		await queue.putMany(records);
	},
	async 'waiting for more than there is'(queue, signal) {
		const view = createReadStream(queue, {signal});
		let count = 0;
		view.on('data', () => count++);
		while (queue.stats().waitingGets === 0) {
			await nextTurn();
		}

		view.destroy();
		await closed(view);
		await queue.putMany(range(0, count));
	},
	async 'a destination that fails'(queue, signal) {
		const {writable} = makeSink<number>({refuse: () => new Error('refused')});
		const view = createReadStream(queue, {signal});
		await pipeline(view, writable).catch(() => {});
		await closed(view);
	},
	async writing(queue, signal) {
		await queue.getMany(3);
		await pipeline(Readable.from(range(0, 3)), createWriteStream(queue, {signal}));
	},
	async 'writing to a full queue'(queue, signal) {
		const view = createWriteStream(queue, {signal});
		view.write(1);
		view.write(2);
		await nextTurn();
		view.destroy();
		await closed(view);
	},
	async 'opening and closing'(queue, signal) {
		for (const view of [createReadStream(queue, {signal}), createWriteStream(queue, {signal})]) {
			view.destroy();
			await closed(view);
		}
	},
	async 'await using'(queue, signal) {
		await using view = createReadStream(queue, {signal});
		await pEvent(view, 'readable');
		await using _writing = createWriteStream(queue, {signal});
	},
};

// Looks at the whole process.
for (const [name, use] of Object.entries(uses)) {
	test.serial(
		`${name}: ${rounds} views of a queue leave no listener, descriptor, timer, wait or record in flight`,
		async t => {
			const queue = await openQueue<number>(t, {maxSize: 20});
			await queue.putMany(range(0, 20));
			const count = countListeners(queue);
			const {signal} = new AbortController();
			await use(queue, signal);
			await nextTurn();
			const before = usage(queue, signal);
			for (const _round of range(0, rounds)) {
				await use(queue, signal);
				t.is(queue.size, 20);
			}

			await nextTurn();
			t.deepEqual(usage(queue, signal), before);
			t.is(count.listeners, 0);
			t.like(before, {inFlight: 0, waitingGets: 0, waitingPuts: 0, queueListeners: 0, signalListeners: 0});
		},
	);
}

test.serial(`a thousand views at once: everything that goes in comes out, and each takes its leave`, async t => {
	const queue = await openQueue<number>(t, {cacheSize: 64});
	const {signal} = new AbortController();
	setMaxListeners(0, signal);
	const before = usage(queue, signal);
	const taken: number[] = [];
	const readers = range(0, 500).map(async () => {
		for await (const id of createReadStream(queue, {highWaterMark: 2, signal})) {
			taken.push(id);
		}
	});
	const writers = range(0, 500).map(writer =>
		pipeline(Readable.from(range(writer * 10, writer * 10 + 10)), createWriteStream(queue, {signal})),
	);
	await Promise.all(writers);
	queue.shutdown();
	await Promise.all(readers);
	t.deepEqual(
		taken.sort((a, b) => a - b),
		range(0, 5000),
	);
	await nextTurn();
	// Its files stay open, and its timer is there that keeps the process alive while somebody waits.
	const {descriptors, timers: own, ...after} = usage(queue, signal);
	t.deepEqual({...after, descriptors: before.descriptors, timers: before.timers}, before);
	t.true(own! <= before.timers! + 1 && descriptors! < before.descriptors! + 10);
});

test('a Duplex and views may share a queue', async t => {
	const queue = await openQueue<number>(t);
	const stream = queueStream(t, queue, {highWaterMark: 4});
	stream.write(1);
	const [first] = (await pEvent(stream, 'data', {multiArgs: true})) as [number];
	t.is(first, 1);
	stream.pause();
	stream.destroy();
	await closed(stream);
	const view = writeView(t, queue);
	view.end(2);
	await pEvent(view, 'finish');
	t.deepEqual(await readView(t, queue, {until: 'drained'}).toArray(), [2]);
	t.deepEqual(await drain(queue), []);
});

test('two pipelines fill a queue and two empty it, at the same time', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 32, maxSize: 100});
	const sinks = range(0, 2).map(() => makeSink<number>({kind: 'async'}));
	const readers = sinks.map(({writable}) => pipeline(readView(t, queue), writable));
	await Promise.all(
		[range(0, 2000), range(2000, 4000)].map(records => pipeline(Readable.from(records), writeView(t, queue))),
	);
	queue.shutdown();
	await Promise.all(readers);
	const all = sinks.flatMap(({confirmed}) => confirmed);
	t.deepEqual(
		all.sort((a, b) => a - b),
		range(0, 4000),
	);
});
