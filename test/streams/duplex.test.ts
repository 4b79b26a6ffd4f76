import {once} from 'node:events';
import {createWriteStream, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {PassThrough, Readable, Transform, Writable, type WritableOptions} from 'node:stream';
import {finished, pipeline} from 'node:stream/promises';
import {promisify} from 'node:util';
import test from 'ava';
import {pEvent} from 'p-event';
import * as readableStream from 'readable-stream';
import {DiskQueue} from '../../source/index.ts';
import {deferred} from '../helpers/deferred.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {recordStorage} from '../helpers/recording-storage.ts';
import {makeSink, sinkKinds, writables} from '../helpers/sinks.ts';
import {closed, errorOf, leave, leftovers, queueStream, writeAll} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

type Item = {id: number; name: string};

const item = (id: number): Item => ({id, name: `record ${id}`});
const items = (from: number, to: number): Item[] => range(from, to).map(item);

/** A source, and a promise that resolves when it has given its last record. */
function announcedSource(count: number): {source: Iterable<Item>; ended: Promise<void>} {
	const {promise: ended, resolve} = deferred();
	function* give(): Generator<Item> {
		yield* items(0, count);
		resolve();
	}

	return {source: give(), ended};
}

const pipelines = {
	'node:stream': pipeline as (...streams: unknown[]) => Promise<void>,
	'readable-stream': promisify(readableStream.pipeline) as unknown as (...streams: unknown[]) => Promise<void>,
};
const libraries = Object.keys(pipelines) as Array<keyof typeof pipelines>;
const startTimes = ['at once', 'when the source has ended'] as const;

let combinations = 0;
for (const kind of sinkKinds) {
	for (const library of libraries) {
		for (const start of startTimes) {
			for (const highWaterMark of [1, 2, 7, 1024]) {
				combinations++;
				const title = `highWaterMark ${highWaterMark}: a ${library} pipeline into its ${kind} sink that starts ${start} delivers all in order`;
				test(title, async t => {
					const directory = temporaryDirectory(t);
					const {source, ended} = announcedSource(3000);
					const gate = start === 'at once' ? {} : {gate: ended};
					const {writable, confirmed} = makeSink<Item>({kind, Base: writables[library], ...gate});
					await pipelines[library](Readable.from(source), queueStream(t, directory, {highWaterMark}), writable);
					t.deepEqual(confirmed, items(0, 3000));
					t.deepEqual(await leftovers(directory), []);
				});
			}
		}
	}
}

test('every kind of sink, library, start and highWaterMark was combined', t => {
	t.is(combinations, 3 * 2 * 2 * 4);
});

for (const [name, library, other] of [
	['node:stream pipeline, readable-stream sink', 'node:stream', 'readable-stream'],
	['readable-stream pipeline, node:stream sink', 'readable-stream', 'node:stream'],
] as const) {
	test(`${name}: delivers all in order`, async t => {
		const {writable, confirmed} = makeSink<Item>({kind: 'async', Base: writables[other]});
		await pipelines[library](Readable.from(items(0, 3000)), queueStream(t), writable);
		t.deepEqual(confirmed, items(0, 3000));
	});
}

for (const durability of ['spill', 'write', 'fsync'] as const) {
	test(`'${durability}': delivers all in order to a sink that starts when the source has ended`, async t => {
		const directory = temporaryDirectory(t);
		const {source, ended} = announcedSource(20_000);
		const {writable, confirmed} = makeSink<Item>({gate: ended});
		await pipeline(Readable.from(source), queueStream(t, directory, {durability, highWaterMark: 64}), writable);
		t.deepEqual(confirmed, items(0, 20_000));
		t.deepEqual(await leftovers(directory), []);
	});
}

test('a file receives every string and Buffer', async t => {
	const path = join(temporaryDirectory(t), 'lines');
	const lines = range(0, 20_000).map(id => (id % 2 === 0 ? `line ${id}\n` : Buffer.from(`line ${id}\n`)));
	const directory = temporaryDirectory(t);
	await pipeline(Readable.from(lines), queueStream(t, directory, {highWaterMark: 32}), createWriteStream(path));
	t.is(readFileSync(path, 'utf8'), lines.join(''));
	t.deepEqual(await leftovers(directory), []);
});

for (const [name, highWaterMark, options] of [
	['confirms at once', 16, {write: (_record, _encoding, callback) => callback()}],
	['confirms at once, with a large buffer,', 1024, {write: (_record, _encoding, callback) => callback()}],
	['confirms before the next turn', 16, {write: (_record, _encoding, callback) => process.nextTick(callback)}],
	['confirms batches before the next turn', 1024, {writev: (_chunks, callback) => process.nextTick(callback)}],
] satisfies Array<[string, number, WritableOptions]>) {
	test(`writes nothing for a sink that keeps up: it ${name}`, async t => {
		const directory = temporaryDirectory(t);
		const {storage, created, writes} = recordStorage();
		const sink = new Writable({objectMode: true, highWaterMark, ...options});
		await pipeline(Readable.from(items(0, 50_000)), queueStream<Item>(t, directory, {storage}), sink);
		t.deepEqual(await leftovers<Item>(directory, {storage}), []);
		t.deepEqual(created, []);
		t.is(writes(), 0);
		t.deepEqual(readdirSync(directory), []);
	});
}

test('what an earlier run left comes first', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, items(0, 2500));
	const {writable, confirmed} = makeSink<Item>();
	await pipeline(Readable.from(items(2500, 5000)), queueStream(t, directory), writable);
	t.deepEqual(confirmed, items(0, 5000));
	t.deepEqual(await leftovers(directory), []);
});

test('ends when the source is empty', async t => {
	const directory = temporaryDirectory(t);
	const {writable, confirmed} = makeSink();
	await pipeline(Readable.from([]), queueStream(t, directory), writable);
	t.deepEqual(confirmed, []);
	t.deepEqual(await leftovers(directory), []);
	t.deepEqual(readdirSync(directory), []);
});

test('ends when the source is empty and everything that was left is drained', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, items(0, 2500));
	const {writable, confirmed} = makeSink<Item>();
	await pipeline(Readable.from([]), queueStream(t, directory, {highWaterMark: 7}), writable);
	t.deepEqual(confirmed, items(0, 2500));
});

test('ends although it had been drained long before the writable side ended', async t => {
	const stream = queueStream<number>(t);
	stream.write(1);
	const [record] = await once(stream, 'data');
	t.is(record, 1);
	stream.end();
	await finished(stream);
	t.true(stream.readableEnded);
});

test('what is written before the queue is open is delivered', async t => {
	const stream = queueStream<number>(t);
	t.is(stream.queue, undefined);
	stream.write(1);
	stream.write(2);
	stream.end(3);
	t.is(stream.queue, undefined);
	t.deepEqual(await stream.toArray(), [1, 2, 3]);
});

test('end() before the queue is open ends it', async t => {
	const stream = queueStream(t);
	stream.end();
	t.deepEqual(await stream.toArray(), []);
});

test('emits ready once, with the queue', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory);
	const ready: unknown[] = [];
	stream.on('ready', queue => ready.push(queue));
	await pEvent(stream, 'ready');
	t.true(stream.queue instanceof DiskQueue);
	t.is(stream.queue!.directory, directory);
	stream.end();
	await stream.toArray();
	await pEvent(stream, 'close');
	t.deepEqual(ready, [stream.queue]);
});

for (const highWaterMark of [1, 2, 7, 1024]) {
	test(`highWaterMark ${highWaterMark}: what is written corked is delivered in order, each callback once`, async t => {
		const directory = temporaryDirectory(t);
		const stream = queueStream<number>(t, directory, {highWaterMark});
		const calls = new Map<number, number>();
		stream.cork();
		for (const id of range(0, 2000)) {
			stream.write(id, error => {
				t.falsy(error);
				calls.set(id, (calls.get(id) ?? 0) + 1);
			});
		}

		stream.uncork();
		stream.end();
		t.deepEqual(await stream.toArray(), range(0, 2000));
		t.deepEqual(
			[...calls],
			range(0, 2000).map(id => [id, 1]),
		);
	});
}

for (const highWaterMark of [1, 2, 7, 1024]) {
	test(`highWaterMark ${highWaterMark}: leaving a for await loop keeps the rest for the next open`, async t => {
		const directory = temporaryDirectory(t);
		const stream = queueStream<number>(t, directory, {highWaterMark});
		const written = writeAll(stream, range(0, 500));
		const taken: number[] = [];
		for await (const id of stream) {
			taken.push(id);
			if (taken.length === 123) {
				break;
			}
		}

		const accepted = await written;
		t.deepEqual(taken, range(0, 123));
		const rest = await leftovers<number>(directory);
		t.deepEqual(rest, range(123, 123 + rest.length));
		t.true(123 + rest.length >= accepted);
	});
}

test('an error in a for await loop rejects with it and keeps the rest', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 50));
	const failure = new Error('in the loop');
	const loop = async () => {
		for await (const id of queueStream<number>(t, directory)) {
			if (id === 9) {
				throw failure;
			}
		}
	};
	t.is(await t.throwsAsync(loop), failure);
	t.deepEqual(await leftovers(directory), range(10, 50));
});

test('take() gives the first records and keeps the rest', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 50));
	t.deepEqual(await queueStream<number>(t, directory).take(20).toArray(), range(0, 20));
	const rest = await leftovers<number>(directory);
	t.deepEqual(rest, range(50 - rest.length, 50));
	t.true(rest.length >= 29);
});

test('read() takes record by record', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 50));
	const stream = queueStream<number>(t, directory, {highWaterMark: 8});
	const taken: number[] = [];
	while (taken.length < 21) {
		const record: number | null = stream.read();
		if (record === null) {
			await pEvent(stream, 'readable');
		} else {
			taken.push(record);
		}
	}

	stream.destroy();
	await pEvent(stream, 'close');
	t.deepEqual(taken, range(0, 21));
	t.deepEqual(await leftovers(directory), range(21, 50));
});

test('finished() resolves when both sides have ended', async t => {
	const stream = queueStream<number>(t);
	let isFinished = false;
	const end = finished(stream).then(() => {
		isFinished = true;
	});
	stream.end(1);
	await pEvent(stream, 'finish');
	t.false(isFinished);
	stream.resume();
	await end;
	t.true(stream.readableEnded);
});

test('pipe() with end: false leaves the destination open, and everything confirmed is done', async t => {
	const directory = temporaryDirectory(t);
	const {writable, confirmed} = makeSink<Item>({kind: 'async'});
	for (const round of range(0, 3)) {
		const stream = queueStream<Item>(t, directory);
		stream.pipe(writable, {end: false});
		await writeAll(stream, items(round * 100, round * 100 + 100));
		await pEvent(stream, 'close');
		t.is(confirmed.length, round * 100 + 100);
	}

	t.false(writable.writableEnded);
	t.deepEqual(confirmed, items(0, 300));
	t.deepEqual(await leftovers(directory), []);
	writable.destroy();
});

test('two destinations are both given everything; done is what both have confirmed', async t => {
	const directory = temporaryDirectory(t);
	const gate = deferred();
	const fast = makeSink<Item>({highWaterMark: 1000});
	const slow = makeSink<Item>({gate: gate.promise, highWaterMark: 1000});
	const stream = queueStream<Item>(t, directory);
	stream.pipe(fast.writable);
	stream.pipe(slow.writable);
	await writeAll(stream, items(0, 500));
	await pEvent(fast.writable, 'finish');
	t.is(stream.queue!.stats().inFlight, 500);
	t.is(slow.confirmed.length, 0);
	gate.resolve();
	await pEvent(stream, 'close');
	t.deepEqual(fast.confirmed, items(0, 500));
	t.deepEqual(slow.confirmed, items(0, 500));
	t.deepEqual(await leftovers(directory), []);
});

test('of two destinations one that fails ends the stream, and decides what comes back', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, items(0, 500));
	const failure = new Error('full');
	const failing = makeSink<Item>({
		kind: 'async',
		refuse: ([record]) => (record!.id === 200 ? failure : undefined),
	});
	const healthy = makeSink<Item>();
	const stream = queueStream<Item>(t, directory, {highWaterMark: 16});
	failing.writable.on('error', () => {});
	stream.pipe(failing.writable);
	stream.pipe(healthy.writable);
	t.is(await errorOf(stream), failure);
	await closed(stream);
	t.deepEqual(healthy.confirmed, items(0, healthy.confirmed.length));
	t.deepEqual(failing.confirmed, items(0, 200));
	const rest = await leftovers<Item>(directory);
	t.deepEqual(rest, items(500 - rest.length, 500));
	t.true(rest[0]!.id <= 200 && rest[0]!.id >= 200 - 16, `${rest[0]!.id} is the first that came back`);
});

test('unpipe() keeps what was not read', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, items(0, 500));
	const stream = queueStream<Item>(t, directory, {highWaterMark: 16});
	const {writable, confirmed} = makeSink<Item>({
		kind: 'async',
		refuse(records) {
			if (records[0]!.id === 99) {
				stream.unpipe(writable);
			}

			return undefined;
		},
	});
	stream.pipe(writable);
	const unpiped = pEvent(writable, 'unpipe');
	await unpiped;
	writable.end();
	await pEvent(writable, 'finish');
	stream.destroy();
	await pEvent(stream, 'close');
	t.true(confirmed.length >= 100);
	t.deepEqual(confirmed, items(0, confirmed.length));
	t.deepEqual(await leftovers(directory), items(confirmed.length, 500));
});

test("acknowledge: 'read' calls a record done when it has left the stream's buffer, whatever the sink does", async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, items(0, 500));
	const {writable} = makeSink<Item>({gate: new Promise(() => {}), highWaterMark: 100});
	const stream = queueStream<Item>(t, directory, {highWaterMark: 10, acknowledge: 'read'});
	stream.pipe(writable);
	while (writable.writableLength < 100) {
		await pEvent(stream, 'pause');
	}

	stream.destroy();
	await pEvent(stream, 'close');
	writable.destroy();
	t.deepEqual(await leftovers(directory), items(100, 500));
});

test("acknowledge: 'sink' calls nothing done that a destination holds", async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, items(0, 500));
	const {writable} = makeSink<Item>({gate: new Promise(() => {}), highWaterMark: 100});
	const stream = queueStream<Item>(t, directory, {highWaterMark: 10});
	stream.pipe(writable);
	while (writable.writableLength < 100) {
		await pEvent(stream, 'pause');
	}

	stream.destroy();
	await pEvent(stream, 'close');
	writable.destroy();
	t.deepEqual(await leftovers(directory), items(0, 500));
});

test('what a destination confirms is done soon, though it neither drains nor is given more', async t => {
	const stream = queueStream<Item>(t);
	const {writable, confirmed} = makeSink<Item>({kind: 'async', highWaterMark: 1000});
	stream.pipe(writable);
	for (const record of items(0, 100)) {
		stream.write(record);
	}

	await pEvent(stream, 'data');
	t.is(stream.queue!.stats().inFlight, 100);
	while (stream.queue!.stats().inFlight > 0) {
		await nextTurn();
	}

	t.deepEqual(confirmed, items(0, 100));
});

test('the last record that was read is done soon, though no other one comes', async t => {
	const queue = await openQueue<number>(t);
	const stream = queueStream(t, queue);
	stream.write(1);
	const records = stream[Symbol.asyncIterator]();
	t.is((await records.next()).value, 1);
	void records.next().catch(() => {});
	await queue.join({timeout: 10_000});
	t.is(queue.stats().waitingGets, 1);
});

test('through a transform, everything is done at the end', async t => {
	const directory = temporaryDirectory(t);
	const double = new Transform({
		objectMode: true,
		transform: (record, _encoding, callback) => callback(null, record * 2),
	});
	const {writable, confirmed} = makeSink<number>({kind: 'async'});
	await pipeline(Readable.from(range(0, 3000)), queueStream(t, directory), double, writable);
	t.deepEqual(
		confirmed,
		range(0, 3000).map(id => id * 2),
	);
	t.deepEqual(await leftovers(directory), []);
});

test('an async generator may stand behind it', async t => {
	const directory = temporaryDirectory(t);
	const taken: number[] = [];
	await pipeline(Readable.from(range(0, 3000)), queueStream<number>(t, directory), async stream => {
		for await (const id of stream) {
			taken.push(id as number);
		}
	});
	t.deepEqual(taken, range(0, 3000));
	t.deepEqual(await leftovers(directory), []);
});

test('records that are false, zero or empty are delivered', async t => {
	const directory = temporaryDirectory(t);
	const records = [0, '', false, Number.NaN, [], {}, 0n];
	const stream = queueStream(t, directory, {highWaterMark: 2});
	await writeAll(stream, records);
	t.deepEqual(await stream.toArray(), records);
});

test('two streams over one open queue give each record to one of them', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 2000));
	const sinks = range(0, 2).map(() => makeSink<number>({kind: 'async'}));
	await Promise.all(
		sinks.map(({writable}) => pipeline(Readable.from([]), queueStream(t, queue, {highWaterMark: 16}), writable)),
	);
	const [first, second] = sinks.map(({confirmed}) => confirmed);
	t.true(first!.length > 0 && second!.length > 0);
	t.deepEqual(
		[...first!, ...second!].sort((a, b) => a - b),
		range(0, 2000),
	);
	for (const confirmed of [first!, second!]) {
		t.deepEqual(
			confirmed,
			confirmed.toSorted((a, b) => a - b),
		);
	}
});

test('several queues in one pipeline hand on everything', async t => {
	const directories = range(0, 3).map(() => temporaryDirectory(t));
	const {writable, confirmed} = makeSink<number>({kind: 'async'});
	const queues = directories.map(directory => queueStream<number>(t, directory, {highWaterMark: 8}));
	await pipeline([Readable.from(range(0, 2000)), ...queues, writable]);
	t.deepEqual(confirmed, range(0, 2000));
	for (const directory of directories) {
		t.deepEqual(await leftovers(directory), []);
	}
});

test('with an open queue: the end leaves it open', async t => {
	const queue = await openQueue<number>(t);
	const {writable, confirmed} = makeSink<number>();
	await pipeline(Readable.from(range(0, 100)), queueStream(t, queue), writable);
	t.deepEqual(confirmed, range(0, 100));
	await queue.put(100);
	t.is(await queue.get(), 100);
	t.is(queue.stats().inFlight, 0);
});

for (const durability of ['spill', 'write'] as const) {
	test(`'${durability}': with an open queue: an error gives what was read ahead back to the head, in order`, async t => {
		const queue = await openQueue<number>(t, {durability});
		await queue.putMany(range(0, 200));
		const failure = new Error('sink');
		const {writable, confirmed} = makeSink<number>({
			kind: 'async',
			refuse: ([id]) => (id === 50 ? failure : undefined),
		});
		const run = pipeline(new PassThrough({objectMode: true}), queueStream(t, queue, {highWaterMark: 32}), writable);
		t.is(await t.throwsAsync(run), failure);
		t.deepEqual(confirmed, range(0, 50));
		await queue.put(200);
		t.is(queue.stats().inFlight, 0);
		const rest = await drain(queue);
		t.deepEqual(rest, range(201 - rest.length, 201));
		t.true(rest.length >= 151);
	});
}

test('with an open queue: several streams one after the other share its records', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	const taken: number[] = [];
	for (const round of range(0, 10)) {
		for await (const id of queueStream(t, queue, {highWaterMark: 16})) {
			taken.push(id);
			if (taken.length === (round + 1) * 10) {
				break;
			}
		}
	}

	t.deepEqual(taken, range(0, 100));
	t.is(queue.size, 0);
});

test('write(null) is ERR_STREAM_NULL_VALUES', t => {
	const stream = queueStream(t);
	t.teardown(() => stream.destroy());
	t.throws(() => stream.write(null), {code: 'ERR_STREAM_NULL_VALUES'});
});

test('reads ahead no more than highWaterMark', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, items(0, 2000));
	const stream = queueStream<Item>(t, directory, {highWaterMark: 8});
	const taken: Item[] = [];
	for await (const record of stream) {
		taken.push(record);
		t.true(stream.readableLength <= 8);
		if (taken.length === 100) {
			break;
		}
	}

	t.deepEqual(taken, items(0, 100));
});

test('holds no more than a small multiple of highWaterMark in memory', async t => {
	const highWaterMark = 100;
	const gate = deferred();
	const stream = queueStream<Item>(t, temporaryDirectory(t), {highWaterMark});
	const {writable, confirmed} = makeSink<Item>({gate: gate.promise});
	let most = 0;
	const watcher = new Writable({
		objectMode: true,
		write(record, _encoding, callback) {
			const {memoryRecords, inFlight} = stream.queue?.stats() ?? {memoryRecords: 0, inFlight: 0};
			most = Math.max(most, stream.writableLength + memoryRecords + inFlight);
			stream.write(record) ? callback() : stream.once('drain', callback);
		},
		final(callback) {
			stream.end(callback);
		},
	});
	stream.pipe(writable);
	await pipeline(Readable.from(items(0, 20_000)), watcher);
	gate.resolve();
	await pEvent(writable, 'finish');
	t.is(confirmed.length, 20_000);
	t.log(`at most ${most} records in memory`);
	t.true(most <= 4 * highWaterMark);
});
