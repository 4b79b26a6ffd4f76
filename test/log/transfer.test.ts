import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import {readUpTo, writeAll} from '../../source/log/transfer.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

/** A file system that takes, and gives, at most so many bytes a call, in turn. */
function shortStorage(counts: number[]): Storage {
	let calls = 0;
	const next = () => counts[calls++ % counts.length]!;
	return {
		...fileSystem,
		write: (descriptor, pieces, position) =>
			fileSystem.write(descriptor, [Buffer.concat(pieces).subarray(0, next())], position),
		readSync: (descriptor, target, position) =>
			fileSystem.readSync(descriptor, target.subarray(0, Math.max(1, next())), position),
	};
}

test('pieces arrive whole and in order, however few bytes are taken a call', t => {
	const path = join(temporaryDirectory(t), 'file');
	const pieceLists = fc.array(fc.uint8Array({maxLength: 40}), {maxLength: 6});
	const counts = fc
		.array(fc.integer({min: 0, max: 30}), {minLength: 1, maxLength: 5})
		.filter(list => list.every((count, index) => count + list[(index + 1) % list.length]! > 0));
	fc.assert(
		fc.property(pieceLists, counts, fc.nat(50), (pieces, counts, start) => {
			const storage = shortStorage(counts);
			const descriptor = storage.open(path, 'create');
			try {
				const expected = Buffer.concat([Buffer.alloc(start), ...pieces]);
				const end = writeAll(storage, descriptor, pieces, start);
				const written = readFileSync(path);
				const read = readUpTo(storage, descriptor, 0, expected.byteLength + 10);
				const isWhole = pieces.every(piece => piece.byteLength === 0) || written.equals(expected);
				return end === expected.byteLength && isWhole && read.equals(written);
			} finally {
				storage.close(descriptor);
				storage.unlink(path);
			}
		}),
		{numRuns: 300},
	);
	t.pass();
});

test('a file system that takes nothing and says nothing counts as full, instead of being asked for ever', t => {
	const path = join(temporaryDirectory(t), 'file');
	for (const counts of [[0], [3, 0, 0], [10, 0, 0]]) {
		const storage = shortStorage(counts);
		const descriptor = storage.open(path, 'create');
		t.throws(() => writeAll(storage, descriptor, [Buffer.alloc(10), Buffer.alloc(10)], 0), {code: 'ENOSPC'});
		t.is(storage.size(descriptor), counts[0]!);
		storage.close(descriptor);
		storage.unlink(path);
	}

	const descriptor = fileSystem.open(path, 'create');
	t.is(writeAll(fileSystem, descriptor, [Buffer.alloc(0), Buffer.alloc(0)], 5), 5);
	fileSystem.close(descriptor);
});

test('reads what there is, and no more than was asked for', t => {
	const path = join(temporaryDirectory(t), 'file');
	const descriptor = fileSystem.open(path, 'create');
	writeAll(fileSystem, descriptor, [Buffer.from('0123456789')], 0);
	t.is(readUpTo(fileSystem, descriptor, 4, 3).toString(), '456');
	t.is(readUpTo(fileSystem, descriptor, 8, 100).toString(), '89');
	t.is(readUpTo(fileSystem, descriptor, 10, 100).byteLength, 0);
	t.is(readUpTo(fileSystem, descriptor, 0, 0).byteLength, 0);
	fileSystem.close(descriptor);
});
