import {execFileSync} from 'node:child_process';
import {
	copyFileSync,
	existsSync,
	linkSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from 'node:fs';
import {basename, join} from 'node:path';
import {crc32} from 'node:zlib';
import test, {type ExecutionContext} from 'ava';
import {QueueCorruptError, QueueStorageError, QueueVersionError} from '../../source/errors.ts';
import {blockHeaderBytes} from '../../source/format/block.ts';
import {
	type Checkpoint,
	checkpointFileBytes,
	decodeCheckpoint,
	encodeCheckpoint,
	slotBytes,
	slotCount,
} from '../../source/format/checkpoint.ts';
import {encodeSegmentHeader, segmentHeaderBytes} from '../../source/format/segment-header.ts';
import type {SegmentLog} from '../../source/log/segment-log.ts';
import {faultyStorage} from '../helpers/faulty-storage.ts';
import {
	appendBlocks,
	fingerprint,
	firstSequences,
	numbered,
	openLog,
	readAll,
	readAllSync,
	recordsAt,
	segmentNames,
	segmentPath,
	type TestRecord,
} from '../helpers/logs.ts';
import {onUnix} from '../helpers/platforms.ts';
import {copyOf, temporaryDirectory} from '../helpers/temporary-directory.ts';

const nameOf = (sequence: number) => `${String(sequence).padStart(20, '0')}.log`;

type Written = {directory: string; last: string; log: SegmentLog<TestRecord>; ends: number[]};

/**
 * What a killed process leaves: three segments of 2, 2 and 3 blocks of 2 records, with the ends of the last one's
 * blocks. The last `unsynced` blocks may be torn; what comes before them is on the device, and the checkpoint says so.
 */
async function killedLog(t: ExecutionContext, {unsynced = 3, done = 0} = {}): Promise<Written> {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 400});
	const ends: number[] = [];
	for (let block = 0; block < 7; block++) {
		if (block === 7 - unsynced) {
			await log.sync();
		}

		const {segment, offset, bytes} = log.append(recordsAt(2 * block, 2 * block + 2));
		if (segment.firstSequence === 8) {
			ends.push(offset + bytes);
		}
	}

	if (done > 0) {
		readAllSync(log);
		log.markDone(done);
		log.writeCheckpoint();
	}

	t.deepEqual(segmentNames(directory).slice(-1), [nameOf(8)]);
	t.is(ends.length, 3);
	const copy = copyOf(t, directory);
	return {directory: copy, last: join(copy, nameOf(8)), log, ends};
}

async function reads(
	t: ExecutionContext,
	directory: string,
	expected: Array<[number, TestRecord]>,
	message?: string,
): Promise<SegmentLog<TestRecord>> {
	const {log, corruptions} = await openLog(t, directory);
	t.deepEqual(readAllSync(log), expected, message);
	t.deepEqual([...log.recovery.corruptions, ...corruptions], [], message);
	return log;
}

/** Opening a second time finds what the first left, and changes nothing. */
async function isSettled(t: ExecutionContext, directory: string, message?: string): Promise<void> {
	const first = await openLog(t, directory);
	first.log.closeFiles();
	const before = fingerprint(directory);
	const second = await openLog(t, directory);
	second.log.closeFiles();
	t.is(second.log.recovery.truncatedBytes, 0, message);
	t.deepEqual(second.log.recovery.corruptions, [], message);
	t.is(second.log.nextSequence, first.log.nextSequence, message);
	t.deepEqual(fingerprint(directory), before, message);
}

test('a last block torn at any length is cut off, and nothing else', async t => {
	const {directory, last, ends} = await killedLog(t);
	const whole = readFileSync(last);
	let cases = 0;
	for (let length = ends[1]!; length < ends[2]!; length++) {
		writeFileSync(last, whole.subarray(0, length));
		const log = await reads(t, directory, numbered(0, 12), `length ${length}`);
		t.is(log.recovery.truncatedBytes, length - ends[1]!);
		t.is(statSync(last).size, ends[1]!);
		t.is(log.nextSequence, 12);
		log.closeFiles();
		await isSettled(t, directory, `length ${length}`);
		cases++;
	}

	t.true(cases > 60, `${cases} cases`);
});

const tails: Array<[string, Buffer]> = [
	['zeros', Buffer.alloc(4096)],
	['garbage', Buffer.alloc(4096, 0xa5)],
	['magic numbers', Buffer.alloc(4096, Buffer.from('d15b10c5', 'hex'))],
	['one zero', Buffer.alloc(1)],
	['more than a window of zeros', Buffer.alloc(2_000_000)],
];

for (const [name, tail] of tails) {
	test(`a tail of ${name} is cut off`, async t => {
		const {directory, last, ends} = await killedLog(t);
		writeFileSync(last, tail, {flag: 'a'});
		const log = await reads(t, directory, numbered(0, 14));
		t.is(log.recovery.truncatedBytes, tail.byteLength);
		t.is(statSync(last).size, ends[2]!);
		await isSettled(t, directory);
	});
}

test('a last block whose data is zeros, or is partly there, is cut off', async t => {
	const {directory, last, ends} = await killedLog(t);
	const whole = readFileSync(last);
	let cases = 0;
	for (let from = ends[1]!; from < ends[2]!; from += 5) {
		writeFileSync(last, Buffer.from(whole).fill(0, from));
		const log = await reads(t, directory, numbered(0, 12));
		t.is(log.recovery.truncatedBytes, ends[2]! - ends[1]!);
		log.closeFiles();
		cases++;
	}

	t.true(cases > 10);
});

test('the cut is durable before the log is used', async t => {
	const {directory, last} = await killedLog(t);
	writeFileSync(last, 'torn', {flag: 'a'});
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	t.deepEqual(
		operations.filter(each => !each.startsWith('close')).map(each => each.replace(/disq-test-.*/, 'directory')),
		['sync checkpoint', 'syncDirectory directory', `truncate ${nameOf(8)}`, `sync ${nameOf(8)}`],
	);
	log.closeFiles();
});

for (const length of [0, 1, 8, 32, 63]) {
	test(`${length} bytes of a header with zeros up to a page are a segment that was begun`, async t => {
		const {directory, log: writer} = await killedLog(t);
		const header = encodeSegmentHeader({queueId: writer.queueId, firstSequence: 14, salt: 0, codecName: 'msgpack'});
		writeFileSync(
			join(directory, nameOf(14)),
			Buffer.concat([header.subarray(0, length), Buffer.alloc(4096 - length)]),
		);
		const log = await reads(t, directory, numbered(0, 14));
		t.is(log.recovery.truncatedBytes, 4096);
		t.false(existsSync(join(directory, nameOf(14))));
	});
}

const beginnings: Array<[string, number]> = [
	['an empty file', 0],
	['one byte of a header', 1],
	['half a header', 32],
	['a header but for one byte', 63],
	['a header alone', 64],
	['a header and a part of a block', 80],
];

for (const [name, length] of beginnings) {
	test(`a last segment of ${name} is removed, and its sequence used again`, async t => {
		const {directory, log: writer} = await killedLog(t);
		const header = encodeSegmentHeader({queueId: writer.queueId, firstSequence: 14, salt: 0, codecName: 'msgpack'});
		const bytes = Buffer.concat([header, Buffer.from('d15b10c5', 'hex'), Buffer.alloc(12, 1)]).subarray(0, length);
		writeFileSync(join(directory, nameOf(14)), bytes);
		const log = await reads(t, directory, numbered(0, 14));
		t.is(log.recovery.truncatedBytes, length);
		t.false(existsSync(join(directory, nameOf(14))));
		appendBlocks(log, 1);
		t.is(firstSequences(directory).at(-1), 14);
		log.closeFiles();
		await reads(t, directory, numbered(0, 16));
	});
}

test('several segments that were being created are removed, and the one before is cut', async t => {
	const {directory, last} = await killedLog(t);
	writeFileSync(last, 'torn', {flag: 'a'});
	writeFileSync(join(directory, nameOf(14)), '');
	writeFileSync(join(directory, nameOf(15)), Buffer.alloc(10));
	const log = await reads(t, directory, numbered(0, 14));
	t.is(log.recovery.truncatedBytes, 14);
	log.closeFiles();
	await isSettled(t, directory);
});

test('recovery interrupted after any of its calls does the same again', async t => {
	const {directory, last} = await killedLog(t, {done: 5});
	writeFileSync(last, 'torn', {flag: 'a'});
	writeFileSync(join(directory, nameOf(14)), Buffer.alloc(64));
	const calls = ['truncate', 'sync', 'unlink', 'syncDirectory', 'open', 'stat', 'list', 'readSync', 'read'] as const;
	let interrupted = 0;
	for (const method of calls) {
		for (let nth = 1; nth < 30; nth++) {
			const copy = copyOf(t, directory);
			const {storage, inject} = faultyStorage();
			inject({method, nth, code: 'EIO'});
			const failed = await openLog(t, copy, {storage}).then(
				({log}) => log.closeFiles(),
				() => true,
			);
			if (!failed) {
				break;
			}

			interrupted++;
			await reads(t, copy, numbered(5, 14), `${method} ${nth}`);
		}
	}

	t.true(interrupted > 10, `${interrupted} interrupted`);
});

test('an interrupted reclaim is finished, and nothing done comes back', async t => {
	const {directory} = await killedLog(t, {done: 9});
	t.deepEqual(segmentNames(directory), [nameOf(0), nameOf(4), nameOf(8)]);
	const log = await reads(t, directory, numbered(9, 14));
	t.is(log.recovery.reclaimedSegments, 2);
	t.deepEqual(segmentNames(directory), [nameOf(8)]);
	t.like(log.recovery, {records: 5, segments: 1});
});

test('the checkpoint is in the directory for certain before a segment goes that it says to be done', async t => {
	const {directory} = await killedLog(t, {done: 9, unsynced: 7});
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	t.is(log.recovery.reclaimedSegments, 2);
	const wanted = ['sync checkpoint', 'syncDirectory directory', `unlink ${nameOf(0)}`];
	const found = operations.map(each => each.replace(/disq-test-.*/, 'directory'));
	t.deepEqual(
		found.filter(each => wanted.includes(each)),
		[...wanted, 'syncDirectory directory'],
	);
});

test('copies of damaged bytes that a killed process made are durable before the log is used', async t => {
	const {directory} = await killedLog(t, {unsynced: 0});
	const path = join(directory, nameOf(0));
	const bytes = readFileSync(path);
	bytes[120]! ^= 0xff;
	writeFileSync(path, bytes);
	const {log, corruptions} = await openLog(t, directory);
	readAllSync(log);
	log.markDone(9);
	log.closeNow();
	const copy = basename(corruptions[0]!.quarantine!);
	writeFileSync(join(directory, 'quarantine', 'a note'), 'of somebody');
	const {storage, operations} = faultyStorage();
	const {log: again} = await openLog(t, copyOf(t, directory), {storage});
	const synced = operations
		.filter(each => each.startsWith('sync'))
		.map(each => each.replace(/disq-test-.*/, 'directory'));
	const wanted = ['sync checkpoint', `sync ${copy}`, 'syncDirectory quarantine', 'syncDirectory directory'];
	t.deepEqual(synced.slice(0, 4), wanted);
	t.deepEqual(readAllSync(again), numbered(9, 14));
});

test('a segment that came back after it was reclaimed goes again', async t => {
	const {directory} = await killedLog(t, {done: 9});
	const resurrected = readFileSync(join(directory, nameOf(0)));
	(await openLog(t, directory)).log.closeFiles();
	writeFileSync(join(directory, nameOf(0)), resurrected);
	await reads(t, directory, numbered(9, 14));
	t.deepEqual(segmentNames(directory), [nameOf(8)]);
});

test('a log whose records are all done goes wholly, and its next sequence stays', async t => {
	const {directory} = await killedLog(t, {done: 14});
	const log = await reads(t, directory, []);
	t.is(log.nextSequence, 14);
	t.deepEqual(readdirSync(directory), ['checkpoint']);
	log.append(recordsAt(14, 16));
	t.deepEqual(firstSequences(directory), [14]);
});

test('records that were lost are never numbered anew: the checkpoint has gone further', async t => {
	const {directory, last} = await killedLog(t, {done: 13, unsynced: 7});
	truncateSync(last, 100);
	const log = await reads(t, directory, []);
	t.is(log.nextSequence, 13);
	appendBlocks(log, 1);
	t.deepEqual(readAllSync(log), numbered(13, 15));
	log.closeFiles();
	await reads(t, directory, numbered(13, 15));
});

test('every truncation of a log that was synced is told as damage, not taken for a torn tail', async t => {
	const {directory, last, ends} = await killedLog(t, {unsynced: 1});
	const whole = readFileSync(last);
	let cases = 0;
	for (let length = 0; length < ends[1]!; length += 7) {
		const copy = copyOf(t, directory);
		truncateSync(join(copy, nameOf(8)), length);
		const {log, corruptions} = await openLog(t, copy);
		t.is(log.nextSequence, 12);
		const first = length < ends[0]! ? 8 : 10;
		t.deepEqual(readAllSync(log), numbered(0, first), `length ${length}`);
		t.deepEqual(
			corruptions.map(({lost}) => lost),
			[{first, last: 11}],
			`length ${length}`,
		);
		appendBlocks(log, 1);
		t.deepEqual(readAllSync(log), numbered(12, 14));
		log.closeFiles();
		cases++;
	}

	t.is(whole.byteLength, ends[2]!);
	t.true(cases > 20, `${cases} cases`);
});

test('damage in the last durable block is not cut off as a torn tail', async t => {
	const {directory, last, ends} = await killedLog(t, {unsynced: 1});
	const bytes = readFileSync(last).subarray(0, ends[1]!);
	bytes[ends[1]! - 5]! ^= 0xff;
	writeFileSync(last, bytes);
	const {log, corruptions} = await openLog(t, directory);
	t.is(log.recovery.truncatedBytes, 0);
	t.deepEqual(readAllSync(log), numbered(0, 10));
	t.is(corruptions.length, 1);
	t.like(corruptions[0], {offset: ends[0]!, bytes: ends[1]! - ends[0]!, lost: {first: 10, last: 11}});
	t.true(readFileSync(corruptions[0]!.quarantine!).equals(bytes.subarray(ends[0]!)));
});

test('a last segment that is gone is told when its records are due, and its sequences are not used again', async t => {
	const {directory, last} = await killedLog(t, {unsynced: 0, done: 2});
	const log = (await openLog(t, directory)).log;
	await log.sync();
	log.closeFiles();
	rmSync(last);
	const {log: again, corruptions} = await openLog(t, directory);
	t.is(again.nextSequence, 14);
	t.deepEqual(readAllSync(again), numbered(2, 8));
	t.deepEqual(
		corruptions.map(({lost}) => lost),
		[{first: 8, last: 13}],
	);
	appendBlocks(again, 1);
	t.deepEqual(readAllSync(again), numbered(14, 16));
});

test('with the last segment gone, damage at the end of the one before is not cut off', async t => {
	const {directory, last} = await killedLog(t, {unsynced: 0});
	const opened = await openLog(t, directory);
	await opened.log.sync();
	opened.log.closeFiles();
	rmSync(last);
	const path = join(directory, nameOf(4));
	const bytes = readFileSync(path);
	bytes[bytes.byteLength - 1]! ^= 0xff;
	writeFileSync(path, bytes);
	const {log, corruptions} = await openLog(t, directory);
	t.is(log.recovery.truncatedBytes, 0);
	t.is(statSync(path).size, bytes.byteLength);
	t.deepEqual(readAllSync(log), numbered(0, 6));
	t.is(corruptions[0]?.lost?.first, 6);
	t.is(corruptions.at(-1)?.lost?.last, 13);
	t.truthy(corruptions[0]?.quarantine);
});

test('every segment gone, the loss is told', async t => {
	const {directory} = await killedLog(t, {unsynced: 0, done: 2});
	const opened = await openLog(t, directory);
	await opened.log.sync();
	opened.log.closeFiles();
	for (const name of segmentNames(directory)) {
		rmSync(join(directory, name));
	}

	const {log, corruptions} = await openLog(t, directory);
	t.is(log.nextSequence, 14);
	t.deepEqual(readAllSync(log), []);
	t.deepEqual(
		corruptions.map(({lost}) => lost),
		[{first: 2, last: 13}],
	);
	t.is(corruptions[0]!.path, directory);
	t.true(log.reader.isAtEnd);
});

async function closedLog(t: ExecutionContext): Promise<string> {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 400});
	appendBlocks(log, 7);
	readAllSync(log);
	log.markDone(3);
	await log.close();
	return directory;
}

test('a log that was closed in order is opened without reading its blocks', async t => {
	const directory = await closedLog(t);
	const {storage, inject, pending} = faultyStorage();
	inject({method: 'read', code: 'EIO'});
	const {log} = await openLog(t, directory, {storage});
	t.is(pending(), 1);
	t.like(log.recovery, {isClean: true, records: 11, segments: 3, truncatedBytes: 0, reclaimedSegments: 0});
});

test('a segment begun after all was done and closed, of which only the name is there, is removed', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory);
	appendBlocks(log, 2);
	log.markDone(4);
	await log.close();
	writeFileSync(join(directory, nameOf(4)), '');
	const {log: again, corruptions} = await openLog(t, directory);
	t.false(again.recovery.isClean);
	appendBlocks(again, 1);
	t.deepEqual(readAllSync(again), numbered(4, 6));
	await again.sync();
	again.closeFiles();
	await reads(t, directory, numbered(4, 6));
	t.deepEqual(corruptions, []);
});

/** Overwrites the header of every slot, or of the newest. */
function damageSlots(directory: string, which: 'newest' | 'all'): void {
	const path = join(directory, 'checkpoint');
	const bytes = readFileSync(path);
	const slots = Array.from({length: slotCount}, (_, slot) => slot);
	const generations = slots.map(slot => bytes.readUInt32LE(slot * slotBytes + 24));
	for (const slot of which === 'all' ? slots : [generations.indexOf(Math.max(...generations))]) {
		bytes.fill(0x5a, slot * slotBytes + 40, slot * slotBytes + 60);
	}

	writeFileSync(path, bytes);
}

test('a damaged checkpoint that is all there is is put aside, and the log begins anew', async t => {
	const directory = await closedLog(t);
	damageSlots(directory, 'all');
	for (const name of segmentNames(directory)) {
		rmSync(join(directory, name));
	}

	const {log} = await openLog(t, directory);
	t.is(log.recovery.corruptions.length, 1);
	t.is(log.nextSequence, 0);
	appendBlocks(log, 1);
	t.deepEqual(readAllSync(log), numbered(0, 2));
	await log.close();
});

test('a torn newest checkpoint costs what was done since the one before, and no record', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 400});
	appendBlocks(log, 7);
	readAllSync(log);
	log.markDone(2);
	await log.sync();
	log.markDone(5);
	log.writeCheckpoint();
	const copy = copyOf(t, directory);
	damageSlots(copy, 'newest');
	await reads(t, copy, numbered(2, 14));
});

test('with all slots damaged the file is put aside and everything comes back', async t => {
	const directory = await closedLog(t);
	const opened = await openLog(t, directory);
	await opened.log.sync();
	opened.log.closeFiles();
	damageSlots(directory, 'all');
	const damaged = readFileSync(join(directory, 'checkpoint'));
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	t.deepEqual(readAllSync(log), numbered(0, 14));
	t.is(log.recovery.corruptions.length, 1);
	const [{path, quarantine, lost, expected}] = log.recovery.corruptions as [(typeof log.recovery.corruptions)[0]];
	t.is(path, join(directory, 'checkpoint'));
	t.is(lost, undefined);
	t.regex(expected, /^checkpoint checksum /);
	t.true(readFileSync(quarantine!).equals(damaged));
	const kept = ['rename checkpoint', 'sync checkpoint-0.bad', 'syncDirectory quarantine'];
	t.deepEqual(operations.filter(each => kept.includes(each)).slice(-2), kept.slice(1));
	log.markDone(4);
	await log.sync();
	log.closeFiles();
	await reads(t, directory, numbered(4, 14));
});

test('a missing checkpoint brings everything back', async t => {
	const directory = await closedLog(t);
	rmSync(join(directory, 'checkpoint'));
	const log = await reads(t, directory, numbered(0, 14));
	t.false(log.recovery.isClean);
});

test('a checkpoint that was being created is no damage', async t => {
	for (const length of [0, 500, checkpointFileBytes]) {
		const directory = await closedLog(t);
		writeFileSync(join(directory, 'checkpoint'), Buffer.alloc(length));
		await reads(t, directory, numbered(0, 14));
		t.false(existsSync(join(directory, 'quarantine')));
	}
});

test('the checkpoint of another queue is put aside', async t => {
	const directory = await closedLog(t);
	const other = await closedLog(t);
	copyFileSync(join(other, 'checkpoint'), join(directory, 'checkpoint'));
	const {log} = await openLog(t, directory);
	t.deepEqual(readAllSync(log), numbered(0, 14));
	t.is(log.recovery.corruptions.length, 1);
	t.regex(log.recovery.corruptions[0]!.expected, /^the queue id of the segments$/);
});

test('a segment of another queue at the end is put aside, never deleted', async t => {
	for (const isClosed of [true, false]) {
		const directory = isClosed ? await closedLog(t) : (await killedLog(t, {done: 3})).directory;
		const other = await closedLog(t);
		const foreign = readFileSync(join(other, nameOf(8)));
		writeFileSync(join(directory, nameOf(50)), foreign);
		const {log, corruptions} = await openLog(t, directory);
		t.deepEqual(readAllSync(log), numbered(3, 14));
		t.is(log.recovery.corruptions.length, 1);
		t.regex(log.recovery.corruptions[0]!.found, /^the segment 0{19}8\.log of queue [0-9a-f]{32}$/);
		t.true(readFileSync(log.recovery.corruptions[0]!.quarantine!).equals(foreign));
		t.deepEqual(corruptions, []);
		log.closeFiles();
	}
});

test('a segment under a wrong name is put aside, never deleted', async t => {
	const {directory} = await killedLog(t);
	const bytes = readFileSync(join(directory, nameOf(8)));
	renameSync(join(directory, nameOf(8)), join(directory, nameOf(20)));
	const {log} = await openLog(t, directory);
	t.true(readFileSync(log.recovery.corruptions[0]!.quarantine!).equals(bytes));
	t.deepEqual(readAllSync(log), numbered(0, 8));
});

test('a last segment that is no segment is put aside', async t => {
	const {directory} = await killedLog(t);
	writeFileSync(join(directory, nameOf(30)), 'a file of somebody else, under a name of ours, longer than a header');
	const {log} = await openLog(t, directory);
	t.deepEqual(readAllSync(log), numbered(0, 14));
	t.like(log.recovery.corruptions[0], {expected: 'a segment header', lost: undefined, offset: 0, bytes: 67});
	t.regex(readFileSync(log.recovery.corruptions[0]!.quarantine!, 'utf8'), /^a file of somebody else/);
});

/** Raises the version in a header, and makes its checksum right again. */
function raiseVersion(path: string, offset: number, bytes: number): void {
	const content = readFileSync(path);
	content.writeUInt16LE(2, offset + 4);
	const header = content.subarray(offset, offset + bytes);
	header.writeUInt32LE(crc32(header.subarray(0, bytes - 4)), bytes - 4);
	writeFileSync(path, content);
}

for (const [name, path, headerBytes] of [
	['the first segment', nameOf(0), segmentHeaderBytes],
	['the last segment', nameOf(8), segmentHeaderBytes],
	['the checkpoint', 'checkpoint', 88],
] as const) {
	test(`a newer version in ${name} is refused, and nothing changes`, async t => {
		const {directory, last} = await killedLog(t, {done: 1, unsynced: 7});
		writeFileSync(last, 'torn', {flag: 'a'});
		writeFileSync(join(directory, 'notes.txt'), 'a foreign file');
		raiseVersion(join(directory, path), 0, headerBytes);
		const before = fingerprint(directory);
		const error = await t.throwsAsync(openLog(t, directory), {instanceOf: QueueVersionError});
		t.is(error.path, join(directory, path));
		t.is(error.version, 2);
		t.is(error.code, 'QUEUE_VERSION');
		t.deepEqual(fingerprint(directory), before);
	});
}

test('a version in a header that does not check is not believed', async t => {
	const {directory} = await killedLog(t);
	const path = join(directory, nameOf(0));
	const bytes = readFileSync(path);
	bytes.writeUInt16LE(2, 4);
	writeFileSync(path, bytes);
	const {log, corruptions} = await openLog(t, directory);
	t.deepEqual(readAllSync(log), numbered(0, 14));
	t.like(corruptions[0], {offset: 0, bytes: segmentHeaderBytes, lost: undefined});
});

test('what has no name of ours is left alone', async t => {
	const {directory} = await killedLog(t, {done: 1});
	const names = ['0.log', `${nameOf(0)}.bak`, 'checkpoint.old', 'notes.txt'];
	for (const name of names) {
		writeFileSync(join(directory, name), 'not ours');
	}

	mkdirSync(join(directory, 'quarantine'));
	const log = await reads(t, directory, numbered(1, 14));
	log.markDone(14);
	await log.close();
	t.deepEqual(readdirSync(directory).sort(), [...names, 'checkpoint', 'quarantine'].sort());
	t.is(readFileSync(join(directory, '0.log'), 'utf8'), 'not ours');
});

/** What may stand under a name of ours and is not what it says, as it is made from the file that was there. */
const impostors: Array<[string, (path: string, outside: string) => unknown]> = [
	['a directory', path => mkdirSync(path)],
	['a link to the file itself, elsewhere', symlinkTo],
	['a link to nowhere', (path, outside) => symlinkSync(join(outside, 'nowhere'), path)],
	['a FIFO', path => execFileSync('mkfifo', [path])],
];

function symlinkTo(path: string, outside: string): void {
	const target = join(outside, 'file');
	writeFileSync(target, 'not to be touched');
	symlinkSync(target, path);
}

for (const [name, make] of impostors) {
	for (const ours of [nameOf(0), nameOf(4), nameOf(8), nameOf(50), 'checkpoint', 'quarantine']) {
		if (ours === 'quarantine' && name === 'a directory') {
			continue;
		}

		onUnix(`${name} in the place of ${ours} is refused by its path, and nothing changes`, async t => {
			const {directory} = await killedLog(t, {done: 1});
			const outside = temporaryDirectory(t);
			rmSync(join(directory, ours), {force: true});
			make(join(directory, ours), outside);
			const before = [fingerprint(directory), fingerprint(outside)];
			for (const onCorruption of ['quarantine', 'throw'] as const) {
				const error = await t.throwsAsync(openLog(t, directory, {onCorruption}), {instanceOf: QueueStorageError});
				t.is(error.path, join(directory, ours));
			}

			t.deepEqual([fingerprint(directory), fingerprint(outside)], before);
		});
	}
}

onUnix('a file in the place of the quarantine is refused by its path, and nothing changes', async t => {
	const {directory} = await killedLog(t);
	const path = join(directory, 'quarantine');
	writeFileSync(path, 'not ours');
	const before = fingerprint(directory);
	const error = await t.throwsAsync(openLog(t, directory), {instanceOf: QueueStorageError});
	t.is(error.path, path);
	t.deepEqual(fingerprint(directory), before);
});

onUnix(
	'a file that would be written to, and has a second name, is refused by its path; others are only read',
	async t => {
		for (const ours of [nameOf(8), 'checkpoint', nameOf(0), nameOf(4)]) {
			const {directory, last} = await killedLog(t, {done: 1});
			writeFileSync(last, 'torn', {flag: 'a'});
			const second = join(temporaryDirectory(t), 'second name');
			linkSync(join(directory, ours), second);
			const before = [fingerprint(directory), readFileSync(second)];
			if (ours === nameOf(8) || ours === 'checkpoint') {
				const error = await t.throwsAsync(openLog(t, directory), {instanceOf: QueueStorageError});
				t.is(error.path, join(directory, ours));
				t.is((error.cause as NodeJS.ErrnoException).code, 'EMLINK');
				t.deepEqual([fingerprint(directory), readFileSync(second)], before);
			} else {
				const log = await reads(t, directory, numbered(1, 14));
				log.markDone(14);
				await log.close();
				t.deepEqual(readFileSync(second), before[1]);
			}
		}
	},
);

for (const [what, damage] of [
	['a checkpoint without a whole slot', (directory: string) => damageSlots(directory, 'all')],
	[
		'a last segment of another queue',
		(directory: string, other: string) => copyFileSync(join(other, nameOf(8)), join(directory, nameOf(50))),
	],
	['a last segment that is none', (directory: string) => writeFileSync(join(directory, nameOf(50)), 'x'.repeat(100))],
] as const) {
	test(`with onCorruption throw, ${what} rejects the open, again and again, and nothing changes`, async t => {
		const directory = await closedLog(t);
		damage(directory, await closedLog(t));
		const before = fingerprint(directory);
		const errors: QueueCorruptError[] = [];
		for (let round = 0; round < 3; round++) {
			errors.push(
				(await t.throwsAsync(openLog(t, directory, {onCorruption: 'throw'}), {instanceOf: QueueCorruptError}))!,
			);
		}

		t.deepEqual(fingerprint(directory), before);
		const {log} = await openLog(t, directory);
		const [corruption] = log.recovery.corruptions;
		for (const error of errors) {
			t.deepEqual({...error.corruption, quarantine: corruption!.quarantine}, corruption);
		}
	});
}

test('a slot of another queue in the checkpoint is passed over, however new it is', async t => {
	const directory = await closedLog(t);
	const other = await closedLog(t);
	const path = join(directory, 'checkpoint');
	const whole = readFileSync(path);
	const slot = decodeCheckpoint(readFileSync(join(other, 'checkpoint')).subarray(0, slotBytes)) as Checkpoint;
	encodeCheckpoint({...slot, generation: 1000}).copy(whole, 2 * slotBytes);
	writeFileSync(path, whole);
	const log = await reads(t, directory, numbered(3, 14));
	t.true(log.recovery.isClean);
	log.markDone(5);
	await log.sync();
	log.closeFiles();
	await reads(t, directory, numbered(5, 14));
});

test('a last segment cut to its header or less, though it was on the device, is told and kept as damage', async t => {
	for (const length of [0, 1, 40, 63, 64]) {
		const {directory, last} = await killedLog(t, {unsynced: 0});
		const log = (await openLog(t, directory)).log;
		await log.sync();
		log.closeFiles();
		const whole = readFileSync(last);
		truncateSync(last, length);
		for (let round = 0; round < 2; round++) {
			const {log: again, corruptions} = await openLog(t, directory);
			t.is(again.recovery.truncatedBytes, 0);
			t.deepEqual(readAllSync(again), numbered(0, 8));
			t.is(corruptions.length, 1);
			t.like(corruptions[0], {lost: {first: 8, last: 13}, path: last});
			t.is(corruptions[0]!.bytes, length === 64 ? 0 : length);
			if (length > 0 && length < 64) {
				t.deepEqual(readFileSync(corruptions[0]!.quarantine!), whole.subarray(0, length));
			}

			again.closeFiles();
		}
	}
});

test('a log that was never synced, of one segment, is told from others though its header is damaged', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 1 << 20});
	appendBlocks(log, 4);
	const copy = copyOf(t, directory);
	const path = join(copy, nameOf(0));
	const whole = readFileSync(path);
	for (let offset = 0; offset < segmentHeaderBytes; offset++) {
		const damaged = Buffer.from(whole);
		damaged[offset]! ^= 0xff;
		writeFileSync(path, damaged);
		const {log: again, corruptions} = await openLog(t, copy);
		t.deepEqual(readAllSync(again), numbered(0, 8), `offset ${offset}`);
		t.like(corruptions, [{offset: 0, bytes: segmentHeaderBytes, lost: undefined}], `offset ${offset}`);
		again.closeFiles();
	}
});

test('a last segment of another content but the same length is not gone on with', async t => {
	const directory = await closedLog(t);
	const other = await closedLog(t);
	copyFileSync(join(other, nameOf(8)), join(directory, nameOf(8)));
	const foreign = readFileSync(join(directory, nameOf(8)));
	const {log, corruptions} = await openLog(t, directory);
	appendBlocks(log, 1);
	t.deepEqual(readFileSync(join(directory, nameOf(8))), foreign);
	t.deepEqual(readAllSync(log), [...numbered(3, 8), ...numbered(14, 16)]);
	t.deepEqual(
		corruptions.map(({lost}) => lost),
		[{first: 8, last: 13}],
	);
});

test('a file under the name of a segment before the checkpoint is removed only if it is one', async t => {
	const {directory} = await killedLog(t, {done: 9});
	const damaged = readFileSync(join(directory, nameOf(0)));
	damaged[20]! ^= 0xff;
	writeFileSync(join(directory, nameOf(0)), damaged);
	const notOurs = 'what somebody else keeps under a name like ours, longer than a header is';
	writeFileSync(join(directory, nameOf(2)), notOurs);
	const {log} = await openLog(t, directory);
	t.deepEqual(readAllSync(log), numbered(9, 14));
	t.deepEqual(segmentNames(directory), [nameOf(8)]);
	t.is(log.recovery.corruptions.length, 1);
	t.is(readFileSync(log.recovery.corruptions[0]!.quarantine!, 'utf8'), notOurs);
});

test('recovered twice in a row, a log is the same', async t => {
	for (const done of [0, 5, 9, 14]) {
		const {directory, last} = await killedLog(t, {done});
		writeFileSync(last, 'torn', {flag: 'a'});
		await isSettled(t, directory, `done ${done}`);
		await reads(t, directory, numbered(done, 14));
	}
});

type Loss = {name: string; take(directory: string): void; lost: number[]};

/** Zeros in the place of a segment's first block: what a file system shows of one that never reached the device. */
function takeBlock(directory: string, segment: number): void {
	const path = segmentPath(directory, segment);
	const bytes = readFileSync(path);
	const end = segmentHeaderBytes + blockHeaderBytes + bytes.readUInt32LE(segmentHeaderBytes + 4);
	writeFileSync(path, bytes.fill(0, segmentHeaderBytes, end));
}

function takeHeader(directory: string, segment: number): void {
	const path = join(directory, nameOf(segment));
	writeFileSync(path, readFileSync(path).fill(0, 0, segmentHeaderBytes));
}

const losses: Loss[] = [
	{name: 'a block of the last segment', take: directory => takeBlock(directory, 8), lost: [8, 9]},
	{name: 'a block of a sealed segment', take: directory => takeBlock(directory, 4), lost: [4, 5]},
	{name: 'the last block of a sealed segment', take: directory => cutBy(directory, 4, 1), lost: [6, 7]},
	{name: 'a sealed segment', take: directory => rmSync(join(directory, nameOf(4))), lost: [4, 5, 6, 7]},
	{
		name: 'the content of a sealed segment',
		take: directory => truncateSync(join(directory, nameOf(4))),
		lost: [4, 5, 6, 7],
	},
	{name: 'the first segment', take: directory => rmSync(join(directory, nameOf(0))), lost: [0, 1, 2, 3]},
	{name: 'the header of a sealed segment', take: directory => takeHeader(directory, 4), lost: []},
	{name: 'the header of the last segment', take: directory => takeHeader(directory, 8), lost: []},
];

function cutBy(directory: string, segment: number, bytes: number): void {
	const path = join(directory, nameOf(segment));
	truncateSync(path, statSync(path).size - bytes);
}

for (const {name, take, lost} of losses) {
	test(`${name}, never synced, that a power cut took is no damage, then and later`, async t => {
		const {directory, log: writer} = await killedLog(t, {unsynced: 7});
		t.deepEqual(
			writer.segments.map(({firstSequence}) => firstSequence),
			[0, 4, 8],
		);
		take(directory);
		const kept = numbered(0, 14).filter(([sequence]) => !lost.includes(sequence));
		const log = await reads(t, directory, kept);
		appendBlocks(log, 1);
		await log.sync();
		log.closeFiles();
		const again = await reads(t, directory, [...kept, ...numbered(14, 16)]);
		await again.close();
		const {log: throwing} = await openLog(t, directory, {onCorruption: 'throw'});
		t.true(throwing.recovery.isClean);
		t.deepEqual(await readAll(throwing), [...kept, ...numbered(14, 16)]);
		t.false(existsSync(join(directory, 'quarantine')));
	});
}

test('bytes that were there once are damage, though never synced', async t => {
	const {directory} = await killedLog(t, {unsynced: 7});
	const path = join(directory, nameOf(4));
	const bytes = readFileSync(path);
	bytes[100]! ^= 0xff;
	writeFileSync(path, bytes);
	const {log, corruptions} = await openLog(t, directory);
	t.deepEqual(
		readAllSync(log),
		numbered(0, 14).filter(([sequence]) => sequence < 4 || sequence > 5),
	);
	t.deepEqual(
		corruptions.map(({lost}) => lost),
		[{first: 4, last: 5}],
	);
});

test('what was written and synced after a power cut is damage if it is missing, though what it took is not', async t => {
	const {directory} = await killedLog(t, {unsynced: 7});
	takeBlock(directory, 4);
	const log = await reads(
		t,
		directory,
		numbered(0, 14).filter(([sequence]) => sequence < 4 || sequence > 5),
	);
	appendBlocks(log, 2);
	await log.sync();
	log.closeFiles();
	takeBlock(directory, 14);
	const {log: again, corruptions} = await openLog(t, directory);
	t.deepEqual(
		readAllSync(again).map(([sequence]) => sequence),
		[0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17],
	);
	t.deepEqual(
		corruptions.map(({lost}) => lost),
		[{first: 14, last: 15}],
	);
});

test('the checkpoint ahead of records that a power cut took is no damage', async t => {
	const {directory, last} = await killedLog(t, {done: 9, unsynced: 7});
	const {log: consumer} = await openLog(t, directory);
	consumer.markDelivered(() => ({next: 14, runs: [{first: 9, records: 2, attempts: 1}]}));
	consumer.writeCheckpoint();
	consumer.closeFiles();
	rmSync(last);
	const {log, corruptions} = await openLog(t, directory);
	t.is(log.nextSequence, 14);
	t.deepEqual(readAllSync(log), []);
	t.true(log.reader.isAtEnd);
	t.deepEqual([...log.recovery.corruptions, ...corruptions], []);
});

test('the queue id is found in whichever segment a power cut left with a header', async t => {
	const {directory, last, log: writer} = await killedLog(t, {unsynced: 7});
	rmSync(join(directory, 'checkpoint'));
	takeHeader(directory, 0);
	truncateSync(last);
	const log = await reads(t, directory, numbered(0, 8));
	t.true(log.queueId.equals(writer.queueId));
});

test('a segment gets back its header before the one goes that told the queue id', async t => {
	const {directory, last} = await killedLog(t, {unsynced: 7});
	rmSync(join(directory, 'checkpoint'));
	rmSync(join(directory, nameOf(0)));
	takeHeader(directory, 4);
	truncateSync(last, segmentHeaderBytes);
	const interrupted = copyOf(t, directory);
	const {storage, inject} = faultyStorage();
	inject({method: 'unlink', file: nameOf(8), code: 'EIO'});
	await t.throwsAsync(openLog(t, interrupted, {storage}));
	rmSync(join(interrupted, nameOf(8)));
	await reads(t, interrupted, numbered(4, 8));
	await reads(t, directory, numbered(4, 8));
});

test('without a checkpoint the first segment with a header says which queue this is, not one of another at the end', async t => {
	const {directory, log: writer} = await killedLog(t, {unsynced: 7});
	rmSync(join(directory, 'checkpoint'));
	const header = encodeSegmentHeader({queueId: Buffer.alloc(16, 1), firstSequence: 14, salt: 0, codecName: 'msgpack'});
	writeFileSync(join(directory, nameOf(14)), header);
	takeHeader(directory, 0);
	const {log} = await openLog(t, directory);
	t.true(log.queueId.equals(writer.queueId));
	t.deepEqual(readAllSync(log), numbered(0, 14));
});

test('a header of another queue, which a power cut left in place of its own, costs the queue neither id nor record', async t => {
	const directory = temporaryDirectory(t);
	const {log: writer} = await openLog(t, directory);
	appendBlocks(writer, 3);
	await writer.sync();
	const path = join(directory, nameOf(0));
	const foreign = encodeSegmentHeader({queueId: Buffer.alloc(16, 1), firstSequence: 0, salt: 0, codecName: 'msgpack'});
	writeFileSync(path, Buffer.concat([foreign, readFileSync(path).subarray(segmentHeaderBytes)]));
	const {log, corruptions} = await openLog(t, copyOf(t, directory));
	t.true(log.queueId.equals(writer.queueId));
	t.deepEqual(readAllSync(log), numbered(0, 6));
	t.like(corruptions, [{offset: 0, bytes: segmentHeaderBytes, lost: undefined}]);
});

/** Puts the beginning of a file that is gone in place of another one's, as a file system may that gives its blocks out anew. */
function fillWithStale(path: string, stale: Buffer, from = 0): void {
	const bytes = readFileSync(path);
	bytes.fill(0, from);
	stale.copy(bytes, from, from);
	writeFileSync(path, bytes);
}

for (const onCorruption of ['quarantine', 'throw'] as const) {
	test(`blocks of a segment that a power cut took do not come back in the one written in its place: ${onCorruption}`, async t => {
		const {directory} = await killedLog(t);
		const lost = readFileSync(join(directory, nameOf(8)));
		rmSync(join(directory, nameOf(8)));
		const {log} = await openLog(t, directory, {salt: 1});
		log.append(recordsAt(100, 120));
		const crashed = copyOf(t, directory);
		fillWithStale(segmentPath(crashed, 8), lost);
		const {log: whole} = await openLog(t, copyOf(t, directory), {salt: 2});
		t.deepEqual(
			readAllSync(whole).map(([, {id}]) => id),
			[...recordsAt(0, 8), ...recordsAt(100, 120)].map(({id}) => id),
		);
		const {log: again, corruptions} = await openLog(t, crashed, {salt: 2, onCorruption});
		t.deepEqual(readAllSync(again), numbered(0, 8));
		t.deepEqual([...again.recovery.corruptions, ...corruptions], []);
	});
}

test('blocks that a power cut took from behind what was closed in order do not come back', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {salt: 1});
	appendBlocks(log, 2);
	await log.close();
	const closed = copyOf(t, directory);
	const {log: second} = await openLog(t, directory, {salt: 2});
	second.append(recordsAt(100, 120));
	const lost = segmentNames(directory).map(name => [name, readFileSync(join(directory, name))] as const);
	const {log: third} = await openLog(t, closed, {salt: 3});
	t.true(third.recovery.isClean);
	third.append(recordsAt(200, 230));
	const crashed = copyOf(t, closed);
	for (const [index, name] of segmentNames(crashed).entries()) {
		fillWithStale(join(crashed, name), lost[index]![1], index === 0 ? log.segments[0]!.end : 0);
	}

	const {log: reader} = await openLog(t, crashed, {salt: 4});
	t.deepEqual(readAllSync(reader), numbered(0, 4));
});

test('an old header in a segment that a power cut came before says nothing of the queue', async t => {
	for (const header of [
		{queueId: Buffer.alloc(16, 1), firstSequence: 3, salt: 0, codecName: 'json'},
		{queueId: Buffer.alloc(16, 1), firstSequence: 14, salt: 7, codecName: 'msgpack'},
	]) {
		const {directory, log: writer} = await killedLog(t, {done: 14});
		writeFileSync(join(directory, nameOf(14)), Buffer.concat([encodeSegmentHeader(header), Buffer.alloc(100, 0xa5)]));
		for (const sequence of [0, 4, 8]) {
			rmSync(join(directory, nameOf(sequence)));
		}

		const {log} = await openLog(t, directory);
		t.true(log.queueId.equals(writer.queueId));
		t.is(log.nextSequence, 14);
		t.deepEqual(
			log.recovery.corruptions.map(({path, lost}) => [path, lost]),
			[[join(directory, nameOf(14)), undefined]],
		);
	}
});

test('what an earlier run left under the next name is gone for certain before that is given again', async t => {
	const directory = await closedLog(t);
	const {storage, operations} = faultyStorage();
	const {log} = await openLog(t, directory, {storage});
	t.true(log.recovery.isClean);
	appendBlocks(log, 1);
	const synced = operations.indexOf(`syncDirectory ${basename(directory)}`);
	t.true(synced !== -1 && synced < operations.indexOf(`create ${nameOf(14)}`), operations.join('\n'));
});

test('a last segment without a block, which could not be removed, goes before its sequence is used again', async t => {
	const directory = temporaryDirectory(t);
	const {storage, inject, pending} = faultyStorage();
	const {log} = await openLog(t, directory, {storage, salt: 1, segmentBytes: 100});
	appendBlocks(log, 1);
	inject({method: 'write', nth: 2, code: 'ENOSPC'});
	inject({method: 'unlink', code: 'EIO'});
	t.throws(() => appendBlocks(log, 1), {code: 'QUEUE_STORAGE'});
	t.is(pending(), 0);
	await log.close();
	t.deepEqual(firstSequences(directory), [0, 2]);
	const {log: again} = await openLog(t, directory, {salt: 2});
	t.deepEqual(firstSequences(directory), [0]);
	appendBlocks(again, 1);
	t.deepEqual(readAllSync(again), numbered(0, 4));
});

test('two segments from the same sequence are refused, and neither is changed', async t => {
	const directory = await closedLog(t);
	copyFileSync(join(directory, nameOf(4)), join(directory, nameOf(4).replace('.log', '.0000abcd.log')));
	const before = fingerprint(directory);
	const error = await t.throwsAsync(openLog(t, directory), {instanceOf: QueueStorageError});
	t.regex(error.message, /EEXIST: one of two segments from sequence 4.*Move the one away that was put there\./);
	t.deepEqual(fingerprint(directory), before);
});
