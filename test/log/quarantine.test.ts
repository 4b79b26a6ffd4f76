import {existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import test from 'ava';
import {encodeBlockHeader} from '../../source/format/block.ts';
import {nextBlock, quarantineBytes, quarantineFile, quarantineSize} from '../../source/log/quarantine.ts';
import {segmentAt} from '../../source/log/segment.ts';
import {fileSystem} from '../../source/storage.ts';
import {faultyStorage} from '../helpers/faulty-storage.ts';
import {onUnix} from '../helpers/platforms.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const queueId = Buffer.alloc(16, 9);
const mebibyte = 1024 * 1024;

test('finds a header at any offset near the border between two pieces', t => {
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 0, salt: 0}, 0);
	const header = encodeBlockHeader(Buffer.from('x'), {records: 1, firstSequence: 5, appendedAt: 0}, segment.identity);
	let cases = 0;
	for (let at = mebibyte - 42; at <= mebibyte + 2; at++) {
		const bytes = Buffer.alloc(mebibyte + 200, 0xd1);
		header.copy(bytes, at);
		writeFileSync(segment.path, bytes);
		t.is(nextBlock(segment, {from: 0, to: bytes.byteLength, sequence: 0}, fileSystem)?.offset, at);
		cases++;
	}

	t.is(cases, 45);
});

test('finds the block with the sequence, and none that is wholly before it', t => {
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 0, salt: 0}, 0);
	const header = (firstSequence: number) =>
		encodeBlockHeader(Buffer.from('x'), {records: 10, firstSequence, appendedAt: 0}, segment.identity);
	const bytes = Buffer.concat([header(0), header(10), header(20)]);
	writeFileSync(segment.path, bytes);
	const find = (sequence: number, to = 120) => nextBlock(segment, {from: 0, to, sequence}, fileSystem)?.offset;
	t.is(find(0), 0);
	t.is(find(9), 0);
	t.is(find(10), 40);
	t.is(find(15), 40);
	t.is(find(29), 80);
	t.is(find(30), undefined);
	t.is(find(29, 119), undefined);
});

test('a file that got shorter is searched to its end', t => {
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 0, salt: 0}, 0);
	const header = encodeBlockHeader(Buffer.from('x'), {records: 1, firstSequence: 5, appendedAt: 0}, segment.identity);
	writeFileSync(segment.path, Buffer.concat([Buffer.alloc(100), header]));
	t.is(nextBlock(segment, {from: 0, to: 3 * mebibyte, sequence: 0}, fileSystem)?.offset, 100);
	t.is(nextBlock(segment, {from: 101, to: 3 * mebibyte, sequence: 0}, fileSystem), undefined);
});

test('a copy that goes while the quarantine is measured counts nothing', t => {
	const directory = temporaryDirectory(t);
	const segment = segmentAt(directory, {queueId, firstSequence: 0, salt: 0}, 0);
	writeFileSync(segment.path, Buffer.alloc(200, 7));
	quarantineBytes(segment, {from: 50, to: 150}, fileSystem);
	t.is(quarantineSize(directory, fileSystem), 100);
	const storage = {...fileSystem, list: (path: string) => [...fileSystem.list(path), 'gone.bad']};
	t.is(quarantineSize(directory, storage), 100);
});

test('copies exactly the damaged bytes, once', t => {
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 7, salt: 0}, 0);
	const bytes = Buffer.from(Array.from({length: 3 * mebibyte}, (_, index) => index % 251));
	writeFileSync(segment.path, bytes);
	const range = {from: 1000, to: 2 * mebibyte + 77};
	const path = quarantineBytes(segment, range, fileSystem);
	t.is(path, join(dirname(segment.path), 'quarantine', '00000000000000000007-1000.bad'));
	t.true(readFileSync(path!).equals(bytes.subarray(range.from, range.to)));
	t.is(quarantineBytes(segment, range, fileSystem), path);
	t.deepEqual(readdirSync(dirname(path!)), [basename(path!)]);
	t.is(quarantineBytes(segment, {from: 5, to: 5}, fileSystem), undefined);
});

test('a copy for which there is no room leaves nothing behind and is no error', t => {
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 7, salt: 0}, 0);
	writeFileSync(segment.path, Buffer.alloc(1000, 1));
	const {storage, inject} = faultyStorage();
	inject({method: 'write', code: 'ENOSPC', take: () => 300});
	t.is(quarantineBytes(segment, {from: 0, to: 900}, storage), undefined);
	t.deepEqual(readdirSync(join(dirname(segment.path), 'quarantine')), []);
});

test('a file is put aside under a name that is free', t => {
	const directory = temporaryDirectory(t);
	const path = join(directory, 'checkpoint');
	const targets = ['first', 'second', 'third'].map(text => {
		writeFileSync(path, text);
		return quarantineFile(path, fileSystem);
	});
	t.deepEqual(
		targets.map(target => basename(target)),
		['checkpoint-0.bad', 'checkpoint-1.bad', 'checkpoint-2.bad'],
	);
	t.deepEqual(
		targets.map(target => readFileSync(target, 'utf8')),
		['first', 'second', 'third'],
	);
	t.false(existsSync(path));
});

test('a copy that a crash left incomplete, or one of older damage at the same place, is left; another is made beside it', t => {
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 0, salt: 0}, 0);
	writeFileSync(segment.path, Buffer.alloc(200, 7));
	const range = {from: 50, to: 150};
	const path = quarantineBytes(segment, range, fileSystem)!;
	const others = [Buffer.alloc(30, 7), Buffer.alloc(100, 8), Buffer.alloc(100)];
	for (const [index, other] of others.entries()) {
		rmSync(dirname(path), {recursive: true});
		mkdirSync(dirname(path));
		writeFileSync(path, other);
		const copy = quarantineBytes(segment, range, fileSystem);
		t.is(copy, path.replace('-50.bad', '-50-1.bad'), `${index}`);
		t.deepEqual(readFileSync(copy!), Buffer.alloc(100, 7));
		t.deepEqual(readFileSync(path), other);
		t.is(quarantineBytes(segment, range, fileSystem), copy);
	}

	t.is(others.length, 3);
});

onUnix('a quarantine that is a link to another place, or a file, is not written to', t => {
	const directory = temporaryDirectory(t);
	const outside = temporaryDirectory(t);
	const segment = segmentAt(directory, {queueId, firstSequence: 0, salt: 0}, 0);
	writeFileSync(segment.path, Buffer.alloc(200, 7));
	const places = [
		() => symlinkSync(outside, join(directory, 'quarantine')),
		() => symlinkSync(join(outside, 'nowhere'), join(directory, 'quarantine')),
		() => writeFileSync(join(directory, 'quarantine'), 'a file'),
	];
	for (const make of places) {
		rmSync(join(directory, 'quarantine'), {force: true});
		make();
		t.is(quarantineBytes(segment, {from: 50, to: 150}, fileSystem), undefined);
		t.throws(() => quarantineFile(segment.path, fileSystem));
		t.deepEqual(readdirSync(outside), []);
		t.true(existsSync(segment.path));
	}

	t.is(places.length, 3);
});

onUnix('what is not a file of ours, under the name of a copy, is neither taken for one nor replaced', t => {
	const segment = segmentAt(temporaryDirectory(t), {queueId, firstSequence: 0, salt: 0}, 0);
	const outside = join(temporaryDirectory(t), 'outside');
	writeFileSync(segment.path, Buffer.alloc(200, 7));
	writeFileSync(outside, Buffer.alloc(100, 7));
	const path = join(dirname(segment.path), 'quarantine', '00000000000000000000-50.bad');
	mkdirSync(dirname(path));
	symlinkSync(outside, path);
	const bytes = lstatSync(path).size;
	const copy = quarantineBytes(segment, {from: 50, to: 50 + bytes}, fileSystem);
	t.is(copy, path.replace('-50.bad', '-50-1.bad'));
	t.true(lstatSync(path).isSymbolicLink());
	t.deepEqual(readFileSync(outside), Buffer.alloc(100, 7));
});
