import {EventEmitter} from 'node:events';
import {readdirSync} from 'node:fs';
import test from 'ava';
import {pEvent} from 'p-event';
import {
	DiskQueue,
	type DiskQueueOptions,
	type Durability,
	QueueEmptyError,
	QueueFullError,
	QueueStorageError,
} from '../../source/index.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {faultyStorage} from '../helpers/faulty-storage.ts';
import {inTime} from '../helpers/in-time.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {copyOf, temporaryDirectory} from '../helpers/temporary-directory.ts';

const durabilities: Durability[] = ['spill', 'write', 'fsync'];

function systemError(code: string, syscall: string): Error {
	return Object.assign(new Error(`${code}: made by the test, ${syscall}`), {code, syscall});
}

type Failures = {write?: string; sync?: string; syncs?: number};

/** A file system whose writes, or syncs, or next `syncs` syncs, fail as long as they are told to. */
function failingStorage(): {storage: Storage; fail: Failures; synced: number[]; failed: number[]} {
	const fail: Failures = {};
	const synced: number[] = [];
	const failed: number[] = [];
	const storage: Storage = {
		...fileSystem,
		write(descriptor, pieces, position) {
			if (fail.write) {
				throw systemError(fail.write, 'write');
			}

			return fileSystem.write(descriptor, pieces, position);
		},
		async sync(descriptor) {
			const left = fail.syncs ?? (fail.sync ? 1 : 0);
			(left > 0 ? failed : synced).push(descriptor);
			if (left > 0) {
				fail.syncs &&= fail.syncs - 1;
				throw systemError(fail.sync ?? 'EIO', 'fdatasync');
			}

			await fileSystem.sync(descriptor);
		},
	};
	return {storage, fail, synced, failed};
}

function withStorage(storage: Storage, options: DiskQueueOptions<number>): DiskQueueOptions<number> {
	return {...options, storage};
}

/** A file system that lets no file be longer than so many bytes. */
function shortFiles(limit: number): Storage {
	return {
		...fileSystem,
		write(descriptor, pieces, position) {
			if (position >= limit) {
				throw systemError('EFBIG', 'write');
			}

			return fileSystem.write(descriptor, [Buffer.concat(pieces).subarray(0, limit - position)], position);
		},
	};
}

/** A file system with room for so many bytes. */
function smallStorage(capacity: number): Storage {
	const paths = new Map<number, string>();
	const lengths = new Map<string, number>();
	return {
		...fileSystem,
		open(path, how) {
			const descriptor = fileSystem.open(path, how);
			paths.set(descriptor, path);
			return descriptor;
		},
		write(descriptor, pieces, position) {
			const path = paths.get(descriptor)!;
			const end = position + pieces.reduce((sum, {byteLength}) => sum + byteLength, 0);
			const before = lengths.get(path) ?? 0;
			const used = [...lengths.values()].reduce((sum, length) => sum + length, 0);
			if (used - before + end > capacity) {
				throw systemError('ENOSPC', 'write');
			}

			lengths.set(path, Math.max(before, end));
			return fileSystem.write(descriptor, pieces, position);
		},
		unlink(path) {
			fileSystem.unlink(path);
			lengths.delete(path);
		},
	};
}

for (const durability of durabilities) {
	test(`${durability}: a disk filled by one file has room again when its records are done`, async t => {
		const options = withStorage(smallStorage(300_000), {durability, cacheSize: 16});
		const queue = await openQueue<number>(t, options);
		const full = pEvent(queue, 'full' as never);
		const put = queue.putMany(range(0, 100_000));
		await full;
		t.is(queue.stats().segments, 1);
		const records: number[] = [];
		while (records.length < 100_000) {
			records.push(...(await queue.getMany(1000)));
		}

		t.true(records.every((record, index) => record === index));
		await put;
	});

	test(`${durability}: where a block has no room and nothing is left to take, its records go to disk in smaller ones`, async t => {
		const records = range(0, 600).map(record => String(record).padEnd(500));
		for (const storage of [smallStorage(200_000), shortFiles(150_000)]) {
			const directory = temporaryDirectory(t);
			const options = {durability, cacheSize: 600, storage} as DiskQueueOptions<string>;
			const queue = await openQueue<string>(t, options, directory);
			const put = queue.putMany(records);
			const delivered: string[] = [];
			while (delivered.length < records.length) {
				for (const delivery of await queue.receiveMany(100)) {
					delivered.push(delivery.record);
					delivery.ack();
				}
			}

			await put;
			t.deepEqual(delivered, records);
			await queue.close();
		}
	});

	test(`${durability}: a full disk makes puts wait, lets gets go on, and writing resumes by itself`, async t => {
		const {storage, fail} = failingStorage();
		const queue = await openQueue<number>(t, withStorage(storage, {durability, cacheSize: 4}));
		await queue.putMany(range(0, 20));
		fail.write = 'ENOSPC';
		const full = pEvent(queue, 'full' as never);
		const waiting = Promise.all(range(20, 40).map(record => queue.put(record)));
		t.is(((await full) as unknown as QueueStorageError).code, 'QUEUE_STORAGE');
		const late = await t.throwsAsync(queue.put(99, {timeout: 1}), {instanceOf: QueueFullError, code: 'QUEUE_FULL'});
		t.is(late.cause instanceof QueueStorageError ? late.cause.code : undefined, 'QUEUE_STORAGE');
		t.deepEqual(await queue.getMany(1), [0]);
		t.deepEqual(await queue.getMany(1), [1]);
		const resumed = pEvent(queue, 'resume' as never);
		delete fail.write;
		await waiting;
		await resumed;
		t.deepEqual(await drain(queue), range(2, 40));
	});

	test(`${durability}: where a file may not get longer, the records go on in the next, and no put waits`, async t => {
		const limit = 150_000;
		const queue = await openQueue<string>(t, {
			durability,
			cacheSize: 4,
			storage: shortFiles(limit),
		} as DiskQueueOptions<string>);
		let full = 0;
		queue.on('full', () => {
			full++;
		});
		const records = range(0, 1000).map(record => String(record).padEnd(500));
		for (const start of range(0, 10)) {
			await queue.putMany(records.slice(start * 100, (start + 1) * 100));
		}

		t.true(queue.stats().segments > 3);
		t.is(full, 0);
		const tooLong = 'long'.repeat(limit);
		if (durability === 'spill') {
			await queue.put(tooLong);
		} else {
			await t.throwsAsync(queue.put(tooLong, {timeout: 1}), {code: 'QUEUE_FULL'});
		}

		t.deepEqual((await drain(queue)).slice(0, 1000), records);
	});

	test(`${durability}: putNowait says of a full disk that there is no room, with its cause, and goes on when there is`, async t => {
		const {storage, fail} = failingStorage();
		const queue = await openQueue<number>(t, withStorage(storage, {durability, cacheSize: 4, overflow: 'dropNewest'}));
		await queue.putMany(range(0, 4));
		fail.write = 'ENOSPC';
		const refused = t.throws(
			() => {
				for (const record of range(4, 20)) {
					queue.putNowait(record);
				}
			},
			{instanceOf: QueueFullError, code: 'QUEUE_FULL'},
		);
		t.is(refused?.cause instanceof QueueStorageError ? refused.cause.code : undefined, 'QUEUE_STORAGE');
		delete fail.write;
		queue.putNowait(99);
		const records = await drain(queue);
		t.deepEqual(records, [...range(0, records.length - 1), 99]);
		t.is(queue.stats().dropped, 0);
	});

	test(`${durability}: a write error that does not pass rejects puts with its cause, and gets go on`, async t => {
		const {storage, fail} = failingStorage();
		const queue = await openQueue<number>(t, withStorage(storage, {durability, cacheSize: 4}));
		await queue.putMany(range(0, 20));
		fail.write = 'EIO';
		const results = await Promise.allSettled(range(20, 30).map(record => queue.put(record)));
		const rejected = results.filter(({status}) => status === 'rejected') as PromiseRejectedResult[];
		t.true(rejected.length >= 6);
		for (const {reason} of rejected) {
			t.is(reason.code, 'QUEUE_STORAGE');
			t.is(reason.cause.code, 'EIO');
		}

		delete fail.write;
		await t.throwsAsync(queue.put(99), {code: 'QUEUE_STORAGE'});
		const accepted = results.flatMap(({status}, index) => (status === 'fulfilled' ? [20 + index] : []));
		t.deepEqual(await drain(queue), [...range(0, 20), ...accepted]);
	});

	test(`${durability}: a close that cannot save says so, lets go of the directory, and loses nothing that was on disk`, async t => {
		const {storage, fail} = failingStorage();
		const directory = temporaryDirectory(t);
		const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability, cacheSize: 4}));
		await queue.putMany(range(0, 20));
		await queue.sync();
		const descriptors = readdirSync('/proc/self/fd').length;
		const pending = queue.put(20).catch(error => error.code);
		fail.write = 'ENOSPC';
		fail.sync = 'EIO';
		await t.throwsAsync(queue.close(), {instanceOf: QueueStorageError, code: 'QUEUE_STORAGE', message: /save/});
		await pending;
		t.true(readdirSync('/proc/self/fd').length < descriptors);
		const again = await openQueue<number>(t, {}, directory);
		t.deepEqual((await drain(again)).slice(0, 20), range(0, 20));
	});
}

test('write: once there is room again, a put does not wait for the next try', async t => {
	const {storage, fail} = failingStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'write'}));
	await queue.put(0);
	fail.write = 'ENOSPC';
	const full = pEvent(queue, 'full' as never);
	const waiting = queue.put(1);
	await full;
	delete fail.write;
	t.is(await queue.get(), 0);
	await waiting;
	const next = queue.put(2).then(() => 'put');
	t.is(await Promise.race([next, nextTurn().then(() => 'still waiting')]), 'put');
});

test('fsync: puts that come together share a sync', async t => {
	const {storage, synced} = failingStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'fsync'}));
	await queue.put(0);
	const before = synced.length;
	await Promise.all(range(1, 200).map(record => queue.put(record)));
	t.is(synced.length - before, 1);
	const segment = (await drain(queue)).length;
	t.is(segment, 200);
});

test('fsync: a put resolves after its records and their directory entry are on the device', async t => {
	const operations: string[] = [];
	const storage: Storage = {
		...fileSystem,
		write(...call) {
			operations.push('write');
			return fileSystem.write(...call);
		},
		async sync(...call) {
			await fileSystem.sync(...call);
			operations.push('sync');
		},
		async syncDirectory(...call) {
			await fileSystem.syncDirectory(...call);
			operations.push('syncDirectory');
		},
	};
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'fsync'}));
	operations.length = 0;
	await queue.put(1);
	t.deepEqual(operations.slice(-3), ['write', 'sync', 'syncDirectory']);
	operations.length = 0;
	await queue.put(2);
	t.deepEqual(operations, ['write', 'sync']);
});

type Scarcity = {storage: Storage; state: {isScarce: boolean; refused: number}};

/** A file system that has no descriptor left to sync a directory, or a sealed segment, while `isScarce`. */
function scarceStorage(what: 'the directory' | 'a sealed segment'): Scarcity {
	const state = {isScarce: false, refused: 0};
	const refuse = (isIt: boolean) => {
		if (state.isScarce && isIt) {
			state.refused++;
			throw systemError('EMFILE', 'open');
		}
	};
	const storage: Storage = {
		...fileSystem,
		open(path, how) {
			refuse(what === 'a sealed segment' && how === 'update');
			return fileSystem.open(path, how);
		},
		async syncDirectory(path) {
			refuse(what === 'the directory');
			await fileSystem.syncDirectory(path);
		},
	};
	return {storage, state};
}

for (const [what, options, records] of [
	['the directory', {}, 1],
	['a sealed segment', {segmentBytes: 4096}, 2000],
] as const) {
	test(`fsync: puts wait while there is no descriptor to sync ${what} by, and nothing is appended again`, async t => {
		const {storage, state} = scarceStorage(what);
		const queue = await openQueue<number>(t, withStorage(storage, {durability: 'fsync', ...options}));
		const full = pEvent(queue, 'full' as never);
		state.isScarce = true;
		let isPut = false;
		const put = Promise.all(range(0, records).map(record => queue.put(record))).then(() => {
			isPut = true;
		});
		const cause = ((await full) as unknown as Error).cause as NodeJS.ErrnoException;
		t.is(cause.code, 'EMFILE');
		t.false(isPut);
		queue.putNowait(records);
		const later = queue.put(records + 1);
		const resumed = pEvent(queue, 'resume' as never);
		while (state.refused < 3) {
			await nextTurn();
		}

		t.false(isPut);
		state.isScarce = false;
		await Promise.all([put, later, resumed]);
		await queue.close();
		const again = await openQueue<number>(t, {}, queue.directory);
		t.is(again.recovery.isClean, true);
		t.is(again.stats().nextSequence, records + 2);
		t.deepEqual(await drain(again), range(0, records + 2));
	});
}

test('fsync: a put that waits for a descriptor rejects when the queue is closed without one, and its record is there', async t => {
	const {storage, state} = scarceStorage('the directory');
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'fsync'}));
	state.isScarce = true;
	const full = pEvent(queue, 'full' as never);
	const put = t.throwsAsync(queue.put(1), {code: 'QUEUE_STORAGE', message: /EMFILE/});
	await full;
	await t.throwsAsync(queue.close(), {code: 'QUEUE_STORAGE'});
	await put;
	state.isScarce = false;
	t.deepEqual(await drain(await openQueue<number>(t, {}, queue.directory)), [1]);
});

test('fsync: a failed sync is not retried on its file; the records go to a fresh one', async t => {
	const {storage, fail, synced, failed} = failingStorage();
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'fsync', cacheSize: 4}));
	await queue.putMany(range(0, 10));
	t.is(await queue.get(), 0);
	synced.length = 0;
	fail.syncs = 1;
	await queue.putMany(range(10, 20));
	t.is(failed.length, 1);
	t.is(synced.length, 1);
	await queue.put(20);
	t.is(readdirSync(directory).filter(name => name.endsWith('.log')).length, 2);
	t.deepEqual(await drain(queue), range(1, 21));
	await queue.close();
});

test('fsync: what another sync has forced to the device is not appended again when that of its group fails', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject, hold, pending} = faultyStorage();
	const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'fsync'}));
	await queue.putMany(range(0, 3));
	const release = hold('sync');
	queue.putNowait(3);
	const syncing = queue.sync();
	queue.putNowait(4);
	await nextTurn();
	inject({method: 'sync', file: `${'0'.repeat(20)}.log`, code: 'EIO'});
	release();
	await syncing;
	await queue.put(5);
	t.is(pending(), 0);
	const names = readdirSync(directory).filter(name => name.endsWith('.log'));
	t.deepEqual(
		names.map(name => Number.parseInt(name, 10)),
		[0, 4],
	);
	await queue.close();
	t.deepEqual(await drain(await openQueue<number>(t, {}, directory)), range(0, 6));
});
test('fsync: after a failed sync the next open finds every record once', async t => {
	for (const taken of [0, 3, 10]) {
		const {storage, fail} = failingStorage();
		const directory = temporaryDirectory(t);
		const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'fsync', cacheSize: 4}));
		fail.syncs = 1;
		await queue.putMany(range(0, 10));
		await queue.putMany(range(10, 30));
		for (const record of range(0, taken)) {
			t.is(await queue.get(), record);
		}

		await queue.close();
		const again = await openQueue<number>(t, {}, directory);
		t.deepEqual(await drain(again), range(taken, 30));
	}
});

test('fsync: records put without waiting get to the device by themselves, over a sync that fails too', async t => {
	for (const waiting of [0, 3]) {
		const {storage, fail, failed, synced} = failingStorage();
		const directory = temporaryDirectory(t);
		const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'fsync'}));
		fail.syncs = 1;
		synced.length = 0;
		queue.putNowait(0);
		const puts = range(1, 1 + waiting).map(record => queue.put(record));
		await nextTurn();
		queue.putNowait(1 + waiting);
		await Promise.all(puts);
		while (synced.length === 0) {
			await nextTurn();
		}

		t.is(failed.length, 1);
		await queue.put(2 + waiting);
		t.is(queue.stats().put, 3 + waiting);
		t.deepEqual(await queue.getMany(1), [0]);
		await queue.close();
		const again = await openQueue<number>(t, {}, directory);
		t.deepEqual(await drain(again), range(1, 3 + waiting));
		t.deepEqual(again.recovery.corruptions, []);
	}
});

test('fsync: a put that finds no room, after a crash, deletes nothing of what the crash left', async t => {
	const directory = temporaryDirectory(t);
	const crashed = await openQueue<number>(t, {durability: 'write', segmentBytes: 4096, cacheSize: 4}, directory);
	for (const record of range(0, 900)) {
		await crashed.put(record);
	}

	const copy = copyOf(t, directory);
	const storage: Storage = {
		...fileSystem,
		open(path, how) {
			if (how !== 'read' && path.endsWith('.log') && isFailing) {
				throw systemError('EMFILE', 'open');
			}

			return fileSystem.open(path, how);
		},
	};
	let isFailing = false;
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'fsync', cacheSize: 4}), copy);
	isFailing = true;
	await t.throwsAsync(queue.put(900, {timeout: 1}), {code: 'QUEUE_FULL'});
	t.is(queue.size, 900);
	isFailing = false;
	await queue.put(900);
	t.deepEqual(await drain(queue), range(0, 901));
});

test('fsync: a sync that fails on the fresh file too rejects the puts, and writing ends', async t => {
	const {storage, fail} = failingStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'fsync'}));
	await queue.put(0);
	fail.sync = 'EIO';
	await t.throwsAsync(queue.put(1), {code: 'QUEUE_STORAGE'});
	await t.throwsAsync(queue.put(2), {code: 'QUEUE_STORAGE'});
	t.is(await queue.get(), 0);
});

test('fsync: after a failed sync a full disk is no reason to wait: writing ends, and what was synced stays', async t => {
	const {storage, fail} = failingStorage();
	const {sync} = storage;
	let isRefusing = false;
	storage.sync = async descriptor => {
		if (isRefusing) {
			fail.write = 'ENOSPC';
			throw systemError('EIO', 'fdatasync');
		}

		await sync(descriptor);
	};
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'fsync'}));
	await queue.putMany([0, 1]);
	isRefusing = true;
	const put = queue.putMany([2, 3]);
	const error = await t.throwsAsync(put, {code: 'QUEUE_STORAGE'});
	isRefusing = false;
	delete fail.write;
	await t.throwsAsync(queue.put(4), {code: 'QUEUE_STORAGE', is: error});
	await queue.close().catch(() => {});
	const again = await openQueue<number>(t, {}, directory);
	t.deepEqual((await drain(again)).slice(0, 2), [0, 1]);
});

for (const method of ['open', 'write'] as const) {
	for (const times of [1, Number.POSITIVE_INFINITY]) {
		test(`fsync: records taken back that cannot be appended again (${method} fails, ${times} times) do not get in the way of those put after the next open`, async t => {
			const {storage, inject, pending, heal} = faultyStorage();
			const directory = temporaryDirectory(t);
			const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'fsync'}));
			await queue.putMany(range(0, 4));
			inject({method: 'sync', code: 'EIO'});
			const put = queue.putMany(range(4, 8));
			inject({method, file: `${'4'.padStart(20, '0')}.log`, times, code: 'EIO'});
			await t.throwsAsync(put, {code: 'QUEUE_STORAGE', message: /append again/});
			t.is(pending(), 0);
			if (times > 1) {
				await t.throwsAsync(queue.sync(), {code: 'QUEUE_STORAGE', message: /power cut/});
				await t.throwsAsync(queue.close(), {code: 'QUEUE_STORAGE', message: /save/});
			} else {
				await queue.close();
			}

			heal();
			const again = await openQueue<number>(t, withStorage(storage, {durability: 'fsync'}), directory);
			await again.putMany(range(100, 104));
			await again.close();
			const last = await openQueue<number>(t, {}, directory);
			last.on('corruption', corruption => t.fail(`damage where there is none, ${corruption.found}`));
			t.deepEqual(await drain(last), [...range(0, 8), ...range(100, 104)]);
		});
	}
}

test('sync reports a device that refuses, and does not vouch for the lost records later', async t => {
	const {storage, fail} = failingStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {cacheSize: 4}));
	await queue.putMany(range(0, 20));
	fail.sync = 'EIO';
	await t.throwsAsync(queue.sync(), {code: 'QUEUE_STORAGE', message: /power cut/});
	delete fail.sync;
	await t.throwsAsync(queue.sync(), {code: 'QUEUE_STORAGE'});
	await queue.putMany(range(20, 30));
	t.deepEqual(await queue.getMany(100), range(0, 2));
	const taken = await drain(queue);
	t.deepEqual(taken, range(2, 30));
	await queue.sync();
});

test('a directory that may not be written is refused at open', async t => {
	const storage: Storage = {
		...fileSystem,
		makeDirectory() {
			throw systemError('EACCES', 'mkdir');
		},
	};
	const directory = temporaryDirectory(t);
	await t.throwsAsync(DiskQueue.open(directory, withStorage(storage, {}) as never), {
		code: 'QUEUE_STORAGE',
		message: /parent directory may be written/,
	});
	t.deepEqual(readdirSync(directory), []);
});

test('a segment that cannot be read fails the get, deletes nothing, and is read when it can be', async t => {
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory);
	await queue.putMany(range(0, 10));
	await queue.close();
	let isFailing = true;
	const storage: Storage = {
		...fileSystem,
		async read(...call) {
			if (isFailing) {
				throw systemError('EIO', 'read');
			}

			return fileSystem.read(...call);
		},
	};
	const again = await openQueue<number>(t, withStorage(storage, {}), directory);
	const gets = [again.get(), again.get()];
	for (const get of gets) {
		await t.throwsAsync(get, {code: 'QUEUE_STORAGE', message: /nothing is lost/});
	}

	isFailing = false;
	t.is(again.size, 10);
	t.deepEqual(await drain(again), range(0, 10));
});

/** A file system that tells of every sync, by the kind of file. */
function listeningStorage(): {storage: Storage; synced: EventEmitter} {
	const synced = new EventEmitter();
	const kinds = new Map<number, string>();
	const storage: Storage = {
		...fileSystem,
		open(path, how) {
			const descriptor = fileSystem.open(path, how);
			kinds.set(descriptor, path.endsWith('checkpoint') ? 'checkpoint' : 'segment');
			return descriptor;
		},
		async sync(descriptor) {
			await fileSystem.sync(descriptor);
			synced.emit(kinds.get(descriptor)!);
		},
	};
	return {storage, synced};
}

test('syncInterval forces what is in memory to the device by itself', async t => {
	const {storage, synced} = listeningStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {syncInterval: 5}));
	const segment = pEvent(synced, 'segment');
	await queue.putMany(range(0, 3));
	await segment;
	t.is(queue.stats().nextSequence, 3);
	t.deepEqual(await drain(queue), range(0, 3));
});

test('a sync by syncInterval is not begun while the one before is under way', async t => {
	const {storage, hold, calls} = faultyStorage();
	const syncInterval = 2;
	const queue = await openQueue<number>(t, withStorage(storage, {syncInterval}));
	const release = hold('sync');
	t.teardown(release);
	await queue.put(0);
	while (!calls.has('sync')) {
		await nextTurn();
	}

	await queue.put(1);
	for (const _ of range(0, 3)) {
		// A timer of the same length fires after that of the queue.
		await new Promise(resolve => setTimeout(resolve, syncInterval));
	}

	t.is(queue.stats().nextSequence, 1);
	release();
	while (queue.stats().nextSequence < 2) {
		await nextTurn();
	}

	t.deepEqual(await drain(queue), [0, 1]);
});

test('syncInterval costs an idle queue nothing', async t => {
	const {storage, operations} = faultyStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'write'}));
	await queue.putMany(range(0, 10));
	await queue.get();
	await queue.sync();
	operations.length = 0;
	await queue.sync();
	await queue.sync();
	t.deepEqual(operations, []);
	await queue.get();
	await queue.sync();
	t.deepEqual(operations, ['write checkpoint', 'sync checkpoint']);
});

test('a syncInterval longer than a timer can wait is not taken for none', async t => {
	const warnings: string[] = [];
	const listen = ({name}: Error) => warnings.push(name);
	process.on('warning', listen);
	t.teardown(() => process.off('warning', listen));
	await openQueue<number>(t, {syncInterval: 30 * 24 * 3600 * 1000});
	await nextTurn();
	t.false(warnings.includes('TimeoutOverflowWarning'));
});

test('maxRedelivery forces the checkpoint to the device whenever so many more records are done', async t => {
	const {storage, synced} = listeningStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'write', maxRedelivery: 10}));
	await queue.putMany(range(0, 100));
	let syncs = 0;
	synced.on('checkpoint', () => {
		syncs++;
	});
	await queue.getMany(9);
	await nextTurn();
	t.is(syncs, 0);
	const forced = pEvent(synced, 'checkpoint');
	await queue.get();
	await forced;
	t.is(syncs, 1);
});

test('puts that wait for maxBytes go on, and the queue can be synced, after the checkpoint could not be written for a while', async t => {
	const {storage, inject, pending} = faultyStorage();
	const queue = await openQueue<string>(t, {
		durability: 'write',
		maxBytes: 2 ** 20,
		storage,
	} as DiskQueueOptions<string>);
	const struck = async () => {
		while (pending() > 0) {
			await nextTurn();
		}
	};
	let put = Promise.resolve();
	while (queue.stats().waitingPuts === 0) {
		put = queue.put('x'.padEnd(20_000));
		await nextTurn();
	}

	inject({method: 'sync', file: 'checkpoint', code: 'ENOSPC'});
	await queue.getMany(queue.size);
	await struck();
	inject({method: 'write', file: 'checkpoint', code: 'ENOSPC'});
	await struck();
	await t.notThrowsAsync(inTime(put, 10_000));
	await t.notThrowsAsync(queue.sync());
	await t.notThrowsAsync(queue.close());
});

test('fsync: a want of room is over when writing ends', async t => {
	const {storage, fail} = failingStorage();
	let tries = 0;
	const options = withStorage(
		{
			...storage,
			async syncDirectory() {
				if (++tries === 1) {
					throw systemError('EMFILE', 'open');
				}

				fail.write = 'ENOSPC';
				throw systemError('EIO', 'fsync');
			},
		},
		{durability: 'fsync'},
	);
	const queue = await openQueue<number>(t, options);
	const events: string[] = [];
	for (const event of ['full', 'resume'] as const) {
		queue.on(event, () => events.push(event));
	}

	await t.throwsAsync(queue.put(0), {code: 'QUEUE_STORAGE'});
	await nextTurn();
	t.deepEqual(events, ['full', 'resume']);
	await t.throwsAsync(queue.put(1), {code: 'QUEUE_STORAGE'});
});

test('putMany whose iterable outlives the queue says so, and what was put before is there', async t => {
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory);
	async function* records() {
		yield* range(0, 600);
		void queue.close();
		yield* range(600, 700);
	}

	await t.throwsAsync(queue.putMany(records()), {code: 'QUEUE_CLOSED'});
	const again = await openQueue<number>(t, {}, directory);
	t.deepEqual(await drain(again), range(0, 600));
});

for (const count of [512, 1024]) {
	test(`putMany of ${count} records resolves when the last is put, though the queue is closed or shut down by then`, async t => {
		const directory = temporaryDirectory(t);
		const queue = await DiskQueue.open<number>(directory, {maxSize: count});
		await queue.put(-1);
		const put = queue.putMany(new Set(range(0, count)));
		await nextTurn();
		t.is(queue.size, count);
		await queue.close();
		await t.notThrowsAsync(put);
		const again = await openQueue<number>(t, {durability: 'write'}, directory);
		t.deepEqual(await drain(again), range(-1, count));
		const more = again.putMany(new Set(range(0, count)));
		while (again.size < count) {
			await nextTurn();
		}

		again.shutdown();
		await t.notThrowsAsync(more);
		t.deepEqual(await drain(again), range(0, count));
	});
}

test('an open that cannot read what was in flight leaves everything as it was', async t => {
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory, {durability: 'write'});
	await queue.putMany(range(0, 5));
	for (const delivery of await queue.receiveMany(5)) {
		if (delivery.record !== 1) {
			delivery.ack();
		}
	}

	await queue.close();
	const handlers = process.listenerCount('exit');
	const storage: Storage = {
		...fileSystem,
		async read() {
			throw systemError('EIO', 'read');
		},
	};
	await t.throwsAsync(DiskQueue.open(directory, withStorage(storage, {}) as never), {code: 'QUEUE_STORAGE'});
	t.is(process.listenerCount('exit'), handlers);
	const again = await openQueue<number>(t, {}, directory);
	t.deepEqual(await drain(again), [1]);
});

test('a receive that meets a full disk hands out what it has, and loses nothing', async t => {
	const {storage, fail} = failingStorage();
	let left = Number.POSITIVE_INFINITY;
	const queue = await openQueue<number>(
		t,
		withStorage(
			{
				...storage,
				write(...call) {
					if (left-- <= 0) {
						fail.write = 'ENOSPC';
					}

					return storage.write(...call);
				},
			},
			{cacheSize: 6},
		),
	);
	await queue.putMany(range(0, 6));
	left = 3;
	const some = await queue.receiveMany(6);
	t.true(some.length > 0 && some.length < 6, `${some.length}`);
	left = Number.POSITIVE_INFINITY;
	delete fail.write;
	const rest = await queue.receiveMany(6);
	t.deepEqual(
		[...some, ...rest].map(({record}) => record),
		range(0, 6),
	);
});

for (const durability of durabilities) {
	test(`${durability}: a want of room is over when whoever waited for it has given up`, async t => {
		const queue = await openQueue<number>(t, {durability, maxSize: 1});
		for (let times = 0; times < 2; times++) {
			await queue.put(1);
			const full = pEvent(queue, 'full' as never, {timeout: 5000});
			const resumed = pEvent(queue, 'resume' as never, {timeout: 5000});
			const late = new AbortController();
			const waiting = queue.put(2, {signal: late.signal});
			await full;
			late.abort();
			await t.throwsAsync(waiting, {code: 'ABORT_ERR'});
			t.is(await queue.get(), 1);
			await t.notThrowsAsync(resumed);
		}
	});
}

test('a queue in which no record ever waited does not tell that it is empty, while a put finds no room', async t => {
	const {storage, fail} = failingStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {durability: 'write'}));
	let emptied = 0;
	queue.on('empty', () => emptied++);
	fail.write = 'ENOSPC';
	await t.throwsAsync(queue.put(1, {timeout: 400}), {code: 'QUEUE_FULL'});
	await nextTurn();
	t.is(emptied, 0);
	delete fail.write;
	await queue.put(2);
	t.is(await queue.get(), 2);
	await nextTurn();
	t.is(emptied, 1);
});

test('a want of room is over when the delivery that waited for it was given up', async t => {
	const {storage, fail} = failingStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {}));
	fail.write = 'ENOSPC';
	await queue.put(1);
	const full = pEvent(queue, 'full' as never, {timeout: 5000});
	const resumed = pEvent(queue, 'resume' as never, {timeout: 5000});
	const late = new AbortController();
	const waiting = queue.receive({signal: late.signal});
	await full;
	late.abort();
	await t.throwsAsync(waiting, {code: 'ABORT_ERR'});
	delete fail.write;
	await t.notThrowsAsync(resumed);
	t.is(await queue.get(), 1);
});

test('a record in memory only for which a full disk has no room is delivered once there is some', async t => {
	const {storage, fail} = failingStorage();
	const queue = await openQueue<number>(t, withStorage(storage, {cacheSize: 6}));
	const events: string[] = [];
	for (const event of ['full', 'resume'] as const) {
		queue.on(event, () => events.push(event));
	}

	fail.write = 'ENOSPC';
	await queue.putMany(range(0, 3));
	const full = pEvent(queue, 'full' as never);
	const waiting = queue.receiveMany(3);
	await full;
	const late = await t.throwsAsync(queue.receive({timeout: 1}), {instanceOf: QueueEmptyError, code: 'QUEUE_EMPTY'});
	t.is(late.cause instanceof QueueStorageError ? late.cause.code : undefined, 'QUEUE_STORAGE');
	delete fail.write;
	const deliveries = await waiting;
	t.deepEqual(
		deliveries.map(({record}) => record),
		range(0, 3),
	);
	await nextTurn();
	t.deepEqual(events, ['full', 'resume']);
	fail.write = 'EIO';
	await queue.put(3);
	await t.throwsAsync(queue.receive(), {code: 'QUEUE_STORAGE'});
});

test('fsync: records taken back since their name could not be synced do not get in the way either', async t => {
	const {storage, inject, pending, heal} = faultyStorage();
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'fsync'}));
	inject({method: 'syncDirectory', code: 'EIO'});
	inject({method: 'open', file: `${'0'.repeat(20)}.log`, nth: 2, code: 'EIO'});
	await t.throwsAsync(queue.putMany(range(0, 4)), {code: 'QUEUE_STORAGE', message: /append again/});
	t.is(pending(), 0);
	await queue.close();
	heal();
	const again = await openQueue<number>(t, withStorage(storage, {durability: 'fsync'}), directory);
	await again.putMany(range(100, 104));
	t.deepEqual(await drain(again), [...range(0, 4), ...range(100, 104)]);
});

test('syncs that are asked for while one is under way are one', async t => {
	const producers = 32;
	const rounds = 10;
	const queue = await openQueue<number>(t, {durability: 'write'});
	await Promise.all(
		range(0, producers).map(async id => {
			for (const round of range(0, rounds)) {
				await queue.put(id * rounds + round);
				await queue.sync();
			}
		}),
	);
	// Nobody waits for more than the one under way and the next: each forces the records, and the checkpoint.
	t.true(queue.stats().syncs <= 2 * (2 * rounds + 1), `${queue.stats().syncs} syncs`);
});

test('a queue that is closed while syncs wait for one another serves them all, and is closed in order', async t => {
	const {storage, hold} = faultyStorage();
	const directory = temporaryDirectory(t);
	const queue = await DiskQueue.open<number>(directory, withStorage(storage, {durability: 'write'}));
	await queue.putMany(range(0, 5));
	const release = hold('sync');
	const syncs = range(0, 3).map(() => queue.sync());
	const closed = queue.close();
	await nextTurn();
	release();
	await Promise.all([...syncs, closed]);
	const again = await openQueue<number>(t, {}, directory);
	t.true(again.recovery.isClean);
	t.deepEqual(await drain(again), range(0, 5));
});
