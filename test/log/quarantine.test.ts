import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import test from 'ava';
import {encodeBlockHeader} from '../../source/format/block.ts';
import {nextBlock, quarantineBytes, quarantineFile, quarantineSize} from '../../source/log/quarantine.ts';
import {segmentAt} from '../../source/log/segment.ts';
import {fileSystem} from '../../source/storage.ts';
import {faultyStorage} from '../helpers/faulty-storage.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const queueId = Buffer.alloc(16, 9);
const mebibyte = 1024 * 1024;

test('finds a header at any offset near the border between two pieces', t => {
	const segment = segmentAt(temporaryDirectory(t), queueId, 0, 0);
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
	const segment = segmentAt(temporaryDirectory(t), queueId, 0, 0);
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
	const segment = segmentAt(temporaryDirectory(t), queueId, 0, 0);
	const header = encodeBlockHeader(Buffer.from('x'), {records: 1, firstSequence: 5, appendedAt: 0}, segment.identity);
	writeFileSync(segment.path, Buffer.concat([Buffer.alloc(100), header]));
	t.is(nextBlock(segment, {from: 0, to: 3 * mebibyte, sequence: 0}, fileSystem)?.offset, 100);
	t.is(nextBlock(segment, {from: 101, to: 3 * mebibyte, sequence: 0}, fileSystem), undefined);
});

test('a copy that goes while the quarantine is measured counts nothing', t => {
	const directory = temporaryDirectory(t);
	const segment = segmentAt(directory, queueId, 0, 0);
	writeFileSync(segment.path, Buffer.alloc(200, 7));
	quarantineBytes(segment, {from: 50, to: 150}, fileSystem);
	t.is(quarantineSize(directory, fileSystem), 100);
	const storage = {...fileSystem, list: (path: string) => [...fileSystem.list(path), 'gone.bad']};
	t.is(quarantineSize(directory, storage), 100);
});

test('copies exactly the damaged bytes, once', t => {
	const segment = segmentAt(temporaryDirectory(t), queueId, 7, 0);
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
	const segment = segmentAt(temporaryDirectory(t), queueId, 7, 0);
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

test('a copy that a crash left incomplete, or of zeros, is made again; a whole one is left', t => {
	const directory = temporaryDirectory(t);
	const segment = segmentAt(directory, queueId, 0, 0);
	writeFileSync(segment.path, Buffer.alloc(200, 7));
	const path = quarantineBytes(segment, {from: 50, to: 150}, fileSystem)!;
	for (const left of [Buffer.alloc(30, 7), Buffer.alloc(100), Buffer.alloc(0)]) {
		writeFileSync(path, left);
		t.is(quarantineBytes(segment, {from: 50, to: 150}, fileSystem), path);
		t.deepEqual(readFileSync(path), Buffer.alloc(100, 7));
	}

	const {storage, operations} = faultyStorage();
	t.is(quarantineBytes(segment, {from: 50, to: 150}, storage), path);
	t.false(operations.some(each => /^(create|write|unlink)/.test(each)));
});
