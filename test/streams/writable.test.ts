import {PassThrough, Readable, type Writable} from 'node:stream';
import {finished, pipeline} from 'node:stream/promises';
import test from 'ava';
import {pEvent} from 'p-event';
import {createWriteStream, DiskQueue, type WriteStreamOptions} from '../../source/index.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {closed, errorOf, leftovers, writeAll, writeView} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

type Item = {writer: number; id: number};

const wrongOptions: Array<[string, unknown]> = [
	['highWaterMark 0', {highWaterMark: 0}],
	['acknowledge', {acknowledge: 'read'}],
	['until', {until: 'drained'}],
	['an option that is not known', {highwatermark: 16}],
	['a signal that is none', {signal: {}}],
	['no object', 'fast'],
];

for (const [name, options] of wrongOptions) {
	test(`a wrong option throws at once: ${name}`, async t => {
		const queue = await openQueue(t);
		t.throws(() => createWriteStream(queue, options as WriteStreamOptions), {code: 'QUEUE_INVALID_ARGUMENT'});
	});
}

test('what is no open queue throws at once', t => {
	t.throws(() => createWriteStream('./directory' as never), {code: 'QUEUE_INVALID_ARGUMENT'});
});

test('end() leaves the queue open, and finish comes when all that was written is put', async t => {
	const queue = await openQueue<number>(t);
	const view = writeView(t, queue);
	t.is(await writeAll(view, range(0, 100)), 100);
	await finished(view);
	t.true(view.closed);
	t.is(queue.size, 100);
	await queue.put(100);
	t.deepEqual(await drain(queue), range(0, 101));
});

for (const durability of ['spill', 'write', 'fsync'] as const) {
	test(`'${durability}': ten views write at once: everything is there, in the order of each`, async t => {
		const queue = await openQueue<Item>(t, {durability, cacheSize: 64});
		const writers = range(0, 10);
		await Promise.all(
			writers.map(writer => {
				const items = range(0, 300).map(id => ({writer, id}));
				return pipeline(Readable.from(items), writeView(t, queue, {highWaterMark: 1 + writer * 7}));
			}),
		);
		t.is(queue.size, 3000);
		const items = await drain(queue);
		for (const writer of writers) {
			t.deepEqual(
				items.filter(item => item.writer === writer).map(({id}) => id),
				range(0, 300),
			);
		}
	});
}

test("a callback means what put means: with 'write' the record is in the log, with 'fsync' it was synced", async t => {
	for (const durability of ['write', 'fsync'] as const) {
		const queue = await openQueue<number>(t, {durability});
		const view = writeView(t, queue);
		for (const id of range(0, 5)) {
			await new Promise<void>((resolve, reject) => view.write(id, error => (error ? reject(error) : resolve())));
			t.is(queue.stats().nextSequence, id + 1);
			t.true(durability === 'write' || queue.stats().syncs >= id + 1);
		}
	}
});

test("with 'spill' a write is called back in the turn it is made while there is room", async t => {
	const queue = await openQueue<number>(t, {cacheSize: 10});
	const view = writeView(t, queue, {highWaterMark: 1});
	let accepted = 0;
	for (const id of range(0, 10)) {
		view.write(id, () => accepted++);
	}

	t.is(queue.size, 10);
	await nextTurn();
	t.is(accepted, 10);
	t.is(queue.stats().writes, 0);
});

test('a view that waits for room takes no more than its highWaterMark', async t => {
	const queue = await openQueue<number>(t, {maxSize: 4});
	const view = writeView(t, queue, {highWaterMark: 8});
	let written = 0;
	while (view.write(written)) {
		written++;
	}

	t.true(written <= 4 + 8);
	const drained = pEvent(view, 'drain');
	t.deepEqual(await queue.getMany(4), range(0, 4));
	while (queue.size > 0 || queue.stats().waitingPuts > 0) {
		await queue.getMany(4);
		await nextTurn();
	}

	await drained;
	t.is(view.writableLength, 0);
});

for (const how of ['one by one', 'corked']) {
	test(`${how}: a record that cannot be stored fails the view, not the queue; those before it are put`, async t => {
		for (const durability of ['spill', 'write'] as const) {
			const queue = await openQueue<unknown>(t, {durability});
			for (const place of range(0, 20)) {
				const view = writeView(t, queue);
				if (how === 'corked') {
					view.cork();
				}

				for (const id of range(0, 40)) {
					view.write(id === place ? Symbol('not this') : id);
				}

				view.uncork();
				t.is((await errorOf(view)).code, 'QUEUE_RECORD');
				await closed(view);
				await queue.put('and on');
				t.deepEqual(await drain(queue), [...range(0, place), 'and on']);
			}
		}
	});
}

test('write(null) is ERR_STREAM_NULL_VALUES, and write(undefined) fails the view', async t => {
	const queue = await openQueue<unknown>(t);
	const view = writeView(t, queue);
	t.throws(() => view.write(null), {code: 'ERR_STREAM_NULL_VALUES'});
	view.write(undefined);
	t.is((await errorOf(view)).code, 'QUEUE_RECORD');
	t.is(queue.size, 0);
});

test('a source that fails ends its view; the others, and what was put, stay', async t => {
	const queue = await openQueue<number>(t);
	const other = writeView(t, queue);
	const source = new PassThrough({objectMode: true});
	const failure = new Error('source');
	const run = pipeline(source, writeView(t, queue));
	source.write(1);
	await nextTurn();
	source.destroy(failure);
	t.is(await t.throwsAsync(run), failure);
	other.end(2);
	await finished(other);
	t.deepEqual(await drain(queue), [1, 2]);
});

test('shutdown() fails the next write with QUEUE_SHUT_DOWN, and one that waits', async t => {
	const queue = await openQueue<number>(t, {maxSize: 1});
	const waiting = writeView(t, queue);
	waiting.write(1);
	waiting.write(2);
	while (queue.stats().waitingPuts === 0) {
		await nextTurn();
	}

	const failed = errorOf(waiting);
	queue.shutdown();
	t.is((await failed).code, 'QUEUE_SHUT_DOWN');
	const late = writeView(t, queue);
	late.write(3);
	t.is((await errorOf(late)).code, 'QUEUE_SHUT_DOWN');
	t.deepEqual(await drain(queue), [1]);
});

test('close() finishes the write under way, and fails the next one with QUEUE_CLOSED', async t => {
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory, {maxSize: 2});
	const view = createWriteStream(queue, {highWaterMark: 1});
	const outcomes: Array<string | undefined> = [];
	for (const id of range(0, 5)) {
		view.write(id, error => outcomes.push((error as NodeJS.ErrnoException | null | undefined)?.code));
	}

	await nextTurn();
	t.is(queue.stats().waitingPuts, 1);
	const failed = errorOf(view);
	await queue.close();
	t.is((await failed).code, 'QUEUE_CLOSED');
	await closed(view);
	t.deepEqual(outcomes, [undefined, undefined, undefined, 'QUEUE_CLOSED', 'QUEUE_CLOSED']);
	t.deepEqual(await leftovers(directory), range(0, 3));
});

const interruptions: Record<string, (view: Writable, stop: AbortController) => void> = {
	'destroy()': view => view.destroy(),
	'destroy(error)': view => view.destroy(new Error('enough')),
	'the signal': (_view, stop) => stop.abort(),
};

for (const [name, interrupt] of Object.entries(interruptions)) {
	test(`${name} gives up the put that waits for room: once the view is closed the queue gets nothing more of it`, async t => {
		const queue = await openQueue<number>(t, {maxSize: 3});
		const stop = new AbortController();
		const view = writeView(t, queue, {signal: stop.signal});
		view.on('error', () => {});
		let accepted = 0;
		for (const id of range(0, 10)) {
			view.write(id, error => {
				accepted += error ? 0 : 1;
			});
		}

		while (queue.stats().waitingPuts === 0) {
			await nextTurn();
		}

		interrupt(view, stop);
		await closed(view);
		await nextTurn();
		t.is(queue.stats().waitingPuts, 0);
		t.is(queue.size, 3);
		t.true(accepted <= 3);
		t.deepEqual(await drain(queue), [0, 1, 2]);
	});
}

test("'fsync': a view that is destroyed while its put is synced closes when that is settled", async t => {
	const queue = await openQueue<number>(t, {durability: 'fsync'});
	const view = writeView(t, queue);
	const calls: unknown[] = [];
	view.write(1, error => calls.push(error));
	while (queue.stats().nextSequence === 0) {
		await nextTurn();
	}

	view.destroy();
	await closed(view);
	t.is(queue.stats().waitingPuts, 0);
	t.is(calls.length, 1);
	t.deepEqual(await drain(queue), [1]);
});

test('await using puts what was written, and closes without an error', async t => {
	const queue = await openQueue<number>(t, {durability: 'write'});
	const view = createWriteStream(queue);
	view.on('error', error => t.fail(error.message));
	for (const id of range(0, 100)) {
		view.write(id);
	}

	await view[Symbol.asyncDispose]();
	t.true(view.closed);
	t.is(queue.size, 100);
	await view[Symbol.asyncDispose]();
	t.deepEqual(await drain(queue), range(0, 100));
});
