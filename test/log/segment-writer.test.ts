import {readFileSync} from 'node:fs';
import test, {type ExecutionContext} from 'ava';
import {encodeSegmentHeader, segmentHeaderBytes} from '../../source/format/segment-header.ts';
import {segmentAt} from '../../source/log/segment.ts';
import {SegmentWriter} from '../../source/log/segment-writer.ts';
import {SyncPace} from '../../source/log/sync-pace.ts';
import type {SyncPlace} from '../../source/storage.ts';
import {type FaultyStorage, faultyStorage} from '../helpers/faulty-storage.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const queueId = Buffer.alloc(16, 5);
const header = {queueId, firstSequence: 0, salt: 0, codecName: 'msgpack'};

function createWriter(t: ExecutionContext): FaultyStorage & {writer: SegmentWriter} {
	const faulty = faultyStorage();
	const writer = SegmentWriter.create(
		segmentAt(temporaryDirectory(t), {queueId, firstSequence: 0, salt: 0}, 0),
		faulty.storage,
		new SyncPace(),
	);
	writer.append([encodeSegmentHeader(header)]);
	return {...faulty, writer};
}

test('goes on behind the header, then behind what was appended', async t => {
	const {writer} = createWriter(t);
	t.is(writer.segment.end, segmentHeaderBytes);
	t.false(writer.hasBlocks);
	writer.append([Buffer.from('ab'), Buffer.from('c')]);
	writer.append([Buffer.from('d')]);
	t.is(writer.segment.end, segmentHeaderBytes + 4);
	t.true(writer.hasBlocks);
	t.is(readFileSync(writer.segment.path).toString('latin1', segmentHeaderBytes), 'abcd');
});

test('a segment is dirty until a sync that covers all of it', async t => {
	const {writer, hold} = createWriter(t);
	t.true(writer.segment.isDirty);
	const release = hold('sync');
	const syncing = writer.sync();
	writer.append([Buffer.from('x')]);
	release();
	await syncing;
	t.true(writer.segment.isDirty);
	t.is(writer.syncedEnd, segmentHeaderBytes);
	await writer.sync();
	t.false(writer.segment.isDirty);
	t.is(writer.syncedEnd, segmentHeaderBytes + 1);
});

test('the descriptor stays open until a sync under way has ended', async t => {
	const {writer, hold, operations} = createWriter(t);
	const release = hold('sync');
	const syncing = writer.sync();
	writer.close();
	t.notRegex(operations.join(), /close/);
	release();
	await syncing;
	t.deepEqual(operations.slice(-2), ['sync 00000000000000000000.log', 'close 00000000000000000000.log']);
});

for (const take of [0, 1, 50, 99]) {
	test(`a write that ends after ${take} of 100 bytes is cut off again`, t => {
		const {writer, inject} = createWriter(t);
		writer.append([Buffer.from('before')]);
		inject({method: 'write', code: 'ENOSPC', take: () => take});
		t.throws(() => writer.append([Buffer.alloc(40, 1), Buffer.alloc(60, 2)]), {code: 'ENOSPC'});
		t.is(readFileSync(writer.segment.path).byteLength, segmentHeaderBytes + 6);
		t.is(writer.segment.end, segmentHeaderBytes + 6);
	});
}

test('a short write that then goes on is no failure', t => {
	const {writer, storage} = createWriter(t);
	const write = storage.write;
	storage.write = (descriptor, pieces, position) => {
		const bytes = Buffer.concat(pieces);
		return write(descriptor, [bytes.subarray(0, Math.ceil(bytes.byteLength / 2))], position);
	};
	writer.append([Buffer.from('0123456789'), Buffer.from('abc')]);
	t.is(readFileSync(writer.segment.path).toString('latin1', segmentHeaderBytes), '0123456789abc');
});

test('what cannot be cut off is behind the end of the segment', t => {
	const {writer, inject} = createWriter(t);
	inject({method: 'write', code: 'EIO', take: () => 3});
	inject({method: 'truncate', code: 'EIO'});
	t.throws(() => writer.append([Buffer.from('abcdef')]), {code: 'EIO'});
	t.is(readFileSync(writer.segment.path).byteLength, segmentHeaderBytes + 3);
	t.is(writer.segment.end, segmentHeaderBytes);
});

/** Appends and syncs blocks of 100 bytes. */
async function appendAndSync(writer: SegmentWriter, times: number): Promise<void> {
	for (let left = times; left > 0; left--) {
		writer.append([Buffer.alloc(100, 7)]);
		await writer.sync();
	}
}

test('where syncs are small, and only there, zeros are written ahead, and cut off at the end', async t => {
	const {writer, storage} = createWriter(t);
	const bytes = () => storage.stat(writer.segment.path)!.bytes;
	await appendAndSync(writer, 3);
	t.false(writer.isReserveDue);
	await appendAndSync(writer, 1);
	t.true(writer.isReserveDue);
	writer.append([Buffer.alloc(100_000, 7)]);
	await writer.sync();
	t.false(writer.isReserveDue);
	await appendAndSync(writer, 4);
	writer.reserve(1000);
	t.is(writer.reservedBytes, 1000);
	t.is(bytes(), writer.segment.end + 1000);
	t.true(
		readFileSync(writer.segment.path)
			.subarray(writer.segment.end)
			.every(byte => byte === 0),
	);
	t.false(writer.isReserveDue);
	writer.append([Buffer.alloc(900, 7)]);
	t.is(writer.reservedBytes, 100);
	writer.append([Buffer.alloc(900, 7)]);
	t.is(writer.reservedBytes, 0);
	t.true(writer.isReserveDue);
	writer.reserve(10_000_000);
	t.is(writer.reservedBytes, 256 * 1024);
	t.true(writer.trim());
	t.false(writer.trim());
	t.is(bytes(), writer.segment.end);
	writer.reserve(0);
	t.is(bytes(), writer.segment.end);
	writer.reserve(10);
	writer.close();
	t.is(bytes(), writer.segment.end);
});

test('quick syncs of few bytes are made in place', async t => {
	const {storage} = faultyStorage();
	const places: Array<SyncPlace | undefined> = [];
	const {sync} = storage;
	storage.sync = (descriptor, where) => {
		places.push(where);
		return sync(descriptor, where);
	};
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 0, salt: 0}, 0);
	const writer = SegmentWriter.create(segment, storage, new SyncPace(() => 0));
	await appendAndSync(writer, 66);
	writer.append([Buffer.alloc(100_000, 7)]);
	await writer.sync();
	t.is(places[0], 'threadPool');
	t.deepEqual(places.slice(-3), ['inPlace', 'inPlace', 'threadPool']);
	writer.close();
});

test('zeros that the device has no room for are given up for a while, and no block is', async t => {
	const {writer, storage, inject} = createWriter(t);
	await appendAndSync(writer, 4);
	inject({method: 'write', code: 'ENOSPC', take: () => 50});
	writer.reserve(1000);
	t.is(writer.reservedBytes, 0);
	t.is(storage.stat(writer.segment.path)!.bytes, writer.segment.end);
	t.false(writer.isReserveDue);
	await appendAndSync(writer, 4);
	t.true(writer.isReserveDue);
});

test('a write that fails takes the zeros behind it along', async t => {
	const {writer, inject} = createWriter(t);
	await appendAndSync(writer, 4);
	writer.reserve(1000);
	inject({method: 'write', code: 'EIO', take: () => 3});
	t.throws(() => writer.append([Buffer.alloc(100, 7)]), {code: 'EIO'});
	t.is(writer.reservedBytes, 0);
	t.is(readFileSync(writer.segment.path).byteLength, writer.segment.end);
});
