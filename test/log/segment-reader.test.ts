import {
	copyFileSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	truncateSync,
	writeFileSync,
} from 'node:fs';
import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {crc32} from 'node:zlib';
import test, {type ExecutionContext} from 'ava';
import {
	type Corruption,
	QueueCodecError,
	QueueCorruptError,
	QueueStorageError,
	QueueVersionError,
} from '../../source/errors.ts';
import {blockHeaderBytes, encodeBlockHeader} from '../../source/format/block.ts';
import {
	type Checkpoint,
	decodeCheckpoint,
	encodeCheckpoint,
	slotBytes,
	slotCount,
} from '../../source/format/checkpoint.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import {Mismatch} from '../../source/format/mismatch.ts';
import {encodeSegmentHeader, segmentHeaderBytes, segmentIdentity} from '../../source/format/segment-header.ts';
import type {SegmentLog} from '../../source/log/segment-log.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {faultyStorage, unsyncedStorage} from '../helpers/faulty-storage.ts';
import {
	appendBlocks,
	fingerprint,
	numbered,
	openLog,
	readAll,
	readAllSync,
	type recordAt,
	recordsAt,
	segmentNames,
	type TestRecord,
} from '../helpers/logs.ts';
import {afterMicrotasks, range} from '../helpers/queues.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const nameOf = (sequence: number) => `${String(sequence).padStart(20, '0')}.log`;

/** A block of the log below: where it is, and what it holds. */
type PlacedBlock = {file: string; offset: number; bytes: number; first: number; last: number};

type WrittenLog = {files: Map<string, Buffer>; blocks: PlacedBlock[]; next: number};

/**
 * A log of three segments of 2, 2 and 3 blocks of 2 records, as bytes. What was synced and then killed is all on the
 * device, like what was closed.
 */
async function writeLog(t: ExecutionContext, end: 'closed' | 'killed'): Promise<WrittenLog> {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 400});
	const blocks: PlacedBlock[] = [];
	for (let first = 0; first < 14; first += 2) {
		const {segment, offset, bytes} = log.append(recordsAt(first, first + 2));
		blocks.push({file: nameOf(segment.firstSequence), offset, bytes, first, last: first + 1});
	}

	t.is(log.segments.length, 3);
	await log.sync();
	if (end === 'closed') {
		await log.close();
	}

	const files = new Map(readdirSync(directory).map(name => [name, readFileSync(join(directory, name))]));
	return {files, blocks, next: 14};
}

function lay(directory: string, files: Map<string, Buffer>): void {
	rmSync(directory, {recursive: true, force: true});
	mkdirSync(directory);
	for (const [name, bytes] of files) {
		writeFileSync(join(directory, name), bytes);
	}
}

const reported = (corruptions: Corruption[]) =>
	corruptions.map(({path, offset, bytes, lost}) => ({path, offset, bytes, lost}));

/** What must be reported of one damaged byte: its block, or the header of its segment, and nothing more. */
function expectedDamage(directory: string, {blocks}: WrittenLog, file: string, offset: number) {
	const path = join(directory, file);
	if (offset < segmentHeaderBytes) {
		return {path, offset: 0, bytes: segmentHeaderBytes, lost: undefined};
	}

	const block = blocks.find(
		block => block.file === file && block.offset <= offset && offset < block.offset + block.bytes,
	)!;
	const {first, last} = block;
	return {path, offset: block.offset, bytes: block.bytes, lost: {first, last}};
}

for (const end of ['closed', 'killed'] as const) {
	for (const masks of end === 'killed' ? ['ff', 'others'] : ['ff']) {
		test(`any byte of a ${end} log changed, by mask ${masks}, is found, told, kept, and costs at most its block`, async t => {
			const written = await writeLog(t, end);
			const directory = join(temporaryDirectory(t), 'queue');
			const options = {storage: unsyncedStorage};
			let cases = 0;
			for (const [file, whole] of written.files) {
				if (file === 'checkpoint') {
					continue;
				}

				for (let offset = 0; offset < whole.byteLength; offset++) {
					const damaged = Buffer.from(whole);
					damaged[offset]! ^= masks === 'ff' ? 0xff : 1 + ((offset * 151) % 254);
					lay(directory, new Map([...written.files, [file, damaged]]));
					const {log, corruptions} = await openLog(t, directory, options);
					const found = cases % 2 ? readAllSync(log) : await readAll(log);
					log.closeFiles();
					const expected = expectedDamage(directory, written, file, offset);
					const {lost} = expected;
					const kept = corruptions[0]?.quarantine;
					const survivors = numbered(0, 14).filter(([id]) => !lost || id < lost.first || id > lost.last);
					const isRight =
						isDeepStrictEqual(found, survivors) &&
						isDeepStrictEqual(reported(corruptions), [expected]) &&
						log.recovery.corruptions.length === 0 &&
						log.recovery.truncatedBytes === 0 &&
						kept !== undefined &&
						readFileSync(kept).equals(damaged.subarray(expected.offset, expected.offset + expected.bytes));
					if (!isRight) {
						t.fail(`${file} at ${offset}: ${JSON.stringify({found: found.map(([id]) => id), corruptions, expected})}`);
						return;
					}

					cases++;
				}
			}

			t.true(cases > 850, `${cases} cases`);
		});
	}

	test(`any byte of the checkpoint of a ${end} log changed never costs a record`, async t => {
		const written = await writeLog(t, end);
		const directory = join(temporaryDirectory(t), 'queue');
		const whole = written.files.get('checkpoint')!;
		let cases = 0;
		for (let index = 0; index < 88 * slotCount; index++) {
			const offset = Math.floor(index / 88) * slotBytes + (index % 88);
			const damaged = Buffer.from(whole);
			damaged[offset]! ^= 0xff;
			lay(directory, new Map([...written.files, ['checkpoint', damaged]]));
			const {log, corruptions} = await openLog(t, directory, {storage: unsyncedStorage});
			const found = readAllSync(log);
			log.closeFiles();
			if (!isDeepStrictEqual(found, numbered(0, 14)) || corruptions.length > 0 || log.nextSequence !== 14) {
				t.fail(`offset ${offset}: ${JSON.stringify({found: found.map(([id]) => id), corruptions})}`);
				return;
			}

			cases++;
		}

		t.is(cases, 88 * slotCount);
	});
}

type Damage = {
	name: string;
	make(directory: string, written: WrittenLog): void;
	found: Array<[number, ReturnType<typeof recordAt>]>;
	lost: Array<{first: number; last: number} | undefined>;
};

const without = (first: number, last: number) => numbered(0, 14).filter(([id]) => id < first || id > last);

const damages: Damage[] = [
	{
		name: 'a missing first segment',
		make: directory => rmSync(join(directory, nameOf(0))),
		found: without(0, 3),
		lost: [{first: 0, last: 3}],
	},
	{
		name: 'a missing middle segment',
		make: directory => rmSync(join(directory, nameOf(4))),
		found: without(4, 7),
		lost: [{first: 4, last: 7}],
	},
	{
		name: 'two segments swapped',
		make(directory) {
			renameSync(join(directory, nameOf(0)), join(directory, 'x'));
			renameSync(join(directory, nameOf(4)), join(directory, nameOf(0)));
			renameSync(join(directory, 'x'), join(directory, nameOf(4)));
		},
		found: without(0, 7),
		lost: [
			{first: 0, last: 3},
			{first: 4, last: 7},
		],
	},
	{
		name: 'the content of a segment twice',
		make: directory => copyFileSync(join(directory, nameOf(0)), join(directory, nameOf(4))),
		found: without(4, 7),
		lost: [{first: 4, last: 7}],
	},
	{
		name: 'a segment of another queue',
		make(directory) {
			const queueId = Buffer.alloc(16, 0xee);
			const header = encodeSegmentHeader({queueId, firstSequence: 4, salt: 0, codecName: 'msgpack'});
			writeFileSync(join(directory, nameOf(4)), Buffer.concat([header, Buffer.alloc(200, 1)]));
		},
		found: without(4, 7),
		lost: [{first: 4, last: 7}],
	},
	{
		name: 'a block moved into another segment',
		make(directory, {blocks}) {
			const {offset, bytes} = blocks[0]!;
			const block = readFileSync(join(directory, nameOf(0))).subarray(offset, offset + bytes);
			const target = readFileSync(join(directory, nameOf(4)));
			const place = blocks[2]!;
			writeFileSync(
				join(directory, nameOf(4)),
				Buffer.concat([target.subarray(0, place.offset), block, target.subarray(place.offset + place.bytes)]),
			);
		},
		found: without(4, 5),
		lost: [{first: 4, last: 5}],
	},
	{
		name: 'two blocks of a segment swapped',
		make(directory, {blocks}) {
			const file = readFileSync(join(directory, nameOf(4)));
			const [one, two] = [blocks[2]!, blocks[3]!].map(({offset, bytes}) => file.subarray(offset, offset + bytes));
			writeFileSync(join(directory, nameOf(4)), Buffer.concat([file.subarray(0, segmentHeaderBytes), two!, one!]));
		},
		found: without(6, 7),
		lost: [undefined, {first: 6, last: 7}],
	},
	{
		name: 'a block twice in a row',
		make(directory, {blocks}) {
			const file = readFileSync(join(directory, nameOf(4)));
			const end = blocks[2]!.offset + blocks[2]!.bytes;
			const content = [file.subarray(0, end), file.subarray(blocks[2]!.offset)];
			writeFileSync(join(directory, nameOf(4)), Buffer.concat(content));
		},
		found: numbered(0, 14),
		lost: [],
	},
	{
		name: 'a block cut out',
		make: (directory, {blocks}) => cutOut(directory, blocks[2]!),
		found: without(4, 5),
		lost: [{first: 4, last: 5}],
	},
	{
		name: 'a block cut out that two others follow',
		make: (directory, {blocks}) => cutOut(directory, blocks[4]!),
		found: without(8, 9),
		lost: [{first: 8, last: 9}],
	},
	{
		name: 'a sealed segment cut in its last block',
		make: (directory, {blocks}) => truncateSync(join(directory, nameOf(4)), blocks[3]!.offset + 50),
		found: without(6, 7),
		lost: [{first: 6, last: 7}],
	},
	{
		name: 'a sealed segment cut at the end of a block',
		make: (directory, {blocks}) => truncateSync(join(directory, nameOf(4)), blocks[3]!.offset),
		found: without(6, 7),
		lost: [{first: 6, last: 7}],
	},
	{
		name: 'a sealed segment cut in its header',
		make: directory => truncateSync(join(directory, nameOf(4)), 20),
		found: without(4, 7),
		lost: [{first: 4, last: 7}],
	},
	{
		name: 'an empty sealed segment',
		make: directory => truncateSync(join(directory, nameOf(4)), 0),
		found: without(4, 7),
		lost: [{first: 4, last: 7}],
	},
	{
		name: 'a sealed segment of zeros',
		make: directory => writeFileSync(join(directory, nameOf(4)), Buffer.alloc(400)),
		found: without(4, 7),
		lost: [{first: 4, last: 7}],
	},
	{
		name: 'garbage behind a sealed segment',
		make: directory => writeFileSync(join(directory, nameOf(4)), Buffer.alloc(777, 0xd1), {flag: 'a'}),
		found: numbered(0, 14),
		lost: [],
	},
	{
		name: 'garbage between two blocks',
		make(directory, {blocks}) {
			const file = readFileSync(join(directory, nameOf(4)));
			const {offset} = blocks[3]!;
			const content = [file.subarray(0, offset), Buffer.alloc(3_000_000, 0x5b), file.subarray(offset)];
			writeFileSync(join(directory, nameOf(4)), Buffer.concat(content));
		},
		found: numbered(0, 14),
		lost: [undefined],
	},
];

function cutOut(directory: string, {file, offset, bytes}: PlacedBlock): void {
	const path = join(directory, file);
	const whole = readFileSync(path);
	writeFileSync(path, Buffer.concat([whole.subarray(0, offset), whole.subarray(offset + bytes)]));
}

/** A file system that reads a byte at a time: no more is ever there than was asked for. */
const byteByByte: Storage = {
	...fileSystem,
	read: (descriptor, target, position) => fileSystem.read(descriptor, target.subarray(0, 1), position),
};

const readings = [
	{read: readAll, storage: fileSystem},
	{read: readAllSync, storage: fileSystem},
	{read: readAll, storage: byteByByte},
];

for (const end of ['closed', 'killed'] as const) {
	for (const {name, make, found, lost} of damages) {
		test(`${name} in a ${end} log is told exactly, and everything else delivered`, async t => {
			const written = await writeLog(t, end);
			for (const {read, storage} of readings) {
				const directory = join(temporaryDirectory(t), 'queue');
				lay(directory, written.files);
				make(directory, written);
				const {log, corruptions} = await openLog(t, directory, {storage});
				t.deepEqual(await read(log), found);
				t.deepEqual(
					corruptions.map(corruption => corruption.lost),
					lost,
				);
				t.true(corruptions.every(({bytes, quarantine}) => bytes > 0 === (quarantine !== undefined)));
				t.true(log.reader.isAtEnd);
				t.is(log.nextSequence, 14);
				appendBlocks(log, 1);
				t.deepEqual(await read(log), numbered(14, 16));
			}
		});
	}
}

test('the table of damages has not shrunk', t => {
	t.is(damages.length, 17);
	t.is(readings.length, 3);
});

async function layDamaged(t: ExecutionContext): Promise<{directory: string; damaged: PlacedBlock}> {
	const written = await writeLog(t, 'closed');
	const directory = join(temporaryDirectory(t), 'queue');
	const damaged = written.blocks[3]!;
	const bytes = written.files.get(damaged.file)!;
	bytes[damaged.offset + 60]! ^= 0xff;
	lay(directory, written.files);
	return {directory, damaged};
}

test('with onCorruption throw a read throws, again and again, and changes nothing', async t => {
	const {directory, damaged} = await layDamaged(t);
	const {log, corruptions} = await openLog(t, directory, {onCorruption: 'throw'});
	const before = fingerprint(directory);
	const found: number[] = [];
	for (let block = log.reader.nextSync(); log.reader.sequence < damaged.first; block = log.reader.nextSync()) {
		found.push(...block!.records.map(({id}) => id));
	}

	t.deepEqual(found, [0, 1, 2, 3]);
	let thrown = 0;
	for (const read of [() => log.reader.nextSync(), () => log.reader.next(), () => log.reader.nextSync()]) {
		const error = t.throws(read, {instanceOf: QueueCorruptError});
		t.like(error.corruption, {
			path: join(directory, damaged.file),
			offset: damaged.offset,
			bytes: damaged.bytes,
			lost: {first: damaged.first, last: damaged.last},
			quarantine: undefined,
		});
		t.is(error.code, 'QUEUE_CORRUPT');
		thrown++;
	}

	t.is(thrown, 3);
	t.deepEqual(corruptions, []);
	t.deepEqual(fingerprint(directory), before);
	log.closeFiles();
	const {log: quarantining} = await openLog(t, directory);
	t.deepEqual(readAllSync(quarantining), without(6, 7));
});

test('damage that was set aside is told once more after a restart, and kept once', async t => {
	const {directory, damaged} = await layDamaged(t);
	for (let round = 0; round < 3; round++) {
		const {log, corruptions} = await openLog(t, directory);
		t.deepEqual(readAllSync(log), without(6, 7));
		t.is(corruptions.length, 1);
		t.deepEqual(readdirSync(join(directory, 'quarantine')), [`${nameOf(4).replace('.log', '')}-${damaged.offset}.bad`]);
		log.closeFiles();
	}
});

test('damage is no reason to stop where there is no room for the quarantine', async t => {
	const {directory} = await layDamaged(t);
	const {storage, inject} = faultyStorage();
	inject({method: 'makeDirectory', code: 'ENOSPC'});
	const {log, corruptions} = await openLog(t, directory, {storage});
	t.deepEqual(readAllSync(log), without(6, 7));
	t.is(corruptions[0]!.quarantine, undefined);
	t.deepEqual(corruptions[0]!.lost, {first: 6, last: 7});
});

/** Puts a block with a payload of one's own, and right checksums, in the place of a block. */
function replacePayload(
	written: WrittenLog,
	index: number,
	payload: Buffer,
	{records = 2, first = written.blocks[index]!.first}: {records?: number; first?: number} = {},
): void {
	const {file, offset} = written.blocks[index]!;
	const bytes = written.files.get(file)!;
	const queueId = bytes.subarray(8, 24);
	const firstSequence = Number(bytes.readBigUInt64LE(24));
	const identity = segmentIdentity({queueId, firstSequence, salt: 0});
	const header = encodeBlockHeader(payload, {records, firstSequence: first, appendedAt: 0}, identity);
	const end = offset + written.blocks[index]!.bytes;
	written.files.set(file, Buffer.concat([bytes.subarray(0, offset), header, payload, bytes.subarray(end)]));
}

const badPayloads: Array<[string, Buffer]> = [
	['that is cut short', Buffer.from('92a1', 'hex')],
	['that is no array of records', Buffer.from('c0', 'hex')],
	['with fewer records than its header says', Buffer.from('9101', 'hex')],
	['with more records than its header says', Buffer.from('93010203', 'hex')],
	['of an array that is not there', Buffer.from('ddffffffff', 'hex')],
	['that is no array, and as long', Buffer.from('a26161', 'hex')],
	['that says how long it is', Buffer.from('81a66c656e67746802', 'hex')],
	['with a null among its records', Buffer.from('9201c0', 'hex')],
	['with an undefined among its records', Buffer.from('92d4000001', 'hex')],
	['of thousands of nested arrays', Buffer.concat([Buffer.alloc(20_000, 0x91), Buffer.from([1])])],
];

for (const [name, payload] of badPayloads) {
	test(`a payload that checks, ${name}, costs its block and no other`, async t => {
		const written = await writeLog(t, 'closed');
		replacePayload(written, 2, payload);
		const directory = join(temporaryDirectory(t), 'queue');
		lay(directory, written.files);
		const {log, corruptions} = await openLog(t, directory);
		t.deepEqual(readAllSync(log), without(4, 5));
		t.is(corruptions.length, 1);
		t.like(corruptions[0], {
			offset: segmentHeaderBytes,
			bytes: blockHeaderBytes + payload.byteLength,
			lost: {first: 4, last: 5},
		});
		t.truthy(corruptions[0]!.quarantine);
	});
}

for (const end of ['closed', 'killed'] as const) {
	test(`a block of a ${end} log that checks, with sequences that its segment cannot hold, costs itself and no other`, async t => {
		let cases = 0;
		for (const index of [0, 2, 3, 5, 6]) {
			for (const first of [0, 13, 14, 1000, 2 ** 50].filter(first => index > 1 || first > 0)) {
				const written = await writeLog(t, end);
				const {file, offset, bytes, first: due, last} = written.blocks[index]!;
				const payload = written.files.get(file)!.subarray(offset + blockHeaderBytes, offset + bytes);
				replacePayload(written, index, Buffer.from(payload), {first});
				const directory = join(temporaryDirectory(t), 'queue');
				lay(directory, written.files);
				const {log, corruptions} = await openLog(t, directory, {storage: unsyncedStorage});
				t.deepEqual(readAllSync(log), without(due, last), `${first} in block ${index}`);
				t.deepEqual(reported(corruptions), [{path: join(directory, file), offset, bytes, lost: {first: due, last}}]);
				log.closeFiles();
				cases++;
			}
		}

		t.is(cases, 24);
	});
}

test('a block that checks, with sequences that the next one denies, costs itself and no other', async t => {
	for (const read of [readAll, readAllSync]) {
		const written = await writeLog(t, 'closed');
		const {file, offset, bytes} = written.blocks[4]!;
		const payload = Buffer.from(written.files.get(file)!.subarray(offset + blockHeaderBytes, offset + bytes));
		replacePayload(written, 4, payload, {first: 10});
		const directory = join(temporaryDirectory(t), 'queue');
		lay(directory, written.files);
		const {log, corruptions} = await openLog(t, directory);
		t.deepEqual(await read(log), without(8, 9));
		t.deepEqual(reported(corruptions), [{path: join(directory, file), offset, bytes, lost: {first: 8, last: 9}}]);
	}
});

/** The checkpoint without its word of where to read on, which is only a hint. */
function forgetBlockOffset(checkpoint: Buffer): Buffer {
	for (let slot = 0; slot < checkpoint.byteLength; slot += slotBytes) {
		const found = decodeCheckpoint(checkpoint.subarray(slot, slot + slotBytes));
		if (!(found instanceof Mismatch)) {
			encodeCheckpoint({...found, blockOffset: 0}).copy(checkpoint, slot);
		}
	}

	return checkpoint;
}

function readSome(log: SegmentLog<TestRecord>, blocks: number): number[] {
	return Array.from({length: blocks}, () => log.reader.nextSync()!.records.map(({id}) => id)).flat();
}

test('damage before the first record that is due costs nothing of its block', async t => {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 1 << 20});
	for (let first = 0; first < 40; first += 10) {
		log.append(recordsAt(first, first + 10));
	}

	readAllSync(log);
	log.markDone(15);
	await log.sync();
	log.closeFiles();
	const path = join(directory, nameOf(0));
	const whole = readFileSync(path);
	const hidden = forgetBlockOffset(readFileSync(join(directory, 'checkpoint')));
	writeFileSync(join(directory, 'checkpoint'), hidden);
	let cases = 0;
	for (const offset of [3, 20, 62, segmentHeaderBytes + 5, segmentHeaderBytes + 100]) {
		const damaged = Buffer.from(whole);
		damaged[offset]! ^= 0xff;
		writeFileSync(path, damaged);
		const {log: again, corruptions} = await openLog(t, directory);
		t.deepEqual(readAllSync(again), numbered(15, 40), `offset ${offset}`);
		t.true(corruptions.every(({lost}) => lost === undefined));
		t.is(again.reader.sequence, 40);
		again.closeFiles();
		cases++;
	}

	t.is(cases, 5);
});

/** A log of two segments, and the word of its checkpoint that record 15, of the first, is due. */
async function partlyDone(t: ExecutionContext): Promise<string> {
	const directory = temporaryDirectory(t);
	const {log} = await openLog(t, directory, {segmentBytes: 1000, storage: unsyncedStorage});
	for (let first = 0; first < 40; first += 10) {
		log.append(recordsAt(first, first + 10));
	}

	t.is(log.segments.length, 2);
	readAllSync(log);
	log.markDone(15);
	await log.close();
	return directory;
}

/** The checkpoint that counts, and where its slot begins. */
function newestCheckpoint(file: Buffer): {at: number; checkpoint: Checkpoint} {
	const slots = range(0, slotCount).flatMap(slot => {
		const at = slot * slotBytes;
		const checkpoint = decodeCheckpoint(file.subarray(at, at + slotBytes));
		return checkpoint instanceof Mismatch ? [] : [{at, checkpoint}];
	});
	return slots.sort((one, other) => other.checkpoint.generation - one.checkpoint.generation)[0]!;
}

test('a checkpoint whose word of where to begin is wrong costs no record', async t => {
	const directory = await partlyDone(t);
	const path = join(directory, 'checkpoint');
	const whole = readFileSync(path);
	const {at, checkpoint} = newestCheckpoint(whole);
	const {blockOffset} = checkpoint;
	t.true(blockOffset > segmentHeaderBytes);
	let cases = 0;
	for (const wrong of [1, 64, 65, blockOffset - 1, blockOffset + 1, blockOffset + 200, 1400, 5000, 2 ** 40]) {
		encodeCheckpoint({...checkpoint, blockOffset: wrong}).copy(whole, at);
		writeFileSync(path, whole);
		for (const read of [readAll, readAllSync]) {
			const {log, corruptions} = await openLog(t, directory, {storage: unsyncedStorage});
			t.deepEqual(await read(log), numbered(15, 40), `${wrong}`);
			t.deepEqual(corruptions, [], `${wrong}`);
			log.closeFiles();
			cases++;
		}
	}

	t.is(cases, 18);
});

test('a damaged header is found also where reading begins in the middle of its segment', async t => {
	const directory = await partlyDone(t);
	const path = join(directory, nameOf(0));
	const whole = readFileSync(path);
	for (let offset = 0; offset < segmentHeaderBytes; offset++) {
		const damaged = Buffer.from(whole);
		damaged[offset]! ^= 0xff;
		writeFileSync(path, damaged);
		const {log, corruptions} = await openLog(t, directory, {storage: unsyncedStorage});
		t.deepEqual(readAllSync(log), numbered(15, 40), `${offset}`);
		t.is(corruptions.length, 1, `${offset}`);
		t.like(corruptions[0], {offset: 0, lost: undefined}, `${offset}`);
		log.closeFiles();
	}
});

test('the first record due may be in the middle of a block', async t => {
	for (let done = 0; done <= 20; done++) {
		const directory = temporaryDirectory(t);
		const {log} = await openLog(t, directory, {storage: unsyncedStorage});
		log.append(recordsAt(0, 10));
		log.append(recordsAt(10, 20));
		readAllSync(log);
		log.markDone(done);
		await log.close();
		const {log: again, corruptions} = await openLog(t, directory, {storage: unsyncedStorage});
		t.deepEqual(readAllSync(again), numbered(done, 20));
		t.deepEqual(corruptions, []);
		again.closeFiles();
	}
});

for (const code of ['EIO', 'EACCES', 'EMFILE']) {
	test(`a read that fails with ${code} loses nothing: the next one goes on`, async t => {
		const written = await writeLog(t, 'closed');
		const directory = join(temporaryDirectory(t), 'queue');
		lay(directory, written.files);
		let failures = 0;
		for (const method of ['open', 'read', 'readSync'] as const) {
			for (const file of segmentNames(directory)) {
				const {storage, inject} = faultyStorage();
				const {log, corruptions} = await openLog(t, directory, {storage});
				inject({method, file, code});
				const found: unknown[] = [];
				while (!log.reader.isAtEnd) {
					try {
						found.push(...(method === 'readSync' ? readAllSync(log) : await readAll(log)));
					} catch (error) {
						t.true(error instanceof QueueStorageError);
						t.is((error as QueueStorageError).path, join(directory, file));
						failures++;
					}
				}

				t.is(log.reader.sequence, 14);
				t.deepEqual(corruptions, []);
				log.closeFiles();
			}
		}

		t.is(failures, 9);
	});
}

test('a segment of another codec in the middle is refused, not taken for damage', async t => {
	const written = await writeLog(t, 'closed');
	const directory = join(temporaryDirectory(t), 'queue');
	const bytes = written.files.get(nameOf(4))!;
	const header = encodeSegmentHeader({queueId: bytes.subarray(8, 24), firstSequence: 4, salt: 0, codecName: 'other'});
	header.copy(bytes);
	lay(directory, written.files);
	const before = fingerprint(directory);
	const {log} = await openLog(t, directory);
	t.deepEqual(readSome(log, 2), [0, 1, 2, 3]);
	t.throws(() => log.reader.nextSync(), {instanceOf: QueueCodecError});
	t.throws(() => log.reader.next(), {instanceOf: QueueCodecError});
	t.deepEqual(fingerprint(directory), before);
});

test('a newer version in a segment in the middle is refused, not taken for damage', async t => {
	const written = await writeLog(t, 'closed');
	const directory = join(temporaryDirectory(t), 'queue');
	const bytes = written.files.get(nameOf(4))!;
	bytes.writeUInt16LE(2, 4);
	bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
	lay(directory, written.files);
	const before = fingerprint(directory);
	const {log} = await openLog(t, directory);
	t.deepEqual(readSome(log, 2), [0, 1, 2, 3]);
	t.throws(() => log.reader.nextSync(), {instanceOf: QueueVersionError});
	t.deepEqual(fingerprint(directory), before);
});

test('a file that gets shorter, or goes, under an open log is damage, and no endless loop', async t => {
	const large = 'x'.repeat(300_000);
	for (const make of [(path: string) => truncateSync(path, 500_000), (path: string) => rmSync(path)]) {
		for (const read of [readAll<TestRecord>, readAllSync<TestRecord>]) {
			const directory = temporaryDirectory(t);
			const {log, corruptions} = await openLog(t, directory, {segmentBytes: 1_000_000});
			for (let id = 0; id < 9; id++) {
				log.append([{id, text: large}]);
			}

			t.is(log.segments.length, 3);
			make(log.segments[1]!.path);
			const found = await read(log);
			const lost = corruptions.flatMap(corruption => (corruption.lost ? [corruption.lost] : []));
			const missing = lost.reduce((sum, {first, last}) => sum + last - first + 1, 0);
			t.is(found.length + missing, 9);
			t.true(missing > 0 && missing <= 3);
			t.true(found.every(([sequence, {id}]) => sequence === id));
		}
	}
});

test('a load of nothing takes nothing from what is appended meanwhile, or after it', async t => {
	for (const read of [readAll<TestRecord>, readAllSync<TestRecord>]) {
		const {log} = await openLog(t, temporaryDirectory(t));
		appendBlocks(log, 2);
		t.is(log.reader.next(), undefined);
		t.deepEqual(readAllSync(log), numbered(0, 4));
		const load = log.reader.load();
		appendBlocks(log, 1);
		await load;
		t.deepEqual(await read(log), numbered(4, 6));
		await log.reader.load();
		appendBlocks(log, 1);
		t.deepEqual(await read(log), numbered(6, 8));
	}
});

test('a load that is overtaken takes nothing from what is appended next', async t => {
	const {log} = await openLog(t, temporaryDirectory(t));
	appendBlocks(log, 2);
	t.is(log.reader.next(), undefined);
	const load = log.reader.load();
	log.reader.skipTo(4);
	await load;
	appendBlocks(log, 1);
	t.deepEqual(await readAll(log), numbered(4, 6));
});

test('a load that fails is nothing to a reader that has left its segment, whichever microtask does it', async t => {
	for (let microtasks = 0; microtasks < 12; microtasks++) {
		const {storage, inject} = faultyStorage();
		const {log, corruptions} = await openLog(t, temporaryDirectory(t), {storage});
		const {segment} = log.append(recordsAt(0, 2));
		t.is(log.reader.next(), undefined);
		inject({method: 'open', code: 'EMFILE'});
		const outcome = log.reader.load().catch(error => error);
		await afterMicrotasks(microtasks);

		log.reader.leave(segment);
		const error = await outcome;
		t.true(error === undefined || error instanceof QueueStorageError, `${microtasks} microtasks: ${error}`);
		t.deepEqual(await readAll(log), numbered(0, 2));
		t.deepEqual(corruptions, []);
	}
});

test('what is appended to a file that got shorter is read: damage is what was missing', async t => {
	for (const read of [readAll<TestRecord>, readAllSync<TestRecord>]) {
		const directory = temporaryDirectory(t);
		const {log, corruptions} = await openLog(t, directory);
		appendBlocks(log, 1);
		const {segment, offset, bytes} = log.append(recordsAt(2, 4));
		truncateSync(segment.path, offset + bytes / 2);
		t.deepEqual(await read(log), numbered(0, 2));
		t.like(corruptions, [{lost: {first: 2, last: 3}}]);
		appendBlocks(log, 2);
		t.deepEqual(await read(log), numbered(4, 8));
		t.deepEqual(
			corruptions.flatMap(({lost}) => (lost ? [lost] : [])),
			[{first: 2, last: 3}],
		);
	}
});

test('a codec that throws anything at all makes damage of one block', async t => {
	const codec = msgpackCodec<TestRecord>();
	const decode = (bytes: Uint8Array) => {
		const records = codec.decode(bytes);
		if (records[0]!.id === 2) {
			throw 'no error';
		}

		return records;
	};
	const {log, corruptions} = await openLog(t, temporaryDirectory(t), {codec: {...codec, decode}});
	appendBlocks(log, 3);
	t.deepEqual(
		readAllSync(log).map(([sequence]) => sequence),
		[0, 1, 4, 5],
	);
	t.like(corruptions, [{lost: {first: 2, last: 3}, found: 'string'}]);
});

test('where a sequence stands is known while its block is the oldest that is not done', async t => {
	const {log} = await openLog(t, temporaryDirectory(t), {segmentBytes: 400});
	const offsets = [0, 2, 4].map(first => log.append(recordsAt(first, first + 2)).offset);
	t.is(log.segments.length, 2);
	t.is(log.reader.offsetOf(0), 0);
	readAllSync(log);
	t.is(log.reader.offsetOf(0), offsets[0]!);
	t.is(log.reader.offsetOf(1), offsets[0]!);
	t.is(log.reader.offsetOf(3), offsets[1]!);
	t.is(log.reader.offsetOf(2), offsets[1]!);
	t.is(log.reader.offsetOf(0), 0);
	t.is(log.reader.offsetOf(4), offsets[2]!);
});
