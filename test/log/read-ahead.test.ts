import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {inspect} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import fc from 'fast-check';
import {ReadAhead} from '../../source/log/read-ahead.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {faultyStorage, systemError} from '../helpers/faulty-storage.ts';
import {openDescriptors} from '../helpers/logs.ts';
import {afterMicrotasks} from '../helpers/queues.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const windowBytes = 512 * 1024;

/** Bytes that differ at every offset from those near it, and from those a window further. */
function content(bytes: number): Buffer {
	const buffer = Buffer.alloc(bytes);
	for (let offset = 0; offset + 4 <= bytes; offset += 4) {
		buffer.writeUInt32LE(Math.imul(offset + 1, 2_654_435_761) >>> 0, offset);
	}

	return buffer;
}

const files = [
	...[0, 1, 1000, windowBytes - 1, windowBytes, windowBytes + 1, 2 * windowBytes, 3 * windowBytes + 77],
	12 * windowBytes + 5,
].map(content);

const sizes = fc.oneof(
	fc.integer({min: 1, max: 5000}),
	fc.integer({min: 1, max: windowBytes}),
	fc.constantFrom(1, windowBytes / 2, windowBytes - 1, windowBytes, windowBytes + 1, 2 * windowBytes, 9 * windowBytes),
);

const step = fc.record({
	call: fc.constantFrom('fill', 'fill', 'fillSync', 'start', 'prefetch', 'skip', 'skip', 'turn', 'set'),
	bytes: sizes,
});

test.serial('shows what the file holds at its position, after any sequence of calls', async t => {
	const directory = temporaryDirectory(t);
	for (const [index, bytes] of files.entries()) {
		writeFileSync(join(directory, String(index)), bytes);
	}

	const before = openDescriptors();
	let calls = 0;
	const limits = fc.option(fc.integer({min: 0, max: 3 * windowBytes}), {nil: Number.POSITIVE_INFINITY});
	await fc.assert(
		fc.asyncProperty(
			fc.nat(files.length - 1),
			limits,
			fc.array(step, {minLength: 8, maxLength: 25}),
			async (index, cap, steps) => {
				const {storage} = faultyStorage();
				const window = new ReadAhead(storage);
				const file = files[index]!;
				const limit = Math.min(file.byteLength, cap);
				window.set(join(directory, String(index)), 0);
				const pending: Array<Promise<unknown>> = [];
				for (const {call, bytes} of steps) {
					calls++;
					const isThere = window.position + bytes <= limit;
					if (call === 'fill' && (await window.fill(bytes, limit)) !== isThere && window.view().byteLength < bytes) {
						throw new Error(`fill(${bytes}) at ${window.position} of ${limit}`);
					} else if (call === 'fillSync' && window.fillSync(bytes, limit) !== isThere) {
						throw new Error(`fillSync(${bytes}) at ${window.position} of ${limit}`);
					} else if (call === 'start') {
						pending.push(window.fill(bytes, limit));
					} else if (call === 'prefetch') {
						window.prefetch(limit);
					} else if (call === 'skip' && isThere) {
						await Promise.all(pending.splice(0));
						window.skip(bytes);
					} else if (call === 'turn') {
						await new Promise(setImmediate);
					} else if (call === 'set' && bytes <= limit) {
						window.set(join(directory, String(index)), bytes);
					}

					const view = window.view();
					if (!view.equals(file.subarray(window.position, window.position + view.byteLength))) {
						throw new Error(`wrong bytes at ${window.position} after ${call}`);
					}

					if (window.position + view.byteLength > limit) {
						throw new Error(`read beyond the limit ${limit} after ${call}`);
					}
				}

				await Promise.all(pending);
				window.close();
			},
		),
		{numRuns: 250},
	);
	t.true(calls > 1500, `${calls} calls`);
	await untilDescriptors(t, before);
});

/** Waits until every descriptor was given back; the test times out, and fails, if that does not come. */
async function untilDescriptors(t: ExecutionContext, count: number): Promise<void> {
	while (openDescriptors() > count) {
		await new Promise(setImmediate);
	}

	t.is(openDescriptors(), count);
}

function openWindow(t: ExecutionContext, storage: Storage, bytes: Buffer): ReadAhead {
	const path = join(temporaryDirectory(t), 'file');
	writeFileSync(path, bytes);
	const window = new ReadAhead(storage);
	window.set(path, 0);
	t.teardown(() => window.close());
	return window;
}

test('a fill in this turn is not disturbed by the read it overtook', async t => {
	const {storage, hold} = faultyStorage();
	const file = content(3 * windowBytes);
	const window = openWindow(t, storage, file);
	const release = hold('read');
	const slow = window.fill(1000, file.byteLength);
	t.true(window.fillSync(2000, file.byteLength));
	t.true(window.view().equals(file.subarray(0, window.view().byteLength)));
	window.skip(1500);
	release();
	t.true(await slow);
	t.true(window.view().equals(file.subarray(1500, 1500 + window.view().byteLength)));
	t.true(await window.fill(windowBytes, file.byteLength));
	t.true(
		window
			.view()
			.subarray(0, windowBytes)
			.equals(file.subarray(1500, 1500 + windowBytes)),
	);
});

test('a read under way when the window is set elsewhere is ignored, and its descriptor closed after it', async t => {
	const {storage, hold, operations} = faultyStorage();
	const window = openWindow(t, storage, content(10_000));
	const release = hold('read');
	const slow = window.fill(100, 10_000);
	const other = content(20_000).reverse();
	const path = join(temporaryDirectory(t), 'other');
	writeFileSync(path, other);
	window.set(path, 50);
	t.deepEqual(operations, []);
	t.true(window.fillSync(1000, 20_000));
	release();
	t.true(await slow);
	t.true(window.view().equals(other.subarray(50, 50 + window.view().byteLength)));
	t.deepEqual(operations, ['close file']);
});

/** Its reads end within microtasks. */
const promptStorage: Storage = {
	...fileSystem,
	read: async (descriptor, buffer, position) => fileSystem.readSync(descriptor, buffer, position),
};

test('a window set elsewhere is no end of the file, whichever microtask does it', async t => {
	const file = content(10_000);
	for (const away of [
		(window: ReadAhead, path: string) => window.set(path, 50),
		(window: ReadAhead) => window.skip(50),
	]) {
		for (let microtasks = 0; microtasks < 12; microtasks++) {
			const path = join(temporaryDirectory(t), 'file');
			writeFileSync(path, file);
			const window = new ReadAhead(promptStorage);
			t.teardown(() => window.close());
			window.set(path, 0);
			const filled = window.fill(100, 10_000);
			await afterMicrotasks(microtasks);

			away(window, path);
			t.true(await filled, `${microtasks} microtasks`);
			t.true(await window.fill(100, 10_000));
			t.true(window.view().equals(file.subarray(50, 50 + window.view().byteLength)));
		}
	}
});

test('a window that moves on is no end of the file, whichever microtask does it', async t => {
	const file = content(12 * windowBytes);
	for (const bytes of [windowBytes, 170_000, 100_000, 1000]) {
		for (let microtasks = 0; microtasks < 12; microtasks++) {
			const path = join(temporaryDirectory(t), 'file');
			writeFileSync(path, file);
			const window = new ReadAhead(promptStorage);
			t.teardown(() => window.close());
			window.set(path, 0);
			while (window.position < file.byteLength / 2) {
				const filled = window.fill(bytes, file.byteLength);
				await afterMicrotasks(microtasks);

				while (window.view().byteLength >= bytes) {
					window.skip(bytes);
					window.prefetch(file.byteLength);
				}

				t.true(await filled, `${bytes} bytes, ${microtasks} microtasks, at ${window.position}`);
			}
		}
	}
});

test('a read that failed is nothing to a window set elsewhere, whichever microtask does it', async t => {
	let isFailing = true;
	const read: Storage['read'] = async (descriptor, buffer, position) => {
		if (isFailing) {
			throw systemError('EIO', 'read');
		}

		return fileSystem.readSync(descriptor, buffer, position);
	};
	const file = content(10_000);
	for (let microtasks = 0; microtasks < 12; microtasks++) {
		const path = join(temporaryDirectory(t), 'file');
		writeFileSync(path, file);
		const window = new ReadAhead({...fileSystem, read});
		t.teardown(() => window.close());
		isFailing = true;
		window.set(path, 0);
		const filled = window.fill(100, 10_000);
		const outcome = filled.catch(error => error.code);
		await afterMicrotasks(microtasks);

		const isTold = !inspect(filled).includes('pending');
		window.set(path, 50);
		t.is(await outcome, isTold ? 'EIO' : true, `${microtasks} microtasks`);
		isFailing = false;
		t.true(await window.fill(100, 10_000));
	}
});

test('a failed read is told by the fill that waits for it, and the next one reads again', async t => {
	const {storage, inject} = faultyStorage();
	const window = openWindow(t, storage, content(1000));
	inject({method: 'read', code: 'EIO'});
	await t.throwsAsync(window.fill(10, 1000), {code: 'EIO'});
	t.is(window.view().byteLength, 0);
	t.true(await window.fill(10, 1000));
	t.is(window.view().byteLength, 1000);
});

test("a failed prefetch is nobody's error until its bytes are asked for", async t => {
	const {storage, inject, pending} = faultyStorage();
	const window = openWindow(t, storage, content(1000));
	t.true(await window.fill(100, 500));
	inject({method: 'read', code: 'EIO'});
	window.prefetch(1000);
	await new Promise(setImmediate);
	t.is(pending(), 0);
	t.true(await window.fill(1000, 1000));
});

test('a file that is not there is told as such, in both ways of reading', async t => {
	const {storage} = faultyStorage();
	const window = new ReadAhead(storage);
	window.set(join(temporaryDirectory(t), 'none'), 0);
	await t.throwsAsync(window.fill(10, 100), {code: 'ENOENT'});
	t.throws(() => window.fillSync(10, 100), {code: 'ENOENT'});
});

test('no more room is taken than there is to read, until there is more', async t => {
	const {storage} = faultyStorage();
	const file = content(windowBytes);
	const window = openWindow(t, storage, file);
	t.is(window.view().buffer.byteLength, 0);
	t.true(await window.fill(100, 1000));
	t.true(window.view().buffer.byteLength < windowBytes / 8);
	t.true(window.view().equals(file.subarray(0, 1000)));
	t.true(await window.fill(40_000, file.byteLength));
	t.is(window.view().buffer.byteLength, windowBytes);
	t.true(window.view().equals(file));
});

test('the room a large block took is given back by the next small read', async t => {
	const {storage} = faultyStorage();
	const file = content(8 * windowBytes);
	const window = openWindow(t, storage, file);
	t.true(await window.fill(5 * windowBytes, file.byteLength));
	t.true(window.view().buffer.byteLength >= 5 * windowBytes);
	window.skip(5 * windowBytes);
	t.true(await window.fill(100, file.byteLength));
	t.is(window.view().buffer.byteLength, windowBytes);
	t.true(window.view().equals(file.subarray(5 * windowBytes, 6 * windowBytes)));
});

test('the room a huge block took is given back when it is consumed, though nothing more is read', async t => {
	const {storage} = faultyStorage();
	const file = content(20 * windowBytes);
	const huge = 10 * windowBytes;
	const window = openWindow(t, storage, file);
	const room = () => window.view().buffer.byteLength;
	t.true(await window.fill(huge, huge));
	t.true(room() >= huge);
	window.skip(huge);
	window.prefetch(huge);
	t.is(room(), windowBytes);

	t.true(window.fillSync(huge, file.byteLength));
	t.true(room() >= huge);
	window.close();
	t.is(room(), windowBytes);
});

test('a huge buffer is not filled again ahead of its use', async t => {
	const {storage} = faultyStorage();
	let reads = 0;
	const counting: Storage = {
		...storage,
		read(descriptor, target, position) {
			reads++;
			return storage.read(descriptor, target, position);
		},
	};
	const file = content(30 * windowBytes);
	const window = openWindow(t, counting, file);
	t.true(await window.fill(12 * windowBytes, file.byteLength));
	window.skip(10 * windowBytes);
	reads = 0;
	window.prefetch(file.byteLength);
	t.is(reads, 0);
	window.skip(2 * windowBytes);
	window.prefetch(file.byteLength);
	t.is(reads, 1);
	t.is(window.view().buffer.byteLength, windowBytes);
});

test('short reads are put together', async t => {
	const {storage} = faultyStorage();
	const file = content(5000);
	const short: Storage = {
		...storage,
		read: (descriptor, target, position) => storage.read(descriptor, target.subarray(0, 7), position),
		readSync: (descriptor, target, position) => storage.readSync(descriptor, target.subarray(0, 11), position),
	};
	const window = openWindow(t, short, file);
	t.true(await window.fill(1000, 5000));
	t.true(window.fillSync(5000, 5000));
	t.true(window.view().equals(file));
});
