import {join} from 'node:path';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {inspect, isDeepStrictEqual} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import fc from 'fast-check';
import {
	createReadStream,
	createWriteStream,
	type DiskQueue,
	type DiskQueueOptions,
	diskQueue,
	QueueRecordError,
} from '../../source/index.ts';
import {buffersAmidCanaries, leaveCanaries, searchForCanaries, viewsAmidCanaries} from '../helpers/canaries.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {drain, openQueue, range} from '../helpers/queues.ts';
import {pickFrom, randomFrom} from '../helpers/random.ts';
import {closed, errorOf} from '../helpers/streams.ts';
import {memoryDirectory} from '../helpers/temporary-directory.ts';
import {unstorable} from '../helpers/unstorable.ts';
import {anyValue, normal} from '../helpers/values.ts';

const suite = 'record safety';
const mebibyte = 1024 * 1024;

/** Puts records by calls of all kinds. */
async function putAny(queue: DiskQueue<unknown>, records: unknown[], random: () => number): Promise<void> {
	for (let at = 0; at < records.length; ) {
		const run = records.slice(at, at + 1 + Math.floor(random() ** 3 * 300));
		await pickFrom(
			[() => queue.putMany(run), () => Promise.all(run.map(record => queue.put(record))), () => putAtOnce(queue, run)],
			random,
		)();
		at += run.length;
	}
}

function putAtOnce(queue: DiskQueue<unknown>, records: unknown[]): void {
	for (const record of records) {
		queue.putNowait(record);
	}
}

async function receiveAll(queue: DiskQueue<unknown>): Promise<unknown[]> {
	const records: unknown[] = [];
	while (queue.size > 0) {
		for (const delivery of await queue.receiveMany(100)) {
			records.push(delivery.record);
			delivery.ack();
		}
	}

	return records;
}

/** A way for records to go through a queue, in blocks of any number of them. */
type Way = (t: ExecutionContext, records: unknown[], random: () => number) => Promise<unknown[]>;

function throughQueue(options: DiskQueueOptions<unknown>, take: typeof receiveAll = drain): Way {
	return async (t, records, random) => {
		const queue = await openQueue(t, options, memoryDirectory(t));
		await putAny(queue, records, random);
		const taken = await take(queue);
		await queue.close();
		return taken;
	};
}

const ways: Record<string, Way> = {
	'memory only': throughQueue({cacheSize: 1_000_000, cacheBytes: 1024 * mebibyte}),
	'memory and disk': throughQueue({cacheSize: 20}),
	disk: throughQueue({durability: 'write', cacheSize: 1, segmentBytes: 64 * 1024}),
	'deliveries from disk': throughQueue({durability: 'fsync', cacheSize: 1}, receiveAll),
	async 'a reopen'(t, records, random) {
		const directory = memoryDirectory(t);
		const first = await openQueue(t, {cacheSize: 300}, directory);
		await putAny(first, records, random);
		await first.close();
		const second = await openQueue(t, {}, directory);
		const taken = await drain(second);
		await second.close();
		return taken;
	},
	async 'a stream'(t, records, random) {
		const stream = diskQueue(memoryDirectory(t), {highWaterMark: pickFrom([1, 16, 1000], random)});
		const [taken] = await Promise.all([stream.toArray(), pipeline(Readable.from(records), stream)]);
		return taken;
	},
	async 'streams of two queues'(t, records) {
		const directory = memoryDirectory(t);
		const first = await openQueue(t, {}, directory);
		await pipeline(Readable.from(records), createWriteStream(first));
		await first.close();
		const second = await openQueue(t, {}, directory);
		const reading = createReadStream(second, {until: 'drained'});
		const taken = await reading.toArray();
		await second.close();
		return taken;
	},
};

/** Random values, without those that README says are refused. */
function storableValues(count: number, from: number): unknown[] {
	return fc.sample(anyValue, {numRuns: count, seed: from | 0}).filter(value => value !== null && value !== undefined);
}

/** Buffers of any size, one after the other: blocks of nothing else are written in another way. */
function runOfBuffers(count: number, random: () => number): Buffer[] {
	return range(0, count).map(id => Buffer.alloc(Math.floor(random() ** 2 * 30_000), id));
}

/** Compares records one by one, so that a failure shows the one that differs. */
function areEqual(t: ExecutionContext, found: unknown[], expected: unknown[], message: string): void {
	t.is(found.length, expected.length, message);
	const index = found.findIndex((record, at) => !isDeepStrictEqual(normal(record), normal(expected[at])));
	t.is(index, -1, `${message}, ${index}: ${inspect(found[index])} instead of ${inspect(expected[index])}`);
}

test.serial(
	'what is put comes back equal, whatever it is, whichever way it goes and whatever shares its block',
	async t => {
		announce(t);
		const report = startFigures(t, suite, 'random values through memory, disk, deliveries, a reopen, streams');
		const random = randomFrom(seed);
		let records = 0;
		for (const round of range(0, sized(2, 6))) {
			for (const [index, [name, carry]] of Object.entries(ways).entries()) {
				const mixed = storableValues(sized(300, 1500), seed + 100 * round + index);
				const values = [...mixed, ...runOfBuffers(mixed.length / 5, random), ...mixed.slice(0, 10)];
				areEqual(t, await carry(t, values, random), values, `${name}, round ${round}, seed ${seed}`);
				records += values.length;
			}
		}

		t.true(records > sized(3000, 50_000), `${records} records`);
		report({records});
	},
);

test.serial('what cannot be stored is refused by its place, and those around it are as they were', async t => {
	announce(t);
	const report = startFigures(t, suite, 'records that are refused');
	const random = randomFrom(seed);
	const values = storableValues(500, seed);
	const queue = await openQueue(t, {cacheSize: 4}, memoryDirectory(t));
	const accepted: unknown[] = [];
	const refusals = sized(1500, 15_000);
	for (const _ of range(0, refusals)) {
		const {record, message} = unstorable(values, random);
		const before = pickFrom(values, random);
		const refused = {instanceOf: QueueRecordError, code: 'QUEUE_RECORD', message};
		if (random() < 0.5) {
			t.throws(() => queue.putNowait(record), refused);
		} else {
			accepted.push(before);
			await t.throwsAsync(queue.putMany([before, record, before]), refused);
		}
	}

	areEqual(t, await drain(queue), accepted, `seed ${seed}`);
	await queue.close();
	report({refusals, 'records around them': accepted.length});
});

test.serial(
	'a stream that is given what cannot be stored fails with the reason, and keeps what came before',
	async t => {
		announce(t);
		const random = randomFrom(seed);
		const values = storableValues(30, seed);
		for (const _ of range(0, sized(10, 100))) {
			const directory = memoryDirectory(t);
			const {record, message} = unstorable(values, random);
			const stream = diskQueue(directory);
			const failed = errorOf(stream);
			for (const each of [...values, record]) {
				stream.write(each);
			}

			t.like(await failed, {code: 'QUEUE_RECORD', message});
			await closed(stream);
			const queue = await openQueue(t, {}, directory);
			areEqual(t, await drain(queue), values, `seed ${seed}`);
			await queue.close();
		}
	},
);

test.serial('no byte beside a view of a buffer, and none of other memory, gets into a file', async t => {
	announce(t);
	const report = startFigures(t, suite, 'memory beside the records');
	const random = randomFrom(seed);
	let records = 0;
	let searched = 0;
	for (const _ of range(0, sized(4, 20))) {
		const directory = memoryDirectory(t);
		const [whole, bytes] = [join(directory, 'whole'), join(directory, 'bytes')];
		const queue = await openQueue(t, {cacheSize: 8, segmentBytes: 8192}, whole);
		const stream = diskQueue<Uint8Array>(bytes, {objectMode: false, acknowledge: 'sink'});
		for (const _round of range(0, 20)) {
			leaveCanaries();
			const views = viewsAmidCanaries(random);
			await putAny(queue, [...views, {views, id: random()}, new Map([[views[0], views]])], random);
			const chunk = views.find(view => view instanceof Uint8Array && view.byteLength > 0);
			await new Promise(resolve => stream.write(chunk ?? 'x', resolve));
			const buffers = buffersAmidCanaries(random);
			await queue.putMany(buffers);
			records += views.length + buffers.length + 3;
		}

		await queue.close();
		stream.destroy();
		await closed(stream);
		const {bytes: length, found} = searchForCanaries(directory);
		t.deepEqual(found, [], `seed ${seed}`);
		searched += length;
	}

	t.true(searched > 100 * records, `${searched} bytes`);
	report({records, 'bytes searched': searched});
});

/** The views in a record, however deep. */
function viewsIn(value: unknown): ArrayBufferView[] {
	if (ArrayBuffer.isView(value)) {
		return [value];
	}

	const items =
		value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value ?? {});
	return typeof value === 'object' ? items.flatMap(viewsIn) : [];
}

test.serial('bytes that a consumer was given are its own, and keep no others in memory', async t => {
	announce(t);
	const report = startFigures(t, suite, 'bytes of a consumer');
	const random = randomFrom(seed);
	const directory = memoryDirectory(t);
	const mixed = range(0, sized(300, 3000)).map(id => ({id, views: viewsAmidCanaries(random), set: new Set([id])}));
	const buffers = range(0, sized(5, 50)).flatMap(() => buffersAmidCanaries(random));
	const expected = [...mixed, ...buffers];
	const first = await openQueue<unknown>(t, {durability: 'write'}, directory);
	await putAny(first, mixed, random);
	await putAny(first, buffers, random);
	await first.close();
	let views = 0;
	for (const _ of range(0, 2)) {
		const queue = await openQueue(t, {}, directory);
		for (const record of expected) {
			const delivery = await queue.receive();
			t.true(isDeepStrictEqual(delivery.record, record), `seed ${seed}, ${inspect(record)}`);
			for (const view of viewsIn(delivery.record)) {
				t.true(view.buffer.byteLength <= view.byteLength + 64, inspect(view));
				new Uint8Array(view.buffer).fill(0xff);
				views++;
			}
		}

		await queue.close();
	}

	t.is(views, 2 * (14 * mixed.length + buffers.length));
	report({views});
});

test.serial('chunks that a stream of bytes gives are its own too', async t => {
	const directory = memoryDirectory(t);
	const chunks = range(0, 500).map(id => Buffer.alloc(1 + ((id * 7919) % 5000), id));
	const first = await openQueue<Buffer>(t, {}, directory);
	await pipeline(Readable.from(chunks), createWriteStream(first, {objectMode: false}));
	await first.close();
	const second = await openQueue<Buffer>(t, {}, directory);
	const given: Buffer[] = [];
	for await (const chunk of createReadStream(second, {objectMode: false, until: 'drained'})) {
		t.true(chunk.buffer.byteLength <= chunk.byteLength + 64);
		given.push(Buffer.from(chunk));
		new Uint8Array(chunk.buffer).fill(0xff);
	}

	t.true(Buffer.concat(given).equals(Buffer.concat(chunks)));
	await second.close();
});

/** The containers that nest, each around a value. */
const nests: Record<string, (inner: unknown) => unknown> = {
	arrays: inner => [inner],
	objects: inner => ({a: inner}),
	'keys of maps': inner => new Map([[inner, 1]]),
	'values of maps': inner => new Map([['a', inner]]),
	sets: inner => new Set([inner]),
	'causes of errors': inner => new TypeError('x', {cause: inner}),
};

function nested(levels: number, nestOf: (level: number) => (inner: unknown) => unknown): unknown {
	return range(0, levels).reduce<unknown>((inner, level) => nestOf(level)(inner), 'core');
}

const tooDeep = {
	instanceOf: QueueRecordError,
	message: 'Cannot put: the record is cyclic or nested deeper than 500 levels.',
};

test.serial('500 levels of anything come back, and one more is refused', async t => {
	announce(t);
	const report = startFigures(t, suite, 'nested records');
	const random = randomFrom(seed);
	const all = Object.values(nests);
	const kinds = [...all.map(nest => () => nest), ...range(0, sized(5, 50)).map(() => () => pickFrom(all, random))];
	const directory = memoryDirectory(t);
	const queue = await openQueue(t, {cacheSize: 1}, directory);
	const records = kinds.map(nestOf => nested(500, nestOf));
	for (const record of records) {
		await queue.put(record);
		await t.throwsAsync(async () => queue.put([record]), tooDeep);
	}

	await queue.close();
	areEqual(t, await drain(await openQueue(t, {}, directory)), records, `seed ${seed}`);
	report({records: records.length, refused: records.length});
});

test.serial('a cycle through anything is refused', async t => {
	const queue = await openQueue(t, {}, memoryDirectory(t));
	for (const [name, nest] of Object.entries(nests)) {
		const start: unknown[] = [];
		start.push(nest(nest(start)));
		await t.throwsAsync(async () => queue.put(start), tooDeep, name);
		t.throws(() => queue.putNowait({inner: start}), tooDeep, name);
	}

	await queue.put('after');
	t.deepEqual(await drain(queue), ['after']);
});

test.serial('huge records come back, among small ones, and larger ones than allowed are refused', async t => {
	const report = startFigures(t, suite, 'huge records');
	const size = sized(2, 12) * mebibyte;
	const records = [
		'x'.repeat(size),
		'漢'.repeat(size / 4),
		Buffer.alloc(size, 7),
		new Float64Array(size / 8).fill(1 / 3),
		range(0, size / 16),
		Object.fromEntries(range(0, size / 64).map(id => [`key ${id}`, id])),
		new Map(range(0, size / 64).map(id => [id, {id}])),
		[new Error('x'.repeat(size), {cause: 'y'.repeat(size / 2)})],
		-(1n << BigInt(size / 16)),
	].flatMap(record => ['small', record, {small: 1}]);
	const directory = memoryDirectory(t);
	const queue = await openQueue(t, {maxRecordBytes: 4 * size}, directory);
	for (const record of records) {
		await queue.put(record);
		await t.throwsAsync(async () => queue.put([Buffer.alloc(4 * size)]), {
			instanceOf: QueueRecordError,
			message: /the record takes about \d+ bytes, more than maxRecordBytes/,
		});
	}

	await queue.close();
	areEqual(t, await drain(await openQueue(t, {}, directory)), records, 'huge');
	report({records: records.length, 'bytes of a huge one': size});
});
