import {execFileSync} from 'node:child_process';
import {mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {pEvent} from 'p-event';
import {fileSystem} from '../source/storage.ts';
import {openDescriptors} from './helpers/logs.ts';
import {onUnix, onUnixSerially} from './helpers/platforms.ts';
import {temporaryDirectory} from './helpers/temporary-directory.ts';

onUnix("directories and files are their owner's alone", t => {
	const directory = join(temporaryDirectory(t), 'a', 'b');
	t.is(fileSystem.makeDirectory(directory), join(directory, '..'));
	t.is(fileSystem.makeDirectory(directory), undefined);
	fileSystem.close(fileSystem.open(join(directory, 'file'), 'create'));
	t.is(statSync(directory).mode & 0o777, 0o700);
	t.is(statSync(join(directory, 'file')).mode & 0o777, 0o600);
});

test('create fails where the name exists, update and read where it does not', t => {
	const path = join(temporaryDirectory(t), 'file');
	t.throws(() => fileSystem.open(path, 'update'), {code: 'ENOENT'});
	t.throws(() => fileSystem.open(path, 'read'), {code: 'ENOENT'});
	fileSystem.close(fileSystem.open(path, 'create'));
	t.throws(() => fileSystem.open(path, 'create'), {code: 'EEXIST'});
});

// Serial: other tests open descriptors too.
for (const kind of ['symlink', 'directory', 'fifo'] as const) {
	const title = `a ${kind} is not opened as a file of ours, and costs no descriptor`;
	onUnixSerially(title, t => {
		const directory = temporaryDirectory(t);
		const path = join(directory, 'name');
		make(kind, directory, path);
		const before = openDescriptors();
		for (const how of ['read', 'update', 'create'] as const) {
			t.regex(t.throws(() => fileSystem.open(path, how), {any: true} as never)?.message ?? '', /^E[A-Z]+: /);
		}

		t.is(openDescriptors(), before);
		t.is(fileSystem.kind(path), kind === 'directory' ? 'directory' : 'other');
	});
}

function make(kind: 'symlink' | 'directory' | 'fifo', directory: string, path: string): void {
	if (kind === 'directory') {
		mkdirSync(path);
	} else if (kind === 'fifo') {
		execFileSync('mkfifo', [path]);
	} else {
		writeFileSync(join(directory, 'target'), 'x');
		symlinkSync(join(directory, 'target'), path);
	}
}

onUnix('kind and stat tell what a name is', async t => {
	const directory = temporaryDirectory(t);
	const server = createServer().listen(join(directory, 'socket'));
	await pEvent(server, 'listening');
	writeFileSync(join(directory, 'file'), 'abc');
	t.is(fileSystem.kind(join(directory, 'socket')), 'socket');
	t.is(fileSystem.kind(directory), 'directory');
	t.is(fileSystem.kind(join(directory, 'none')), undefined);
	t.deepEqual(fileSystem.stat(join(directory, 'file')), {kind: 'file', bytes: 3, links: 1});
	server.close();
});

test('reads and writes at positions, cuts, renames and removes', async t => {
	const directory = temporaryDirectory(t);
	const path = join(directory, 'file');
	const descriptor = fileSystem.open(path, 'create');
	t.is(fileSystem.write(descriptor, [Buffer.from('hello '), Buffer.from('world')], 0), 11);
	t.is(fileSystem.write(descriptor, [Buffer.from('W')], 6), 1);
	await fileSystem.sync(descriptor);
	const target = Buffer.alloc(8);
	t.is(await fileSystem.read(descriptor, target, 6), 5);
	t.is(target.toString('latin1', 0, 5), 'World');
	t.is(fileSystem.readSync(descriptor, target, 11), 0);
	t.is(fileSystem.size(descriptor), 11);
	fileSystem.truncate(descriptor, 5);
	t.is(fileSystem.size(descriptor), 5);
	fileSystem.close(descriptor);
	fileSystem.rename(path, join(directory, 'other'));
	await fileSystem.syncDirectory(directory);
	t.deepEqual(fileSystem.list(directory), ['other']);
	t.is(fileSystem.readText(join(directory, 'other')), 'hello');
	t.is(readFileSync(join(directory, 'other'), 'utf8'), 'hello');
	fileSystem.unlink(join(directory, 'other'));
	t.notThrows(() => fileSystem.unlink(join(directory, 'other')), 'removing what is gone is done already');
	t.deepEqual(fileSystem.list(directory), []);
});

test('unlink tells every other failure', t => {
	const directory = temporaryDirectory(t);
	t.throws(() => fileSystem.unlink(directory), {message: /EISDIR|EPERM/});
});

/** More than a process may have. */
const noDescriptor = 2 ** 30;

test('a sync in place is over at once, and its failure is told as that of any other', async t => {
	const path = join(temporaryDirectory(t), 'file');
	const descriptor = fileSystem.open(path, 'create');
	fileSystem.write(descriptor, [Buffer.from('x')], 0);
	await fileSystem.sync(descriptor, 'inPlace');
	fileSystem.close(descriptor);
	for (const where of ['inPlace', 'threadPool'] as const) {
		await t.throwsAsync(fileSystem.sync(noDescriptor, where), {code: 'EBADF', message: /fdatasync/}, where);
	}
});

test('a directory that is gone cannot be synced', async t => {
	await t.throwsAsync(fileSystem.syncDirectory(join(temporaryDirectory(t), 'none')), {code: 'ENOENT'});
});

test('a descriptor is given back once; one that is not ours is a mistake', t => {
	const path = join(temporaryDirectory(t), 'file');
	const descriptor = fileSystem.open(path, 'create');
	fileSystem.close(descriptor);
	t.throws(() => fileSystem.close(1_000_000), {code: 'EBADF'});
});
