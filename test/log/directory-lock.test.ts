import {once} from 'node:events';
import {chmod, chown, mkdir, mkdtemp, readdir, rm, symlink, writeFile} from 'node:fs/promises';
import {connect, createServer, type Server, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {QueueLockedError, QueueStorageError} from '../../source/errors.ts';
import {isClaimName, lockDirectory} from '../../source/log/directory-lock.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {faultyStorage} from '../helpers/faulty-storage.ts';
import {seed} from '../helpers/form.ts';
import {
	type ChildOptions,
	contend,
	countOverlaps,
	holdInChild,
	killChild,
	leaveDeadSocket,
	startJson,
} from '../helpers/locks.ts';
import {onLinuxSerially, onUnixSerially} from '../helpers/platforms.ts';
import {randomFrom} from '../helpers/random.ts';
import {onSmallDisk, SmallDisk} from '../helpers/small-disk.ts';

// One at a time: an answer is awaited for a quarter of a second, and the contention below takes every core.
const onLinux = onLinuxSerially;
const onUnix = onUnixSerially;

const nobody = 65534;
const otherBoot = 'lock-ffffffff-4321-0123456789ab';

test.serial('refuses a second opener in the same process, naming this process', async t => {
	const directory = await makeDirectory(t);
	const lock = await lockDirectory(directory, fileSystem);
	const error = await refusal(t, directory);
	t.is(error.owner.pid, process.pid);
	t.is(error.directory, directory);
	t.regex(error.message, /belongs to this process \(\d+\) on \S+\. Close it/);
	await lock.release();
});

test.serial('refuses while another process owns the directory, naming that process', async t => {
	const directory = await makeDirectory(t);
	const holder = await holdInChild(t, directory);
	const error = await refusal(t, directory);
	t.is(error.owner.pid, holder.pid);
	t.truthy(error.owner.host);
});

onUnix('takes the directory of a killed owner at once and removes its claim', async t => {
	const directory = await makeDirectory(t);
	const holder = await holdInChild(t, directory);
	const [deadClaim] = await readdir(directory);
	await killChild(holder.process);
	t.deepEqual(await readdir(directory), [deadClaim!]);
	const lock = await lockDirectory(directory, fileSystem);
	const claims = await readdir(directory);
	t.is(claims.length, 1);
	t.not(claims[0], deadClaim);
	await lock.release();
});

onSmallDisk('the claim of a killed owner makes room for the next one, if it has the last inode', async t => {
	const disk = await SmallDisk.create(t, {fileSystem: 'tmpfs', shortage: 'inodes'}, 4);
	const holder = await holdInChild(t, disk.root);
	disk.fill();
	t.is((await refusal(t, disk.root)).owner.pid, holder.pid);
	await killChild(holder.process);
	const lock = await lockDirectory(disk.root, fileSystem);
	await lock.release();
	disk.fill();
	await t.throwsAsync(lockDirectory(disk.root, fileSystem), {code: 'QUEUE_STORAGE', message: /ENOSPC/});
});

onUnix('a stopped process is still the owner, even when its backlog is full', async t => {
	const directory = await makeDirectory(t);
	const holder = await holdInChild(t, directory);
	holder.process.kill('SIGSTOP');
	const silent = await refusal(t, directory);
	t.is(silent.owner.pid, holder.pid);
	t.regex(silent.message, /does not answer/);

	const [claim] = await readdir(directory);
	const connections = await fillBacklog(join(directory, claim!));
	t.is((await refusal(t, directory)).owner.pid, holder.pid);
	for (const connection of connections) {
		connection.destroy();
	}

	holder.process.kill('SIGCONT');
	t.is((await refusal(t, directory)).owner.pid, holder.pid);
});

test.serial('release lets the next opener in and leaves no file', async t => {
	const directory = await makeDirectory(t);
	const holder = await holdInChild(t, directory);
	holder.process.stdin!.write('release\n');
	t.deepEqual(await holder.next(), {released: true});
	t.deepEqual(await readdir(directory), []);
	const lock = await lockDirectory(directory, fileSystem);
	await lock.release();
	t.deepEqual(await readdir(directory), []);
});

test.serial('release is idempotent, and does not touch the next owner', async t => {
	const directory = await makeDirectory(t);
	const first = await lockDirectory(directory, fileSystem);
	await Promise.all([first.release(), first.release()]);
	const second = await lockDirectory(directory, fileSystem);
	await first.release();
	first.releaseSync();
	await refusal(t, directory);
	await second.release();
});

test.serial('releaseSync gives the directory up before it returns, and is idempotent', async t => {
	const directory = await makeDirectory(t);
	const first = await lockDirectory(directory, fileSystem);
	first.releaseSync();
	first.releaseSync();
	t.deepEqual(await readdir(directory), []);
	const second = await lockDirectory(directory, fileSystem);
	await first.release();
	await refusal(t, directory);
	await second.release();
});

test.serial('long paths work and are told apart', async t => {
	const directory = await makeDirectory(t);
	const parent = join(directory, 'a'.repeat(150), 'b'.repeat(150));
	const paths = ['first', 'second'].map(name => join(parent, name));
	await Promise.all(paths.map(path => mkdir(path, {recursive: true})));
	const locks = await Promise.all(paths.map(path => lockDirectory(path, fileSystem)));
	for (const [index, path] of paths.entries()) {
		await refusal(t, path);
		await locks[index]!.release();
		t.deepEqual(await readdir(path), []);
	}
});

onUnix('what is named like a claim but is no socket does not count and is left alone', async t => {
	const directory = await makeDirectory(t);
	const names = ['0', '1', '2', '3'].map(digit => `lock-0000000a-1-${digit.repeat(12)}`);
	const temporary = `${names[0]}.new`;
	await writeFile(join(directory, names[0]!), 'a file');
	await writeFile(join(directory, temporary), 'a file');
	await mkdir(join(directory, names[1]!));
	await symlink('nowhere', join(directory, names[2]!));
	const owned = await makeDirectory(t);
	const elsewhere = await lockDirectory(owned, fileSystem);
	await symlink(join(owned, (await readdir(owned))[0]!), join(directory, names[3]!));

	const lock = await lockDirectory(directory, fileSystem);
	await lock.release();
	await elsewhere.release();
	t.deepEqual((await readdir(directory)).sort(), [...names, temporary].sort());
});

onUnix('a directory that cannot be written to is a storage error and stays as it was', async t => {
	for (const mode of [0o755, 0o700]) {
		const directory = await makeDirectory(t);
		await chmod(directory, process.getuid!() === 0 ? mode : 0o500);
		const {code, message} = await runUnprivileged(t, directory);
		t.is(code, 'QUEUE_STORAGE');
		t.regex(message as string, /EACCES.*must exist and be writable/);
		t.deepEqual(await readdir(directory), []);
	}
});

onLinux('a process that has dropped its privileges locks a directory of its own', async t => {
	if (process.getuid!() !== 0) {
		t.pass('skipped: only root can drop privileges');
		return;
	}

	const directory = await makeDirectory(t);
	await chown(directory, nobody, nobody);
	const {pid} = await runUnprivileged(t, directory);
	t.is((await refusal(t, directory)).owner.pid, pid as number);
});

test.serial('a missing directory is a storage error', async t => {
	const directory = join(await makeDirectory(t), 'missing');
	const error = await t.throwsAsync(lockDirectory(directory, fileSystem), {instanceOf: QueueStorageError});
	t.is(error.path, directory);
});

for (const call of ['rename', 'list', 'kind'] as const) {
	onUnix(`nothing half-made is left behind when ${call} fails`, async t => {
		const directory = await makeDirectory(t);
		const descriptors = await countDescriptors();
		const broken = {...fileSystem, [call]: fail} as Storage;
		await t.throwsAsync(lockDirectory(directory, broken), {instanceOf: QueueStorageError, message: /EROFS/});
		t.deepEqual(await readdir(directory), []);
		// Fewer, if what an earlier test let go was still closing.
		t.true((await countDescriptors()) <= descriptors);
	});
}

onUnix('a contender whose temporary name is swept tries again', async t => {
	const directory = await makeDirectory(t);
	let renames = 0;
	const swept: Storage = {
		...fileSystem,
		rename(from, to) {
			renames += 1;
			if (renames === 1) {
				fileSystem.unlink(from);
			}

			fileSystem.rename(from, to);
		},
	};
	const lock = await lockDirectory(directory, swept);
	t.is(renames, 2);
	await refusal(t, directory);
	await lock.release();
});

onUnix('a claim that is gone when it is looked at does not count', async t => {
	const directory = await makeDirectory(t);
	const claim = join(directory, otherBoot);
	await leaveDeadSocket(claim);
	const looks: Array<string | undefined> = [];
	const leaving: Storage = {
		...fileSystem,
		kind(path) {
			const kind = fileSystem.kind(path);
			if (path === claim) {
				looks.push(kind);
				fileSystem.unlink(path);
			}

			return kind;
		},
	};
	const lock = await lockDirectory(directory, leaving);
	t.deepEqual(looks, ['socket', undefined]);
	await lock.release();
});

onUnix('an owner that is killed while it is asked is dead', async t => {
	const directory = await makeDirectory(t);
	const holder = startJson(t, ['lock-holder', directory, 'block']);
	await holder.next();
	let lists = 0;
	const killing: Storage = {
		...fileSystem,
		list(path) {
			lists++;
			// Once it was connected to, in this turn, and cannot have answered.
			setImmediate(() => holder.process.kill('SIGKILL'));
			return fileSystem.list(path);
		},
	};
	const lock = await lockDirectory(directory, killing);
	t.true(lists > 1);
	t.is((await readdir(directory)).length, 1);
	await lock.release();
});

onUnix('the temporary name of a dead contender is removed, that of a living one is not', async t => {
	const directory = await makeDirectory(t);
	await leaveDeadSocket(join(directory, 'lock-0000000a-1-000000000000.new'));
	const living = 'lock-0000000a-1-111111111111.new';
	await serve(t, join(directory, living), connection => connection.destroy());
	const lock = await lockDirectory(directory, fileSystem);
	const names = await readdir(directory);
	t.is(names.length, 2);
	t.true(names.includes(living));
	await lock.release();
});

onLinux('a dead claim of another boot is removed on a local file system', async t => {
	const directory = await makeDirectory(t);
	await leaveDeadSocket(join(directory, otherBoot));
	const lock = await lockDirectory(directory, fileSystem);
	t.false((await readdir(directory)).includes(otherBoot));
	await lock.release();
});

onLinux('a claim of another boot is respected on a file system that hosts may share', async t => {
	const directory = await makeDirectory(t);
	await leaveDeadSocket(join(directory, otherBoot));
	const error = await refusal(t, directory, {...fileSystem, fileSystemType: () => 0x6969});
	t.is(error.owner.pid, 4321);
	t.regex(error.message, /another host/);
	t.true(error.message.includes(join(directory, otherBoot)));
	t.deepEqual(await readdir(directory), [otherBoot]);
});

onUnix('one that only contends is waited for', async t => {
	const directory = await makeDirectory(t);
	let inquiries = 0;
	const server = await serve(t, join(directory, otherBoot), connection => {
		inquiries += 1;
		connection.end(`${JSON.stringify({state: 'contender', pid: 4321, host: 'elsewhere'})}\n`);
		if (inquiries === 3) {
			server.close();
		}
	});
	const lock = await lockDirectory(directory, fileSystem);
	t.is(inquiries, 3);
	await lock.release();
});

onUnix('one that contends for ever is not waited for', async t => {
	const directory = await makeDirectory(t);
	await serve(t, join(directory, otherBoot), connection => connection.destroy());
	const error = await refusal(t, directory);
	t.is(error.owner.pid, 4321);
	t.deepEqual(await readdir(directory), [otherBoot]);
});

onUnix('of many simultaneous openers exactly one gets a free directory', async t => {
	const rounds = 20;
	const openers = 12;
	for (let round = 0; round < rounds; round += 1) {
		const directory = await makeDirectory(t);
		const outcomes = await Promise.allSettled(
			Array.from({length: openers}, () => lockDirectory(directory, fileSystem)),
		);
		const taken = outcomes.filter(outcome => outcome.status === 'fulfilled');
		const refused = outcomes.filter(
			outcome => outcome.status === 'rejected' && outcome.reason instanceof QueueLockedError,
		);
		t.is(taken.length, 1);
		t.is(refused.length, openers - 1);
		t.is((await readdir(directory)).length, 1);
		await taken[0]!.value.release();
	}
});

test.serial('an owner does not keep its process alive', async t => {
	t.timeout(10_000);
	const directory = await makeDirectory(t);
	const child = startJson(t, ['lock-holder', directory, 'idle']);
	t.deepEqual(await child.next(), {pid: child.pid});
	t.deepEqual(await child.ended, [0, null]);
});

onLinux('no descriptor is left open by many cycles of taking, refusing and releasing', async t => {
	const directory = await makeDirectory(t);
	const cycle = async () => {
		const lock = await lockDirectory(directory, fileSystem);
		await refusal(t, directory);
		await lock.release();
	};
	await cycle();
	const before = await countDescriptors();
	const cycles = 200;
	for (let count = 0; count < cycles; count += 1) {
		await cycle();
	}

	t.is(await countDescriptors(), before);
});

test.serial('only one of two cluster workers gets the directory', async t => {
	const directory = await makeDirectory(t);
	const child = startJson(t, ['lock-cluster', directory]);
	t.deepEqual(await child.next(), ['QUEUE_LOCKED', 'taken']);
	await child.ended;
});

onLinux('systems without /proc lock by path, through a short link if it is too long', async t => {
	const directory = await makeDirectory(t);
	const long = join(directory, 'a'.repeat(200));
	await mkdir(long);
	const links = await makeDirectory(t);
	const options = {...asPlatform('darwin'), env: {TMPDIR: links}};
	for (const path of [directory, long]) {
		const holder = await holdInChild(t, path, options);
		const second = startJson(t, ['lock-holder', path, 'hold'], options);
		t.like(await second.next(), {code: 'QUEUE_LOCKED', owner: {pid: holder.pid}});
		await killChild(holder.process);
		const third = await holdInChild(t, path, options);
		third.process.stdin!.write('release\n');
		t.deepEqual(await third.next(), {released: true});
	}

	t.deepEqual(await readdir(long), []);
	t.deepEqual(await readdir(links), []);
});

// A pipe's name is taken here for a file's: the logic runs, the kernel's part does not.
onLinux('the named pipe of Windows is taken by one process at a time', async t => {
	const directory = await makeDirectory(t);
	const options = {...asPlatform('win32'), cwd: directory};
	const holder = await holdInChild(t, directory, options);
	const second = startJson(t, ['lock-holder', directory, 'hold'], options);
	t.like(await second.next(), {code: 'QUEUE_LOCKED', owner: {pid: holder.pid}});
	holder.process.stdin!.write('release\n');
	t.deepEqual(await holder.next(), {released: true});
	await holdInChild(t, directory, options);
});

onLinux('a link that would be too long as well, and a pipe that cannot be made, are storage errors', async t => {
	const directory = await makeDirectory(t);
	const long = join(directory, 'a'.repeat(200));
	await mkdir(long);
	const noLink = startJson(t, ['lock-holder', long, 'hold'], {...asPlatform('darwin'), env: {TMPDIR: long}});
	const {code, message} = await noLink.next();
	t.is(code, 'QUEUE_STORAGE');
	t.regex(String(message), /ENAMETOOLONG/);

	const noPipe = startJson(t, ['lock-holder', directory, 'hold'], {...asPlatform('win32'), cwd: '/proc'});
	t.like(await noPipe.next(), {code: 'QUEUE_STORAGE'});
	await Promise.all([noLink.ended, noPipe.ended]);
});

onLinux('where there is no /proc it locks by path, and keeps out those who see one', async t => {
	const directory = await makeDirectory(t);
	const withoutProc: Storage = {
		...fileSystem,
		kind: path => (path.startsWith('/proc') ? undefined : fileSystem.kind(path)),
	};
	const descriptors = await countDescriptors();
	for (const [owner, other] of [
		[withoutProc, fileSystem],
		[fileSystem, withoutProc],
	] as const) {
		const lock = await lockDirectory(directory, owner);
		t.is((await refusal(t, directory, other)).owner.pid, process.pid);
		await lock.release();
	}

	t.deepEqual(await readdir(directory), []);
	t.true((await countDescriptors()) <= descriptors);
});

onUnix('a lock is held until it is released, its claim is removed or the directory moved', async t => {
	const directory = await makeDirectory(t);
	const released = await lockDirectory(directory, fileSystem);
	t.true(released.isHeld());
	await released.release();
	t.false(released.isHeld());

	const robbed = await lockDirectory(directory, fileSystem);
	fileSystem.unlink(join(directory, (await readdir(directory))[0]!));
	t.false(robbed.isHeld());
	await robbed.release();

	const moved = await lockDirectory(directory, fileSystem);
	fileSystem.rename(directory, `${directory}-moved`);
	t.teardown(() => rm(`${directory}-moved`, {recursive: true, force: true}));
	t.false(moved.isHeld());
	fileSystem.rename(`${directory}-moved`, directory);
	t.true(moved.isHeld());
	await moved.release();
});

onUnix('a name whose listener answers nonsense counts as owned', async t => {
	for (const answer of ['{}\n', 'nonsense\n', 'x'.repeat(100_000)]) {
		const directory = await makeDirectory(t);
		await serve(t, join(directory, otherBoot), connection => {
			connection.on('error', () => {});
			connection.write(answer);
		});
		const error = await refusal(t, directory);
		t.is(error.owner.pid, 4321);
		t.regex(error.message, /does not answer \(an unknown answer\)/);
	}
});

onUnix('a dead claim that cannot be removed is dead all the same', async t => {
	const directory = await makeDirectory(t);
	const holder = await holdInChild(t, directory);
	await killChild(holder.process);
	const [dead] = await readdir(directory);
	const {storage, inject, pending} = faultyStorage();
	inject({method: 'unlink', file: dead!, code: 'EIO'});
	const lock = await lockDirectory(directory, storage);
	t.is(pending(), 0);
	t.true((await readdir(directory)).includes(dead!));
	await lock.release();
});

onLinux('a system that hides the id of its boot gives every owner a boot of its own', async t => {
	const directory = await makeDirectory(t);
	const readText = (): string => {
		throw Object.assign(new Error('EACCES: permission denied'), {code: 'EACCES'});
	};
	const boots = new Set<string>();
	for (let round = 0; round < 3; round++) {
		const lock = await lockDirectory(directory, {...fileSystem, readText});
		boots.add((await readdir(directory))[0]!.split('-')[1]!);
		t.is((await refusal(t, directory)).owner.pid, process.pid);
		await lock.release();
	}

	t.is(boots.size, 3);
});

onUnix('contending processes never own the directory at the same time, whoever is killed', async t => {
	const directory = await makeDirectory(t);
	const random = randomFrom(seed);
	const acquisitions = 60;
	const {holds, kills} = await contend(t, {directory, contenders: 8, seconds: 0, acquisitions, killRate: 0.15, random});
	const overlaps = countOverlaps(holds);
	t.log(`seed ${seed}: ${holds.length} acquisitions, ${kills} kills of the owner, ${overlaps} overlaps`);
	t.true(holds.length >= acquisitions && kills > 0);
	t.is(overlaps, 0);
	const lock = await lockDirectory(directory, fileSystem);
	t.is((await readdir(directory)).length, 1);
	await lock.release();
});

test.serial('a claim is told by its name', t => {
	const names: [string, boolean][] = [
		['lock-0123abcd-4242-0123456789ab', true],
		['lock-0123abcd-4242-0123456789ab.new', true],
		['lock-0123abcd-4242-0123456789ab.log', false],
		['lock-0123abcd-4242', false],
		['00000000000000000001.log', false],
		['checkpoint', false],
	];
	for (const [name, expected] of names) {
		t.is(isClaimName(name), expected, name);
	}
});

async function makeDirectory(t: ExecutionContext): Promise<string> {
	const directory = await mkdtemp(join(tmpdir(), 'disq-lock-'));
	t.teardown(() => rm(directory, {recursive: true, force: true}));
	return directory;
}

async function refusal(t: ExecutionContext, directory: string, storage = fileSystem): Promise<QueueLockedError> {
	const error = await t.throwsAsync<QueueLockedError>(lockDirectory(directory, storage), {
		instanceOf: QueueLockedError,
		code: 'QUEUE_LOCKED',
	});
	return error!;
}

/** Locks from a process that may not do everything: as root, one that has become another user. */
async function runUnprivileged(t: ExecutionContext, directory: string): Promise<Record<string, unknown>> {
	const mode = process.getuid!() === 0 ? 'nobody' : 'hold';
	return startJson(t, ['lock-holder', directory, mode]).next();
}

function asPlatform(platform: NodeJS.Platform): ChildOptions {
	const code = `Object.defineProperty(process, 'platform', {value: '${platform}'})`;
	return {execArgv: ['--import', `data:text/javascript,${encodeURIComponent(code)}`]};
}

/** Connects until the kernel takes no more. */
async function fillBacklog(path: string): Promise<Socket[]> {
	const connections: Socket[] = [];
	for (;;) {
		const connection = connect(path).on('error', () => {});
		connections.push(connection);
		try {
			await once(connection, 'connect');
		} catch {
			return connections;
		}
	}
}

async function serve(t: ExecutionContext, path: string, answer: (connection: Socket) => void): Promise<Server> {
	const server = createServer(answer).listen(path);
	t.teardown(() => server.close());
	await once(server, 'listening');
	return server;
}

async function countDescriptors(): Promise<number> {
	return process.platform === 'linux' ? (await readdir('/proc/self/fd')).length : 0;
}

function fail(): never {
	throw Object.assign(new Error('EROFS: read-only file system'), {code: 'EROFS'});
}
