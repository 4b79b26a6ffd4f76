import {once} from 'node:events';
import {createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import * as stream from 'node:stream';
import {
	addAbortSignal,
	Duplex,
	finished,
	isErrored,
	isReadable,
	PassThrough,
	Readable,
	Transform,
	Writable,
} from 'node:stream';
import * as consumers from 'node:stream/consumers';
import {finished as finish, pipeline} from 'node:stream/promises';
import {ReadableStream, TextDecoderStream, TransformStream, WritableStream} from 'node:stream/web';
import {promisify} from 'node:util';
import test from 'ava';
import {pEvent} from 'p-event';
import * as readableStream from 'readable-stream';
import {createReadStream, createWriteStream, type DiskQueue, diskQueue} from '../../source/index.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {closed, errorOf, leftovers, queueStream, readView, writeView} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

// Not in the types of every version.
const {compose} = stream as unknown as {compose(...streams: unknown[]): Duplex};
const drained = {until: 'drained'} as const;
const inBytes = {objectMode: false} as const;

/** A queue with the numbers from 0 up to `count`. */
async function filled(t: Parameters<typeof openQueue>[0], count: number): Promise<DiskQueue<number>> {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, count));
	return queue;
}

/** Waits until nothing is in flight: a view that has ended has given back what it had. */
async function settled(queue: DiskQueue<number>): Promise<void> {
	while (queue.stats().inFlight > 0) {
		await nextTurn();
	}
}

const double = () =>
	new Transform({objectMode: true, transform: (id: number, _encoding, callback) => callback(null, 2 * id)});

type Helper = {
	use: (stream: Readable) => Promise<unknown>;
	result: unknown;
	/** Records that it needs. */
	taken: number;
	/** Those that it reads ahead, and so are read. */
	ahead?: number;
};

// The async helpers of a Readable, each on a view and on a Duplex.
const helpers: Record<string, Helper> = {
	toArray: {use: stream => stream.toArray(), result: range(0, 100), taken: 100},
	map: {
		use: stream => stream.map((id: number) => 2 * id).toArray(),
		result: range(0, 100).map(id => 2 * id),
		taken: 100,
	},
	'map, several at once': {
		use: stream => stream.map(async (id: number) => 2 * id, {concurrency: 8}).toArray(),
		result: range(0, 100).map(id => 2 * id),
		taken: 100,
	},
	filter: {
		use: stream => stream.filter((id: number) => id % 2 === 0).toArray(),
		result: range(0, 50).map(id => 2 * id),
		taken: 100,
	},
	flatMap: {
		use: stream => stream.flatMap((id: number) => [id, id]).toArray(),
		result: range(0, 200).map(id => id >> 1),
		taken: 100,
	},
	drop: {use: stream => stream.drop(90).toArray(), result: range(90, 100), taken: 100},
	reduce: {use: stream => stream.reduce((sum: number, id: number) => sum + id, 0), result: 4950, taken: 100},
	forEach: {use: stream => stream.forEach(() => {}), result: undefined, taken: 100},
	every: {use: stream => stream.every((id: number) => id >= 0), result: true, taken: 100},
	some: {use: stream => stream.some((id: number) => id === 30), result: true, taken: 31, ahead: 1},
	find: {use: stream => stream.find((id: number) => id === 30), result: 30, taken: 31, ahead: 1},
	take: {use: stream => stream.take(30).toArray(), result: range(0, 30), taken: 30},
};

for (const [name, {use, result, taken, ahead = 0}] of Object.entries(helpers)) {
	test(`${name} of a view: takes what it needs, and leaves the rest in the queue`, async t => {
		const queue = await filled(t, 100);
		t.deepEqual(await use(readView(t, queue, drained)), result);
		await settled(queue);
		const rest = await drain(queue);
		t.deepEqual(rest, range(100 - rest.length, 100));
		t.true(rest.length <= 100 - taken && rest.length >= 100 - taken - ahead, `${rest.length} are left`);
	});

	test(`${name} of a Duplex: takes what it needs, and leaves the rest in the directory`, async t => {
		const directory = temporaryDirectory(t);
		const stream = queueStream<number>(t, directory);
		for (const id of range(0, 100)) {
			stream.write(id);
		}

		const run = use(stream);
		stream.end();
		t.deepEqual(await run, result);
		await closed(stream);
		const rest = await leftovers<number>(directory);
		t.deepEqual(rest, range(100 - rest.length, 100));
		t.true(rest.length <= 100 - taken && rest.length >= 100 - taken - ahead, `${rest.length} are left`);
	});
}

const pipelines = {
	'node:stream': pipeline as (...streams: unknown[]) => Promise<void>,
	'readable-stream': promisify(readableStream.pipeline) as unknown as (...streams: unknown[]) => Promise<void>,
};

for (const [name, run] of Object.entries(pipelines)) {
	test(`${name} pipeline: from a view through transforms and generators into another view`, async t => {
		const [from, to] = [await filled(t, 1000), await openQueue<number>(t)];
		const addOne = async function* (ids: AsyncIterable<number>) {
			for await (const id of ids) {
				yield id + 1;
			}
		};
		await run(readView(t, from, drained), double(), addOne, writeView(t, to));
		t.deepEqual(
			await drain(to),
			range(0, 1000).map(id => 2 * id + 1),
		);
		t.is(from.size, 0);
	});

	test(`${name} pipeline: a failure in the middle ends both views, and neither queue`, async t => {
		const [from, to] = [await filled(t, 1000), await openQueue<number>(t)];
		const failure = new Error('in the middle');
		const failing = new Transform({
			objectMode: true,
			transform: (id: number, _encoding, callback) => callback(id === 300 ? failure : null, id),
		});
		const views = [readView(t, from), writeView(t, to)] as const;
		t.is(await t.throwsAsync(run(views[0], failing, views[1])), failure);
		await Promise.all(views.map(closed));
		await settled(from);
		const moved = await drain(to);
		t.deepEqual(moved, range(0, moved.length));
		const rest = await drain(from);
		t.deepEqual(rest, range(1000 - rest.length, 1000));
		t.true(rest[0]! <= 300);
	});
}

test('Readable.from() of a view, and a view into Readable.from() of it', async t => {
	const queue = await filled(t, 100);
	t.deepEqual(await Readable.from(readView(t, queue, drained)).toArray(), range(0, 100));
	t.is(queue.size, 0);
});

test('compose() of a view and transforms', async t => {
	const queue = await filled(t, 100);
	const composed = compose(readView(t, queue, drained), double()) as Readable;
	t.deepEqual(
		await composed.toArray(),
		range(0, 100).map(id => 2 * id),
	);
	await queue.putMany(range(0, 100));
	const view = readView(t, queue, drained);
	const again = (view.compose(double()) as unknown as Readable).toArray();
	t.deepEqual(
		await again,
		range(0, 100).map(id => 2 * id),
	);
});

test('compose() of a transform and a write view', async t => {
	const queue = await openQueue<number>(t);
	const composed = compose(double(), writeView(t, queue)) as unknown as Writable;
	await pipeline(Readable.from(range(0, 100)), composed);
	t.deepEqual(
		await drain(queue),
		range(0, 100).map(id => 2 * id),
	);
});

test('finished() of a view resolves at its end, and rejects with its error', async t => {
	const queue = await filled(t, 10);
	const view = readView(t, queue, drained);
	view.resume();
	await finish(view);
	const failing = readView(t, queue);
	const end = finish(failing);
	const failure = new Error('enough');
	failing.destroy(failure);
	t.is(await t.throwsAsync(end), failure);
	t.true(isErrored(failing));
	t.false(isReadable(failing));
	const writing = writeView(t, queue);
	writing.end(1);
	await promisify(finished)(writing);
	t.is(queue.size, 1);
});

test('addAbortSignal() ends a view with an AbortError', async t => {
	const queue = await filled(t, 100);
	const stop = new AbortController();
	const view = addAbortSignal(stop.signal, readView(t, queue));
	const taken: number[] = [];
	for await (const id of view.on('error', error => t.is(error.name, 'AbortError'))) {
		taken.push(id as number);
		if (taken.length === 10) {
			break;
		}
	}

	const other = readView(t, queue);
	await pEvent(other, 'readable');
	addAbortSignal(stop.signal, other);
	const failed = errorOf(other);
	stop.abort();
	t.is((await failed).name, 'AbortError');
	await closed(other);
	t.deepEqual(await drain(queue), range(10, 100));
});

test('iterator({destroyOnReturn: false}) leaves the view open', async t => {
	const queue = await filled(t, 10);
	const view = readView(t, queue, drained);
	for await (const id of view.iterator({destroyOnReturn: false}) as AsyncIterable<number>) {
		if (id === 3) {
			break;
		}
	}

	t.false(view.destroyed);
	t.deepEqual(await view.toArray(), range(4, 10));
});

test('stream/consumers read a byte view', async t => {
	const queue = await openQueue<string>(t);
	await queue.putMany(['{"id": ', '1, "żółć": ', 'true}']);
	t.deepEqual(await consumers.json(createReadStream(queue, {...inBytes, ...drained})), {id: 1, żółć: true});
});

// Web streams.

test('Readable.toWeb() of a view gives all records', async t => {
	const queue = await filled(t, 100);
	const taken: number[] = [];
	for await (const id of Readable.toWeb(readView(t, queue, drained))) {
		taken.push(id);
	}

	t.deepEqual(taken, range(0, 100));
	await settled(queue);
});

test('cancel() of ReadableStream.from() a view ends it, and leaves the rest in the queue, in order', async t => {
	const queue = await filled(t, 100);
	const view = readView(t, queue);
	const reader = ReadableStream.from(view).getReader();
	const taken = [await reader.read(), await reader.read(), await reader.read()].map(({value}) => value);
	t.deepEqual(taken, [0, 1, 2]);
	await reader.cancel();
	await closed(view);
	t.deepEqual(await drain(queue), range(3, 100));
});

test('cancel() of Readable.toWeb() with a strategy that buffers nothing leaves all that was not read in the queue', async t => {
	const queue = await filled(t, 100);
	const view = readView(t, queue);
	const failed = errorOf(view);
	const web = Readable.toWeb(view, {strategy: {highWaterMark: 0}});
	const reader = web.getReader();
	const taken = [await reader.read(), await reader.read(), await reader.read()].map(({value}) => value);
	t.deepEqual(taken, [0, 1, 2]);
	await reader.cancel();
	t.is((await failed).name, 'AbortError');
	await closed(view);
	t.deepEqual(await drain(queue), range(3, 100));
});

test('cancel() of Readable.toWeb() otherwise takes what the web stream has buffered as read', async t => {
	const queue = await filled(t, 100);
	const view = readView(t, queue, {highWaterMark: 4});
	const failed = errorOf(view);
	const reader = Readable.toWeb(view).getReader();
	t.is((await reader.read()).value, 0);
	await reader.cancel();
	t.is((await failed).name, 'AbortError');
	await closed(view);
	const rest = await drain(queue);
	t.deepEqual(rest, range(100 - rest.length, 100));
	t.true(rest.length >= 100 - 1 - 2 * 4, `${rest.length} are left`);
});

test('pipeThrough() and pipeTo(): from a view to a write view', async t => {
	const [from, to] = [await filled(t, 500), await openQueue<number>(t)];
	const tripled = new TransformStream<number, number>({
		transform: (id, controller) => controller.enqueue(3 * id),
	});
	await Readable.toWeb(readView(t, from, drained))
		.pipeThrough(tripled)
		.pipeTo(Writable.toWeb(writeView(t, to)));
	t.deepEqual(
		await drain(to),
		range(0, 500).map(id => 3 * id),
	);
});

test('a web sink that aborts ends the view, and not the queue', async t => {
	const queue = await filled(t, 100);
	const view = readView(t, queue);
	view.on('error', () => {});
	const failure = new Error('no more');
	const sink = new WritableStream({
		write(id) {
			if (id === 20) {
				throw failure;
			}
		},
	});
	t.is(await t.throwsAsync(ReadableStream.from(view).pipeTo(sink)), failure);
	await closed(view);
	const rest = await drain(queue);
	t.deepEqual(rest, range(100 - rest.length, 100));
	t.true(rest[0]! <= 22);
});

test('Duplex.toWeb() and Duplex.fromWeb() of a stream give all records', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory);
	const {readable, writable} = Duplex.toWeb(stream);
	const filling = ReadableStream.from(range(0, 500)).pipeTo(writable);
	const taken: number[] = [];
	for await (const id of readable) {
		taken.push(id as number);
	}

	await filling;
	t.deepEqual(taken, range(0, 500));
	await closed(stream);
	t.deepEqual(await leftovers(directory), []);
	const pair = Duplex.toWeb(queueStream<number>(t)) as Parameters<typeof Duplex.fromWeb>[0];
	const back = Duplex.fromWeb(pair, {objectMode: true});
	const {writable: sink, confirmed} = makeSink<number>();
	await pipeline(Readable.from(range(0, 100)), back, sink);
	t.deepEqual(confirmed, range(0, 100));
});

test('a byte view through web streams: text, and a Response', async t => {
	const queue = await openQueue<Buffer>(t);
	const text = 'zażółć 🚀 '.repeat(1000);
	const bytes = Buffer.from(text);
	await pipeline(
		Readable.from(range(0, Math.ceil(bytes.length / 7)).map(index => bytes.subarray(index * 7, index * 7 + 7))),
		createWriteStream(queue, inBytes),
	);
	const decoded = Readable.toWeb(createReadStream(queue, {...inBytes, ...drained})).pipeThrough(
		new TextDecoderStream(),
	);
	t.is((await collect(decoded)).join(''), text);
	await queue.put(bytes);
	const response = new Response(Readable.toWeb(createReadStream(queue, {...inBytes, ...drained})) as never);
	t.is(await response.text(), text);
	t.is(queue.size, 0);
});

async function collect<C>(chunks: AsyncIterable<C>): Promise<C[]> {
	const all: C[] = [];
	for await (const chunk of chunks) {
		all.push(chunk);
	}

	return all;
}

test('a byte view is the body of a fetch, and a response fills a queue', async t => {
	const server = createServer((request, response) => request.pipe(response));
	server.listen(0, '127.0.0.1');
	t.teardown(() => server.close());
	await once(server, 'listening');
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
	const [up, down] = [await openQueue<Buffer>(t), await openQueue<Buffer>(t)];
	const content = Buffer.from(range(0, 300_000).map(index => (index * 7) % 256));
	await pipeline(Readable.from([content]), createWriteStream(up, inBytes));
	t.true(up.size > 1);
	const body = createReadStream(up, {...inBytes, ...drained});
	const response = await fetch(url, {method: 'POST', body, duplex: 'half'} as unknown as RequestInit);
	await pipeline(Readable.fromWeb(response.body as never), createWriteStream(down, inBytes));
	t.deepEqual(Buffer.concat(await drain(down)), content);
	t.is(up.size, 0);
	const again = await fetch(url, {
		method: 'POST',
		body: Readable.toWeb(diskQueue(temporaryDirectory(t), inBytes).end('from a Duplex')),
		duplex: 'half',
	} as unknown as RequestInit);
	t.is(await again.text(), 'from a Duplex');
});

test('an HTTP response confirms the chunks that it has sent', async t => {
	const queue = await openQueue<Buffer>(t);
	await pipeline(Readable.from(range(0, 200).map(() => Buffer.alloc(1000))), createWriteStream(queue, inBytes));
	const server = createServer(
		(_request, response) => void pipeline(createReadStream(queue, {...inBytes, ...drained}), response),
	);
	server.listen(0, '127.0.0.1');
	t.teardown(() => server.close());
	await once(server, 'listening');
	const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
	t.is((await response.arrayBuffer()).byteLength, 200_000);
	await queue.join({timeout: 10_000});
	t.is(queue.size, 0);
});

test('the streams are known as streams without being instances of node:stream', async t => {
	const queue = await openQueue<number>(t);
	const view = readView(t, queue);
	t.true(isReadable(view));
	t.is(typeof view.pipe, 'function');
	t.false(view.readableFlowing === true);
	view.pipe(new PassThrough({objectMode: true})).resume();
	t.true(view.readableFlowing);
});

for (const [name, make] of [
	['a Duplex', (queue: DiskQueue<number>) => diskQueue(queue)],
	['a read view', (queue: DiskQueue<number>) => createReadStream(queue)],
	['a write view', (queue: DiskQueue<number>) => createWriteStream(queue)],
] as const) {
	test(`await using of ${name} emits no error, rejects no pipeline of its own accord, and leaves the queue open`, async t => {
		const queue = await filled(t, 3);
		const errors: unknown[] = [];
		{
			await using stream = make(queue) as Readable;
			stream.on('error', error => errors.push(error));
			await nextTurn();
		}

		t.deepEqual(errors, []);
		t.deepEqual(await drain(queue), [0, 1, 2]);
	});
}
