import {createReadStream as readFile, readFileSync, createWriteStream as writeFile, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {PassThrough, Readable, Transform, Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {createGunzip, createGzip} from 'node:zlib';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {
	createReadStream,
	createWriteStream,
	DiskQueue,
	type DiskQueueStreamOptions,
	diskQueue,
} from '../../source/index.ts';
import {seed} from '../helpers/form.ts';
import {assertComplete, pick} from '../helpers/outcomes.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';
import {closed, closedAtEnd, countWrites, errorOf, leave, leftovers} from '../helpers/streams.ts';
import {memoryDirectory, temporaryDirectory} from '../helpers/temporary-directory.ts';

const inBytes = {objectMode: false} as const;
const kibibyte = 1024;

/** A stream of bytes over a directory of its own that is closed when the test ends. */
function byteStream(
	t: ExecutionContext,
	options: Omit<DiskQueueStreamOptions<Buffer>, 'objectMode'> = {},
	directory: string = temporaryDirectory(t),
) {
	return closedAtEnd(t, diskQueue<Buffer>(directory, {...options, ...inBytes}));
}

/** Collects what a stream gives, chunk by chunk. */
async function chunksOf(stream: Readable): Promise<Buffer[]> {
	const chunks: Buffer[] = [];
	stream.on('data', (chunk: Buffer) => chunks.push(chunk));
	await pEvent(stream, 'end');
	return chunks;
}

/** Bytes that tell where they are: no piece of them equals another. */
function bytesFrom(start: number, length: number): Buffer {
	const bytes = Buffer.alloc(length);
	for (let index = start; index < start + length; index++) {
		bytes[index - start] = index * 31 + (index >> 8) * 17;
	}

	return bytes;
}

const wrongOptions: Array<[string, unknown]> = [
	['objectMode that is no boolean', {objectMode: 'no'}],
	['cacheBytes', {objectMode: false, cacheBytes: 1024}],
	['cacheSize', {objectMode: false, cacheSize: 1024}],
	["acknowledge: 'manual'", {objectMode: false, acknowledge: 'manual'}],
	['highWaterMark 0', {objectMode: false, highWaterMark: 0}],
];

for (const [name, options] of wrongOptions) {
	test(`a wrong option throws at once: ${name}`, async t => {
		const wrong = options as DiskQueueStreamOptions<unknown>;
		t.throws(() => diskQueue(temporaryDirectory(t), wrong), {code: 'QUEUE_INVALID_ARGUMENT'});
		const queue = await openQueue(t);
		t.throws(() => createReadStream(queue, wrong as never), {code: 'QUEUE_INVALID_ARGUMENT'});
	});
}

for (const highWaterMark of [1, 100, 16 * kibibyte, undefined, 1024 * kibibyte]) {
	test(`highWaterMark ${highWaterMark}: bytes of any chunks, of any kind, come out as they went in`, async t => {
		t.log(`seed ${seed}`);
		const random = randomFrom(seed);
		const total = 300 * kibibyte;
		const content = bytesFrom(0, total);
		const chunks: Array<Buffer | Uint8Array | string> = [];
		for (let offset = 0; offset < total; ) {
			const length = Math.floor(random() * pick([2, 100, 3000, 70_000], chunks.length));
			const chunk = content.subarray(offset, offset + length);
			chunks.push(chunks.length % 3 === 0 ? new Uint8Array(chunk) : chunk);
			offset += chunk.length;
		}

		const stream = byteStream(t, {highWaterMark});
		const sink = new PassThrough();
		const result = sink.toArray();
		await pipeline(Readable.from(chunks), stream, sink);
		t.true(chunks.length > 10);
		t.true(Buffer.concat(await result).equals(content));
	});
}

test('a file goes through, compressed and back, while the sink starts late', async t => {
	const directory = temporaryDirectory(t);
	const source = join(directory, 'source');
	const copy = join(directory, 'copy');
	writeFileSync(source, bytesFrom(0, 2_000_000));
	const queue = byteStream(t, {}, join(directory, 'queue'));
	const late = new Transform({
		transform: (chunk, _encoding, callback) => void setTimeout(callback, 1, null, chunk),
	});
	await pipeline(readFile(source), createGzip({level: 1}), queue, late, createGunzip(), writeFile(copy));
	t.true(readFileSync(copy).equals(readFileSync(source)));
	await closed(queue);
	t.deepEqual(await leftovers(join(directory, 'queue')), []);
});

test('strings are bytes in the encoding they are written with', async t => {
	const stream = byteStream(t);
	stream.write('zażółć 🚀');
	stream.write('00ff10', 'hex');
	stream.write('AAEC', 'base64');
	stream.end('é', 'latin1');
	const chunks = await chunksOf(stream);
	t.true(chunks.every(chunk => Buffer.isBuffer(chunk)));
	t.deepEqual(
		Buffer.concat(chunks),
		Buffer.concat([Buffer.from('zażółć 🚀'), Buffer.from([0, 255, 16, 0, 1, 2, 233])]),
	);
});

for (const chunk of [{}, 42, [1]]) {
	test(`what is neither bytes nor text throws at write, as in any stream: ${String(chunk)}`, async t => {
		const stream = byteStream(t);
		t.throws(() => stream.write(chunk as never), {code: 'ERR_INVALID_ARG_TYPE'});
		const queue = await openQueue(t);
		t.throws(() => closedAtEnd(t, createWriteStream(queue, inBytes)).write(chunk as never), {
			code: 'ERR_INVALID_ARG_TYPE',
		});
	});
}

test('an empty chunk is called back, and is nothing', async t => {
	const queue = await openQueue<Buffer>(t);
	const view = createWriteStream(queue, inBytes);
	let calls = 0;
	for (const chunk of ['', Buffer.alloc(0), 'a', '', 'b', Buffer.alloc(0)]) {
		view.write(chunk, () => calls++);
	}

	view.end('');
	await closed(view);
	t.is(calls, 6);
	t.is(queue.size, 2);
	t.deepEqual(await drain(queue), [Buffer.from('a'), Buffer.from('b')]);
	const stream = byteStream(t);
	stream.end('');
	t.deepEqual(await stream.toArray(), []);
});

test('chunks are kept as they are written, up to a block; larger ones are cut into equal pieces', async t => {
	const sizes = [1, 3, 1000, 65_536, 262_139, 262_140, 1_000_000];
	const stream = byteStream(t, {highWaterMark: 16});
	const read = chunksOf(stream);
	for (const size of sizes) {
		stream.write(bytesFrom(size, size));
	}

	stream.end();
	const chunks = await read;
	t.deepEqual(
		chunks.map(({length}) => length),
		[1, 3, 1000, 65_536, 262_139, 131_070, 131_070, 250_000, 250_000, 250_000, 250_000],
	);
	t.true(Buffer.concat(chunks).equals(Buffer.concat(sizes.map(size => bytesFrom(size, size)))));
});

test('a chunk larger than maxRecordBytes, or than maxBytes leaves room for, is cut too', async t => {
	for (const options of [{maxRecordBytes: 100}, {maxBytes: 262_144}]) {
		const stream = byteStream(t, options);
		const content = bytesFrom(0, 100_000);
		stream.end(content);
		const chunks = await chunksOf(stream);
		t.true(Buffer.concat(chunks).equals(content));
		t.true(Math.max(...chunks.map(({length}) => length)) < ('maxBytes' in options ? 32_768 : 96));
	}
});

test('highWaterMark bounds each buffer of the stream and the memory of the queue, in bytes', async t => {
	for (const [highWaterMark, expected] of [
		[undefined, 65_536],
		[1000, 1000],
	] as const) {
		const stream = byteStream(t, {highWaterMark});
		t.is(stream.writableHighWaterMark, expected);
		t.is(stream.readableHighWaterMark, expected);
		t.false(stream.readableObjectMode || stream.writableObjectMode);
		let written = 0;
		let most = 0;
		while (written < 20 * expected) {
			const chunk = bytesFrom(written, 100);
			written += 100;
			if (!stream.write(chunk)) {
				await pEvent(stream, 'drain');
			}

			most = Math.max(most, stream.queue?.stats().memoryBytes ?? 0, stream.readableLength);
		}

		t.true(most <= expected * 1.5 + 105, `${most} bytes in one buffer`);
		t.true(stream.queue!.stats().diskRecords > 0);
		stream.end();
		t.is(Buffer.concat(await stream.toArray()).length, written);
	}
});

test('maxBytes bounds the disk: the source waits, and everything comes through', async t => {
	const maxBytes = 512 * kibibyte;
	const stream = byteStream(t, {maxBytes});
	let most = 0;
	const sink = new Writable({
		write(_chunk, _encoding, callback) {
			most = Math.max(most, stream.queue!.stats().diskBytes);
			setImmediate(callback);
		},
	});
	let total = 0;
	sink.on('pipe', () => stream.on('data', (chunk: Buffer) => (total += chunk.length)));
	await pipeline(Readable.from(range(0, 200).map(index => bytesFrom(index, 20_000))), stream, sink);
	t.is(total, 4_000_000);
	t.true(most > 0 && most <= maxBytes, `${most} bytes on disk`);
});

test('read(n) gives n bytes, across chunks', async t => {
	const stream = byteStream(t, {highWaterMark: 64});
	const content = bytesFrom(0, 5000);
	for (const offset of range(0, 500)) {
		stream.write(content.subarray(offset * 10, offset * 10 + 10));
	}

	stream.end();
	// A first listener for `readable` is called at once when anything is there, and again whenever it is the first.
	stream.on('readable', () => {});
	let offset = 0;
	for (const size of [1, 7, 10, 13, 200, 1, 1000]) {
		let piece: Buffer | null = stream.read(size);
		while (piece === null) {
			await pEvent(stream, 'readable');
			piece = stream.read(size);
		}

		t.deepEqual(piece, content.subarray(offset, offset + size));
		offset += size;
	}

	t.deepEqual(Buffer.concat(await stream.toArray()), content.subarray(offset));
});

test('a chunk that was read in part comes back whole', async t => {
	const queue = await openQueue<Buffer>(t);
	await queue.putMany([Buffer.from('abc'), Buffer.from('defg')]);
	const view = createReadStream(queue, inBytes);
	await pEvent(view, 'readable');
	t.deepEqual(view.read(4), Buffer.from('abcd'));
	view.destroy();
	await closed(view);
	t.deepEqual(await drain(queue), [Buffer.from('defg')]);
});

test('setEncoding gives text, whole characters though chunks cut them; what was not read comes back', async t => {
	const text = 'zażółć gęślą jaźń 🚀'.repeat(40);
	const bytes = Buffer.from(text);
	const write = (queue: DiskQueue<Buffer>) =>
		queue.putMany(range(0, bytes.length).map(index => bytes.subarray(index, index + 1)));
	const queue = await openQueue<Buffer>(t);
	await write(queue);
	const whole = createReadStream(queue, {...inBytes, until: 'drained'}).setEncoding('utf8');
	t.is((await whole.toArray()).join(''), text);
	t.is(queue.size, 0);
	t.is(queue.stats().inFlight, 0);
	for (const place of range(1, 40)) {
		await write(queue);
		const view = createReadStream(queue, {...inBytes, highWaterMark: 16}).setEncoding('utf8');
		let read = '';
		for await (const chunk of view) {
			read += chunk;
			if (read.length >= place) {
				break;
			}
		}

		await closed(view);
		const rest = Buffer.concat(await drain(queue));
		t.true(text.startsWith(read));
		t.deepEqual(rest, bytes.subarray(Buffer.byteLength(read)));
	}
});

test('text that ends amid a character ends with a replacement character, and everything is done', async t => {
	const queue = await openQueue<Buffer>(t);
	const bytes = Buffer.from('aż🚀');
	for (const length of range(1, bytes.length)) {
		await queue.putMany(range(0, length).map(index => bytes.subarray(index, index + 1)));
		const view = createReadStream(queue, {...inBytes, until: 'drained'}).setEncoding('utf8');
		t.is((await view.toArray()).join(''), bytes.subarray(0, length).toString());
		await closed(view);
		t.is(queue.size, 0);
	}
});

test('setEncoding amid, with bytes in the buffer: nothing is lost, and what was in the buffer is done with its last character', async t => {
	const text = 'aż🚀'.repeat(30);
	const bytes = Buffer.from(text);
	for (const place of range(0, 60)) {
		const queue = await openQueue<Buffer>(t, {}, memoryDirectory(t));
		await queue.putMany(range(0, 70).map(index => bytes.subarray(index * 3, index * 3 + 3)));
		const view = createReadStream(queue, {...inBytes, until: 'drained'});
		view.on('readable', () => {});
		await pEvent(view, 'readable');
		const head: Buffer = view.read(place) ?? Buffer.alloc(0);
		view.setEncoding('utf8');
		if (place % 2 === 1) {
			view.destroy();
			await closed(view);
			t.deepEqual(Buffer.concat(await drain(queue)), bytes.subarray(head.length - (head.length % 3)));
			continue;
		}

		const rest: string = view.read();
		t.is(await view.toArray().then(texts => rest + texts.join('')), bytes.subarray(head.length).toString(), `${place}`);
		await closed(view);
		t.is(queue.size, 0);
	}
});

test('text is not taken for confirmed bytes by a sink that counts them otherwise', async t => {
	const directory = temporaryDirectory(t);
	const stream = byteStream(t, {}, directory).setEncoding('utf8');
	for (const index of range(0, 20)) {
		stream.write(`${index}żółć`);
	}

	const sink = new Writable({decodeStrings: false, write() {}});
	stream.pipe(sink);
	while (sink.writableLength < 50) {
		await pEvent(stream, 'data');
	}

	stream.destroy();
	await closed(stream);
	sink.destroy();
	t.is(
		(await leftovers<Buffer>(directory)).join(''),
		range(0, 20)
			.map(index => `${index}żółć`)
			.join(''),
	);
});

test('text is not taken for confirmed by a sink that makes fewer bytes of it than it has characters', async t => {
	const directory = temporaryDirectory(t);
	const chunks = range(0, 20).map(index => Buffer.alloc(10, index));
	await leave(directory, chunks);
	const sink = new Writable({defaultEncoding: 'hex', highWaterMark: 1000, write() {}});
	const stream = byteStream(t, {}, directory).setEncoding('hex');
	stream.pipe(sink);
	while (sink.writableLength < 200) {
		await pEvent(stream, 'data');
	}

	stream.destroy();
	await closed(stream);
	sink.destroy();
	t.deepEqual(await leftovers<Buffer>(directory), chunks);
});

test('a view reads ahead no more than highWaterMark, and the rest of a chunk', async t => {
	for (const [highWaterMark, most] of [
		[undefined, 66],
		[3000, 4],
		[1, 2],
	] as const) {
		const queue = await openQueue<Buffer>(t);
		await queue.putMany(range(0, 100).map(index => bytesFrom(index, 1000)));
		const view = createReadStream(queue, {...inBytes, highWaterMark});
		await pEvent(view, 'readable');
		await nextTurn();
		t.true(view.readableLength >= (highWaterMark ?? 65_536), `${view.readableLength} bytes`);
		t.true(queue.stats().inFlight <= most, `${queue.stats().inFlight} chunks`);
		view.destroy();
		await closed(view);
		t.is(queue.size, 100);
	}
});

for (const [name, options] of [
	['a byte sink', {}],
	['a sink in object mode', {objectMode: true}],
] as const) {
	test(`${name}: done is each chunk whose bytes were all confirmed`, async t => {
		const directory = temporaryDirectory(t);
		const chunks = range(0, 50).map(index => Buffer.alloc(1 + (index % 7), index));
		await leave(directory, chunks);
		const callbacks: Array<() => void> = [];
		const sink = new Writable({
			...options,
			highWaterMark: 1000,
			write: (_chunk, _encoding, callback) => void callbacks.push(callback),
		});
		const stream = byteStream(t, {}, directory);
		stream.pipe(sink);
		while (callbacks.length === 0) {
			await nextTurn();
		}

		for (const _ of range(0, 20)) {
			callbacks.shift()!();
			await nextTurn();
		}

		stream.destroy();
		await closed(stream);
		sink.destroy();
		const rest = await leftovers<Buffer>(directory);
		// In object mode its buffer counts chunks: it tells only when it is empty, and it is not.
		t.deepEqual(rest, name === 'a byte sink' ? chunks.slice(20) : chunks);
	});
}

test('a byte sink that fails, at any chunk: all it had not confirmed comes back, in order', async t => {
	const places = 40;
	let inVain = 0;
	for (const place of range(0, places)) {
		const directory = memoryDirectory(t);
		const failure = new Error(`at ${place}`);
		let confirmed = 0;
		const sink = new Writable({
			highWaterMark: pick([1, 50, 5000], place),
			write(chunk: Buffer, _encoding, callback) {
				setImmediate(() => {
					const error = chunk.readUInt16LE() === place ? failure : null;
					confirmed += error ? 0 : 1;
					callback(error);
				});
			},
		});
		const chunks = range(0, 80).map(index => {
			const chunk = Buffer.alloc(2 + (index % 30));
			chunk.writeUInt16LE(index);
			return chunk;
		});
		const durability = pick(['spill', 'write'] as const, place);
		const stream = diskQueue<Buffer>(directory, {...inBytes, durability, highWaterMark: pick([1, 100, 65_536], place)});
		const writes = countWrites(stream);
		t.is(await t.throwsAsync(pipeline(Readable.from(chunks), stream, sink)), failure);
		await closed(stream);
		const returned = await leftovers<Buffer>(directory);
		const numbers = returned.map(chunk => chunk.readUInt16LE());
		inVain = Math.max(inVain, assertComplete(t, numbers, {...writes, confirmed}));
	}

	t.log(`${places} places, at most ${inVain} confirmed chunks came back`);
});

test('bytes are records: a directory of them reads in object mode as Buffers, one a chunk', async t => {
	const directory = temporaryDirectory(t);
	const stream = byteStream(t, {durability: 'write'}, directory);
	stream.write('abc');
	stream.write(new Uint8Array([1, 2]));
	stream.end('d');
	await pEvent(stream, 'finish');
	stream.destroy();
	await closed(stream);
	const records = await leftovers<Buffer>(directory);
	t.deepEqual(records, [Buffer.from('abc'), Buffer.from([1, 2]), Buffer.from('d')]);
	t.true(records.every(record => Buffer.isBuffer(record)));
});

test('records that are Buffers, Uint8Arrays or strings read as bytes, from memory and from disk; empty ones are passed over', async t => {
	const records = ['', Buffer.from('ab'), new Uint8Array([99]), Buffer.alloc(0), 'ż', '', ''];
	const expected = Buffer.from('abcż');
	const directory = temporaryDirectory(t);
	await leave(directory, records);
	const stream = byteStream(t, {}, directory);
	stream.end();
	t.deepEqual(Buffer.concat(await stream.toArray()), expected);
	await closed(stream);
	t.deepEqual(await leftovers(directory), []);
	const queue = await openQueue<unknown>(t);
	await queue.putMany(records);
	const view = createReadStream(queue, {...inBytes, until: 'drained', highWaterMark: 1});
	t.deepEqual(Buffer.concat(await view.toArray()), expected);
	t.is(queue.size, 0);
});

for (const record of [{id: 1}, 42, [Buffer.from('a')], new Float64Array(2), new Date(0)]) {
	test(`a record that is not bytes fails a byte stream with QUEUE_RECORD, and stays at the head: ${JSON.stringify(record)}`, async t => {
		const queue = await openQueue<unknown>(t);
		await queue.putMany([record, 'behind']);
		const view = createReadStream(queue, inBytes);
		view.resume();
		const error = await errorOf(view);
		t.is(error.code, 'QUEUE_RECORD');
		t.regex(error.message, /read it in object mode/);
		await closed(view);
		t.is(queue.stats().inFlight, 0);
		t.deepEqual(await drain(queue), [record, 'behind']);
	});
}

test('many byte views write and read at once: no chunk is torn, none is lost', async t => {
	const queue = await openQueue<Buffer>(t, {cacheBytes: 10_000});
	const sources = range(0, 8).map(writer => range(0, 100).map(() => Buffer.alloc(64, writer)));
	const sums = range(0, 8).map(() => 0);
	const readers = range(0, 3).map(() =>
		pipeline(
			createReadStream(queue, {...inBytes, highWaterMark: 640}),
			new Writable({
				write(chunk: Buffer, _encoding, callback) {
					const writer = chunk[0]!;
					sums[writer]! += chunk.every(byte => byte === writer) ? chunk.length : 0;
					setImmediate(callback);
				},
			}),
		),
	);
	await Promise.all(sources.map(chunks => pipeline(Readable.from(chunks), createWriteStream(queue, inBytes))));
	queue.shutdown();
	await Promise.all(readers);
	t.deepEqual(
		sums,
		range(0, 8).map(() => 6400),
	);
});

test('a codec of its own holds bytes, and cuts by what it calls large', async t => {
	const codec = {
		name: 'base64',
		encode: (records: Buffer[]) => Buffer.from(records.map(record => record.toString('base64')).join('\n')),
		decode: (bytes: Uint8Array) =>
			Buffer.from(bytes)
				.toString()
				.split('\n')
				.map(text => Buffer.from(text, 'base64')),
	};
	const directory = temporaryDirectory(t);
	const content = bytesFrom(0, 500_000);
	const stream = byteStream(t, {codec, highWaterMark: 1000}, directory);
	const run = chunksOf(stream);
	stream.end(content);
	t.true(Buffer.concat(await run).equals(content));
	await closed(stream);
	const queue = await DiskQueue.open<Buffer>(directory, {codec});
	t.is(queue.size, 0);
	await queue.close();
});
