import {existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import fc from 'fast-check';
import {QueueCodecError, QueueRecordError, QueueStorageError} from '../../source/errors.ts';
import {
	type Checkpoint,
	checkpointFileBytes,
	decodeCheckpoint,
	slotBytes,
	slotCount,
} from '../../source/format/checkpoint.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import {Mismatch} from '../../source/format/mismatch.ts';
import type {SegmentLog} from '../../source/log/segment-log.ts';
import type {Storage} from '../../source/storage.ts';
import {faultyStorage, unsyncedStorage} from '../helpers/faulty-storage.ts';
import {
	appendBlocks,
	fingerprint,
	numbered,
	type OpenedLog,
	openDescriptors,
	openLog,
	readAll,
	readAllSync,
	recordAt,
	recordsAt,
	segmentNames,
	type TestRecord,
} from '../helpers/logs.ts';
import {nextTurn} from '../helpers/queues.ts';
import {copyOf, temporaryDirectory} from '../helpers/temporary-directory.ts';

const nameOf = (sequence: number) => `${String(sequence).padStart(20, '0')}.log`;

/** The newest checkpoint, as it is on disk. */
function savedCheckpoint(directory: string): Checkpoint {
	const bytes = readFileSync(join(directory, 'checkpoint'));
	const slots = Array.from({length: slotCount}, (_, slot) => bytes.subarray(slot * slotBytes, (slot + 1) * slotBytes));
	const found = slots.map(decodeCheckpoint).filter((each): each is Checkpoint => !(each instanceof Mismatch));
	return found.sort((a, b) => b.generation - a.generation)[0]!;
}

for (const [how, read] of [
	['with next and load', readAll],
	['in one turn with nextSync', readAllSync],
] as const) {
	test(`gives back what was appended, over many segments, ${how}`, async t => {
		const {log, corruptions} = await openLog(t, temporaryDirectory(t));
		appendBlocks(log, 300, 3);
		t.true(log.segments.length > 5, `${log.segments.length} segments`);
		t.deepEqual(await read(log), numbered(0, 900));
		t.true(log.reader.isAtEnd);
		t.deepEqual(corruptions, []);
	});

	test(`gives back blocks that are larger than the window, and those between, ${how}`, async t => {
		const {log, corruptions} = await openLog(t, temporaryDirectory(t), {segmentBytes: 1 << 24});
		const lengths = [10, 513 * 1024, 10, 3 * 1024 * 1024, 10, 20, 600_000, 200_000];
		for (const [id, length] of lengths.entries()) {
			log.append([{id, text: String(id).repeat(length)}]);
		}

		const found = await read(log);
		t.deepEqual(
			found.map(([, {text}]) => text.length),
			lengths,
		);
		t.deepEqual(corruptions, []);
	});

	test(`gives back blocks of any size about that of the window, ${how}`, async t => {
		const {log, corruptions} = await openLog(t, temporaryDirectory(t), {segmentBytes: 1 << 26});
		const lengths = Array.from({length: 40}, (_, index) => 100_000 + ((index * 7919) % 17) * 20_000);
		for (const [id, length] of lengths.entries()) {
			log.append([{id, text: 'x'.repeat(length)}]);
		}

		const found = await read(log);
		t.deepEqual(
			found.map(([id, {text}]) => [id, text.length]),
			[...lengths.entries()],
		);
		t.deepEqual(corruptions, []);
	});
}

type Step = {call: string; count: number};

const steps = fc.array(
	fc.record({
		call: fc.constantFrom(
			...['append', 'append', 'append', 'read', 'read', 'load', 'pass', 'done', 'done', 'checkpoint', 'sync'],
			...['close', 'kill'],
		),
		count: fc.integer({min: 1, max: 9}),
	}),
	{minLength: 10, maxLength: 60},
);

test('is a FIFO that closing and killing do not disturb: nothing lost, nothing done comes back, no sequence used twice', async t => {
	let calls = 0;
	await fc.assert(
		fc.asyncProperty(steps, async steps => {
			const model = {next: 0, read: 0, done: 0, saved: 0};
			let directory = temporaryDirectory(t);
			let opened = await openLog(t, directory, {segmentBytes: 700, storage: unsyncedStorage});

			const check = (condition: boolean, step: Step, what: string) => {
				if (!condition) {
					const {nextSequence, doneSequence, reader} = opened.log;
					const state = {nextSequence, doneSequence, read: reader.sequence, model};
					throw new Error(`${what} after ${step.call} ${step.count}: ${JSON.stringify(state)}`);
				}
			};

			const take = (records: TestRecord[], step: Step) => {
				const isEqual = records.every((record, index) => record.id === model.read + index);
				check(isEqual, step, `wrong records ${records.map(({id}) => id)}`);
				model.read += records.length;
			};

			for (const step of steps) {
				calls++;
				const {call, count} = step;
				const {log} = opened;
				if (call === 'append') {
					log.append(recordsAt(model.next, model.next + count));
					model.next += count;
				} else if (call === 'read') {
					for (let left = count; left > 0; left--) {
						take(log.reader.nextSync()?.records ?? [], step);
					}
				} else if (call === 'load') {
					for (let left = count; left > 0 && !log.reader.isAtEnd; left--) {
						const block = log.reader.next();
						await (block ? take(block.records, step) : log.reader.load());
					}
				} else if (call === 'pass' && log.reader.isAtEnd) {
					log.reader.pass(log.append(recordsAt(model.next, model.next + count)));
					model.next += count;
					model.read = model.next;
				} else if (call === 'done') {
					model.done = Math.min(model.done + count * 2, model.read);
					log.markDone(model.done);
				} else if (call === 'checkpoint') {
					log.writeCheckpoint();
					model.saved = model.done;
					await new Promise(setImmediate);
				} else if (call === 'sync') {
					await log.sync();
					model.saved = model.done;
				} else if (call === 'close') {
					await log.close();
					model.saved = model.done;
					opened = await openLog(t, directory, {segmentBytes: 700, storage: unsyncedStorage});
					check(opened.log.recovery.isClean, step, 'not clean');
					model.read = model.saved;
				} else if (call === 'kill') {
					directory = copyOf(t, directory);
					log.closeFiles();
					opened = await openLog(t, directory, {segmentBytes: 700, storage: unsyncedStorage});
					model.done = model.saved;
					model.read = model.saved;
				}

				check(opened.log.nextSequence === model.next, step, 'wrong next sequence');
				check(opened.log.doneSequence === model.done, step, 'wrong done sequence');
				check(opened.log.reader.sequence === model.read, step, 'wrong reader');
				check(opened.corruptions.length === 0, step, `damage ${JSON.stringify(opened.corruptions)}`);
				check(opened.log.recovery.corruptions.length === 0, step, 'damage found at open');
			}

			take(
				readAllSync(opened.log).map(([, record]) => record),
				{call: 'the end', count: 0},
			);
			check(model.read === model.next, {call: 'the end', count: 0}, 'records missing');
			opened.log.closeFiles();
			rmSync(directory, {recursive: true});
		}),
		{numRuns: 150},
	);
	t.true(calls > 2000, `${calls} calls`);
});

test('segments are named by their first sequence, and begin where the one before ends', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 400});
	appendBlocks(log, 20, 4);
	const names = segmentNames(directory);
	t.true(names.length > 5);
	t.deepEqual(
		names,
		log.segments.map(({firstSequence}) => nameOf(firstSequence)),
	);
	t.deepEqual(
		names.map(name => statSync(join(directory, name)).size),
		log.segments.map(({end}) => end),
	);
	t.is(
		log.bytes,
		log.segments.reduce((sum, {end}) => sum + end, 0),
	);
	t.true(log.segments.slice(0, -1).every(({end}) => end <= 400));
});

test('a block that is larger than a segment has one to itself', async t => {
	const {log} = await openLog(t, temporaryDirectory(t));
	const texts = ['small', 'x'.repeat(10_000), 'y'.repeat(10_000), 'small'];
	for (const [id, text] of texts.entries()) {
		log.append([{id, text}]);
	}

	t.deepEqual(
		log.segments.map(({firstSequence}) => firstSequence),
		[0, 1, 2, 3],
	);
	t.deepEqual(
		readAllSync(log).map(([, {text}]) => text),
		texts,
	);
});

test('records are read while more are being appended', async t => {
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 500});
	const found: number[] = [];
	for (let round = 0; round < 200; round++) {
		appendBlocks(log, 1 + (round % 3), 2);
		const block = round % 2 ? log.reader.nextSync() : log.reader.next();
		found.push(...(block?.records ?? []).map(({id}) => id));
		if (!block) {
			await log.reader.load();
		}
	}

	found.push(...(await readAll(log)).map(([id]) => id));
	t.deepEqual(found, [...Array(log.nextSequence).keys()]);
});

test('a block that is passed is not read again, and what follows it is', async t => {
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 300});
	let passed = 0;
	for (let round = 0; round < 30; round++) {
		log.reader.pass(log.append(recordsAt(log.nextSequence, log.nextSequence + 2)));
		passed += 2;
		t.true(log.reader.isAtEnd);
		t.is(log.reader.nextSync(), undefined);
	}

	t.is(passed, 60);
	appendBlocks(log, 10);
	t.deepEqual(readAllSync(log), numbered(60, 80));
});

test('opened again, after a close or a kill, it starts a fresh segment, with a salt of its own', async t => {
	for (const isClosed of [true, false]) {
		const directory = temporaryDirectory(t);
		const {log} = await openLog(t, directory);
		appendBlocks(log, 3);
		await (isClosed ? log.close() : log.closeFiles());
		const {log: again, corruptions} = await openLog(t, directory, {salt: 0xabcd});
		t.like(again.recovery, {isClean: isClosed, records: 6, segments: 1, truncatedBytes: 0});
		appendBlocks(again, 3);
		t.deepEqual(segmentNames(directory), [nameOf(0), nameOf(6).replace('.log', '.0000abcd.log')]);
		t.deepEqual(readAllSync(again), numbered(0, 12));
		t.deepEqual(corruptions, []);
	}
});

test('a log that nothing was appended to leaves no file', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	t.true(log.recovery.isClean);
	await log.sync();
	await log.close();
	t.deepEqual(readdirSync(directory), []);
});

test('the checkpoint is durable before a file goes, and the directory is synced after it', async t => {
	const directory = temporaryDirectory(t);
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {segmentBytes: 300, storage});
	appendBlocks(log, 8);
	await log.syncRecords();
	const names = segmentNames(directory);
	readAllSync(log);
	log.markDone(log.segments[2]!.firstSequence + 1);
	operations.length = 0;
	log.writeCheckpoint();
	t.deepEqual(operations, ['write checkpoint']);
	await log.close();
	const wanted = ['sync checkpoint', `unlink ${names[0]}`, `unlink ${names[1]}`];
	const reclaim = operations.filter(each => !each.startsWith('close '));
	t.deepEqual(reclaim.slice(0, 4), ['write checkpoint', ...wanted]);
	t.regex(reclaim[4]!, /^syncDirectory disq-test-/);
	t.deepEqual(segmentNames(directory), names.slice(2));
});

/** A log whose first segment was damaged and read; a checkpoint that is due reclaims it. */
async function damagedLog(
	t: ExecutionContext,
	directory: string,
	storage: Storage,
): Promise<OpenedLog & {first: string}> {
	const opened = await openLog(t, directory, {segmentBytes: 300, storage});
	appendBlocks(opened.log, 8);
	const first = segmentNames(directory)[0]!;
	const bytes = readFileSync(join(directory, first));
	bytes[120]! ^= 0xff;
	writeFileSync(join(directory, first), bytes);
	readAllSync(opened.log);
	t.is(opened.corruptions.length, 1);
	return {...opened, first};
}

test('a copy in quarantine whose sync has failed is made anew before the file goes that held the bytes', async t => {
	for (const method of ['sync', 'syncDirectory'] as const) {
		const directory = temporaryDirectory(t);
		const {storage, operations, inject, pending} = faultyStorage();
		const {log, corruptions, first} = await damagedLog(t, directory, storage);
		const {quarantine, bytes} = corruptions[0]!;
		const copy = basename(quarantine!);
		log.markDone(log.segments[1]!.firstSequence);
		inject({method, file: method === 'sync' ? copy : 'quarantine', code: 'EIO'});
		operations.length = 0;
		log.writeCheckpoint();
		while (pending() > 0 || !operations.includes(`create ${copy}`)) {
			await new Promise(setImmediate);
		}

		t.false(operations.includes(`unlink ${first}`));
		log.markDone(log.segments[1]!.firstSequence + 1);
		log.writeCheckpoint();
		await log.close();
		const again = operations.indexOf(`create ${copy}`);
		t.true(again < operations.indexOf(`sync ${copy}`, again), operations.join());
		t.true(operations.indexOf(`sync ${copy}`, again) < operations.indexOf(`unlink ${first}`));
		t.is(statSync(quarantine!).size, bytes);
	}
});

test('damaged bytes are durable in quarantine before the file goes that held them', async t => {
	const directory = temporaryDirectory(t);
	const {storage, operations} = faultyStorage();
	const {log, corruptions, first} = await damagedLog(t, directory, storage);
	const copy = basename(corruptions[0]!.quarantine!);
	log.markDone(log.segments[1]!.firstSequence);
	operations.length = 0;
	log.writeCheckpoint();
	await log.close();
	const order = [operations.indexOf(`sync ${copy}`), operations.indexOf(`unlink ${first}`)];
	t.true(order[0] !== -1 && order[0]! < order[1]!, operations.join());
	t.true(existsSync(corruptions[0]!.quarantine!));
});

test('damaged bytes are durable in quarantine before the checkpoint that passes them', async t => {
	const directory = temporaryDirectory(t);
	const {storage, operations} = faultyStorage();
	const {log, corruptions} = await openLog(t, directory, {segmentBytes: 300, storage});
	appendBlocks(log, 4);
	await log.sync();
	const {path, next} = log.segments[0]!;
	const bytes = readFileSync(path);
	bytes[120]! ^= 0xff;
	writeFileSync(path, bytes);
	readAllSync(log);
	log.markDone(next!.firstSequence);
	operations.length = 0;
	await log.sync();
	const copy = `sync ${basename(corruptions[0]!.quarantine!)}`;
	t.deepEqual(
		operations.map(each => each.replace(/disq-test-.*/, 'directory')).filter(each => /^sync/.test(each)),
		[copy, 'syncDirectory quarantine', 'syncDirectory directory', 'sync checkpoint', 'syncDirectory directory'],
	);
});

test('a copy in quarantine counts once among the bytes on disk, however often the log is opened', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	const {offset, bytes} = log.append(recordsAt(0, 2));
	await log.close();
	const path = join(directory, nameOf(0));
	const content = readFileSync(path);
	content[offset + 50]! ^= 0xff;
	writeFileSync(path, content);
	for (let round = 0; round < 3; round++) {
		const {log, corruptions} = await openLog(t, directory);
		readAllSync(log);
		t.is(corruptions.length, 1);
		t.is(log.diskBytes, content.byteLength + checkpointFileBytes + bytes);
		log.closeFiles();
	}
});

test('no checkpoint lets recovery remove a segment with damage whose copy a power cut could take', async t => {
	const directory = temporaryDirectory(t);
	const {log, corruptions} = await openLog(t, directory, {segmentBytes: 300});
	appendBlocks(log, 4);
	await log.sync();
	const {path, next} = log.segments[0]!;
	const bytes = readFileSync(path);
	bytes[120]! ^= 0xff;
	writeFileSync(path, bytes);
	readAllSync(log);
	t.is(corruptions.length, 1);
	const done = next!.firstSequence + 1;
	log.markDone(done);
	log.writeCheckpoint();
	t.like(savedCheckpoint(directory), {sequence: done - 2, delivered: {next: done, runs: []}});
	const {log: killed} = await openLog(t, copyOf(t, directory));
	t.is(killed.doneSequence, done);
	t.deepEqual(readAllSync(killed), numbered(done, 8));
	await log.sync();
	t.like(savedCheckpoint(directory), {sequence: done});
	await log.close();
});

test('a quarantine that was deleted meanwhile does not stand in the way of reclaim', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 300});
	appendBlocks(log, 8);
	const [first] = segmentNames(directory);
	const path = join(directory, first!);
	const bytes = readFileSync(path);
	bytes[120]! ^= 0xff;
	writeFileSync(path, bytes);
	readAllSync(log);
	rmSync(join(directory, 'quarantine'), {recursive: true});
	log.markDone(log.nextSequence);
	await log.close();
	t.deepEqual(readdirSync(directory), ['checkpoint']);
});

test('a sync that writes what is done removes the files before it too', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 300});
	appendBlocks(log, 8);
	readAllSync(log);
	log.markDone(log.nextSequence);
	await log.sync();
	t.is(log.segments.length, 1);
	t.is(segmentNames(directory).length, 1);
});

test('what is done while files are being removed is removed after them', async t => {
	const {storage, hold} = faultyStorage();
	let finish = () => {};
	const removed = new Promise<void>(resolve => {
		finish = resolve;
	});
	const reclaimed = () => log.segments.length === 1 && finish();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 300, storage, reclaimed});
	appendBlocks(log, 8);
	readAllSync(log);
	const release = hold('sync');
	for (const done of [log.segments[1]!.firstSequence, log.nextSequence]) {
		log.markDone(done);
		log.writeCheckpoint();
	}

	release();
	await removed;
	t.is(segmentNames(log.directory).length, 1);
});

test('files that could not be removed are removed when their room is needed', async t => {
	const {storage, inject, pending} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 300, storage});
	appendBlocks(log, 8);
	readAllSync(log);
	log.markDone(log.segments.at(-1)!.firstSequence);
	inject({method: 'unlink', code: 'EACCES'});
	log.writeCheckpoint();
	while (pending() > 0) {
		await new Promise(setImmediate);
	}

	await new Promise(setImmediate);
	t.true(log.segments.length > 1);
	log.freeDone();
	await log.close();
	t.is(segmentNames(log.directory).length, 1);
});

test('files that were removed are told, though the one behind them could not be', async t => {
	const {storage, inject, pending} = faultyStorage();
	const told: number[][] = [];
	const reclaimed = (segments: number, bytes: number) => told.push([segments, bytes]);
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 300, storage, reclaimed});
	appendBlocks(log, 8);
	const [first, second] = log.segments;
	readAllSync(log);
	log.markDone(second!.next!.firstSequence);
	inject({method: 'unlink', file: nameOf(second!.firstSequence), code: 'EACCES'});
	log.writeCheckpoint();
	while (pending() > 0) {
		await new Promise(setImmediate);
	}

	t.is(log.segments[0], second);
	t.deepEqual(told, [[1, first!.end]]);
	log.freeDone();
	await log.close();
	t.deepEqual(told.slice(1), [[1, second!.end]]);
});

test('no file goes while its checkpoint cannot be made durable', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject, operations, pending} = faultyStorage();
	const {log} = await openLog(t, directory, {segmentBytes: 300, storage});
	appendBlocks(log, 8);
	const names = segmentNames(directory);
	readAllSync(log);
	log.markDone(8);
	inject({method: 'sync', file: 'checkpoint', code: 'EIO'});
	operations.length = 0;
	log.writeCheckpoint();
	while (pending() > 0) {
		await new Promise(setImmediate);
	}

	await new Promise(setImmediate);
	t.deepEqual(operations, ['write checkpoint', 'failed sync checkpoint']);
	t.deepEqual(segmentNames(directory), names);
	log.markDone(9);
	log.writeCheckpoint();
	await log.close();
	t.deepEqual(
		segmentNames(directory),
		names.filter((_, index) => names[index + 1] === undefined || names[index + 1]! > nameOf(9)),
	);
});

test('a drained log leaves nothing but its checkpoint, and never uses a sequence twice', async t => {
	const directory = temporaryDirectory(t);
	let expected = 0;
	for (let round = 0; round < 4; round++) {
		const {log} = await openLog(t, directory, {segmentBytes: 300});
		t.is(log.nextSequence, expected);
		t.true(log.recovery.isClean);
		appendBlocks(log, 5);
		t.deepEqual(readAllSync(log), numbered(expected, expected + 10));
		expected += 10;
		log.markDone(expected);
		await log.close();
		t.deepEqual(readdirSync(directory), ['checkpoint']);
	}

	t.is(expected, 40);
});

test('a sync goes from the segment to the directory to the checkpoint', async t => {
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	appendBlocks(log, 2);
	operations.length = 0;
	await log.sync();
	t.deepEqual(
		operations.map(each => each.replace(/disq-test-.*/, 'directory')),
		[`sync ${nameOf(0)}`, 'syncDirectory directory', 'write checkpoint', 'sync checkpoint'],
	);
	operations.length = 0;
	appendBlocks(log, 1);
	await log.syncRecords();
	t.deepEqual(operations, [`write ${nameOf(0)}`, `sync ${nameOf(0)}`]);
	operations.length = 0;
	await log.syncRecords();
	t.deepEqual(operations, []);
});

test('a sync says in the checkpoint that the log is longer, once, and writes nothing when there is nothing to say', async t => {
	const {storage, operations, inject} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	appendBlocks(log, 2);
	await log.sync();
	operations.length = 0;
	await log.sync();
	t.deepEqual(operations, []);
	appendBlocks(log, 1);
	operations.length = 0;
	await log.sync();
	t.deepEqual(operations, [`sync ${nameOf(0)}`, 'write checkpoint', 'sync checkpoint']);
	readAllSync(log);
	log.markDone(3);
	log.writeCheckpoint();
	operations.length = 0;
	inject({method: 'sync', file: 'checkpoint', code: 'EIO'});
	await t.throwsAsync(log.sync(), {code: 'QUEUE_STORAGE'});
	await log.sync();
	t.is(operations.at(-1), 'sync checkpoint');
});

test('a sync forces every segment that is not on the device yet', async t => {
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 4);
	operations.length = 0;
	await log.syncRecords();
	t.deepEqual(
		operations.filter(each => each.startsWith('sync ')),
		log.segments.map(({firstSequence}) => `sync ${nameOf(firstSequence)}`),
	);
	t.is(log.segments.length, 4);
});

test('a sync that overlaps another waits for the directory too', async t => {
	const {storage, hold, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	appendBlocks(log, 1);
	const release = hold('syncDirectory');
	const first = log.syncRecords();
	while (!operations.includes(`sync ${nameOf(0)}`)) {
		await new Promise(setImmediate);
	}

	const second = log.syncRecords().then(() => operations.filter(each => each.startsWith('syncDirectory')).length);
	await new Promise(setImmediate);
	release();
	await first;
	t.true((await second) > 0);
});

test('a checkpoint written while the directory is being synced does not count its files as durable', async t => {
	const directory = temporaryDirectory(t);
	const {storage, hold, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 1);
	const release = hold('syncDirectory');
	const syncing = log.syncRecords();
	while (!operations.includes(`sync ${nameOf(0)}`)) {
		await new Promise(setImmediate);
	}

	log.markDone(1);
	log.writeCheckpoint();
	t.is(savedCheckpoint(directory).end.nextSequence, 0);
	release();
	await syncing;
	t.is(log.durableSequence, 2);
	log.markDone(2);
	log.writeCheckpoint();
	t.is(savedCheckpoint(directory).end.nextSequence, 2);
});

test('after a kill the durable end is the one of before, until a sync', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 200});
	appendBlocks(log, 1);
	await log.sync();
	appendBlocks(log, 3);
	const {log: again} = await openLog(t, copyOf(t, directory));
	t.is(again.nextSequence, 8);
	again.markDone(1);
	again.writeCheckpoint();
	t.is(savedCheckpoint(again.directory).end.nextSequence, 2);
	await again.sync();
	t.is(savedCheckpoint(again.directory).end.nextSequence, 8);
});

test('a segment created while the directory is being synced is covered by the next sync', async t => {
	const {storage, hold, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 1);
	const release = hold('syncDirectory');
	const first = log.syncRecords();
	while (!operations.includes(`sync ${nameOf(0)}`)) {
		await new Promise(setImmediate);
	}

	appendBlocks(log, 1);
	release();
	await first;
	operations.length = 0;
	await log.syncRecords();
	t.true(operations.some(each => each.startsWith('syncDirectory')));
});

test('a roll during a sync leaves the descriptor open until the sync has ended', async t => {
	const {storage, hold, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 1);
	const release = hold('sync');
	const syncing = log.syncRecords();
	appendBlocks(log, 2);
	t.is(log.segments.length, 3);
	t.false(operations.includes(`close ${nameOf(0)}`));
	release();
	await syncing;
	t.true(operations.indexOf(`close ${nameOf(0)}`) > operations.indexOf(`sync ${nameOf(0)}`));
	await log.close();
});

test('a segment that is reclaimed while another is being synced is passed', async t => {
	const {storage, hold, operations} = faultyStorage();
	let reclaimed = () => {};
	const reclaiming = new Promise<void>(resolve => {
		reclaimed = resolve;
	});
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage, reclaimed});
	appendBlocks(log, 4);
	readAllSync(log);
	const release = hold('sync');
	const syncing = log.syncRecords();
	log.markDone(5);
	log.writeCheckpoint();
	await reclaiming;
	release();
	await syncing;
	t.deepEqual(
		operations.filter(each => each.startsWith('sync 0')),
		[`sync ${nameOf(0)}`, `sync ${nameOf(4)}`, `sync ${nameOf(6)}`],
	);
	await log.close();
});

test('a log whose records are all done gives back the space of its last segment', async t => {
	const {log} = await openLog(t, temporaryDirectory(t));
	appendBlocks(log, 2);
	log.freeDone();
	t.is(log.segments.length, 1);
	readAllSync(log);
	log.markDone(log.nextSequence);
	log.freeDone();
	await log.close();
	t.deepEqual(segmentNames(log.directory), []);
	t.is(log.nextSequence, 4);
});

test('after a kill, an open forces the directory: a killed process may not have', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	appendBlocks(log, 1);
	const {storage, operations} = faultyStorage();
	await openLog(t, copyOf(t, directory), {storage});
	t.true(operations.some(each => each.startsWith('syncDirectory')));
});

test('a checkpoint that was never synced is in the directory for certain before a file goes', async t => {
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 3);
	log.markDone(2);
	operations.length = 0;
	log.writeCheckpoint();
	while (!operations.includes(`unlink ${nameOf(0)}`)) {
		await new Promise(setImmediate);
	}

	t.deepEqual(operations.map(each => each.replace(/disq-test-.*/, 'directory')).slice(0, 4), [
		'write checkpoint',
		'sync checkpoint',
		'syncDirectory directory',
		`unlink ${nameOf(0)}`,
	]);
	await log.close();
});

test('a checkpoint file that a sync has to create is in the directory when the sync ends', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	appendBlocks(log, 2);
	await log.close();
	rmSync(join(directory, 'checkpoint'));
	const {storage, operations} = faultyStorage();
	const {log: again} = await openLog(t, directory, {storage});
	readAllSync(again);
	again.markDone(2);
	await again.sync();
	const created = operations.indexOf('create checkpoint');
	t.true(created >= 0);
	t.true(operations.findIndex((each, index) => index > created && each.startsWith('syncDirectory')) > created);
});

test('a failed sync is not tried again on that descriptor, and later syncs reject until its records are done', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 2);
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	const error = await t.throwsAsync(log.sync(), {instanceOf: QueueStorageError, message: /EIO/});
	t.is((error.cause as NodeJS.ErrnoException).code, 'EIO');
	operations.length = 0;
	await t.throwsAsync(log.sync(), {is: error});
	appendBlocks(log, 2);
	t.deepEqual(segmentNames(directory), [nameOf(0), nameOf(4)]);
	await t.throwsAsync(log.sync(), {is: error});
	t.false(operations.includes(`sync ${nameOf(0)}`));
	t.true(operations.includes(`sync ${nameOf(4)}`));
	t.deepEqual(readAllSync(log), numbered(0, 8));
	log.markDone(3);
	await t.throwsAsync(log.sync(), {is: error});
	log.markDone(4);
	await log.sync();
	await log.close();
	const {log: again} = await openLog(t, directory);
	t.deepEqual(readAllSync(again), numbered(4, 8));
});

test('of two failed syncs the records of the first still count as lost when those of the second are appended again', async t => {
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	for (const first of [0, 4]) {
		appendBlocks(log, 2);
		inject({method: 'sync', file: nameOf(first), code: 'EIO'});
		await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
	}

	log.rewindTo(4);
	appendBlocks(log, 2);
	await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError, message: /EIO/});
	t.deepEqual(readAllSync(log), numbered(0, 8));
	log.markDone(4);
	await log.syncRecords();
	t.is(log.durableSequence, 8);
});

test('a failed sync of a sealed segment is not tried again either', async t => {
	const {storage, inject, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 3);
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	const error = await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
	operations.length = 0;
	await t.throwsAsync(log.syncRecords(), {is: error});
	t.false(operations.includes(`sync ${nameOf(0)}`));
	t.deepEqual(readAllSync(log), numbered(0, 6));
});

test('a failed sync of the directory is tried again', async t => {
	const {storage, inject, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	appendBlocks(log, 1);
	inject({method: 'syncDirectory', code: 'EIO'});
	await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
	operations.length = 0;
	await log.syncRecords();
	t.regex(operations.join(), /^syncDirectory/);
});

test('every failure of a sync has a code, also that of the checkpoint', async t => {
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	const faults = [
		{method: 'write', file: 'checkpoint', code: 'EIO'},
		{method: 'sync', file: 'checkpoint', code: 'EIO'},
	] as const;
	for (const fault of faults) {
		appendBlocks(log, 1);
		inject(fault);
		await t.throwsAsync(log.sync(), {instanceOf: QueueStorageError, code: 'QUEUE_STORAGE'});
		await log.sync();
	}

	readAllSync(log);
	log.markDone(1);
	inject({method: 'write', file: 'checkpoint', code: 'EIO'});
	t.throws(() => log.writeCheckpoint(), {instanceOf: QueueStorageError});
	t.true(log.isCheckpointDue);
	log.writeCheckpoint();
	t.false(log.isCheckpointDue);
});

test('the log starts anew, in a fresh segment, from the first record that could not be synced', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 2);
	await log.syncRecords();
	appendBlocks(log, 2);
	inject({method: 'sync', code: 'EIO'});
	await t.throwsAsync(log.syncRecords());
	log.rewindTo(4);
	t.is(log.nextSequence, 4);
	log.append(recordsAt(4, 8));
	await log.syncRecords();
	appendBlocks(log, 1);
	t.deepEqual(segmentNames(directory), [nameOf(0), nameOf(4)]);
	t.deepEqual(readAllSync(log), numbered(0, 10));
	const {log: killed, corruptions} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(killed), numbered(0, 10));
	t.deepEqual(corruptions, []);
});

test('killed after the log was started anew, it loses nothing: where reading is to begin was said of the file before', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	appendBlocks(log, 4);
	await log.syncRecords();
	appendBlocks(log, 1);
	readAllSync(log);
	log.markDone(9);
	log.writeCheckpoint();
	log.rewindTo(8);
	appendBlocks(log, 20);
	const {log: again, corruptions} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(again), numbered(9, 48));
	t.deepEqual(corruptions, []);
});

test('a segment whose first records could not be synced is replaced', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	log.reader.pass(log.append(recordsAt(0, 2)));
	inject({method: 'sync', code: 'EIO'});
	await t.throwsAsync(log.syncRecords());
	log.rewindTo(0);
	t.deepEqual(segmentNames(directory), []);
	log.append(recordsAt(0, 2));
	await log.syncRecords();
	log.markDone(1);
	log.writeCheckpoint();
	appendBlocks(log, 2);
	t.deepEqual(readAllSync(log), numbered(2, 6));
	const {log: killed, corruptions} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(killed), numbered(1, 6));
	t.deepEqual(corruptions, []);
});

for (const first of [0, 2]) {
	test(`appended again after the directory could not be synced, from ${first}, records are in the log`, async t => {
		const directory = temporaryDirectory(t);
		const {storage, inject} = faultyStorage();
		const {log} = await openLog(t, directory, {storage});
		appendBlocks(log, 2);
		inject({method: 'syncDirectory', code: 'EIO'});
		await t.throwsAsync(log.syncRecords());
		log.rewindTo(first);
		log.append(recordsAt(first, 4));
		await log.syncRecords();
		appendBlocks(log, 1);
		const {log: killed, corruptions} = await openLog(t, copyOf(t, directory));
		t.deepEqual(readAllSync(killed), numbered(0, 6));
		t.deepEqual(corruptions, []);
	});
}

test('the segment before one that is replaced leads to the one in its place', async t => {
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 1);
	await log.syncRecords();
	appendBlocks(log, 1);
	inject({method: 'sync', file: nameOf(2), code: 'EIO'});
	await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
	log.rewindTo(2);
	appendBlocks(log, 2);
	await log.syncRecords();
	t.deepEqual(segmentNames(log.directory), [nameOf(0), nameOf(2), nameOf(4)]);
	t.deepEqual(readAllSync(log), numbered(0, 6));
});

test('a rewind over several segments leaves none of them behind, wherever in a segment it goes', async t => {
	const places = new Set<boolean>();
	for (const blocks of [1, 2, 3, 4]) {
		const {storage, inject} = faultyStorage();
		const directory = temporaryDirectory(t);
		const {log} = await openLog(t, directory, {segmentBytes: 500, storage});
		appendBlocks(log, blocks);
		await log.syncRecords();
		appendBlocks(log, 12);
		t.true(log.segments.length > 3);
		places.add(log.segments.some(({firstSequence}) => firstSequence === 2 * blocks));
		inject({method: 'sync', code: 'EIO'});
		await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
		log.rewindTo(2 * blocks);
		appendBlocks(log, 20);
		await log.syncRecords();
		const records = numbered(0, 2 * blocks + 40);
		const {log: killed, corruptions} = await openLog(t, copyOf(t, directory));
		t.deepEqual(readAllSync(killed), records);
		t.deepEqual(corruptions, []);
		t.deepEqual(readAllSync(log), records);
	}

	t.is(places.size, 2);
});

test('a load that a rewind overtakes reads nothing, and reading goes on in what is appended again', async t => {
	const {log} = await openLog(t, temporaryDirectory(t));
	appendBlocks(log, 2);
	t.is(log.reader.next(), undefined);
	log.rewindTo(0);
	await log.reader.load();
	appendBlocks(log, 3);
	t.deepEqual(await readAll(log), numbered(0, 6));
});

test('a rewind is no excuse for what stands before it: a sync does not vouch for that', async t => {
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 2);
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
	log.rewindTo(2);
	appendBlocks(log, 1);
	await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
	readAllSync(log);
	log.markDone(2);
	await log.syncRecords();
});

test('what could not be appended again stays lost to every later sync, however often one fails', async t => {
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 1);
	await log.sync();
	appendBlocks(log, 2);
	inject({method: 'sync', file: nameOf(2), code: 'EIO'});
	inject({method: 'unlink', file: nameOf(4), code: 'EIO'});
	await t.throwsAsync(log.syncRecords(() => log.rewindTo(2)));
	inject({method: 'sync', file: nameOf(4), code: 'EIO'});
	await t.throwsAsync(log.syncRecords(), {instanceOf: QueueStorageError});
	readAllSync(log);
	log.markDone(2);
	await t.throwsAsync(log.sync(), {instanceOf: QueueStorageError});
});

test('of two syncs at once, both learn of an error that the system tells once', async t => {
	const {storage, inject, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	appendBlocks(log, 1);
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	const results = await Promise.allSettled([log.syncRecords(), log.syncRecords()]);
	t.deepEqual(
		results.map(({status}) => status),
		['rejected', 'rejected'],
	);
	t.deepEqual(
		operations.filter(each => each.includes(`sync ${nameOf(0)}`)),
		[`failed sync ${nameOf(0)}`],
	);
});

test('what is appended again in place of lost records is forced before any other sync', async t => {
	const {storage, inject, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {storage});
	appendBlocks(log, 1);
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	const first = log.syncRecords(() => {
		log.rewindTo(0);
		appendBlocks(log, 1);
	});
	const second = log.syncRecords().then(() => operations.includes(`sync ${nameOf(0)}`));
	await first;
	t.true(await second);
});

test('a segment that could not be opened to be synced is synced by the next call', async t => {
	const {storage, inject, operations} = faultyStorage();
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 200, storage});
	appendBlocks(log, 2);
	inject({method: 'open', file: nameOf(0), code: 'EMFILE'});
	await t.throwsAsync(log.sync(), {instanceOf: QueueStorageError, message: /EMFILE/});
	await log.sync();
	t.deepEqual(
		operations.filter(each => each.includes('sync 0')),
		[`sync ${nameOf(0)}`, `sync ${nameOf(2)}`],
	);
});

test('a segment that got no header, or no block, goes at once, or when its name is needed', async t => {
	for (const nth of [1, 2]) {
		for (const isRemovable of [true, false]) {
			const directory = temporaryDirectory(t);
			const {storage, inject, pending} = faultyStorage();
			const {log} = await openLog(t, directory, {storage});
			inject({method: 'write', file: nameOf(0), nth, code: 'ENOSPC', take: bytes => bytes - 1});
			if (!isRemovable) {
				inject({method: 'unlink', file: nameOf(0), code: 'EIO'});
				inject({method: 'truncate', file: nameOf(0), code: 'EIO'});
			}

			t.throws(() => log.append(recordsAt(0, 2)), {instanceOf: QueueStorageError, message: /ENOSPC/});
			t.is(pending(), 0);
			t.deepEqual(segmentNames(directory), isRemovable ? [] : [nameOf(0)]);
			const {log: killed} = await openLog(t, copyOf(t, directory));
			t.is(killed.nextSequence, 0);
			log.append(recordsAt(0, 2));
			await log.sync();
			t.deepEqual(readAllSync(log), numbered(0, 2));
			t.is(log.segments.length, 1);
		}
	}
});

test('a file that refused a block takes none any more, and goes when its records are done, though it is the last', async t => {
	for (const isDoneBefore of [true, false]) {
		const directory = temporaryDirectory(t);
		const {storage, inject} = faultyStorage();
		let reclaimed = () => {};
		const reclaiming = new Promise<void>(resolve => {
			reclaimed = resolve;
		});
		const {log} = await openLog(t, directory, {storage, reclaimed});
		const finish = () => {
			readAllSync(log);
			log.markDone(4);
			log.writeCheckpoint();
		};
		appendBlocks(log, 2);
		if (isDoneBefore) {
			finish();
		}

		inject({method: 'write', file: nameOf(0), code: 'ENOSPC'});
		t.throws(() => log.append(recordsAt(4, 6)), {instanceOf: QueueStorageError});
		t.deepEqual(segmentNames(directory), [nameOf(0)]);
		if (isDoneBefore) {
			log.writeCheckpoint();
		} else {
			finish();
		}

		await reclaiming;
		t.deepEqual(segmentNames(directory), []);
		appendBlocks(log, 1);
		t.deepEqual(segmentNames(directory), [nameOf(4)]);
		t.deepEqual(readAllSync(log), numbered(4, 6));
	}
});

test('a segment spoiled before its first block does not stand in the way of the next', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	inject({method: 'write', file: nameOf(0), nth: 2, code: 'EIO', take: () => 7});
	inject({method: 'truncate', file: nameOf(0), code: 'EIO'});
	t.throws(() => log.append(recordsAt(0, 2)), {instanceOf: QueueStorageError});
	log.append(recordsAt(0, 2));
	t.deepEqual(readAllSync(log), numbered(0, 2));
	const {log: killed} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(killed), numbered(0, 2));
});

test('a spoiled segment is followed by a fresh one, and its rest is no damage', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log, corruptions} = await openLog(t, directory, {storage});
	appendBlocks(log, 2);
	inject({method: 'write', file: nameOf(0), code: 'EIO', take: bytes => bytes - 3});
	inject({method: 'truncate', file: nameOf(0), code: 'EIO'});
	t.throws(() => log.append(recordsAt(4, 6)), {instanceOf: QueueStorageError});
	appendBlocks(log, 2);
	t.deepEqual(segmentNames(directory), [nameOf(0), nameOf(4)]);
	t.deepEqual(readAllSync(log), numbered(0, 8));
	for (const copy of [copyOf(t, directory), await closedCopy(t, log, directory)]) {
		const again = await openLog(t, copy);
		t.deepEqual(readAllSync(again.log), numbered(0, 8));
		t.deepEqual([...again.corruptions, ...again.log.recovery.corruptions], []);
	}

	t.deepEqual(corruptions, []);
});

async function closedCopy(t: ExecutionContext, log: SegmentLog<TestRecord>, directory: string): Promise<string> {
	await log.close();
	return copyOf(t, directory);
}

test('where reading goes on after a restart never loses a record, wherever the checkpoint stands', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 500, storage: unsyncedStorage});
	let cases = 0;
	for (let round = 0; round < 40; round++) {
		appendBlocks(log, round % 2, 3);
		log.reader.nextSync();
		for (const done of [log.reader.sequence - 1, log.reader.sequence]) {
			log.markDone(Math.max(0, done));
			log.writeCheckpoint();
			const copies = [copyOf(t, directory)];
			if (round % 4 === 3) {
				appendBlocks(log, 1, 3);
				copies.push(copyOf(t, directory));
			}

			for (const copy of copies) {
				const killed = await openLog(t, copy, {storage: unsyncedStorage});
				t.deepEqual(readAllSync(killed.log), numbered(log.doneSequence, killed.log.nextSequence));
				t.deepEqual(killed.corruptions, []);
				killed.log.closeFiles();
				cases++;
			}
		}
	}

	t.true(log.segments.length > 0);
	t.is(cases, 100);
});

test('a checkpoint at the end of a segment does not say where to read in the next one', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 400});
	appendBlocks(log, 2);
	readAllSync(log);
	t.is(log.segments.length, 1);
	log.markDone(4);
	log.writeCheckpoint();
	appendBlocks(log, 3);
	t.true(log.segments.length > 1);
	const {log: killed, corruptions} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(killed), numbered(4, 10));
	t.deepEqual(corruptions, []);
});

test('a checkpoint behind damage does not take its place from the segment before', async t => {
	const directory = temporaryDirectory(t);
	const {log, corruptions} = await openLog(t, directory, {segmentBytes: 400});
	log.append(recordsAt(0, 1));
	log.append(recordsAt(1, 4));
	log.append(recordsAt(4, 6));
	const {path, firstSequence} = log.segments[1]!;
	t.is(firstSequence, 4);
	const bytes = readFileSync(path);
	bytes[bytes.byteLength - 1]! ^= 0xff;
	writeFileSync(path, bytes);
	t.deepEqual(readAllSync(log), numbered(0, 4));
	t.deepEqual(corruptions[0]?.lost, {first: 4, last: 5});
	log.markDone(6);
	await log.sync();
	appendBlocks(log, 1, 3);
	const {log: killed, corruptions: found} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(killed), numbered(6, 9));
	t.deepEqual(found, []);
});

test('a checkpoint of before a rewind does not say where to read in the segment begun by it', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 3);
	await log.syncRecords();
	log.append(recordsAt(6, 10));
	readAllSync(log);
	log.markDone(8);
	log.writeCheckpoint();
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	await t.throwsAsync(log.syncRecords());
	log.rewindTo(6);
	log.append(recordsAt(6, 10));
	await log.syncRecords();
	const {log: killed, corruptions} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(killed), numbered(8, 10));
	t.deepEqual(corruptions, []);
});

const takes: Array<[string, ((bytes: number) => number) | undefined]> = [
	['nothing', undefined],
	['0 bytes', () => 0],
	['one byte', () => 1],
	['half', bytes => bytes >> 1],
	['all but one byte', bytes => bytes - 1],
];

/** Calls of `write` in the script below: one for the checkpoint, one for each segment, one for each block. */
const scriptWrites = 1 + 5 + 10;

for (const code of ['ENOSPC', 'EIO']) {
	for (const [name, take] of takes) {
		test.serial(
			`an append that fails with ${code} after ${name} was taken is undone, whichever write it is`,
			async t => {
				let struck = 0;
				for (let nth = 1; nth <= scriptWrites; nth++) {
					const directory = temporaryDirectory(t);
					const before = openDescriptors();
					const {storage, inject, pending} = faultyStorage();
					const options = {segmentBytes: 300, storage: {...storage, sync: async () => {}}};
					const {log, corruptions} = await openLog(t, directory, options);
					inject({method: 'write', nth, code, ...(take && {take})});
					struck += appendTenBlocks(t, log, code);
					t.is(pending(), 0);
					const copy = copyOf(t, directory);
					t.deepEqual(readAllSync(log), numbered(0, 20));
					log.markDone(20);
					await log.close();
					t.deepEqual(readdirSync(directory), ['checkpoint']);
					const killed = await openLog(t, copy);
					t.deepEqual(await readAll(killed.log), numbered(0, 20));
					t.deepEqual([...corruptions, ...killed.corruptions, ...killed.log.recovery.corruptions], []);
					t.is(killed.log.recovery.truncatedBytes, 0);
					killed.log.closeFiles();
					await new Promise(setImmediate);
					t.is(openDescriptors(), before);
				}

				t.is(struck, scriptWrites);
			},
		);
	}
}

/** Appends ten blocks of two records; one that fails is counted, checked, and appended again. */
function appendTenBlocks(t: ExecutionContext, log: SegmentLog<TestRecord>, code: string): number {
	let failures = 0;
	while (log.nextSequence < 20) {
		const sequence = log.nextSequence;
		try {
			log.append(recordsAt(sequence, sequence + 2));
		} catch (error) {
			failures++;
			t.true(error instanceof QueueStorageError);
			t.is(((error as QueueStorageError).cause as NodeJS.ErrnoException).code, code);
			t.is(log.nextSequence, sequence);
		}
	}

	return failures;
}

test('on a disk that stays full the log can be read and its checkpoint moved, and it goes on when there is room', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, directory, {segmentBytes: 300, storage});
	appendBlocks(log, 4);
	const last = segmentNames(directory).at(-1)!;
	inject({method: 'write', file: last, times: 3, code: 'ENOSPC', take: bytes => bytes >> 2});
	inject({method: 'open', file: nameOf(8), times: 3, code: 'ENOSPC'});
	let failures = 0;
	for (let attempt = 0; attempt < 3; attempt++) {
		t.throws(() => log.append(recordsAt(8, 10)), {instanceOf: QueueStorageError});
		failures++;
	}

	t.is(failures, 3);
	t.deepEqual(readAllSync(log), numbered(0, 8));
	log.markDone(7);
	await log.sync();
	t.is(savedCheckpoint(directory).sequence, 7);
	while (log.nextSequence === 8) {
		try {
			appendBlocks(log, 1);
		} catch {
			failures++;
		}
	}

	t.true(failures < 10);
	t.deepEqual(readAllSync(log), numbered(8, 10));
});

test('records that the codec refuses are refused, and no others', async t => {
	const codec = msgpackCodec<TestRecord>();
	const {log} = await openLog(t, temporaryDirectory(t), {
		codec: {
			...codec,
			encode(records) {
				if (records.some(({id}) => id < 0)) {
					throw new TypeError('a negative id');
				}

				return records.some(({text}) => text === '') ? new Uint8Array(0) : codec.encode(records);
			},
		},
	});
	appendBlocks(log, 1);
	const error = t.throws(() => log.append([recordAt(2), {id: -1, text: 'x'}]), {instanceOf: QueueRecordError});
	t.is((error.cause as Error).message, 'a negative id');
	t.throws(() => log.append([{id: 1, text: ''}]), {instanceOf: QueueRecordError, message: /encoded as nothing/});
	appendBlocks(log, 1);
	t.deepEqual(readAllSync(log), numbered(0, 4));
});

test('a log of another codec is refused untouched', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	appendBlocks(log, 2);
	await log.close();
	const before = fingerprint(directory);
	const codec = {...msgpackCodec<TestRecord>(), name: 'other'};
	await t.throwsAsync(openLog(t, directory, {codec}), {instanceOf: QueueCodecError, message: /"msgpack".*"other"/});
	t.deepEqual(fingerprint(directory), before);
});

for (const method of ['list', 'stat', 'open', 'read', 'readSync', 'sync'] as const) {
	for (const code of ['EIO', 'EACCES', 'EMFILE']) {
		test.serial(`opening fails with ${code} from ${method}, deletes nothing and leaves no descriptor`, async t => {
			const directory = temporaryDirectory(t);
			const {log} = await openLog(t, directory, {segmentBytes: 300});
			appendBlocks(log, 4);
			await log.sync();
			appendBlocks(log, 1);
			const killed = copyOf(t, directory);
			writeFileSync(join(killed, segmentNames(killed).at(-1)!), Buffer.alloc(50, 1), {flag: 'a'});
			log.closeFiles();
			const descriptors = openDescriptors();
			const counts = {opened: 0, failed: 0};
			for (let nth = 1; counts.opened === 0; nth++) {
				const copy = copyOf(t, killed);
				const {storage, inject} = faultyStorage();
				inject({method, nth, code});
				try {
					const {log: again} = await openLog(t, copy, {storage});
					counts.opened++;
					again.closeFiles();
				} catch (error) {
					counts.failed++;
					t.true(error instanceof QueueStorageError);
					t.deepEqual(readdirSync(copy).sort(), readdirSync(killed).sort());
				}

				const {log: healthy, corruptions} = await openLog(t, copy);
				t.deepEqual(readAllSync(healthy), numbered(0, 10));
				t.deepEqual(corruptions, []);
				healthy.closeFiles();
			}

			t.true(counts.failed > 0);
			await new Promise(setImmediate);
			t.is(openDescriptors(), descriptors);
		});
	}
}

test('an exit handler saves what is done in one turn, without a sync', async t => {
	const directory = temporaryDirectory(t);
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 3);
	readAllSync(log);
	log.markDone(3);
	operations.length = 0;
	log.closeNow();
	t.deepEqual(operations, ['write checkpoint']);
	const {log: again} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(again), numbered(3, 6));
});

test('a close that cannot sync gives its descriptors back and says so, and the records are there', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 3);
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	await t.throwsAsync(log.close(), {instanceOf: QueueStorageError});
	const {log: again} = await openLog(t, directory);
	t.false(again.recovery.isClean);
	t.deepEqual(readAllSync(again), numbered(0, 6));
});

test('a close that cannot sync the records still says what is done', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 3);
	readAllSync(log);
	log.markDone(3);
	inject({method: 'sync', file: nameOf(0), code: 'EIO'});
	await t.throwsAsync(log.close(), {instanceOf: QueueStorageError});
	const {log: again} = await openLog(t, directory);
	t.deepEqual(readAllSync(again), numbered(3, 6));
});

test('a close whose first write of the checkpoint fails writes it again when the records are on the device', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	appendBlocks(log, 3);
	readAllSync(log);
	log.markDone(3);
	operations.length = 0;
	inject({method: 'write', file: 'checkpoint', code: 'EIO'});
	await log.close();
	t.deepEqual(
		operations.filter(each => !each.startsWith('close')),
		[
			'failed write checkpoint',
			`sync ${nameOf(0)}`,
			`syncDirectory ${basename(directory)}`,
			'write checkpoint',
			'sync checkpoint',
		],
	);
	const {log: again} = await openLog(t, directory);
	t.deepEqual(readAllSync(again), numbered(3, 6));
});

for (const [call, begin] of [
	['sync', (log: SegmentLog<TestRecord>) => log.syncRecords()],
	['read', (log: SegmentLog<TestRecord>) => log.reader.load()],
] as const) {
	test(`a close that fails waits for a ${call} under way, which needs its descriptor`, async t => {
		const directory = temporaryDirectory(t);
		const {log: earlier} = await openLog(t, directory);
		appendBlocks(earlier, 3);
		await earlier.close();
		const {storage, hold, inject, operations} = faultyStorage();
		const {log} = await openLog(t, directory, {storage});
		appendBlocks(log, 1);
		log.reader.next();
		operations.length = 0;
		const release = hold(call);
		const begun = begin(log).catch(() => {});
		inject({method: 'sync', code: 'EIO'});
		const closing = log.close();
		let isClosed = false;
		closing.catch(() => {
			isClosed = true;
		});
		await nextTurn();
		t.false(isClosed);
		release();
		await t.throwsAsync(closing, {instanceOf: QueueStorageError});
		t.is(operations.filter(each => /^close .*\.log$/.test(each)).length, call === 'read' ? 2 : 1);
		await begun;
	});
}

test('the checkpoint is allocated with the first segment, in full', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	appendBlocks(log, 1);
	t.is(statSync(join(directory, 'checkpoint')).size, checkpointFileBytes);
});

test('damage is told although its copy cannot be measured', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject, pending} = faultyStorage();
	const {log: writer} = await openLog(t, directory);
	appendBlocks(writer, 2);
	await writer.close();
	const path = join(directory, nameOf(0));
	const bytes = readFileSync(path);
	bytes[120]! ^= 0xff;
	writeFileSync(path, bytes);
	const {log, corruptions} = await openLog(t, directory, {storage});
	const before = log.diskBytes;
	inject({method: 'list', file: 'quarantine', code: 'EMFILE'});
	t.deepEqual(readAllSync(log), numbered(2, 4));
	t.is(pending(), 0);
	t.like(corruptions, [{lost: {first: 0, last: 1}}]);
	t.is(log.diskBytes, before + corruptions[0]!.bytes);
});

test('zeros written ahead count as disk, keep its bounds, are no damage after a crash, and go at the close', async t => {
	const directory = temporaryDirectory(t);
	const maxBytes = checkpointFileBytes + 2500;
	const {log} = await openLog(t, directory, {maxBytes});
	for (let sequence = 0; sequence < 20; sequence += 2) {
		log.append(recordsAt(sequence, sequence + 2));
		await log.syncRecords();
		t.true(log.diskBytes <= maxBytes);
	}

	const path = join(directory, nameOf(0));
	const {end} = log.segments[0]!;
	const reserved = readFileSync(path).byteLength - end;
	t.true(reserved > 0);
	t.is(log.diskBytes, log.contentBytes + reserved);

	const {log: killed, corruptions} = await openLog(t, copyOf(t, directory));
	t.deepEqual(readAllSync(killed), numbered(0, 20));
	t.deepEqual(corruptions, []);

	await log.close();
	t.is(readFileSync(path).byteLength, end);
	const {log: closed} = await openLog(t, directory);
	t.true(closed.recovery.isClean);
	t.deepEqual(readAllSync(closed), numbered(0, 20));
});

test('a sealed segment keeps no zeros behind its blocks', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	for (let sequence = 0; log.segments.length < 2; sequence += 2) {
		log.append(recordsAt(sequence, sequence + 2));
		await log.syncRecords();
	}

	const [sealed] = log.segments;
	t.is(readFileSync(sealed!.path).byteLength, sealed!.end);
});

test('a file of another that has the name of the next segment is neither written to nor removed', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 400});
	appendBlocks(log, 2);
	const {nextSequence} = log;
	const path = join(directory, nameOf(nextSequence));
	writeFileSync(path, 'theirs');
	const large = [{id: nextSequence, text: 'x'.repeat(400)}];
	t.throws(() => log.append(large), {instanceOf: QueueStorageError, message: /EEXIST/});
	t.is(readFileSync(path, 'utf8'), 'theirs');
	t.deepEqual(readAllSync(log), numbered(0, nextSequence));
	rmSync(path);
	log.append(large);
	t.is(readAllSync(log).length, 1);
});
