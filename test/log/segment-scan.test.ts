import {readFileSync, writeFileSync} from 'node:fs';
import test, {type ExecutionContext} from 'ava';
import {blockHeaderBytes, encodeBlockHeader} from '../../source/format/block.ts';
import {segmentHeaderBytes} from '../../source/format/segment-header.ts';
import {type Segment, segmentAt} from '../../source/log/segment.ts';
import {scanSegment} from '../../source/log/segment-scan.ts';
import {fileSystem} from '../../source/storage.ts';
import {faultyStorage} from '../helpers/faulty-storage.ts';
import {openDescriptors, openLog, recordsAt} from '../helpers/logs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const nothingDurable = {offset: 0, nextSequence: 0};

/** A segment of four blocks of three records, and where each of them ends. */
async function fourBlocks(t: ExecutionContext): Promise<{segment: Segment; ends: number[]; bytes: Buffer}> {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 1 << 20});
	const ends = [0, 3, 6, 9].map(first => {
		const {offset, bytes} = log.append(recordsAt(first, first + 3));
		return offset + bytes;
	});
	const segment = segmentAt(directory, {queueId: log.queueId, firstSequence: 0, salt: 0}, ends.at(-1)!);
	return {segment, ends, bytes: readFileSync(segment.path)};
}

test('finds the end of a whole segment', async t => {
	const {segment, ends} = await fourBlocks(t);
	t.deepEqual(await scanSegment(segment, nothingDurable, fileSystem), {
		offset: ends[3]!,
		nextSequence: 12,
		isWhole: true,
	});
});

test('finds the last whole block of a segment cut at any offset', async t => {
	const {segment, ends, bytes} = await fourBlocks(t);
	let cases = 0;
	for (let length = 0; length <= bytes.byteLength; length++) {
		writeFileSync(segment.path, bytes.subarray(0, length));
		segment.end = length;
		const whole = ends.filter(end => end <= length).length;
		t.deepEqual(await scanSegment(segment, nothingDurable, fileSystem), {
			offset: ends[whole - 1] ?? segmentHeaderBytes,
			nextSequence: 3 * whole,
			isWhole: true,
		});
		cases++;
	}

	t.is(cases, ends[3]! + 1);
});

const tails: Array<[string, (bytes: Buffer, ends: number[]) => Buffer]> = [
	['zeros', bytes => Buffer.concat([bytes, Buffer.alloc(5000)])],
	['garbage', bytes => Buffer.concat([bytes, Buffer.alloc(5000, 0xa5)])],
	['the bytes of an earlier block', (bytes, ends) => Buffer.concat([bytes, bytes.subarray(ends[0], ends[1])])],
	['half a block', (bytes, ends) => Buffer.concat([bytes, bytes.subarray(ends[2], ends[3]! - 9)])],
];

for (const [name, append] of tails) {
	test(`finds the end before ${name}`, async t => {
		const {segment, ends, bytes} = await fourBlocks(t);
		const content = append(bytes, ends);
		writeFileSync(segment.path, content);
		segment.end = content.byteLength;
		const {offset, nextSequence} = await scanSegment(segment, nothingDurable, fileSystem);
		t.is(nextSequence, 12);
		t.is(offset, ends[3]!);
	});
}

test('goes over damage to the whole blocks behind it', async t => {
	const {segment, ends, bytes} = await fourBlocks(t);
	let cases = 0;
	for (let offset = 0; offset < ends[2]!; offset++) {
		const damaged = Buffer.from(bytes);
		damaged[offset]! ^= 0xff;
		writeFileSync(segment.path, damaged);
		const found = await scanSegment(segment, nothingDurable, fileSystem);
		t.deepEqual(found, {offset: ends[3]!, nextSequence: 12, isWhole: offset < segmentHeaderBytes}, `offset ${offset}`);
		cases++;
	}

	t.is(cases, ends[2]!);
});

test('a block that checks, with sequences that those around it deny, does not say where the log ends', async t => {
	const {segment, ends, bytes} = await fourBlocks(t);
	const starts = [segmentHeaderBytes, ...ends];
	const forged = (index: number, firstSequence: number) => {
		const content = Buffer.from(bytes);
		const payload = content.subarray(starts[index]! + blockHeaderBytes, ends[index]);
		encodeBlockHeader(payload, {records: 3, firstSequence, appendedAt: 0}, segment.identity).copy(
			content,
			starts[index],
		);
		writeFileSync(segment.path, content);
	};
	for (const [index, firstSequence] of [
		[0, 4],
		[1, 5],
		[1, 100],
		[2, 7],
		[2, 2 ** 50],
	] as const) {
		forged(index, firstSequence);
		t.like(await scanSegment(segment, nothingDurable, fileSystem), {offset: ends[3]!, nextSequence: 12});
	}

	for (const firstSequence of [0, 3, 5]) {
		forged(3, firstSequence);
		t.like(await scanSegment(segment, nothingDurable, fileSystem), {offset: ends[2]!, nextSequence: 9});
	}

	forged(3, 100);
	const durable = {offset: ends[3]!, nextSequence: 12};
	t.like(await scanSegment(segment, durable, fileSystem), {offset: ends[2]!, nextSequence: 9});
});

test('blocks larger than the window are scanned too', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 1 << 24});
	log.append([{id: 0, text: 'x'.repeat(700_000)}]);
	log.append([{id: 1, text: 'y'.repeat(3_000_000)}]);
	const {offset, bytes} = log.append(recordsAt(2, 4));
	const segment = segmentAt(directory, {queueId: log.queueId, firstSequence: 0, salt: 0}, offset + bytes);
	t.deepEqual(await scanSegment(segment, nothingDurable, fileSystem), {
		offset: offset + bytes,
		nextSequence: 4,
		isWhole: true,
	});
});

test.serial('a read that fails is told, and leaves no descriptor open', async t => {
	const {segment} = await fourBlocks(t);
	const {storage, inject} = faultyStorage();
	inject({method: 'read', code: 'EIO'});
	const before = openDescriptors();
	await t.throwsAsync(scanSegment(segment, nothingDurable, storage), {code: 'EIO'});
	t.is(openDescriptors(), before);
});
