import {createHook} from 'node:async_hooks';
import {type EventEmitter, getEventListeners} from 'node:events';
import {readdirSync} from 'node:fs';
import {type Duplex, PassThrough, Readable, Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {pEvent} from 'p-event';
import {diskQueue} from '../../source/index.ts';
import {runFixture} from '../helpers/children.ts';
import {nextTurn, openQueue, range} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {leftovers, queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const records = 1_000_000;
/** KiB of 120 MB. From Node 24 on the young generation alone may take 48 MB more. */
const isLargerHeap = Number(process.versions.node.split('.')[0]) >= 24;
const memoryLimit = (isLargerHeap ? 168_000_000 : 120_000_000) / 1024;
const rounds = 200;

/** The timers that the source has set and not cleared, those that keep nothing alive too. */
const timers = new Set<number>();
createHook({
	init(id, type) {
		if (type === 'Timeout' && /[\\/]source[\\/]/.test(new Error('where').stack!)) {
			timers.add(id);
		}
	},
	destroy: id => timers.delete(id),
}).enable();

// Each looks at the whole process.
test.serial(`${records} records wait for a sink that starts late: in order, none lost, in bounded memory`, async t => {
	const {code, stdout, stderr} = await runFixture(t, 'million-records', [temporaryDirectory(t), String(records)]);
	t.is(stderr, '');
	t.is(code, 0);
	const result = JSON.parse(stdout) as {records: number; maxRss: number};
	t.log(`peak memory ${Math.round((result.maxRss * 1024) / 1e6)} MB (${result.maxRss} KiB)`);
	t.is(result.records, records);
	t.true(result.maxRss < memoryLimit);
});

test.serial('a process whose pipeline has failed ends by itself', async t => {
	const directory = temporaryDirectory(t);
	const result = await runFixture(t, 'failing-pipeline', [directory]);
	t.deepEqual(result, {code: 0, signal: null, stdout: 'refused\n', stderr: ''});
	t.deepEqual(await leftovers(directory), [1, 2, 3]);
});

test.serial(`${rounds} pipelines, every other one failing, leave no descriptor and no listener behind`, async t => {
	const directory = temporaryDirectory(t);
	const controller = new AbortController();
	const {signal} = controller;
	const run = async (round: number, stream: Duplex) => {
		const {writable} = makeSink<number>({
			kind: 'async',
			refuse: ([id]) => (round % 2 === 0 && id === 20 ? new Error('refused') : undefined),
		});
		const closed = pEvent(stream, 'close', {rejectionEvents: []});
		const outcome = pipeline(Readable.from(range(0, 40)), stream, writable, {signal}).then(
			() => 'done',
			(error: Error) => error.message,
		);
		t.is(await outcome, round % 2 === 0 ? 'refused' : 'done');
		await closed;
		await nextTurn();
		return listenersOf(writable);
	};
	const plain = () => new PassThrough({objectMode: true, highWaterMark: 8, signal});
	const expected = [await run(0, plain()), await run(1, plain())];
	await run(1, diskQueue<number>(directory, {signal}));
	const before = usage(signal);
	for (const round of range(0, rounds)) {
		const listeners = await run(round, diskQueue<number>(directory, {signal, highWaterMark: 8}));
		t.deepEqual(listeners, expected[round % 2]!);
	}

	await nextTurn();
	t.deepEqual(usage(signal), before);
	controller.abort();
});

/** What the process holds; descriptors are counted where the system lists them. */
function usage(signal: AbortSignal): Record<string, number> {
	const listeners = process.eventNames().map(name => [`process ${String(name)}`, process.listenerCount(name)] as const);
	return {
		...Object.fromEntries(listeners),
		signal: getEventListeners(signal, 'abort').length,
		descriptors: process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0,
		timers: timers.size,
	};
}

/** How many listeners an emitter has, by event. */
function listenersOf(emitter: EventEmitter): Record<string, number> {
	return Object.fromEntries(emitter.eventNames().map(name => [String(name), emitter.listenerCount(name)]));
}

test.serial('a destination that outlives many streams keeps no listener of theirs', async t => {
	const writable = new Writable({objectMode: true, write: (_record, _encoding, callback) => callback()});
	const before = listenersOf(writable);
	for (const id of range(0, 30)) {
		const stream = queueStream<number>(t);
		stream.pipe(writable, {end: false});
		stream.end(id);
		await pEvent(stream, 'close');
	}

	t.deepEqual(listenersOf(writable), before);
});

test.serial('a queue that outlives many streams keeps no listener and no record of theirs', async t => {
	const queue = await openQueue<number>(t);
	for (const id of range(0, 30)) {
		const stream = diskQueue(queue);
		stream.write(id);
		await pEvent(stream, 'data');
		stream.destroy();
		await pEvent(stream, 'close');
	}

	t.deepEqual(queue.eventNames(), []);
	const {inFlight, waitingGets, waitingPuts} = queue.stats();
	t.deepEqual(
		{inFlight, waitingGets, waitingPuts, size: queue.size},
		{
			inFlight: 0,
			waitingGets: 0,
			waitingPuts: 0,
			size: 0,
		},
	);
});

test.serial('a stream that is destroyed while it waits for a record waits no more', async t => {
	const queue = await openQueue<number>(t);
	const stream = diskQueue(queue);
	stream.resume();
	while (queue.stats().waitingGets === 0) {
		await nextTurn();
	}

	stream.destroy();
	t.is(queue.stats().waitingGets, 0);
	await queue.put(1);
	t.is(await queue.get({timeout: 0}), 1);
});

test.serial('a source that fails brings back one confirmed record at most', async t => {
	const directory = temporaryDirectory(t);
	const source = new PassThrough({objectMode: true});
	const {writable, confirmed} = makeSink<number>({kind: 'async', highWaterMark: 1000});
	const run = pipeline(source, diskQueue<number>(directory), writable);
	for (const id of range(0, 50)) {
		source.write(id);
	}

	while (confirmed.length < 50) {
		await nextTurn();
	}

	source.destroy(new Error('source'));
	await t.throwsAsync(run, {message: 'source'});
	t.true((await leftovers(directory)).length <= 1);
});

const endings: Record<string, (stream: Writable) => void> = {
	'end()': stream => stream.end(),
	'destroy()': stream => stream.destroy(),
	'destroy(error)': stream => stream.destroy(new Error('enough')),
};

let combinations = 0;
for (const [ending, end] of Object.entries(endings)) {
	for (const moment of ['before the queue is open', 'when it is open', 'corked', 'with a write under way']) {
		combinations++;
		test.serial(`${ending} ${moment}: each write is called back once`, async t => {
			const stream = queueStream<number>(t, temporaryDirectory(t), {durability: 'fsync'});
			stream.on('error', () => {});
			stream.resume();
			const calls = new Map<number, number>();
			if (moment !== 'before the queue is open') {
				await pEvent(stream, 'ready');
			}

			if (moment === 'corked') {
				stream.cork();
			}

			for (const id of range(0, 10)) {
				stream.write(id, () => calls.set(id, (calls.get(id) ?? 0) + 1));
			}

			if (moment === 'with a write under way') {
				await nextTurn();
			}

			end(stream);
			await pEvent(stream, 'close', {rejectionEvents: []});
			await nextTurn();
			t.deepEqual(
				[...calls].sort(([a], [b]) => a - b),
				range(0, 10).map(id => [id, 1]),
			);
		});
	}
}

test.serial('every ending was tried at every moment', t => {
	t.is(combinations, 3 * 4);
});

test.serial('the error of a failed pipeline is told once, and by no unhandled rejection', async t => {
	const rejections: unknown[] = [];
	const onRejection = (reason: unknown) => rejections.push(reason);
	process.on('unhandledRejection', onRejection);
	t.teardown(() => process.off('unhandledRejection', onRejection));
	const failure = new Error('refused');
	const stream = diskQueue<number>(temporaryDirectory(t));
	const errors: unknown[] = [];
	stream.on('error', error => errors.push(error));
	const closed = pEvent(stream, 'close', {rejectionEvents: []});
	const {writable} = makeSink<number>({refuse: ([id]) => (id === 5 ? failure : undefined)});
	const source = new PassThrough({objectMode: true});
	for (const id of range(0, 10)) {
		source.write(id);
	}

	t.is(await t.throwsAsync(pipeline(source, stream, writable)), failure);
	await closed;
	await nextTurn();
	t.deepEqual(errors, [failure]);
	t.deepEqual(rejections, []);
});
