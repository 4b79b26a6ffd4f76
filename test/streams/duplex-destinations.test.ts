import {EventEmitter, once} from 'node:events';
import {Writable} from 'node:stream';
import test from 'ava';
import {pEvent} from 'p-event';
import {nextTurn, range} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {leave, leftovers, queueStream, writeAll} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

/** A destination of the first Node versions: it tells nothing of its state but by events. */
class OldDestination extends EventEmitter {
	readonly writable = true;
	readonly taken: unknown[] = [];

	write(record: unknown): boolean {
		this.taken.push(record);
		return true;
	}

	end(): void {
		setImmediate(() => this.emit('finish'));
	}
}

/** One that counts what it holds, as readable-stream 3 does: a batch that fails is off the count when it tells of it. */
class OldBatchDestination extends OldDestination {
	readonly writableObjectMode = true;
	writableLength = 0;

	override write(record: unknown): boolean {
		this.writableLength++;
		return super.write(record);
	}

	fail(error: Error): void {
		this.writableLength = 0;
		this.emit('error', error);
	}
}

function listenersOf(emitter: EventEmitter): Record<string, number> {
	return Object.fromEntries(emitter.eventNames().map(name => [String(name), emitter.listenerCount(name)]));
}

const asWritable = (destination: OldDestination): Writable => destination as unknown as Writable;

test('a destination without figures has confirmed everything when it finishes', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory);
	const destination = new OldDestination();
	stream.pipe(asWritable(destination));
	await writeAll(stream, range(0, 100));
	await pEvent(stream, 'close');
	t.deepEqual(destination.taken, range(0, 100));
	t.deepEqual(await leftovers(directory), []);
});

test('a destination without figures that closes without having finished has confirmed nothing', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory);
	const destination = new OldDestination();
	destination.end = () => setImmediate(() => destination.emit('close'));
	stream.pipe(asWritable(destination));
	await writeAll(stream, range(0, 100));
	await pEvent(stream, 'close');
	t.deepEqual(destination.taken, range(0, 100));
	t.deepEqual(await leftovers(directory), range(0, 100));
});

test('a batch that fails in a destination that tells so only by its error comes back whole', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory);
	const destination = new OldBatchDestination();
	const failure = new Error('batch');
	destination.on('error', error => stream.destroy(error));
	stream.pipe(asWritable(destination));
	for (const id of range(0, 30)) {
		stream.write(id);
	}

	await once(stream, 'data');
	const closed = pEvent(stream, 'close', {rejectionEvents: []});
	stream.on('error', error => t.is(error, failure));
	destination.fail(failure);
	await closed;
	t.plan(3);
	t.true(destination.taken.length > 1);
	t.deepEqual(await leftovers(directory), range(0, 30));
});

test('a destination that was taken away and destroyed later does not keep records from being done, nor is it held', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory, {highWaterMark: 4});
	const before = makeSink<number>();
	const listeners = listenersOf(before.writable);
	stream.pipe(before.writable, {end: false});
	stream.write(0);
	await pEvent(stream, 'data');
	stream.unpipe(before.writable);
	const after = makeSink<number>();
	stream.pipe(after.writable);
	stream.write(1);
	stream.write(2);
	while (after.confirmed.length < 2) {
		await pEvent(stream, 'data');
	}

	before.writable.destroy();
	await writeAll(stream, range(3, 100));
	await pEvent(stream, 'close');
	t.deepEqual(before.confirmed, [0]);
	t.deepEqual(after.confirmed, range(1, 100));
	t.deepEqual(await leftovers(directory), []);
	t.deepEqual(listenersOf(before.writable), listeners);
});

test('destinations in turn: each is let go when it has confirmed its part', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory, {highWaterMark: 4});
	const sinks = range(0, 20).map(() => makeSink<number>());
	for (const {writable, confirmed} of sinks.slice(0, -1)) {
		stream.pipe(writable);
		while (confirmed.length < 10) {
			stream.write(0);
			await pEvent(stream, 'data');
		}

		stream.unpipe(writable);
		writable.end();
		await pEvent(writable, 'close');
	}

	stream.pipe(sinks.at(-1)!.writable);
	await writeAll(stream, range(0, 100));
	t.deepEqual(
		sinks.slice(0, -1).map(({writable}) => writable.listenerCount('drain')),
		range(0, 19).map(() => 0),
	);
	await pEvent(stream, 'close');
	t.deepEqual(await leftovers(directory), []);
});

test('a destination that was taken away with records of its own keeps them from being done until it confirms', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 100));
	const stream = queueStream<number>(t, directory, {highWaterMark: 4});
	const held = makeSink<number>({gate: new Promise(() => {}), highWaterMark: 10});
	stream.pipe(held.writable);
	while (held.writable.writableLength < 10) {
		await pEvent(stream, 'pause');
	}

	stream.unpipe(held.writable);
	const after = makeSink<number>();
	stream.pipe(after.writable);
	while (after.confirmed.length < 90) {
		await pEvent(stream, 'data');
	}

	held.writable.destroy();
	stream.end();
	await pEvent(stream, 'close');
	t.deepEqual(after.confirmed, range(10, 100));
	t.deepEqual(await leftovers(directory), range(0, 100));
});

test('a destination that is written to by others too is not credited with what it does not confirm', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 20));
	const stream = queueStream<number>(t, directory);
	const {writable} = makeSink<number>({gate: new Promise(() => {}), highWaterMark: 100});
	for (const id of range(1000, 1010)) {
		writable.write(id);
	}

	stream.pipe(writable);
	while (writable.writableLength < 30) {
		await pEvent(stream, 'data');
	}

	stream.destroy();
	await pEvent(stream, 'close');
	writable.destroy();
	t.deepEqual(await leftovers(directory), range(0, 20));
});

test('destroy() gives the destination nothing more', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 1000));
	const stream = queueStream<number>(t, directory);
	const {writable, confirmed} = makeSink<number>({
		kind: 'async',
		refuse([id]) {
			if (id === 200) {
				stream.destroy();
			}

			return undefined;
		},
	});
	let given = 0;
	stream.on('data', () => given++);
	stream.pipe(writable);
	await pEvent(stream, 'close');
	const atClose = given;
	writable.end();
	await pEvent(writable, 'finish');
	t.is(confirmed.length, atClose);
	t.true(atClose <= 200 + writable.writableHighWaterMark + 1);
	const rest = await leftovers<number>(directory);
	t.deepEqual(rest, range(1000 - rest.length, 1000));
	t.true(rest[0]! <= 201);
});

test('pipe() on a stream that was destroyed leaves nothing behind on the destination', async t => {
	const stream = queueStream<number>(t);
	stream.destroy();
	await pEvent(stream, 'close');
	const {writable} = makeSink<number>();
	stream.pipe(writable);
	stream.unpipe(writable);
	t.is(writable.listenerCount('drain'), 0);
	t.is(writable.listenerCount('finish'), 0);
});

test('destroy() while records pass straight through gives the destination nothing more', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 100));
	const stream = queueStream<number>(t, directory);
	const given: number[] = [];
	stream.on('data', (id: number) => {
		given.push(id);
		if (id === 5) {
			stream.destroy();
		}
	});
	await pEvent(stream, 'close');
	t.deepEqual(given, range(0, 6));
	const rest = await leftovers<number>(directory);
	t.deepEqual(rest, range(100 - rest.length, 100));
	t.true(rest[0]! <= 6);
});

test('a record that is on its way to the destination when the stream is destroyed is not done', async t => {
	for (const place of range(0, 20)) {
		const directory = temporaryDirectory(t);
		await leave(directory, range(0, 100));
		const stream = queueStream<number>(t, directory);
		const {writable, confirmed} = makeSink<number>({
			refuse: ([id]) => (id === place ? new Error('refused') : undefined),
		});
		writable.on('error', () => {});
		stream.on('data', (id: number) => {
			if (id === place) {
				stream.destroy();
			}
		});
		stream.pipe(writable);
		await pEvent(stream, 'close');
		t.deepEqual(confirmed, range(0, place));
		const rest = await leftovers<number>(directory);
		t.deepEqual(rest, range(100 - rest.length, 100));
		t.true(rest[0]! <= place);
	}
});

test('destroy() when the last record has just left still ends the destination', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 20));
	const stream = queueStream<number>(t, directory);
	const {writable, confirmed} = makeSink<number>({kind: 'async', highWaterMark: 1});
	stream.on('data', (id: number) => {
		if (id === 19) {
			stream.destroy();
		}
	});
	stream.pipe(writable);
	stream.end();
	await pEvent(writable, 'finish');
	t.deepEqual(confirmed, range(0, 20));
});

test('what a destination held that was destroyed without an error is not done, even before it has closed', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 10));
	const stream = queueStream<number>(t, directory);
	let confirmFirst!: () => void;
	const writable = new Writable({
		objectMode: true,
		highWaterMark: 100,
		write(_record, _encoding, callback) {
			confirmFirst = callback;
		},
		destroy: (error, callback) => void setImmediate(callback, error),
	});
	stream.pipe(writable);
	while (writable.writableLength < 10) {
		await pEvent(stream, 'data');
	}

	writable.destroy();
	confirmFirst();
	t.is(writable.writableLength, 0);
	stream.destroy();
	await pEvent(stream, 'close');
	const rest = await leftovers<number>(directory);
	t.deepEqual(rest, range(10 - rest.length, 10));
	t.true(rest[0]! <= 1);
});

test('bytes that a destination holds are not taken for records', async t => {
	const directory = temporaryDirectory(t);
	const records = ['a', ...range(0, 20).map(() => ''), 'b'];
	await leave(directory, records);
	const stream = queueStream<string>(t, directory);
	const writable = new Writable({write() {}});
	stream.pipe(writable);
	while (writable.writableLength < 2) {
		await pEvent(stream, 'data');
	}

	stream.destroy();
	await pEvent(stream, 'close');
	writable.destroy();
	t.deepEqual(await leftovers(directory), records);
});

test('what a destination has confirmed is done when it drains', async t => {
	const stream = queueStream<number>(t);
	const {writable} = makeSink<number>({kind: 'async', highWaterMark: 4});
	stream.pipe(writable);
	for (const id of range(0, 50)) {
		stream.write(id);
	}

	await pEvent(stream, 'data');
	t.is(stream.queue!.stats().inFlight, 50);
	const inFlight: number[] = [];
	writable.on('drain', () => inFlight.push(stream.queue!.stats().inFlight));
	await writeAll(stream, []);
	await pEvent(writable, 'finish');
	t.deepEqual(
		inFlight,
		range(1, 13).map(drains => 50 - 4 * drains),
	);
});

test('a destination that is taken away and has confirmed its part may be destroyed in the next turn', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<number>(t, directory);
	const before = makeSink<number>({kind: 'async'});
	stream.pipe(before.writable);
	stream.write(0);
	while (before.confirmed.length === 0) {
		await nextTurn();
	}

	stream.unpipe(before.writable);
	await nextTurn();
	before.writable.destroy();
	const after = makeSink<number>();
	stream.pipe(after.writable);
	await writeAll(stream, range(1, 100));
	await pEvent(stream, 'close');
	t.deepEqual(before.confirmed, [0]);
	t.deepEqual(after.confirmed, range(1, 100));
	t.deepEqual(await leftovers(directory), []);
});

test('a destination that is taken away in the middle of its write keeps that record from being done', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 100));
	const stream = queueStream<number>(t, directory);
	const after = makeSink<number>();
	const before = new Writable({
		objectMode: true,
		write() {
			stream.unpipe(before);
			stream.pipe(after.writable, {end: false});
		},
	});
	stream.pipe(before);
	while (after.confirmed.length < 99) {
		await pEvent(stream, 'data');
	}

	stream.destroy();
	await pEvent(stream, 'close');
	before.destroy();
	t.deepEqual(await leftovers(directory), range(0, 100));
});
