import diagnostics from 'node:diagnostics_channel';
import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {pEvent} from 'p-event';
import {
	type DeadLetter,
	DiskQueue,
	type DiskQueueOptions,
	type Drop,
	type Durability,
	diskQueue,
} from '../../source/index.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {collect} from '../contract/queue-contract.ts';
import {faultyStorage, systemError} from '../helpers/faulty-storage.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {memoryDirectory, temporaryDirectory} from '../helpers/temporary-directory.ts';

const durabilities: Durability[] = ['spill', 'write', 'fsync'];

test('getNowait reads a record that is on disk rather than say that there is none', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 2});
	t.throws(() => queue.getNowait(), {code: 'QUEUE_EMPTY'});
	await queue.putMany(range(0, 50));
	await queue.close();
	const again = await openQueue<number>(t, {cacheSize: 2}, queue.directory);
	t.deepEqual(
		range(0, 50).map(() => again.getNowait()),
		range(0, 50),
	);
	t.throws(() => again.getNowait(), {code: 'QUEUE_EMPTY'});
});

test('a wrong argument of nack is refused, and the delivery stays as it was', async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	const delivery = await queue.receive();
	for (const options of [100, null, 'soon', {delays: 100}, {delay: -1}, {delay: '100'}]) {
		t.throws(() => delivery.nack(options as never), {code: 'QUEUE_INVALID_ARGUMENT'}, JSON.stringify(options));
	}

	t.is(queue.stats().inFlight, 1);
	delivery.nack({delay: undefined});
	t.is(await queue.get(), 1);
});

test('getNowait leaves records to those who wait for them', async t => {
	const queue = await openQueue<number>(t);
	const waiting = queue.get();
	queue.putNowait(1);
	t.throws(() => queue.getNowait(), {code: 'QUEUE_EMPTY'});
	t.is(await waiting, 1);
});

for (const durability of durabilities) {
	test(`${durability}: putNowait puts in this turn, behind the puts that wait, or says that there is no room`, async t => {
		const queue = await openQueue<number>(t, {durability, cacheSize: 4, maxSize: 30});
		for (const record of range(0, 20)) {
			queue.putNowait(record);
		}

		t.is(queue.size, 20);
		await queue.putMany(range(20, 30));
		t.throws(() => queue.putNowait(99), {code: 'QUEUE_FULL'});
		t.throws(() => queue.putNowait((() => {}) as never), {code: 'QUEUE_RECORD'});
		t.deepEqual(await drain(queue), range(0, 30));
		queue.putNowait(30);
		await queue.close();
		const again = await openQueue<number>(t, {}, queue.directory);
		t.deepEqual(await drain(again), [30]);
	});

	test(`${durability}: peek shows the next records wherever they are, and takes none`, async t => {
		const queue = await openQueue<number>(t, {durability, cacheSize: 6});
		t.is(queue.peek(), undefined);
		t.deepEqual(queue.peek(3), []);
		for (const count of [0, 1.5, -1]) {
			t.throws(() => queue.peek(count), {instanceOf: RangeError});
		}

		let next = 0;
		let cases = 0;
		for (const step of range(0, 60)) {
			await queue.putMany(range(step * 5, step * 5 + 5));
			for (const count of [1, 2, 7, 1000]) {
				t.deepEqual(queue.peek(count), range(next, Math.min(next + count, step * 5 + 5)));
				cases++;
			}

			t.is(queue.peek(), next);
			for (const _ of range(0, step % 7)) {
				if (queue.size > 0) {
					t.is(await queue.get(), next++);
				}
			}
		}

		t.is(cases, 240);
		const [first, second] = [await queue.receive(), await queue.receive()];
		t.is(queue.peek(), next + 2);
		second.nack();
		t.deepEqual(queue.peek(2), [next + 1, next + 2]);
		first.nack({delay: 60_000});
		t.deepEqual(queue.peek(2), [next + 1, next + 2]);
		t.deepEqual(await collect(queue.size - 1, max => queue.getMany(max)), range(next + 1, 300));
	});

	test(`${durability}: a record that fails every time ends in the dead-letter queue, across closes`, async t => {
		const root = temporaryDirectory(t);
		const deadLetter = join(root, 'dead');
		const options = {durability, maxAttempts: 3, deadLetter};
		let deliveries = 0;
		for (const round of range(0, 3)) {
			const queue = await DiskQueue.open<{id: number}>(join(root, 'queue'), options);
			if (round === 0) {
				await queue.putMany([{id: 0}, {id: 1}]);
			}

			const delivery = await queue.receive();
			t.is(delivery.record.id, 0);
			t.is(delivery.attempts, ++deliveries);
			if (round === 1) {
				delivery.nack();
			}

			await queue.close();
		}

		const queue = await DiskQueue.open<{id: number}>(join(root, 'queue'), options);
		const other = await queue.receive();
		t.is(other.record.id, 1);
		other.reject('not wanted');
		await queue.join();
		t.like(queue.stats(), {deadLettered: 2, done: 0, dropped: 0});
		t.is(queue.size, 0);
		await queue.close();
		const dead = await openQueue<DeadLetter<{id: number}>>(t, {}, deadLetter);
		t.deepEqual(await drain(dead), [
			{record: {id: 0}, reason: 'maxAttempts', attempts: 3, sequence: 0},
			{record: {id: 1}, reason: 'not wanted', attempts: 1, sequence: 1},
		]);
	});

	test(`${durability}: dropNewest drops what comes, dropOldest what waits longest; both are counted and told`, async t => {
		for (const [overflow, kept, dropped] of [
			['dropNewest', range(0, 10), range(10, 30)],
			['dropOldest', range(20, 30), range(0, 20)],
		] as const) {
			const queue = await openQueue<number>(t, {durability, cacheSize: 4, maxSize: 10, overflow});
			const drops: number[] = [];
			queue.on('drop', ({records, reason}: Drop<number>) => {
				t.is(reason, 'overflow');
				drops.push(...records);
			});
			for (const record of range(0, 20)) {
				await queue.put(record);
			}

			await queue.putMany(range(20, 28));
			queue.putNowait(28);
			queue.putNowait(29);
			t.is(queue.size, 10);
			t.like(queue.stats(), {dropped: 20, done: 0});
			t.deepEqual(await drain(queue), kept);
			await nextTurn();
			t.deepEqual(drops, dropped);
		}
	});
}

for (const durability of durabilities) {
	test(`${durability}: a rejected record is done here when it is on the device in the dead-letter directory`, async t => {
		const {storage, hold} = faultyStorage();
		const deadLetter = join(temporaryDirectory(t), 'dead');
		const queue = await openQueue<number>(t, {durability, deadLetter, storage});
		await queue.put(1);
		const delivery = await queue.receive();
		await queue.sync();
		const release = hold('sync');
		t.teardown(release);
		delivery.reject();
		await nextTurn();
		t.like(queue.stats(), {deadLettered: 0, inFlight: 1});
		release();
		await queue.join();
		t.like(queue.stats(), {deadLettered: 1, inFlight: 0});
	});
}

test('a dead-letter queue that refuses leaves the record in its queue', async t => {
	let isRefusing = true;
	const dead: unknown[] = [];
	const queue = await openQueue<number>(t, {
		deadLetter: {
			async put(letter) {
				if (isRefusing) {
					throw new Error('no');
				}

				dead.push(letter);
			},
		},
	});
	await queue.put(7);
	const failed = pEvent(queue, 'error' as never, {rejectionEvents: []});
	(await queue.receive()).reject();
	t.is(((await failed) as unknown as Error).message, 'no');
	t.is(queue.size, 1);
	isRefusing = false;
	const again = await queue.receive();
	t.is(again.attempts, 2);
	again.reject('still bad');
	await queue.join();
	t.deepEqual(dead, [{record: 7, reason: 'still bad', attempts: 2, sequence: 0}]);
});

test('a dead letter that was refused at first tells all the same why its record was given up', async t => {
	let refusals = 2;
	const dead: Array<DeadLetter<number>> = [];
	const queue = await openQueue<number>(t, {
		maxAttempts: 1,
		deadLetter: {
			async put(letter) {
				if (refusals-- > 0) {
					throw new Error('no');
				}

				dead.push(letter);
			},
		},
	});
	queue.on('error', () => {});
	await queue.putMany([0, 1]);
	const [failed, refused] = await queue.receiveMany(2);
	failed!.nack({error: 'out of order'});
	refused!.reject('bad');
	const waiting = t.throwsAsync(queue.receive(), {code: 'QUEUE_CLOSED'});
	await queue.join({timeout: 60_000});
	await queue.close();
	await waiting;
	t.deepEqual(dead, [
		{record: 0, reason: 'maxAttempts', error: 'out of order', attempts: 1, sequence: 0},
		{record: 1, reason: 'bad', attempts: 1, sequence: 1},
	]);
});

test('a queue closes though its dead-letter queue has no room: the record comes back, and the letter is never put', async t => {
	const dead = await openQueue<DeadLetter<number>>(t, {maxSize: 1});
	const letter = {record: 0, reason: 'first', attempts: 1, sequence: 0};
	await dead.put(letter);
	const queue = await openQueue<number>(t, {deadLetter: dead});
	const errors: Error[] = [];
	queue.on('error', error => errors.push(error));
	await queue.putMany(range(0, 20));
	for (const delivery of await queue.receiveMany(20)) {
		delivery.reject();
	}

	await queue.close();
	t.deepEqual(errors, []);
	t.is(dead.stats().waitingPuts, 0);
	t.deepEqual(await drain(dead), [letter]);
	await nextTurn();
	t.is(dead.size, 0);
	const again = await openQueue<number>(t, {}, queue.directory);
	t.deepEqual(await drain(again), range(0, 20));
});

test('a record rejected while the queue closes, after another one, is buried too, and is done', async t => {
	const dead: number[] = [];
	let arrived = () => {};
	const begun = new Promise<void>(resolve => {
		arrived = resolve;
	});
	const gates: Array<() => void> = [];
	const queue = await openQueue<number>(t, {
		deadLetter: {
			async put({record}) {
				await new Promise<void>(resolve => {
					gates.push(resolve);
					arrived();
				});
				dead.push(record);
			},
		},
	});
	await queue.putMany([0, 1, 2]);
	const [first, second] = await queue.receiveMany(2);
	first!.reject();
	await begun;
	let isClosed = false;
	const closing = queue.close().then(() => {
		isClosed = true;
	});
	await nextTurn();
	second!.reject();
	gates[0]!();
	await nextTurn();
	await nextTurn();
	t.false(isClosed);
	gates[1]!();
	await closing;
	t.deepEqual(dead, [0, 1]);
	const again = await openQueue<number>(t, {}, queue.directory);
	t.deepEqual(await drain(again), [2]);
});

test('a record that is as large as may be finds room in the dead-letter directory, with what is said of it', async t => {
	const deadLetter = join(memoryDirectory(t), 'dead');
	const queue = await openQueue<Buffer>(t, {deadLetter}, memoryDirectory(t));
	const errors: Error[] = [];
	queue.on('error', error => errors.push(error));
	await queue.put(Buffer.alloc(64 * 1024 * 1024 - 16));
	(await queue.receive()).reject();
	await queue.join({timeout: 10_000}).catch(() => {});
	t.deepEqual(errors, []);
	t.is(queue.stats().deadLettered, 1);
});

test('a record that is rejected at its last delivery is dropped as rejected', async t => {
	const queue = await openQueue<number>(t, {maxAttempts: 1});
	const reasons: string[] = [];
	queue.on('drop', ({reason}) => reasons.push(reason));
	await queue.putMany([0, 1]);
	(await queue.receive()).reject('poison');
	(await queue.receive()).nack();
	await nextTurn();
	t.deepEqual(reasons, ['rejected', 'maxAttempts']);
});

for (const durability of ['spill', 'write'] as const) {
	test(`'${durability}': dropOldest makes room also where more records wait than now may`, async t => {
		const directory = temporaryDirectory(t);
		const before = await openQueue<number>(t, {durability}, directory);
		await before.putMany(range(0, 20));
		await before.close();
		const queue = await openQueue<number>(t, {durability, maxSize: 5, overflow: 'dropOldest'}, directory);
		t.is(queue.size, 20);
		queue.putNowait(20);
		t.deepEqual(await drain(queue), range(16, 21));
		t.is(queue.stats().dropped, 16);
	});
}

test('dropOldest drops nothing for a put that it cannot make room for', async t => {
	const queue = await openQueue<number>(t, {maxSize: 2, overflow: 'dropOldest'});
	await queue.putMany([0, 1]);
	const deliveries = await queue.receiveMany(2);
	await queue.putMany([2, 3]);
	for (const delivery of deliveries) {
		delivery.nack({delay: 600_000});
	}

	// Two of the four must go and one more for a fifth, and only two may.
	t.is(queue.size, 4);
	t.throws(() => queue.putNowait(4), {code: 'QUEUE_FULL'});
	t.deepEqual(queue.peek(10), [2, 3]);
	t.is(queue.stats().dropped, 0);
});

test('maxBytes bounds the disk: puts wait, and go on as files are reclaimed', async t => {
	const maxBytes = 512 * 1024;
	const queue = await openQueue<Buffer>(t, {durability: 'write', maxBytes, cacheSize: 4});
	const record = (index: number) => Buffer.alloc(8 * 1024, index);
	const count = 300;
	const full = pEvent(queue, 'full' as never);
	const putting = queue.putMany(range(0, count).map(record));
	await full;
	t.true(queue.size > 20);
	t.true(queue.size < 70);
	for (const index of range(0, count)) {
		t.true((await queue.get()).equals(record(index)), `${index}`);
		t.true(queue.stats().diskBytes <= maxBytes, `${queue.stats().diskBytes} bytes`);
	}

	await putting;
	t.is(queue.size, 0);
});

test('dropOldest keeps maxBytes by giving up the oldest file', async t => {
	const maxBytes = 512 * 1024;
	const queue = await openQueue<Buffer>(t, {durability: 'write', maxBytes, cacheSize: 4, overflow: 'dropOldest'});
	const drops: Drop<Buffer>[] = [];
	queue.on('drop', drop => drops.push(drop));
	const record = (index: number) => Buffer.alloc(8 * 1024, index);
	for (const index of range(0, 200)) {
		await queue.put(record(index));
		t.true(queue.stats().diskBytes <= maxBytes);
	}

	const dropped = drops.reduce((sum, {count}) => sum + count, 0);
	t.true(dropped > 100);
	t.is(queue.stats().dropped, dropped);
	t.is(queue.size, 200 - dropped);
	for (const index of range(dropped, 200)) {
		t.true((await queue.get()).equals(record(index)));
	}
});

test('limits that can never be kept are refused at open', async t => {
	const directory = join(temporaryDirectory(t), 'queue');
	for (const options of [
		{maxBytes: 1000},
		{maxBytes: 1024 * 1024, maxRecordBytes: 1024 * 1024},
		{maxBytes: 1024 * 1024, segmentBytes: 1024 * 1024},
		{maxSize: 0},
		{maxSize: -1},
		{maxAttempts: 0},
		{syncInterval: 0},
		{maxRedelivery: 0.5},
		{overflow: 'explode' as never},
		{deadLetter: 5 as never},
		{deadLetter: ''},
	]) {
		await t.throwsAsync(DiskQueue.open(directory, options), {code: 'QUEUE_INVALID_ARGUMENT'}, JSON.stringify(options));
	}

	t.false(existsSync(directory));
});

test('no more than 4096 deliveries are in flight; an ack lets the next one go', async t => {
	const queue = await openQueue<number>(t, {durability: 'write'});
	await queue.putMany(range(0, 5000));
	const deliveries = await collect(4096, max => queue.receiveMany(max));
	await t.throwsAsync(queue.receive({timeout: 1}), {code: 'QUEUE_EMPTY'});
	const next = queue.receive();
	for (const [index, delivery] of deliveries.entries()) {
		if (index % 2 === 1) {
			delivery.ack();
		}
	}

	t.is((await next).record, 4096);
	await queue.close();
	const again = await openQueue<number>(t, {}, queue.directory);
	t.is(again.size, 5000 - 2048);
	t.deepEqual(
		(await collect(2049, max => again.receiveMany(max))).map(({record}) => record),
		[...range(0, 2048).map(index => 2 * index), 4096],
	);
});

test('a delivery held for long does not keep the open from being short, nor what was acknowledged behind it from being done', async t => {
	const queue = await openQueue<{id: number; text: string}>(t, {segmentBytes: 16 * 1024, durability: 'write'});
	const record = (id: number) => ({id, text: 'x'.repeat(500)});
	await queue.putMany(range(0, 500).map(record));
	const held = await queue.receive();
	t.is(held.record.id, 0);
	for (const delivery of await collect(400, max => queue.receiveMany(max))) {
		delivery.ack();
	}

	await queue.close();
	const again = await openQueue<{id: number}>(t, {}, queue.directory);
	t.is(again.size, 100);
	t.deepEqual(
		(await drain(again)).map(({id}) => id),
		[0, ...range(401, 500)],
	);
	await again.close();
	t.deepEqual(readdirSync(queue.directory), ['checkpoint']);
});

test('events tell of spill, empty and reclaim, also through diagnostics_channel', async t => {
	const published: string[] = [];
	const listener = (message: unknown, name: string | symbol) => {
		if ((message as {queue: DiskQueue}).queue.directory === queue.directory) {
			published.push(String(name));
		}
	};
	const names = ['spill', 'empty', 'reclaim', 'close'];
	const queue = await openQueue<Buffer>(t, {cacheSize: 4, segmentBytes: 8192});
	for (const name of names) {
		diagnostics.subscribe(`disq:${name}`, listener);
	}

	const events = Promise.all(['spill', 'empty', 'reclaim'].map(name => pEvent(queue, name as never)));
	await queue.putMany(range(0, 40).map(index => Buffer.alloc(1024, index)));
	await drain(queue);
	const [, , reclaimed] = (await events) as unknown as [unknown, unknown, {segments: number; bytes: number}];
	t.true(reclaimed.segments > 0);
	t.true(reclaimed.bytes > 0);
	await queue.close();
	await nextTurn();
	for (const name of names) {
		t.true(published.includes(`disq:${name}`), name);
		diagnostics.unsubscribe(`disq:${name}`, listener);
	}
});

test('no listener and no subscriber is told of an event in the middle of an operation', async t => {
	const queue = await openQueue<number>(t, {maxSize: 1, overflow: 'dropNewest'});
	const told: string[] = [];
	const listen = (message: unknown) => {
		if ((message as {queue: unknown}).queue === queue) {
			told.push('subscriber');
		}
	};
	diagnostics.subscribe('disq:drop', listen);
	t.teardown(() => diagnostics.unsubscribe('disq:drop', listen));
	queue.on('drop', () => told.push('listener'));
	queue.putNowait(0);
	queue.putNowait(1);
	t.is(queue.stats().dropped, 1);
	t.deepEqual(told, []);
	await nextTurn();
	t.deepEqual(told, ['subscriber', 'listener']);
});

test('stats count what was put, done and written, and tell the age of the oldest record', async t => {
	const queue = await openQueue<number>(t, {durability: 'fsync'});
	t.is(queue.stats().oldestAge, undefined);
	await queue.putMany(range(0, 10));
	await queue.getMany(4);
	const delivery = await queue.receive();
	delivery.ack();
	const stats = queue.stats();
	t.like(stats, {put: 10, done: 5, size: 5, inFlight: 0, dropped: 0, deadLettered: 0});
	t.true(stats.writes >= 1 && stats.syncs >= 1);
	t.true(stats.writeTime > 0 && stats.syncTime > 0 && stats.slowestSync > 0);
	t.true(stats.oldestAge! >= 0 && stats.oldestAge! < 60_000);
});

test('a stream may take and give back records that were delivered as often as they may be', async t => {
	const options = {maxAttempts: 1, durability: 'write'} as const;
	const queue = await openQueue<number>(t, options);
	await queue.putMany(range(0, 5));
	await queue.receiveMany(5);
	await queue.close();
	const again = await openQueue<number>(t, options, queue.directory);
	const stream = diskQueue(again);
	await pEvent(stream, 'readable');
	t.is(stream.read(), 0);
	await pEvent(stream.destroy(), 'close');
	t.is(again.size, 4);
	t.is(again.stats().inFlight, 0);
	await t.throwsAsync(again.receive({timeout: 1}), {code: 'QUEUE_EMPTY'});
	t.is(again.stats().dropped, 4);
});

test('a queue closed as soon as its pipeline has ended keeps nothing of what the sink has confirmed', async t => {
	for (const count of [1, 10, 3000]) {
		const queue = await openQueue<number>(t, {durability: 'write'});
		let confirmed = 0;
		const sink = new Writable({
			objectMode: true,
			write(_record, _encoding, callback) {
				confirmed++;
				setImmediate(callback);
			},
		});
		await pipeline(range(0, count), diskQueue(queue), sink);
		await queue.close();
		t.is(confirmed, count);
		const again = await openQueue<number>(t, {}, queue.directory);
		t.is(again.size, 0);
	}
});

test('records that a stream gave back before they were in the log are delivered from the log', async t => {
	const queue = await openQueue<number>(t);
	await queue.putMany(range(0, 10));
	const stream = diskQueue(queue);
	await pEvent(stream, 'readable');
	t.is(stream.read(), 0);
	await pEvent(stream.destroy(), 'close');
	await queue.put(10);
	const deliveries = await collect(10, max => queue.receiveMany(max));
	t.deepEqual(
		deliveries.map(({record, sequence}) => [record, sequence]),
		range(1, 11).map(record => [record, record - 1]),
	);
	await queue.close();
	const again = await openQueue<number>(t, {}, queue.directory);
	t.deepEqual(
		(await again.receiveMany(20)).map(({attempts}) => attempts),
		new Array(10).fill(2),
	);
});

test('a record given back for the last time goes to the dead-letter queue at once, with nobody there to receive it', async t => {
	const dead: Array<DeadLetter<number>> = [];
	const queue = await openQueue<number>(t, {
		maxAttempts: 1,
		deadLetter: {
			async put(letter) {
				dead.push(letter);
			},
		},
	});
	await queue.put(7);
	(await queue.receive()).nack();
	await queue.join({timeout: 10_000});
	t.deepEqual(dead, [{record: 7, reason: 'maxAttempts', attempts: 1, sequence: 0}]);
});

test('records with a consumer that cannot be encoded any more stay with it, and cost no other record', async t => {
	const queue = await openQueue<{id: number}>(t, {cacheSize: 4});
	await queue.putMany(range(0, 4).map(id => ({id})));
	const lease = (await queue.lease(2, () => false))!;
	const later = (await queue.lease(1, () => false))!;
	Object.defineProperty(lease.records[0]!, 'bad', {
		enumerable: true,
		get() {
			throw new Error('not now');
		},
	});
	const failed = pEvent(queue, 'error' as never, {rejectionEvents: []});
	await queue.putMany(range(4, 20).map(id => ({id})));
	t.is(((await failed) as unknown as {code: string}).code, 'QUEUE_RECORD');
	t.is(queue.stats().inFlight, 3);
	queue.settle(lease, 1);
	queue.settle(lease, 1);
	t.is(queue.stats().inFlight, 1);
	t.is(later.records[0]!.id, 2);
	await queue.close();
	const again = await openQueue<{id: number}>(t, {}, queue.directory);
	t.deepEqual(
		(await drain(again)).map(({id}) => id),
		range(2, 20),
	);
});

test('records that a power cut took from behind the checkpoint are not counted, nor waited for', async t => {
	const directory = temporaryDirectory(t);
	const queue = await openQueue<number>(t, {durability: 'write'}, directory);
	await queue.putMany(range(0, 3));
	await queue.receiveMany(3);
	const checkpoint = readFileSync(join(directory, 'checkpoint'));
	await queue.close();
	const left = temporaryDirectory(t);
	writeFileSync(join(left, 'checkpoint'), checkpoint);
	for (const _ of range(0, 3)) {
		const again = await openQueue<number>(t, {onCorruption: 'throw'}, left);
		t.is(again.size, 0);
		t.is(again.recovery.records, 0);
		await t.throwsAsync(again.get({timeout: 0}), {code: 'QUEUE_EMPTY'});
		await again.sync();
		await again.close();
	}

	const last = await openQueue<number>(t, {onCorruption: 'throw'}, left);
	await last.put(3);
	const delivery = await last.receive();
	t.like(delivery, {record: 3, sequence: 3});
});

test('part of a run that cannot be encoded never gets into the log behind newer records', async t => {
	const directory = temporaryDirectory(t);
	const queue = await openQueue<{id: number}>(t, {}, directory);
	queue.on('error', () => {});
	const records = range(0, 20).map(id => ({id}));
	await queue.putMany(records);
	const lease = await queue.lease(20, () => true);
	Object.defineProperty(records[15]!, 'spoilt', {
		enumerable: true,
		get() {
			throw new Error('changed after its put');
		},
	});
	await queue.sync();
	queue.giveBack(lease!);
	const newer = range(100, 105).map(id => ({id}));
	await queue.putMany(newer);
	await queue.sync();
	const delivery = await queue.receive();
	t.is(delivery.record, records[0]!);
	await queue.close();
	const again = await openQueue<{id: number}>(t, {}, directory);
	t.deepEqual(await drain(again), newer);
});

test('records that wait for a delay count as in flight: what is acknowledged behind them stays done', async t => {
	const directory = temporaryDirectory(t);
	const queue = await openQueue<number>(t, {durability: 'write'}, directory);
	await queue.putMany(range(0, 20_000));
	const acknowledged = new Set<number>();
	let isMore = true;
	while (isMore) {
		const deliveries = await queue.receiveMany(1000, {timeout: 50}).catch(() => []);
		isMore = deliveries.length > 0;
		for (const delivery of deliveries) {
			if (delivery.record % 2 === 0) {
				delivery.nack({delay: 60_000});
			} else {
				delivery.ack();
				acknowledged.add(delivery.record);
			}
		}
	}

	t.is(acknowledged.size, 4095);
	await queue.close();
	const again = await openQueue<number>(t, {}, directory);
	t.deepEqual(
		await drain(again),
		range(0, 20_000).filter(record => !acknowledged.has(record)),
	);
});

test('a delay longer than a timer can be is not taken for none', async t => {
	const queue = await openQueue<number>(t);
	await queue.put(1);
	const delivery = await queue.receive();
	delivery.nack({delay: 2 ** 31});
	await t.throwsAsync(queue.receive({timeout: 50}), {code: 'QUEUE_EMPTY'});
	t.is(queue.size, 1);
});

test('dropNewest drops nothing where what is taken has made room meanwhile', async t => {
	let release = () => {};
	const held = new Promise<void>(resolve => {
		release = resolve;
	});
	const storage: Storage = {
		...fileSystem,
		async sync(descriptor) {
			await held;
			await fileSystem.sync(descriptor);
		},
	};
	const options = {durability: 'fsync', maxSize: 4, overflow: 'dropNewest', storage} as DiskQueueOptions<number>;
	const queue = await openQueue<number>(t, options);
	const puts = range(0, 6).map(record => queue.put(record));
	await nextTurn();
	t.deepEqual(await queue.getMany(4), range(0, 4));
	puts.push(queue.put(6));
	release();
	await Promise.all(puts);
	t.deepEqual(await drain(queue), range(4, 7));
	t.is(queue.stats().dropped, 0);
});

test('dropNewest drops nothing of a queue that is drained, while the files that fill maxBytes go', async t => {
	const options = {durability: 'write', maxBytes: 2 ** 20, overflow: 'dropNewest'} as const;
	const queue = await openQueue<string>(t, options);
	const record = 'x'.padEnd(20_000);
	while (queue.stats().dropped === 0) {
		await queue.put(record);
	}

	const {dropped} = queue.stats();
	await drain(queue);
	await queue.put(record);
	t.is(queue.size, 1);
	t.is(queue.stats().dropped, dropped);
});

test('puts that maxBytes holds up go on as soon as files are removed', async t => {
	const queue = await openQueue<string>(t, {durability: 'write', maxBytes: 2 ** 20});
	const events: string[] = [];
	for (const event of ['full', 'resume', 'reclaim'] as const) {
		queue.on(event, () => events.push(event));
	}

	let put = Promise.resolve();
	while (!events.includes('full')) {
		put = queue.put('x'.padEnd(20_000));
		await nextTurn();
	}

	const reclaimed = pEvent(queue, 'reclaim' as never);
	await queue.getMany(queue.size);
	await reclaimed;
	for (const _ of range(0, 3)) {
		await nextTurn();
	}

	t.deepEqual([...new Set(events)], ['full', 'reclaim', 'resume']);
	await put;
});

test('a delivery keeps maxBytes: it waits until those before it are settled', async t => {
	const maxBytes = 256 * 1024;
	const queue = await openQueue<string>(t, {maxBytes});
	const records = range(0, 100).map(record => String(record).padEnd(20_000));
	await queue.putMany(records);
	const delivered: string[] = [];
	while (delivered.length < records.length) {
		const deliveries = await queue.receiveMany(100);
		t.true(queue.stats().diskBytes <= maxBytes);
		for (const delivery of deliveries) {
			delivered.push(delivery.record);
			delivery.ack();
		}
	}

	t.deepEqual(delivered, records);
});

for (const durability of durabilities) {
	test(`${durability}: dropOldest waits where what it would drop cannot be read, and goes on when it can`, async t => {
		let isFailing = false;
		const storage: Storage = {
			...fileSystem,
			readSync(...call) {
				if (isFailing) {
					throw systemError('EIO', 'read');
				}

				return fileSystem.readSync(...call);
			},
		};
		const directory = temporaryDirectory(t);
		const queue = await openQueue<number>(t, {durability: 'write'}, directory);
		await queue.putMany(range(0, 100));
		await queue.close();
		const options = {durability, maxSize: 100, overflow: 'dropOldest', storage} as DiskQueueOptions<number>;
		const again = await openQueue<number>(t, options, directory);
		isFailing = true;
		const full = pEvent(again, 'full' as never);
		const puts = Promise.all([again.put(100), again.putMany([101, 102])]);
		t.regex(((await full) as unknown as {cause: Error}).cause.message, /read/);
		isFailing = false;
		await puts;
		t.deepEqual(await drain(again), range(3, 103));
	});
}

test('a reason that is cut within a character is no reason to keep a record from the dead-letter queue', async t => {
	const deadLetter = await openQueue<DeadLetter<number>>(t);
	const queue = await openQueue<number>(t, {deadLetter});
	await queue.put(1);
	(await queue.receive()).reject('cut \ud83d');
	await queue.join({timeout: 60_000});
	t.is((await deadLetter.get()).reason, 'cut \ufffd');
});

test('a dead letter tells what went wrong at the last attempt, whatever was thrown', async t => {
	const deadLetter = await openQueue<DeadLetter<number>>(t);
	const queue = await openQueue<number>(t, {deadLetter, maxAttempts: 1});
	const hostile = Object.assign(new Error('hidden'), {
		toString() {
			throw new Error('no text');
		},
	});
	const cases: Array<[unknown, string | undefined]> = [
		[undefined, undefined],
		[new TypeError('not this'), 'TypeError: not this'],
		['only words', 'only words'],
		[{status: 503}, '{ status: 503 }'],
		[null, 'null'],
		['cut \ud83d', 'cut \ufffd'],
		[`${'x'.repeat(999)}\u{1f600}`, `${'x'.repeat(999)}\ufffd`],
		[hostile, 'an error that has no text'],
	];
	await queue.putMany(cases.keys());
	for (const [error] of cases) {
		(await queue.receive()).nack({error});
	}

	await queue.join({timeout: 60_000});
	t.deepEqual(
		await drain(deadLetter),
		cases.map(([, error], sequence) => ({
			record: sequence,
			reason: 'maxAttempts',
			...(error !== undefined && {error}),
			attempts: 1,
			sequence,
		})),
	);
});
