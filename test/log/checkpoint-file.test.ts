import {existsSync, readFileSync, truncateSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {
	type Checkpoint,
	checkpointFileBytes,
	decodeCheckpoint,
	slotBytes,
	slotCount,
} from '../../source/format/checkpoint.ts';
import {Mismatch} from '../../source/format/mismatch.ts';
import {CheckpointFile, type CheckpointState} from '../../source/log/checkpoint-file.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {faultyStorage} from '../helpers/faulty-storage.ts';
import {range} from '../helpers/queues.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const queueId = Buffer.alloc(16, 4);

function state(sequence: number, isClosed = false): CheckpointState {
	const end = {nextSequence: sequence, segment: 0, offset: 64};
	return {
		queueId,
		sequence,
		blockOffset: 0,
		end,
		isClosed,
		doubtful: [],
		delivered: {next: sequence, runs: []},
	};
}

function newFile(t: ExecutionContext, directory: string, storage: Storage = fileSystem): CheckpointFile {
	const file = new CheckpointFile(directory, storage);
	t.teardown(() => file.close());
	return file;
}

/** The sequences in the whole slots as they are on disk now, in order. */
function slots(directory: string): number[] {
	const bytes = readFileSync(join(directory, 'checkpoint'));
	const found = Array.from({length: slotCount}, (_, slot) =>
		decodeCheckpoint(bytes.subarray(slot * slotBytes, (slot + 1) * slotBytes)),
	);
	return found.flatMap(each => (each instanceof Mismatch ? [] : [each.sequence])).sort((one, other) => one - other);
}

async function reopen(t: ExecutionContext, directory: string): Promise<Checkpoint | Mismatch | undefined> {
	return newFile(t, directory).open(() => true);
}

test('there is no file before something is written', async t => {
	const directory = temporaryDirectory(t);
	const file = newFile(t, directory);
	t.is(await file.open(() => true), undefined);
	t.false(file.isCreated);
	t.false(existsSync(join(directory, 'checkpoint')));
});

test('all slots are allocated at creation, so that no write needs room', t => {
	const directory = temporaryDirectory(t);
	newFile(t, directory).create(state(0));
	t.is(readFileSync(join(directory, 'checkpoint')).byteLength, checkpointFileBytes);
});

test('a state written is read back, with no sync', async t => {
	const directory = temporaryDirectory(t);
	newFile(t, directory).write(state(5));
	t.like(await reopen(t, directory), {sequence: 5, version: 1, isClosed: false});
});

test('writes never go over the durable state, nor over the newest', async t => {
	const directory = temporaryDirectory(t);
	const file = newFile(t, directory);
	file.write(state(1));
	file.write(state(2));
	file.write(state(3));
	t.deepEqual(slots(directory), [2, 3]);
	await file.sync();
	file.write(state(4));
	file.write(state(5));
	file.write(state(6));
	t.deepEqual(slots(directory), [3, 5, 6]);
	await file.sync();
	file.write(state(7));
	file.write(state(8));
	t.deepEqual(slots(directory), [6, 7, 8]);
});

for (const isSyncing of [false, true]) {
	test(`half a write that a kill leaves, ${isSyncing ? 'with' : 'without'} a sync under way, does not cost the state before`, async t => {
		const directory = temporaryDirectory(t);
		const {storage, inject, hold} = faultyStorage();
		const file = newFile(t, directory, storage);
		file.write(state(1));
		await file.sync();
		file.write(state(2));
		const release = hold('sync');
		const syncing = isSyncing ? file.sync() : undefined;
		for (const sequence of range(3, 10)) {
			file.write(state(sequence));
			inject({method: 'write', code: 'EIO', take: bytes => bytes / 2});
			t.throws(() => file.write(state(100)), {code: 'EIO'});
			t.true(slots(directory).includes(1));
			t.is(slots(directory).includes(2), isSyncing);
			t.is(slots(directory).at(-1), sequence);
		}

		release();
		await syncing;
	});
}

test('a state written during a sync is handed over at once, and does not touch what is being synced', async t => {
	const directory = temporaryDirectory(t);
	const {storage, hold} = faultyStorage();
	const file = newFile(t, directory, storage);
	file.write(state(1));
	await file.sync();
	file.write(state(2));
	const release = hold('sync');
	const syncing = file.sync();
	file.write(state(3));
	file.write(state(4));
	t.deepEqual(slots(directory), [1, 2, 3, 4]);
	t.false(file.isSynced);
	release();
	await syncing;
	t.false(file.isSynced);
	file.write(state(5));
	t.deepEqual(slots(directory), [2, 3, 4, 5]);
	await file.sync();
	t.true(file.isSynced);
});

test('a sync covers what was written before it, also while another sync is under way', async t => {
	const directory = temporaryDirectory(t);
	const {storage, hold, operations} = faultyStorage();
	const file = newFile(t, directory, storage);
	file.write(state(1));
	const release = hold('sync');
	const first = file.sync();
	file.write(state(2));
	const second = file.sync();
	release();
	await first;
	t.is(operations.filter(each => each === 'sync checkpoint').length, 1);
	await second;
	t.is(operations.filter(each => each === 'sync checkpoint').length, 2);
	t.deepEqual(slots(directory), [1, 2]);
});

test('after a failed sync the state is written again before the next sync, and the durable slot is spared', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject, operations} = faultyStorage();
	const file = newFile(t, directory, storage);
	file.write(state(1));
	await file.sync();
	file.write(state(2));
	inject({method: 'sync', code: 'EIO'});
	await t.throwsAsync(file.sync(), {code: 'EIO'});
	t.false(file.isSynced);
	operations.length = 0;
	await file.sync();
	t.deepEqual(operations, ['write checkpoint', 'sync checkpoint']);
	t.deepEqual(slots(directory), [1, 2, 2]);
	file.write(state(3));
	t.deepEqual(slots(directory), [2, 2, 3]);
});

test('a sync whose write fails in its turn, after a failed one, does not fail those to come', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const file = newFile(t, directory, storage);
	file.write(state(1));
	await file.sync();
	file.write(state(2));
	inject({method: 'sync', code: 'ENOSPC'});
	await t.throwsAsync(file.sync(), {code: 'ENOSPC'});
	inject({method: 'write', code: 'ENOSPC'});
	await t.throwsAsync(file.sync(), {code: 'ENOSPC'});
	await file.sync();
	t.true(file.isSynced);
	t.deepEqual(slots(directory), [1, 2, 2]);
	file.write(state(3));
	await file.sync();
	t.true(file.isSynced);
});

for (const how of ['alone', 'during a sync']) {
	test(`a torn write, made ${how}, is written again before a sync calls it durable`, async t => {
		const directory = temporaryDirectory(t);
		const {storage, inject, hold} = faultyStorage();
		const file = newFile(t, directory, storage);
		file.write(state(1));
		await file.sync();
		if (how === 'alone') {
			inject({method: 'write', code: 'EIO', take: () => 40});
			t.throws(() => file.write(state(2)), {code: 'EIO'});
		} else {
			file.write(state(2));
			const release = hold('sync');
			const syncing = file.sync();
			inject({method: 'write', code: 'EIO', take: () => 40});
			t.throws(() => file.write(state(3)), {code: 'EIO'});
			release();
			await syncing;
		}

		t.true(slots(directory).length > 0);
		file.write(state(4));
		await file.sync();
		t.like(await reopen(t, directory), {sequence: 4});
		file.write(state(5));
		t.true(slots(directory).includes(4), 'the durable state is spared');
	});
}

test('a torn write followed by a sync alone never ends in two bad slots', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const file = newFile(t, directory, storage);
	file.write(state(1));
	await file.sync();
	inject({method: 'write', code: 'EIO', take: () => 40});
	t.throws(() => file.write(state(2)), {code: 'EIO'});
	await file.sync();
	t.deepEqual(slots(directory), [1, 2]);
	inject({method: 'write', code: 'EIO', take: () => 40});
	t.throws(() => file.write(state(3)), {code: 'EIO'});
	t.like(await reopen(t, directory), {sequence: 2});
});

test('the newer whole slot counts; torn, the older one does', async t => {
	const directory = temporaryDirectory(t);
	const file = newFile(t, directory);
	file.write(state(1));
	await file.sync();
	file.write(state(2));
	file.close();
	const path = join(directory, 'checkpoint');
	const whole = readFileSync(path);
	t.like(await reopen(t, directory), {sequence: 2, generation: 2});
	let cases = 0;
	for (let length = 0; length < 88; length++) {
		const torn = Buffer.from(whole);
		torn.fill(0xa5, slotBytes + length, slotBytes + 88);
		writeFileSync(path, torn);
		t.like(await reopen(t, directory), {sequence: 1, generation: 1}, `torn at ${length}`);
		cases++;
	}

	t.is(cases, 88);
});

test('what was written last before a crash is made durable before anything else', async t => {
	for (const isClosed of [false, true]) {
		const directory = temporaryDirectory(t);
		newFile(t, directory).write(state(1, isClosed));
		const {storage, operations} = faultyStorage();
		const file = newFile(t, directory, storage);
		await file.open(() => true);
		t.deepEqual(operations, ['sync checkpoint']);
		file.write(state(2));
		t.deepEqual(slots(directory), [1, 2]);
	}
});

test('an empty file, or one of zeros, is one that was never written: it is made anew', async t => {
	const lengths = [0, 1, 88, slotBytes, 40_000, checkpointFileBytes];
	for (const length of lengths) {
		const directory = temporaryDirectory(t);
		const path = join(directory, 'checkpoint');
		writeFileSync(path, Buffer.alloc(length));
		const file = newFile(t, directory);
		t.is(await file.open(() => true), undefined);
		file.write(state(3));
		t.is(readFileSync(path).byteLength, checkpointFileBytes);
		t.deepEqual(slots(directory), [3]);
	}

	t.is(lengths.length, 6);
});

test('damage in any slot of a file without a checkpoint is told', async t => {
	for (const offset of [0, slotBytes, 2 * slotBytes, 3 * slotBytes]) {
		const directory = temporaryDirectory(t);
		const bytes = Buffer.alloc(checkpointFileBytes);
		bytes.write('damaged', offset);
		writeFileSync(join(directory, 'checkpoint'), bytes);
		t.is(((await reopen(t, directory)) as Mismatch).found, 'bytes 64616d61');
	}
});

test('a file put aside is replaced by a new one at the next write', async t => {
	const directory = temporaryDirectory(t);
	const path = join(directory, 'checkpoint');
	writeFileSync(path, 'this is no checkpoint');
	const file = newFile(t, directory);
	const mismatch = await file.open(() => true);
	t.true(mismatch instanceof Mismatch);
	const corruption = file.describe(mismatch as Mismatch);
	t.like(corruption, {path, offset: 0, bytes: 21, lost: undefined, expected: 'a checkpoint', found: 'bytes 74686973'});
	t.is(readFileSync(file.setAside(), 'utf8'), 'this is no checkpoint');
	t.false(file.isCreated);
	file.write(state(8));
	t.like(await reopen(t, directory), {sequence: 8});
});

test('a file cut in the middle of the second slot still counts by its first', async t => {
	const directory = temporaryDirectory(t);
	newFile(t, directory).write(state(6));
	truncateSync(join(directory, 'checkpoint'), slotBytes + 10);
	t.like(await reopen(t, directory), {sequence: 6});
});

test('a creation that fails leaves no file, and the next one works', t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const file = newFile(t, directory, storage);
	inject({method: 'write', code: 'ENOSPC', take: () => 1000});
	t.throws(() => file.create(state(0)), {code: 'ENOSPC'});
	t.false(existsSync(join(directory, 'checkpoint')));
	t.false(file.isCreated);
	file.create(state(0));
	t.true(file.isCreated);
});

test('an exit handler writes beside a sync that never ends', async t => {
	const directory = temporaryDirectory(t);
	const {storage, hold} = faultyStorage();
	const file = newFile(t, directory, storage);
	file.write(state(1));
	await file.sync();
	file.write(state(2));
	const release = hold('sync');
	const syncing = file.sync();
	file.write(state(3));
	t.deepEqual(slots(directory), [1, 2, 3]);
	release();
	await syncing;
});

test('the descriptor stays open until a sync under way has ended', async t => {
	const {storage, hold, operations} = faultyStorage();
	const file = newFile(t, temporaryDirectory(t), storage);
	file.write(state(1));
	const release = hold('sync');
	const syncing = file.sync();
	file.close();
	t.notRegex(operations.join(), /close/);
	release();
	await syncing;
	t.deepEqual(operations.slice(-2), ['sync checkpoint', 'close checkpoint']);
});
