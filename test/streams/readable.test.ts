import {once} from 'node:events';
import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {pEvent} from 'p-event';
import {createReadStream, type DiskQueue, type ReadStreamOptions} from '../../source/index.ts';
import {startFixture} from '../helpers/children.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {makeSink, type TestSink} from '../helpers/sinks.ts';
import {closed, errorOf, leave, leftovers, readView} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

/** Resolves when so many calls wait for a record of the queue. */
async function waiting(queue: DiskQueue<number>, count: number): Promise<void> {
	while (queue.stats().waitingGets < count) {
		await nextTurn();
	}
}

const wrongOptions: Array<[string, unknown]> = [
	['highWaterMark 0', {highWaterMark: 0}],
	['highWaterMark of text', {highWaterMark: '16'}],
	['acknowledge with another word', {acknowledge: 'never'}],
	['until with another word', {until: 'empty'}],
	['until null', {until: null}],
	['an option of the queue', {durability: 'write'}],
	['an option that is not known', {highwatermark: 16}],
	['a signal that is none', {signal: {}}],
	['no object', 'fast'],
	['null', null],
];

for (const [name, options] of wrongOptions) {
	test(`a wrong option throws at once: ${name}`, async t => {
		const queue = await openQueue<number>(t);
		t.throws(() => createReadStream(queue, options as ReadStreamOptions), {code: 'QUEUE_INVALID_ARGUMENT'});
	});
}

test('a promise of a queue is refused with a hint', t => {
	t.throws(() => createReadStream(Promise.resolve() as never), {
		code: 'QUEUE_INVALID_ARGUMENT',
		message: 'Expected `queue` to be an open DiskQueue, got a promise: is `await` missing?',
	});
});

for (const queue of ['./directory', undefined, null, {}]) {
	test(`what is no open queue throws at once: ${JSON.stringify(queue)}`, t => {
		t.throws(() => createReadStream(queue as never), {code: 'QUEUE_INVALID_ARGUMENT'});
	});
}

test('gives what waits, then waits for more, and leaves the queue open', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	const taken: number[] = [];
	for await (const id of readView(t, queue)) {
		taken.push(id);
		if (taken.length === 100) {
			await queue.putMany(range(100, 200));
		}

		if (taken.length === 200) {
			break;
		}
	}

	t.deepEqual(taken, range(0, 200));
	await queue.put(200);
	t.is(await queue.get(), 200);
});

for (const highWaterMark of [1, 7, 16, 1024]) {
	for (const durability of ['spill', 'write', 'fsync'] as const) {
		test(`highWaterMark ${highWaterMark}, '${durability}': three views share a queue, each record goes to one, in order`, async t => {
			const queue = await openQueue<number>(t, {durability, cacheSize: 64});
			await queue.putMany(range(0, 3000));
			const sinks = range(0, 3).map(() => makeSink<number>({kind: 'async'}));
			await Promise.all(
				sinks.map(({writable}) => pipeline(readView(t, queue, {until: 'drained', highWaterMark}), writable)),
			);
			for (const {confirmed} of sinks) {
				t.deepEqual(
					confirmed,
					confirmed.toSorted((a, b) => a - b),
				);
			}

			const all = sinks.flatMap(({confirmed}) => confirmed);
			t.deepEqual(
				all.sort((a, b) => a - b),
				range(0, 3000),
			);
			t.is(queue.stats().inFlight, 0);
		});
	}
}

test("until: 'drained' ends at once when nothing is there", async t => {
	const queue = await openQueue<number>(t);
	t.deepEqual(await readView(t, queue, {until: 'drained'}).toArray(), []);
});

test("until: 'drained' ends although a view before it waits for more", async t => {
	const queue = await openQueue<number>(t);
	readView(t, queue).resume();
	await waiting(queue, 1);
	t.deepEqual(await readView(t, queue, {until: 'drained'}).toArray(), []);
	t.is(queue.stats().waitingGets, 1);
});

test("until: 'drained' waits for what is in flight with others, and gives what they give back", async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany([1, 2, 3]);
	const [first, second] = await queue.receiveMany(2);
	const records = readView(t, queue, {until: 'drained'}).toArray();
	await waiting(queue, 1);
	first!.ack();
	await nextTurn();
	t.is(queue.stats().waitingGets, 1);
	second!.nack();
	t.deepEqual(await records, [3, 2]);
});

test("until: 'drained' ends when what is in flight with others is done", async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	const delivery = await queue.receive();
	const records = readView(t, queue, {until: 'drained'}).toArray();
	await waiting(queue, 1);
	delivery.ack();
	t.deepEqual(await records, []);
});

test("until: 'drained' ends although its own destination has not confirmed everything", async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 5));
	const view = readView(t, queue, {until: 'drained'});
	const {writable, confirmed} = makeSink<number>({gate: pEvent(view, 'end')});
	await pipeline(view, writable);
	t.deepEqual(confirmed, range(0, 5));
	await closed(view);
	t.is(queue.stats().inFlight, 0);
	t.is(queue.size, 0);
});

test("until: 'drained' waits for a record that comes back after a delay", async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	(await queue.receive()).nack({delay: 20});
	t.deepEqual(await readView(t, queue, {until: 'drained'}).toArray(), [1]);
});

test("until: 'drained' waits for puts that wait for room", async t => {
	const queue = await openQueue<number>(t, {maxSize: 2});
	const put = queue.putMany(range(0, 20));
	while (queue.stats().waitingPuts === 0) {
		await nextTurn();
	}

	t.deepEqual(await readView(t, queue, {until: 'drained', highWaterMark: 1}).toArray(), range(0, 20));
	await put;
});

test("until: 'drained' ends when the last put that waited is given up", async t => {
	const queue = await openQueue<number>(t, {durability: 'write'});
	const stop = new AbortController();
	const put = queue.put(1, {signal: stop.signal});
	const records = readView(t, queue, {until: 'drained'}).toArray();
	stop.abort();
	await t.throwsAsync(put, {code: 'ABORT_ERR'});
	t.deepEqual(await records, []);
});

test("views that are read until: 'drained' do not wait for each other for ever, and one takes over what another gives back", async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 200));
	const failure = new Error('full');
	const failing = makeSink<number>({kind: 'async', refuse: ([id]) => (id! >= 5 ? failure : undefined)});
	const healthy = makeSink<number>({kind: 'async'});
	const runs = [failing, healthy].map(({writable}) => pipeline(readView(t, queue, {until: 'drained'}), writable));
	t.is(await t.throwsAsync(runs[0]!), failure);
	await runs[1];
	// What the failing one had confirmed just before may have come back.
	const all = new Set([...failing.confirmed, ...healthy.confirmed]);
	t.deepEqual(
		[...all].sort((a, b) => a - b),
		range(0, 200),
	);
	t.is(new Set(healthy.confirmed).size, healthy.confirmed.length);
	t.is(queue.size, 0);
	t.is(queue.stats().inFlight, 0);
});

test('shutdown() ends it when the queue is empty', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	const records = readView(t, queue).toArray();
	queue.shutdown();
	t.deepEqual(await records, range(0, 100));
	t.deepEqual(await readView(t, queue).toArray(), []);
});

test('shutdown() ends one that waits', async t => {
	const queue = await openQueue<number>(t);
	const records = [readView(t, queue).toArray(), readView(t, queue).toArray()];
	await waiting(queue, 2);
	queue.shutdown();
	t.deepEqual(await Promise.all(records), [[], []]);
});

test('close() ends one that has given all there was', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	const taken: number[] = [];
	const view = readView(t, queue);
	view.on('data', (id: number) => taken.push(id));
	await waiting(queue, 1);
	const ended = pEvent(view, 'end');
	await queue.close();
	await ended;
	t.deepEqual(taken, range(0, 100));
	t.deepEqual(await leftovers(queue.directory), []);
});

test('a queue that is closed before it is read: the view ends if nothing waits, and fails with QUEUE_CLOSED if something does', async t => {
	const queue = await openQueue<number>(t);
	const view = readView(t, queue);
	await queue.close();
	t.deepEqual(await view.toArray(), []);
	t.deepEqual(await readView(t, queue).toArray(), []);
	const filled = await openQueue<number>(t);
	await filled.put(1);
	await filled.close();
	await t.throwsAsync(readView(t, filled).toArray(), {code: 'QUEUE_CLOSED'});
	await t.throwsAsync(readView(t, filled, {until: 'drained'}).toArray(), {code: 'QUEUE_CLOSED'});
	t.deepEqual(await leftovers(filled.directory), [1]);
});

test("close() fails one that is read until: 'drained' while another consumer has a record", async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	await queue.receive();
	const records = readView(t, queue, {until: 'drained'}).toArray();
	await waiting(queue, 1);
	const failed = t.throwsAsync(records, {code: 'QUEUE_CLOSED'});
	await queue.close();
	await failed;
	t.deepEqual(await leftovers(queue.directory), [1]);
});

test('close() fails one that has read ahead with QUEUE_CLOSED, and what was not read is there at the next open, once', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	const taken: number[] = [];
	const run = async () => {
		for await (const id of readView(t, queue)) {
			taken.push(id);
			if (id === 20) {
				await queue.close();
			}
		}
	};
	await t.throwsAsync(run, {code: 'QUEUE_CLOSED'});
	t.deepEqual(taken, range(0, 21));
	t.deepEqual(await leftovers(queue.directory), range(21, 100));
});

test('close() does not wait for a stuck destination of a view that has ended: what it has not confirmed comes back', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 5));
	const view = readView(t, queue, {until: 'drained'});
	const confirmed: number[] = [];
	const stuck = new Writable({
		objectMode: true,
		write(id, _encoding, callback) {
			if (id < 2) {
				confirmed.push(id);
				callback();
			}
		},
	});
	view.pipe(stuck);
	await pEvent(view, 'end');
	await nextTurn();
	await queue.close();
	await closed(view);
	t.deepEqual(confirmed, [0, 1]);
	t.deepEqual(await leftovers(queue.directory), [2, 3, 4]);
	t.is(stuck.listenerCount('drain'), 0);
});

test('close() waits for the destination of a view that has ended while it makes progress', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 8));
	const view = readView(t, queue, {until: 'drained'});
	const confirmed: number[] = [];
	const slow = new Writable({
		objectMode: true,
		write(id, _encoding, callback) {
			setTimeout(() => {
				confirmed.push(id);
				callback();
			}, 20);
		},
	});
	view.pipe(slow);
	await pEvent(view, 'end');
	await queue.close();
	t.deepEqual(confirmed, range(0, 8));
	t.deepEqual(await leftovers(queue.directory), []);
});

test('a view that has ended and whose destination is done does not mind that the queue is closed', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 5));
	const view = readView(t, queue, {until: 'drained'});
	const {writable, confirmed} = makeSink<number>({kind: 'async'});
	view.pipe(writable);
	await pEvent(writable, 'finish');
	await queue.close();
	await closed(view);
	t.deepEqual(confirmed, range(0, 5));
	t.deepEqual(await leftovers(queue.directory), []);
});

test('a destination that was taken away and has confirmed its part does not keep what comes after from being done', async t => {
	const queue = await openQueue<number>(t);
	const view = readView(t, queue, {highWaterMark: 4});
	const before = makeSink<number>();
	view.pipe(before.writable);
	await queue.put(0);
	while (before.confirmed.length === 0) {
		await nextTurn();
	}

	view.unpipe(before.writable);
	await nextTurn();
	before.writable.destroy();
	const after = makeSink<number>();
	view.pipe(after.writable);
	await queue.putMany(range(1, 50));
	await queue.join({timeout: 10_000});
	t.deepEqual(after.confirmed, range(1, 50));
	t.is(before.writable.listenerCount('drain'), 0);
});

test('a view that nobody reads takes nothing, and does not mind that the queue is closed', async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	readView(t, queue);
	await nextTurn();
	t.is(queue.stats().inFlight, 0);
	await queue.close();
	t.deepEqual(await leftovers(queue.directory), [1]);
});

const endings: Record<string, (queue: DiskQueue<number>, count: number) => Promise<number[]>> = {
	async break(queue, count) {
		const taken: number[] = [];
		for await (const id of createReadStream(queue)) {
			taken.push(id);
			if (taken.length === count) {
				break;
			}
		}

		return taken;
	},
	async throw(queue, count) {
		const taken: number[] = [];
		const failure = new Error('in the loop');
		const loop = async () => {
			for await (const id of createReadStream(queue)) {
				taken.push(id);
				if (taken.length === count) {
					throw failure;
				}
			}
		};
		await loop().catch(error => {
			if (error !== failure) {
				throw error;
			}
		});
		return taken;
	},
	take: (queue, count) => createReadStream(queue).take(count).toArray(),
	async 'read() and destroy()'(queue, count) {
		const view = createReadStream(queue);
		const taken: number[] = [];
		while (taken.length < count) {
			const id = view.read();
			id === null ? await pEvent(view, 'readable') : taken.push(id);
		}

		view.destroy();
		await closed(view);
		return taken;
	},
	async 'data and abort()'(queue, count) {
		const stop = new AbortController();
		const view = createReadStream(queue, {signal: stop.signal});
		const taken: number[] = [];
		view.on('data', (id: number) => {
			taken.push(id);
			if (taken.length === count) {
				stop.abort();
			}
		});
		const error = await errorOf(view);
		if (error.name !== 'AbortError') {
			throw error;
		}

		await closed(view);
		return taken;
	},
};

for (const [name, end] of Object.entries(endings)) {
	test(`${name} gives what was read ahead back to the head, in order`, async t => {
		const queue = await openQueue<number>(t, {cacheSize: 64});
		await queue.putMany(range(0, 300));
		let next = 0;
		for (const count of [1, 2, 16, 17, 40, 1, 15, 33]) {
			const taken = await end(queue, count);
			t.deepEqual(taken, range(next, next + count));
			next += count;
			while (queue.stats().inFlight > 0) {
				await nextTurn();
			}

			t.is(queue.size, 300 - next);
			t.is(queue.peek(), next);
		}

		t.deepEqual(await drain(queue), range(next, 300));
	});
}

test("a failing destination gives back what it has not confirmed; with acknowledge: 'read' what it had is done", async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	const failure = new Error('full');
	const run = async (options: {acknowledge?: 'read'}) => {
		const {writable, confirmed}: TestSink<number> = makeSink<number>({
			kind: 'async',
			highWaterMark: 8,
			refuse: (): Error | undefined => (confirmed.length === 10 ? failure : undefined),
		});
		const view = readView(t, queue, {...options, highWaterMark: 4});
		t.is(await t.throwsAsync(pipeline(view, writable)), failure);
		await closed(view);
		return confirmed;
	};
	t.deepEqual(await run({}), range(0, 10));
	t.true(queue.peek()! <= 10);
	t.is(queue.size, 100 - queue.peek()!);
	const first = queue.peek()!;
	t.deepEqual(await run({acknowledge: 'read'}), range(first, first + 10));
	t.true(queue.peek()! > first + 10, `${queue.peek()} is next, ${first + 10} were confirmed`);
});

for (const how of ['fails a write', 'emits an error', 'is destroyed without an error'] as const) {
	test(`a destination of pipe() that ${how} ends the view: what it has not confirmed goes back to the head`, async t => {
		const queue = await openQueue<number>(t);
		await queue.putMany(range(0, 100));
		const failure = new Error('full');
		const refuse = ([id]: number[]): Error | undefined => {
			if (id === 20 && how === 'emits an error') {
				setImmediate(() => writable.emit('error', failure));
			} else if (id === 20 && how === 'is destroyed without an error') {
				writable.destroy();
			}

			return id === 20 && how === 'fails a write' ? failure : undefined;
		};
		const gate = {kind: 'async', highWaterMark: 1, refuse} as const;
		const {writable}: TestSink<number> = makeSink<number>(gate);
		writable.on('error', () => {});
		const view = readView(t, queue, {highWaterMark: 4});
		const errors: Error[] = [];
		view.on('error', error => errors.push(error));
		view.pipe(writable);
		await closed(view);
		t.deepEqual(errors, how === 'is destroyed without an error' ? [] : [failure]);
		t.false(view.readableEnded);
		t.is(queue.stats().inFlight, 0);
		const rest = await drain(queue);
		t.deepEqual(rest, range(100 - rest.length, 100));
		t.true(rest[0]! >= 10 && rest[0]! <= 25, `${rest[0]} is the first that came back`);
	});
}

test('a destination that has confirmed what it was given may be destroyed: the view goes on with the next one', async t => {
	const queue = await openQueue<number>(t);
	const view = readView(t, queue);
	for (const round of range(0, 3)) {
		const {writable, confirmed} = makeSink<number>({kind: 'async'});
		view.pipe(writable);
		await queue.put(round);
		await queue.join({timeout: 10_000});
		t.deepEqual(confirmed, [round]);
		const isGone = pEvent(writable, 'close');
		writable.destroy();
		await isGone;
	}

	t.false(view.destroyed);
});

test('what a destination confirms survives a kill of the process soon, though no more comes', async t => {
	const queue = await openQueue<number>(t);
	const {writable, confirmed} = makeSink<number>({kind: 'async'});
	readView(t, queue).pipe(writable);
	await queue.putMany(range(0, 5));
	await queue.join({timeout: 10_000});
	t.deepEqual(confirmed, range(0, 5));
});

test('reads ahead no more than highWaterMark, 16 by default', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	for (const [highWaterMark, most] of [
		[undefined, 16],
		[1, 1],
		[5, 5],
	] as const) {
		const view = readView(t, queue, {highWaterMark});
		await pEvent(view, 'readable');
		await nextTurn();
		t.is(view.readableLength, most);
		t.is(queue.stats().inFlight, most);
		view.destroy();
		await closed(view);
		t.is(queue.size, 100);
	}
});

test('a damaged file is the error QUEUE_CORRUPT of the view that meets it', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 100));
	const segment = join(directory, readdirSync(directory).find(name => name.endsWith('.log'))!);
	const bytes = readFileSync(segment);
	bytes[bytes.length - 1]! ^= 0xff;
	writeFileSync(segment, bytes);
	const queue = await openQueue<number>(t, {onCorruption: 'throw'}, directory);
	const view = readView(t, queue);
	view.resume();
	t.is((await errorOf(view)).code, 'QUEUE_CORRUPT');
	await closed(view);
	t.is(queue.size, 100);
});

test('a signal that is aborted already takes nothing', async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	const view = readView(t, queue, {signal: AbortSignal.abort()});
	t.is((await errorOf(view)).name, 'AbortError');
	t.is(await queue.get(), 1);
});

test('await using closes it without an error, and gives back what was read ahead', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 100));
	const view = createReadStream(queue);
	view.on('error', error => t.fail(error.message));
	t.is((await view[Symbol.asyncIterator]().next()).value, 0);
	await view[Symbol.asyncDispose]();
	t.true(view.closed);
	t.is(queue.peek(), 1);
	t.is(queue.size, 99);
	await view[Symbol.asyncDispose]();
});

test('a view that waits keeps the process alive; with unref() of the queue it does not', async t => {
	const alive = startFixture(t, 'waiting-reader', [temporaryDirectory(t), 'ref']);
	const idle = startFixture(t, 'waiting-reader', [temporaryDirectory(t), 'unref']);
	await once(alive.child.stdout!, 'data');
	t.like(await idle.result, {code: 0, stdout: 'waiting\n', stderr: ''});
	t.is(alive.child.exitCode, null);
	alive.child.stdin!.write('go on\n');
	t.like(await alive.result, {code: 0, stdout: 'waiting\nread 1\n', stderr: ''});
});

test('writes nothing of records that a destination keeps up with', async t => {
	const directory = temporaryDirectory(t);
	const queue = await openQueue<number>(t, {}, directory);
	let sum = 0;
	const sink = new Writable({
		objectMode: true,
		write(id: number, _encoding, callback) {
			sum += id;
			callback();
		},
	});
	const run = pipeline(readView(t, queue), sink);
	for (const id of range(0, 5000)) {
		await queue.put(id);
	}

	queue.shutdown();
	await run;
	t.is(sum, (5000 * 4999) / 2);
	t.is(queue.stats().writes, 0);
});
