import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {crc32} from 'node:zlib';
import test from 'ava';
import {pEvent} from 'p-event';
import {DiskQueue, type DiskQueueStreamOptions, diskQueue} from '../../source/index.ts';
import {openQueue, range} from '../helpers/queues.ts';
import {withoutSalt} from '../helpers/segment-names.ts';
import {makeSink} from '../helpers/sinks.ts';
import {errorOf, leave, leftovers, queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const wrongOptions: Array<[string, unknown]> = [
	['highWaterMark 0', {highWaterMark: 0}],
	['highWaterMark -1', {highWaterMark: -1}],
	['highWaterMark 1.5', {highWaterMark: 1.5}],
	['highWaterMark NaN', {highWaterMark: Number.NaN}],
	['highWaterMark of text', {highWaterMark: '16'}],
	['highWaterMark null', {highWaterMark: null}],
	['acknowledge with another word', {acknowledge: 'never'}],
	['acknowledge null', {acknowledge: null}],
	['cacheSize', {cacheSize: 16}],
	['durability with another word', {durability: 'always'}],
	['cacheBytes 0', {cacheBytes: 0}],
	['codec without functions', {codec: {name: 'none'}}],
	['an option that is not known', {highwatermark: 16}],
	['a signal that is none', {signal: {}}],
	['no object', 'fast'],
	['null', null],
];

for (const [name, options] of wrongOptions) {
	test(`a wrong option throws at once and makes nothing: ${name}`, t => {
		const directory = join(temporaryDirectory(t), 'queue');
		t.throws(() => diskQueue(directory, options as DiskQueueStreamOptions<unknown>), {
			code: 'QUEUE_INVALID_ARGUMENT',
		});
		t.deepEqual(readdirSync(join(directory, '..')), []);
	});
}

for (const target of ['', 'with \0', 42, null, undefined, {}]) {
	test(`a wrong directory throws at once: ${JSON.stringify(target)}`, t => {
		t.throws(() => diskQueue(target as string), {code: 'QUEUE_INVALID_ARGUMENT'});
	});
}

test('a promise of a queue is refused with a hint', t => {
	t.throws(() => diskQueue(Promise.resolve() as never), {
		code: 'QUEUE_INVALID_ARGUMENT',
		message: /got a promise: is `await` missing\?/,
	});
});

test('an open queue takes no option of its own', async t => {
	const queue = await openQueue(t);
	for (const options of [{durability: 'write'}, {segmentBytes: 4096}, {cacheSize: 4}] as const) {
		t.throws(() => diskQueue(queue, options as DiskQueueStreamOptions<unknown>), {code: 'QUEUE_INVALID_ARGUMENT'});
	}
});

test('options that are undefined are left out', async t => {
	const stream = queueStream<number>(t, temporaryDirectory(t), {
		highWaterMark: undefined,
		acknowledge: undefined,
		signal: undefined,
		durability: undefined,
	});
	stream.end(1);
	t.deepEqual(await stream.toArray(), [1]);
});

/** Runs a pipeline over a directory; gives its error. */
async function failing(directory: string): Promise<NodeJS.ErrnoException> {
	const {writable} = makeSink();
	return pipeline(Readable.from(range(0, 100)), diskQueue(directory), writable).then(
		() => {
			throw new Error('The pipeline did not fail');
		},
		error => error,
	);
}

test('a locked directory: the pipeline rejects, and its owner goes on', async t => {
	const directory = temporaryDirectory(t);
	const owner = await openQueue<string>(t, {}, directory);
	await owner.put('mine');
	const before = readdirSync(directory);
	const error = await failing(directory);
	t.is(error.code, 'QUEUE_LOCKED');
	t.regex(error.message, new RegExp(`\\b${process.pid}\\b`));
	t.deepEqual(readdirSync(directory), before);
	t.is(await owner.get(), 'mine');
});

test('a file in the way: the pipeline rejects and the file stays as it is', async t => {
	const path = join(temporaryDirectory(t), 'file');
	writeFileSync(path, 'content');
	const error = await failing(path);
	t.is(error.code, 'QUEUE_STORAGE');
	t.is((error.cause as NodeJS.ErrnoException).code, 'EEXIST');
	t.is(readFileSync(path, 'utf8'), 'content');
});

test('a file among the parents: the pipeline rejects', async t => {
	const path = join(temporaryDirectory(t), 'file');
	writeFileSync(path, 'content');
	t.is((await failing(join(path, 'queue'))).code, 'QUEUE_STORAGE');
	t.is(readFileSync(path, 'utf8'), 'content');
});

test('a segment of a newer version: the pipeline rejects and changes nothing', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 100));
	const segment = join(directory, readdirSync(directory).find(name => name.endsWith('.log'))!);
	const newer = readFileSync(segment);
	newer.writeUInt16LE(newer.readUInt16LE(4) + 1, 4);
	newer.writeUInt32LE(crc32(newer.subarray(0, 60)), 60);
	writeFileSync(segment, newer);
	const error = await failing(directory);
	t.is(error.code, 'QUEUE_VERSION');
	t.deepEqual(readFileSync(segment), newer);
	t.deepEqual(readdirSync(directory).map(withoutSalt).sort(), ['00000000000000000000.log', 'checkpoint']);
});

test('another codec: the pipeline rejects and changes nothing', async t => {
	const directory = temporaryDirectory(t);
	await leave(directory, range(0, 100));
	const codec = {
		name: 'json',
		encode: (records: unknown[]) => Buffer.from(JSON.stringify(records)),
		decode: (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()),
	};
	const {writable} = makeSink();
	const run = pipeline(Readable.from([1]), diskQueue(directory, {codec}), writable);
	t.is((await t.throwsAsync<NodeJS.ErrnoException>(run))!.code, 'QUEUE_CODEC');
	t.deepEqual(await leftovers(directory), range(0, 100));
});

test('a failed open errors what was written before, and the stream, once each', async t => {
	const path = join(temporaryDirectory(t), 'file');
	writeFileSync(path, '');
	const stream = diskQueue(path);
	const codes: unknown[] = [];
	stream.write(1, error => codes.push((error as NodeJS.ErrnoException).code));
	stream.write(2, error => codes.push((error as NodeJS.ErrnoException).code));
	stream.on('ready', () => t.fail());
	const closed = pEvent(stream, 'close', {rejectionEvents: []});
	const error = await errorOf(stream);
	await closed;
	t.is(error.code, 'QUEUE_STORAGE');
	t.deepEqual(codes, ['QUEUE_STORAGE', 'QUEUE_STORAGE']);
	t.is(stream.queue, undefined);
});

for (const isCorked of [false, true]) {
	for (const durability of ['spill', 'write'] as const) {
		const how = isCorked ? 'corked' : 'one by one';
		test(`'${durability}', ${how}: a record that cannot be stored errors the stream; those before it are safe`, async t => {
			for (const place of range(0, 20)) {
				const directory = temporaryDirectory(t);
				const stream = diskQueue<unknown>(directory, {durability});
				if (isCorked) {
					stream.cork();
				}

				for (const id of range(0, 40)) {
					stream.write(id === place ? () => {} : id);
				}

				if (isCorked) {
					stream.uncork();
				}

				const error = await errorOf(stream);
				t.is(error.code, 'QUEUE_RECORD');
				t.deepEqual(await leftovers(directory), range(0, place));
			}
		});
	}
}

test('a record larger than maxRecordBytes is the stream error QUEUE_RECORD', async t => {
	const directory = temporaryDirectory(t);
	const {writable} = makeSink<string>();
	const run = pipeline(Readable.from(['a', 'b'.repeat(200)]), diskQueue(directory, {maxRecordBytes: 100}), writable);
	t.is((await t.throwsAsync<NodeJS.ErrnoException>(run))!.code, 'QUEUE_RECORD');
});

for (const isCorked of [false, true]) {
	test(`an open queue that is closed refuses what is written ${isCorked ? 'corked' : 'one by one'}`, async t => {
		const directory = temporaryDirectory(t);
		const queue = await DiskQueue.open<number>(directory);
		const stream = diskQueue(queue);
		stream.on('error', () => {});
		await pEvent(stream, 'ready');
		await queue.close();
		const codes: unknown[] = [];
		if (isCorked) {
			stream.cork();
		}

		for (const id of range(0, 5)) {
			stream.write(id, error => codes.push((error as NodeJS.ErrnoException | undefined)?.code));
		}

		stream.uncork();
		await pEvent(stream, 'close', {rejectionEvents: []});
		t.is(codes.length, 5);
		t.false(codes.includes(undefined));
		t.is(codes[0], 'QUEUE_CLOSED');
	});
}

test('an open queue that is closed while the stream waits for a record is the stream error QUEUE_CLOSED', async t => {
	const queue = await openQueue<number>(t);
	const stream = diskQueue(queue);
	stream.resume();
	await pEvent(stream, 'ready');
	const failed = errorOf(stream);
	await queue.close();
	t.is((await failed).code, 'QUEUE_CLOSED');
});

test('a signal that is aborted already opens nothing', async t => {
	const directory = join(temporaryDirectory(t), 'queue');
	const stream = diskQueue(directory, {signal: AbortSignal.abort()});
	const closed = pEvent(stream, 'close', {rejectionEvents: []});
	const error = await errorOf(stream);
	t.is(error.name, 'AbortError');
	await closed;
	t.deepEqual(readdirSync(join(directory, '..')), []);
});

test('destroy() before the queue is open opens nothing, and lets others open it at once', async t => {
	const directory = join(temporaryDirectory(t), 'queue');
	mkdirSync(directory);
	const stream = diskQueue(directory);
	stream.on('ready', () => t.fail());
	stream.destroy();
	await leave(directory, [1]);
	t.deepEqual(await leftovers(directory), [1]);
	t.true(stream.closed);
});

test('destroy() while the queue is being opened is not followed by ready', async t => {
	const directory = temporaryDirectory(t);
	const stream = diskQueue(directory);
	stream.on('ready', () => t.fail());
	await new Promise<void>(resolve => process.nextTick(resolve));
	t.is(stream.queue, undefined);
	stream.destroy();
	await pEvent(stream, 'close');
	await leave(directory, [1]);
	t.deepEqual(await leftovers(directory), [1]);
});

test('a record that was changed after it was written, so that it cannot be stored, is the stream error QUEUE_RECORD', async t => {
	const directory = temporaryDirectory(t);
	const stream = queueStream<{id: number; extra?: unknown}>(t, directory, {highWaterMark: 4});
	const records = range(0, 40).map(id => ({id}));
	const failed = errorOf(stream);
	await new Promise(resolve => stream.write(records[0], resolve));
	Object.defineProperty(records[0], 'extra', {
		enumerable: true,
		get() {
			throw new Error('not now');
		},
	});
	for (const record of records.slice(1)) {
		stream.write(record);
	}

	const error = await failed;
	t.is(error.code, 'QUEUE_RECORD');
	const rest = await leftovers<{id: number}>(directory);
	t.true(rest.length > 0);
	t.deepEqual(rest, records.slice(1, 1 + rest.length));
});
