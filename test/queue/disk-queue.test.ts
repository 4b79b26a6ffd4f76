import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {performance} from 'node:perf_hooks';
import {pathToFileURL} from 'node:url';
import test from 'ava';
import {pEvent} from 'p-event';
import {parseSegmentFileName} from '../../source/format/file-name.ts';
import {
	type Corruption,
	DiskQueue,
	type DiskQueueOptions,
	type Durability,
	QueueClosedError,
	QueueEmptyError,
	QueueLockedError,
	QueueRecordError,
} from '../../source/index.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {segmentNames, segmentPath} from '../helpers/logs.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {recordStorage} from '../helpers/recording-storage.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const durabilities: Durability[] = ['spill', 'write', 'fsync'];
const cacheSizes = [1, 2, 7, 1024];

for (const durability of durabilities) {
	for (const cacheSize of cacheSizes) {
		const options = {durability, cacheSize};
		const setting = `${durability}, cacheSize ${cacheSize}`;

		test(`${setting}: records come out in the order they went in`, async t => {
			const queue = await openQueue<number>(t, options);
			for (const record of range(0, 100)) {
				await queue.put(record);
			}

			t.is(queue.size, 100);
			t.deepEqual(await drain(queue), range(0, 100));
			t.is(queue.size, 0);
		});

		test(`${setting}: puts and gets in turn keep the order`, async t => {
			const queue = await openQueue<number>(t, options);
			const taken: number[] = [];
			for (const round of range(0, 60)) {
				await queue.putMany(range(round * 5, round * 5 + 5));
				taken.push(...(await queue.getMany(3)), await queue.get());
			}

			taken.push(...(await drain(queue)));
			t.deepEqual(taken, range(0, 300));
		});

		test(`${setting}: what is not taken is there at the next open, with any other setting`, async t => {
			const directory = temporaryDirectory(t);
			let queue = await DiskQueue.open<number>(directory, options);
			await queue.putMany(range(0, 50));
			t.deepEqual(await queue.getMany(1), [0]);
			await queue.close();
			for (const [index, other] of [{cacheSize: 3}, {durability: 'write' as const}, {segmentBytes: 4096}].entries()) {
				queue = await DiskQueue.open<number>(directory, other);
				t.is(queue.size, 49 + 10 * index - index);
				t.is(await queue.get(), index + 1);
				await queue.putMany(range(50 + index * 10, 60 + index * 10));
				await queue.close();
			}

			queue = await openQueue<number>(t, options, directory);
			t.deepEqual(await drain(queue), range(4, 80));
		});

		test(`${setting}: many gets that wait are served first come first served`, async t => {
			const queue = await openQueue<number>(t, options);
			const waiting = range(0, 20).map(() => queue.get());
			t.is(queue.stats().waitingGets, 20);
			await queue.putMany(range(0, 20));
			t.deepEqual(await Promise.all(waiting), range(0, 20));
		});

		test(`${setting}: an aborted or late get takes nothing`, async t => {
			const queue = await openQueue<number>(t, options);
			const controller = new AbortController();
			const aborted = queue.get({signal: controller.signal});
			const late = queue.get({timeout: 1});
			const patient = queue.get();
			controller.abort('reason');
			await t.throwsAsync(aborted, {name: 'AbortError', code: 'ABORT_ERR'});
			await t.throwsAsync(late, {instanceOf: QueueEmptyError, code: 'QUEUE_EMPTY'});
			await queue.put(1);
			t.is(await patient, 1);
		});

		test(`${setting}: a record that cannot be stored is refused alone`, async t => {
			const queue = await openQueue<unknown>(t, options);
			const bad = {deep: [() => {}]};
			const puts = [queue.put(1), queue.put(bad), queue.put(2)];
			await t.throwsAsync(puts[1]!, {instanceOf: QueueRecordError, code: 'QUEUE_RECORD', message: /\.deep\[0\]/});
			await Promise.all([puts[0], puts[2]]);
			await t.throwsAsync(queue.putMany([3, bad, 4]), {code: 'QUEUE_RECORD'});
			t.deepEqual(await drain(queue), [1, 2, 3]);
		});

		test(`${setting}: leaving an iteration puts the current record back, and the queue goes on`, async t => {
			const queue = await openQueue<number>(t, options);
			await queue.putMany(range(0, 10));
			const seen: number[] = [];
			for await (const record of queue) {
				seen.push(record);
				if (record === 4) {
					break;
				}
			}

			await t.throwsAsync(
				(async () => {
					for await (const record of queue) {
						t.is(record, 4);
						throw new Error('in the loop');
					}
				})(),
				{message: 'in the loop'},
			);
			t.deepEqual(seen, range(0, 5));
			t.deepEqual(await drain(queue), range(4, 10));
		});

		test(`${setting}: records in the hands of an iteration come back after close`, async t => {
			const queue = await openQueue<number>(t, options);
			await queue.putMany(range(0, 10));
			const iterator = queue[Symbol.asyncIterator]();
			await iterator.next();
			await iterator.next();
			t.is(queue.stats().inFlight, 1);
			await queue.close();
			const again = await openQueue<number>(t, options, queue.directory);
			t.deepEqual(await drain(again), range(1, 10));
		});

		test(`${setting}: a queue drained and closed leaves no segment`, async t => {
			const queue = await openQueue<number>(t, options);
			await queue.putMany(range(0, 100));
			await drain(queue);
			await queue.close();
			t.deepEqual(
				readdirSync(queue.directory).filter(name => name !== 'checkpoint'),
				[],
			);
		});
	}
}

for (const durability of durabilities) {
	test(`${durability}: 8 producers and 8 consumers get every record once, each producer's in order`, async t => {
		const queue = await openQueue<{producer: number; index: number}>(t, {durability, cacheSize: 16});
		const count = 500;
		const seen = new Map<number, number[]>(range(0, 8).map(producer => [producer, []]));
		const produce = async (producer: number) => {
			for (const index of range(0, count)) {
				await queue.put({producer, index});
			}
		};
		let left = 8 * count;
		const consume = async () => {
			while (left > 0) {
				left--;
				const {producer, index} = await queue.get();
				seen.get(producer)!.push(index);
			}
		};

		await Promise.all([...range(0, 8).map(produce), ...range(0, 8).map(consume)]);
		t.is(queue.size, 0);
		t.is(seen.size, 8);
		for (const indexes of seen.values()) {
			t.deepEqual(indexes, range(0, count));
		}
	});

	test(`${durability}: large records are bounded by cacheBytes and come back whole`, async t => {
		const queue = await openQueue<Buffer>(t, {durability, cacheBytes: 256 * 1024});
		const record = (index: number) => Buffer.alloc(64 * 1024, index);
		for (const index of range(0, 40)) {
			await queue.put(record(index));
			t.true(queue.stats().memoryBytes <= 400 * 1024, `${queue.stats().memoryBytes} bytes in memory`);
		}

		for (const index of range(0, 40)) {
			t.true((await queue.get()).equals(record(index)));
		}
	});
}

test('a queue whose consumers keep up writes nothing with spill', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 8});
	for (const round of range(0, 100)) {
		await queue.putMany(range(round * 8, round * 8 + 8));
		t.deepEqual(await queue.getMany(8), range(round * 8, round * 8 + 8));
	}

	await nextTurn();
	t.deepEqual(filesOf(queue.directory), []);
	await queue.close();
	t.deepEqual(filesOf(queue.directory), []);
});

test('a put that finds memory full waits one turn for a consumer before it spills', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 4});
	await queue.putMany(range(0, 4));
	const waiting = queue.put(4);
	t.is(queue.stats().waitingPuts, 1);
	t.is(await queue.get(), 0);
	await waiting;
	t.deepEqual(filesOf(queue.directory), []);
	const spill = pEvent(queue, 'spill');
	await queue.putMany([5, 6]);
	await spill;
	t.true(filesOf(queue.directory).length > 0);
	t.deepEqual(await drain(queue), range(1, 7));
});

test('an aborted or late put puts nothing', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 2});
	await queue.putMany([0, 1]);
	const controller = new AbortController();
	const aborted = queue.put(2, {signal: controller.signal});
	const kept = queue.put(3);
	controller.abort();
	await t.throwsAsync(aborted, {code: 'ABORT_ERR'});
	await t.throwsAsync(queue.put(4, {signal: AbortSignal.abort('gone')}), {code: 'ABORT_ERR'});
	await kept;
	t.deepEqual(await drain(queue), [0, 1, 3]);
});

test('getMany waits for the first record, then up to maxWait for more', async t => {
	const queue = await openQueue<number>(t);
	const some = queue.getMany(10, {maxWait: 60_000});
	await queue.put(0);
	await nextTurn();
	await queue.putMany(range(1, 12));
	t.deepEqual(await some, range(0, 10));
	t.deepEqual(await queue.getMany(10, {maxWait: 1}), [10, 11]);
});

test('getMany aborted after its first record returns what it took', async t => {
	const queue = await openQueue<number>(t);
	await queue.put(0);
	const controller = new AbortController();
	const some = queue.getMany(10, {maxWait: 60_000, signal: controller.signal});
	await nextTurn();
	controller.abort();
	t.deepEqual(await some, [0]);
	await t.throwsAsync(queue.getMany(10, {timeout: 0}), {code: 'QUEUE_EMPTY'});
});

for (const durability of durabilities) {
	test(`${durability}: a put for which there is room is not told that there is none, however busy the process is`, async t => {
		const queue = await openQueue<number>(t, {durability});
		await nextTurn();
		const put = queue.put(1, {timeout: 0});
		for (const end = performance.now() + 5; performance.now() < end; ) {
			// The turn takes longer than the put may wait.
		}

		await t.notThrowsAsync(put);
		t.is(queue.size, 1);
	});
}

test('putMany takes iterables and async iterables, and puts each record of a slow one as it comes', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 10});
	await queue.putMany(new Set(range(0, 5)));
	let go = () => {};
	const gate = new Promise<void>(resolve => {
		go = resolve;
	});
	const slow = queue.putMany(
		(async function* () {
			yield 5;
			await gate;
			yield 6;
		})(),
	);
	t.deepEqual(await queue.getMany(5), range(0, 5));
	t.is(await queue.get(), 5);
	go();
	await slow;
	t.is(await queue.get(), 6);
	await queue.putMany(range(0, 2000));
	t.deepEqual(await drain(queue), range(0, 2000));
	await t.throwsAsync(queue.putMany(7 as never), {code: 'QUEUE_INVALID_ARGUMENT'});
});

test('closing finishes the puts that wait and rejects the gets that wait', async t => {
	for (const durability of durabilities) {
		const queue = await openQueue<number>(t, {durability, cacheSize: 2});
		const gets = durability === 'fsync' ? [queue.get()] : [];
		const puts = range(0, 10).map(record => queue.put(record));
		const closed = queue.close();
		t.is(queue.close(), closed);
		await Promise.all(puts);
		await closed;
		for (const get of gets) {
			await t.throwsAsync(get, {instanceOf: QueueClosedError, code: 'QUEUE_CLOSED'});
		}

		const again = await openQueue<number>(t, {}, queue.directory);
		t.deepEqual(await drain(again), range(0, 10));
	}
});

test('a closed queue refuses every call and names what was refused', async t => {
	const queue = await openQueue<number>(t);
	const iterator = queue[Symbol.asyncIterator]();
	const next = iterator.next();
	await queue.close();
	t.deepEqual(await next, {value: undefined, done: true});
	for (const call of [() => queue.put(1), () => queue.get(), () => queue.getMany(1), () => queue.sync()]) {
		await t.throwsAsync(call(), {code: 'QUEUE_CLOSED', message: /is closed/});
	}

	await t.throwsAsync(queue.putMany([1]), {code: 'QUEUE_CLOSED', message: /Cannot put/});
});

test('await using closes the queue', async t => {
	const directory = temporaryDirectory(t);
	{
		await using queue = await DiskQueue.open<number>(directory);
		await queue.put(1);
	}

	await using again = await DiskQueue.open<number>(directory);
	t.is(await again.get(), 1);
});

test('the queue may be opened again in the same turn in which its close began', async t => {
	const directory = temporaryDirectory(t);
	for (const round of range(0, 20)) {
		const queue = await DiskQueue.open<number>(directory);
		await queue.put(round);
		void queue.close();
	}

	const queue = await openQueue<number>(t, {}, directory);
	t.deepEqual(await drain(queue), range(0, 20));
});

test('a second opener is refused and told who owns the directory', async t => {
	const queue = await openQueue(t);
	const error = await t.throwsAsync(DiskQueue.open(queue.directory), {
		instanceOf: QueueLockedError,
		code: 'QUEUE_LOCKED',
	});
	t.is(error.owner.pid, process.pid);
});

test('a missing parent directory is created, readable by its owner alone', async t => {
	const directory = join(temporaryDirectory(t), 'a', 'b', 'queue');
	const queue = await openQueue(t, {}, directory);
	t.true(existsSync(directory));
	t.is(queue.directory, directory);
});

test('a path that is a file, or leads through one, is refused and left alone', async t => {
	const file = join(temporaryDirectory(t), 'file');
	writeFileSync(file, 'content');
	for (const path of [file, join(file, 'queue')]) {
		await t.throwsAsync(DiskQueue.open(path), {code: 'QUEUE_STORAGE', message: /A file.* is in the way/});
	}

	t.is(filesOf(join(file, '..')).length, 1);
});

const wrongOptions: Array<[DiskQueueOptions<unknown>, typeof TypeError | typeof RangeError, RegExp]> = [
	[{cacheSize: 0}, RangeError, /`cacheSize` to be a whole number from 1 up, got 0 \(number\)/],
	[{cacheSize: 1.5}, RangeError, /cacheSize/],
	[{cacheSize: Number.NaN}, RangeError, /cacheSize/],
	[{cacheSize: '10' as never}, TypeError, /cacheSize/],
	[{cacheBytes: -1}, RangeError, /cacheBytes/],
	[{maxRecordBytes: 0}, RangeError, /maxRecordBytes/],
	[{segmentBytes: 100}, RangeError, /segmentBytes/],
	[{durability: 'always' as never}, RangeError, /'spill', 'write', 'fsync'/],
	[{onCorruption: 'ignore' as never}, RangeError, /onCorruption/],
	[{codec: {} as never}, TypeError, /codec/],
	[{codec: {name: 'näme', encode: () => new Uint8Array(1), decode: () => []}}, RangeError, /codec\.name/],
	[{cachesize: 10} as never, TypeError, /cachesize/],
	[null as never, TypeError, /options/],
];

test('wrong options are refused before anything is touched', async t => {
	const directory = join(temporaryDirectory(t), 'queue');
	for (const [options, type, message] of wrongOptions) {
		await t.throwsAsync(DiskQueue.open(directory, options), {
			instanceOf: type,
			code: 'QUEUE_INVALID_ARGUMENT',
			message,
		});
	}

	for (const path of ['', 'a\0b', 5, undefined]) {
		await t.throwsAsync(DiskQueue.open(path as string), {code: 'QUEUE_INVALID_ARGUMENT'});
	}

	t.false(existsSync(directory));
	t.is(wrongOptions.length, 13);
});

test('a path that is no string is refused with what to do instead', async t => {
	const url = pathToFileURL(temporaryDirectory(t));
	await t.throwsAsync(DiskQueue.open(url as never), {
		instanceOf: TypeError,
		message: 'Expected `directory` to be a path, as fileURLToPath() gives it, got an instance of URL',
	});
	await t.throwsAsync(DiskQueue.open(Promise.resolve('queue') as never), {
		message: 'Expected `directory` to be a path, got a promise: is `await` missing?',
	});
	for (const parts of ['./queue', undefined]) {
		t.throws(() => new (DiskQueue as unknown as new (directory: unknown) => DiskQueue)(parts), {
			instanceOf: TypeError,
			code: 'QUEUE_INVALID_ARGUMENT',
			message: /await DiskQueue\.open\(directory\)/,
		});
	}
});

const wrongCalls: Array<(queue: DiskQueue) => Promise<unknown>> = [
	queue => queue.put(1, {timeout: -1}),
	queue => queue.put(1, {timeout: Number.NaN}),
	queue => queue.get({timeout: '5' as never}),
	queue => queue.get({signal: {} as never}),
	queue => queue.getMany(0),
	queue => queue.getMany(1.5),
	queue => queue.getMany(1, {maxWait: -1}),
	queue => queue.get(10 as never),
	queue => queue.get(null as never),
	queue => queue.get({timout: 10} as never),
	queue => queue.get({maxWait: 10} as never),
	queue => queue.put(1, 10 as never),
	queue => queue.put(1, {timout: 10} as never),
	queue => queue.putMany([1], {timout: 10} as never),
	queue => queue.getMany(1, 10 as never),
	queue => queue.getMany(1, {maxwait: 10} as never),
	queue => queue.receive(10 as never),
	queue => queue.receive({timout: 10} as never),
	queue => queue.receiveMany(1, {timout: 10} as never),
	queue => queue.join(10 as never),
	queue => queue.join({timout: 10} as never),
	async queue => queue.shutdown(true as never),
	async queue => queue.shutdown({now: true} as never),
	async queue => queue.shutdown({immediate: 1 as never}),
];

test('wrong arguments of a call reject, and the queue is as before', async t => {
	const queue = await openQueue(t);
	for (const call of wrongCalls) {
		await t.throwsAsync(call(queue), {code: 'QUEUE_INVALID_ARGUMENT'});
	}

	t.is(queue.size, 0);
	t.is(queue.stats().waitingGets, 0);
	await t.throwsAsync(queue.get({timout: 10} as never), {
		instanceOf: TypeError,
		message: 'Expected `options` to be of timeout, signal, got "timout" (string)',
	});
	await queue.put(1, {timeout: undefined, other: undefined} as never);
	await t.throwsAsync(queue.putMany(Promise.resolve([1]) as never), {message: /is `await` missing\?/});
});

test('maxRecordBytes refuses a larger record', async t => {
	const queue = await openQueue<string>(t, {maxRecordBytes: 100});
	await t.throwsAsync(queue.put('x'.repeat(200)), {code: 'QUEUE_RECORD', message: /maxRecordBytes \(100\)/});
	await queue.put('x'.repeat(50));
	t.is(queue.size, 1);
});

test('a record changed after its put so that it cannot be encoded is lost alone, and said to be', async t => {
	const queue = await openQueue<{id: number; extra?: unknown}>(t, {cacheSize: 4});
	const records = range(0, 4).map(id => ({id}));
	await queue.putMany(records);
	Object.defineProperty(records[1]!, 'extra', {
		enumerable: true,
		get() {
			throw new Error('not now');
		},
	});
	const error = pEvent(queue, 'error' as never, {rejectionEvents: []});
	await queue.put({id: 4});
	await queue.sync();
	t.is(((await error) as unknown as Error & {code: string}).code, 'QUEUE_RECORD');
	t.is(queue.stats().dropped, 1);
	t.deepEqual(
		(await drain(queue)).map(({id}) => id),
		[0, 2, 3, 4],
	);
});

test('nobody waits for a record that cannot be encoded any more', async t => {
	const queue = await openQueue<object>(t);
	const record = {};
	await queue.put(record);
	Object.defineProperty(record, 'extra', {
		enumerable: true,
		get() {
			throw new Error('not now');
		},
	});
	const error = pEvent(queue, 'error' as never, {rejectionEvents: []});
	const joined = queue.join({timeout: 10_000});
	const emptied = pEvent(queue, 'empty' as never, {rejectionEvents: [], timeout: 10_000});
	await queue.sync();
	await Promise.all([joined, emptied]);
	t.is(((await error) as unknown as Error & {code: string}).code, 'QUEUE_RECORD');
	t.like(queue.stats(), {size: 0, inFlight: 0, dropped: 1, done: 0});
});

test('the queue tells once that it is empty, whatever becomes of records that do not wait', async t => {
	const queue = await openQueue<number>(t);
	let emptied = 0;
	queue.on('empty', () => emptied++);
	await queue.put(1);
	const iterator = queue[Symbol.asyncIterator]();
	t.like(await iterator.next(), {value: 1});
	await nextTurn();
	t.is(emptied, 1);
	const next = iterator.next();
	await nextTurn();
	t.is(emptied, 1, 'what was done never came back');
	await queue.put(2);
	t.like(await next, {value: 2});
	await iterator.return(undefined);
	await nextTurn();
	t.is(emptied, 1, 'the record waits again');
	(await queue.receive()).nack({delay: 1});
	await queue.clear();
	await nextTurn();
	t.is(emptied, 2);
	await t.throwsAsync(queue.get({timeout: 20}), {code: 'QUEUE_EMPTY'});
	await nextTurn();
	t.is(emptied, 2, 'what was cleared does not come back after its delay');
});

test('a codec of the caller is used, named in the file, and asked for again', async t => {
	const directory = temporaryDirectory(t);
	const codec = {
		name: 'json',
		encode: (records: unknown[]) => Buffer.from(JSON.stringify(records)),
		decode: (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()),
	};
	const queue = await DiskQueue.open(directory, {codec, durability: 'write'});
	await queue.putMany([{a: 1}, 'two']);
	const cyclic: {self?: unknown} = {};
	cyclic.self = cyclic;
	await t.throwsAsync(queue.put(cyclic), {code: 'QUEUE_RECORD'});
	for (const nothing of [null, undefined]) {
		await t.throwsAsync(queue.put(nothing), {
			code: 'QUEUE_RECORD',
			message: /record is (null|undefined), which marks the end/,
		});
	}

	await queue.close();
	const before = filesOf(directory);
	await t.throwsAsync(DiskQueue.open(directory), {code: 'QUEUE_CODEC', message: /"json".*"msgpack"/});
	t.deepEqual(filesOf(directory), before);
	const again = await openQueue(t, {codec}, directory);
	t.deepEqual(await drain(again), [{a: 1}, 'two']);
});

test('stats tell where the records are', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 10});
	await queue.putMany(range(0, 100));
	const iterator = queue[Symbol.asyncIterator]();
	await iterator.next();
	const stats = queue.stats();
	t.is(stats.size, 99);
	t.is(stats.memoryRecords + stats.diskRecords, 99);
	t.true(stats.memoryRecords <= 10);
	t.true(stats.diskBytes > 0);
	t.is(stats.segments, 1);
	t.is(stats.inFlight, 1);
	await iterator.return?.(undefined);
	t.is(queue.stats().size, 100);
	t.is(queue.stats().inFlight, 0);
});

test('stats count every record that was put, by whatever call, and whether it found room at once', async t => {
	for (const durability of durabilities) {
		const queue = await openQueue<number>(t, {durability, cacheSize: 10});
		await queue.put(0);
		await queue.putMany(range(1, 100));
		queue.putNowait(100);
		t.is(queue.stats().put, 101, durability);
	}
});

test('a get that finds nothing, after a clear of what would have come from disk, costs no record that follows', async t => {
	for (const durability of durabilities) {
		const queue = await openQueue<number>(t, {durability, cacheSize: 1});
		await queue.put(0);
		await queue.put(1);
		t.deepEqual(await queue.getMany(1), [0]);
		await queue.clear();
		await queue.put(2);
		t.is(queue.getNowait(), 2);
		await t.throwsAsync(queue.get({timeout: 0}), {instanceOf: QueueEmptyError});
		await queue.putMany([3, 4]);
		t.deepEqual([queue.getNowait(), queue.getNowait()], [3, 4]);
	}
});

test('gets that are served the moment a read ends are given every record', async t => {
	const read: Storage['read'] = async (descriptor, target, position) =>
		fileSystem.readSync(descriptor, target, position);
	const queue = await openQueue<Buffer>(t, {durability: 'write', cacheSize: 1, storage: {...fileSystem, read}});
	const corruptions: Corruption[] = [];
	queue.on('corruption', corruption => corruptions.push(corruption));
	for (const id of range(0, 16)) {
		await queue.put(Buffer.alloc(142_000, id));
	}

	const waiting = range(0, 16).map(() => queue.get({timeout: 1000}));
	while (queue.size > 0) {
		queue.wake();
		await undefined;
	}

	const taken = await Promise.allSettled(waiting);
	t.deepEqual(
		taken.map(each => each.status === 'fulfilled' && each.value[0]),
		range(0, 16),
	);
	t.deepEqual(corruptions, []);
});

test('open reports what it found, once the opener listens', async t => {
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory);
	await queue.putMany(range(0, 5));
	await queue.close();
	const again = await openQueue<number>(t, {}, directory);
	const report = await pEvent(again, 'recovered' as never, {timeout: 1000});
	t.is(report as unknown, again.recovery);
	t.like(again.recovery, {isClean: true, records: 5, segments: 1, truncatedBytes: 0});
});

function filesOf(directory: string): string[] {
	return readdirSync(directory).filter(name => !name.startsWith('lock-'));
}

test('within a turn the checkpoint is written once for every 1024 records that are done, not for each behind them', async t => {
	const {storage, writes} = recordStorage();
	const queue = await openQueue<number>(t, {durability: 'write', storage} as DiskQueueOptions<number>);
	await queue.putMany(range(0, 5000));
	const before = writes();
	for (let id = 0; id < 5000; id++) {
		t.is(queue.getNowait(), id);
	}

	t.is(writes() - before, 4);
});

test('a batch that meets damage gives what stands before it, and the next one tells of it', async t => {
	const directory = temporaryDirectory(t);
	const queue = await openQueue<string>(t, {durability: 'write', cacheSize: 1}, directory);
	for (const record of ['first', 'second', 'third']) {
		await queue.put(record);
	}

	await queue.close();
	const path = segmentPath(directory, 0);
	const whole = readFileSync(path);
	const damaged = Buffer.from(whole);
	damaged[damaged.indexOf('second')]! ^= 0xff;
	writeFileSync(path, damaged);
	const again = await openQueue<string>(t, {onCorruption: 'throw'}, directory);
	t.deepEqual(await again.getMany(10), ['first']);
	await t.throwsAsync(again.getMany(10), {code: 'QUEUE_CORRUPT'});
	t.is(again.stats().done, 1);
	await again.close();
	writeFileSync(path, whole);
	t.deepEqual(await drain(await openQueue<string>(t, {}, directory)), ['second', 'third']);
});

test('who waits for the last record to be done is told when it turns out to be damaged', async t => {
	for (const look of [
		(queue: DiskQueue<string>) => queue.get().catch(() => {}),
		(queue: DiskQueue<string>) => t.throws(() => queue.getNowait(), {instanceOf: QueueEmptyError}),
	]) {
		const directory = temporaryDirectory(t);
		const queue = await openQueue<string>(t, {durability: 'write'}, directory);
		await queue.put('the only one');
		await queue.close();
		const path = segmentPath(directory, 0);
		const bytes = readFileSync(path);
		bytes[bytes.indexOf('only')]! ^= 0xff;
		writeFileSync(path, bytes);
		const again = await openQueue<string>(t, {maxSize: 1}, directory);
		const corruption = pEvent(again, 'corruption' as never);
		const emptied = pEvent(again, 'empty' as never, {timeout: 1000});
		const joined = again.join({timeout: 1000});
		t.is(again.size, 1);
		void look(again);
		t.like(await corruption, {lost: {first: 0, last: 0}});
		t.is(again.size, 0);
		await t.notThrowsAsync(joined);
		await t.notThrowsAsync(emptied);
		await again.close();
	}
});

test('of a run with a record that is refused, dropNewest drops those before it only', async t => {
	const queue = await openQueue<unknown>(t, {maxSize: 2, overflow: 'dropNewest'});
	const told = pEvent(queue, 'drop' as never) as Promise<{count: number; records: unknown[]}>;
	await t.throwsAsync(queue.putMany([1, 2, 3, () => {}, 5]), {code: 'QUEUE_RECORD'});
	t.like(await told, {count: 1, records: [3]});
	t.is(queue.stats().dropped, 1);
	t.deepEqual(await drain(queue), [1, 2]);
});

for (const durability of ['write', 'fsync'] as const) {
	test(`${durability}: a batch takes the records of as many blocks as are at hand`, async t => {
		const directory = temporaryDirectory(t);
		const queue = await openQueue<number>(t, {durability, cacheSize: 10}, directory);
		for (const record of range(0, 300)) {
			await queue.put(record);
		}

		const batches = [await queue.getMany(100), await queue.getMany(100)];
		await queue.close();
		const again = await openQueue<number>(t, {durability, cacheSize: 10}, directory);
		while (again.size > 0) {
			batches.push(await again.getMany(100));
		}

		t.deepEqual(batches.flat(), range(0, 300));
		t.true(batches.length <= 5, `${batches.map(({length}) => length)}`);
	});
}

test('an array that changes while its put waits changes nothing of what is put', async t => {
	const directory = temporaryDirectory(t);
	const queue = await openQueue<number>(t, {durability: 'write', cacheSize: 1}, directory);
	const records = [1, 2, 3];
	const puts = [queue.put(0), queue.putMany(records)];
	// Until the run is in line.
	await null;
	await null;
	puts.push(queue.put(4));
	records.splice(0, 3, 99);
	await Promise.all(puts);
	await queue.close();
	t.deepEqual(await drain(await openQueue<number>(t, {}, directory)), range(0, 5));
});

for (const overflow of ['wait', 'dropOldest'] as const) {
	test(`a log that was closed beyond maxBytes has room once it is drained (${overflow})`, async t => {
		const directory = temporaryDirectory(t);
		const queue = await openQueue<string>(t, {durability: 'write'}, directory);
		await queue.putMany(range(0, 100).map(record => String(record).padEnd(10_000)));
		await queue.close();
		const again = await openQueue<string>(t, {durability: 'write', maxBytes: 512 * 1024, overflow}, directory);
		t.is((await drain(again)).length, 100);
		await again.put('new', {timeout: 60_000});
		t.is(await again.get(), 'new');
	});
}

test('a batch that waits for more ends when the queue closes, and takes nothing any more', async t => {
	const directory = temporaryDirectory(t);
	const queue = await openQueue<number>(t, {}, directory);
	await queue.put(1);
	const batch = queue.getMany(10, {maxWait: 60_000});
	const received = queue.receiveMany(10, {maxWait: 60_000}).catch(error => error.code);
	await queue.close();
	t.deepEqual(await batch, [1]);
	t.is(await received, 'QUEUE_CLOSED');
});

test('records that come by the hundred thousand in one turn are all in the batch that waits for them', async t => {
	const queue = await openQueue<number>(t, {cacheSize: 1_000_000, cacheBytes: 1e9});
	await queue.put(-1);
	const batch = queue.getMany(200_001, {maxWait: 60_000});
	await nextTurn();
	for (const record of range(0, 200_000)) {
		void queue.put(record);
	}

	t.is((await batch).length, 200_001);
	t.is(queue.size, 0);
});

test('what is dropped with the oldest file is told of, however much it is', async t => {
	const options = {durability: 'write', cacheSize: 1_000_000, cacheBytes: 1e9, maxBytes: 2 ** 21} as const;
	const queue = await openQueue<number>(t, {...options, overflow: 'dropOldest'});
	const dropped: number[] = [];
	queue.on('drop', drop => {
		for (const record of drop.records) {
			dropped.push(record);
		}
	});
	let count = 0;
	while (dropped.length === 0) {
		await queue.putMany(range(count, count + 50_000));
		count += 50_000;
		await nextTurn();
	}

	t.deepEqual([...dropped, ...(await drain(queue))], range(0, count));
});

test('each run writes segments of its own, with a salt that no other has', async t => {
	const directory = temporaryDirectory(t);
	for (const id of range(0, 5)) {
		const queue = await openQueue<number>(t, {durability: 'write'}, directory);
		await queue.put(id);
		await queue.close();
	}

	const places = segmentNames(directory).map(name => parseSegmentFileName(name)!);
	t.deepEqual(
		places.map(({firstSequence}) => firstSequence),
		range(0, 5),
	);
	t.is(new Set(places.map(({salt}) => salt)).size, 5);
	t.deepEqual(await drain(await openQueue<number>(t, {}, directory)), range(0, 5));
});
