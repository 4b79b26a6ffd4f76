import {readdirSync, renameSync, rmSync, symlinkSync} from 'node:fs';
import {basename, dirname, join, relative} from 'node:path';
import {Worker} from 'node:worker_threads';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {DiskQueue, QueueLockedError} from '../../source/index.ts';
import {lockDirectory} from '../../source/log/directory-lock.ts';
import {fileSystem} from '../../source/storage.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {
	type ContentionOptions,
	contend,
	countOverlaps,
	holdInChild,
	type JsonChild,
	killChild,
	leaveDeadSocket,
	longestTakeover,
	startJson,
} from '../helpers/locks.ts';
import {onLinuxSerially, onUnixSerially, unless, without} from '../helpers/platforms.ts';
import {range} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const acquisitions = sized(40, 200);
const container = ['unshare', '--net', '--pid', '--ipc', '--uts', '--mount', '--fork', '--kill-child'];
const ownContainer = [...container, '--user', '--map-root-user'];
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
const inShell = (script: string) => ['sh', '-c', `${script}; exec "$0" "$@"`];

const inContainers = unless(
	without('root and namespaces', [container[0]!, ...container.slice(1), 'true']),
	test.serial,
);
const inOwnContainers = unless(
	without('namespaces for everybody', [...nobody, ...ownContainer, process.execPath, '--version'] as never),
	test.serial,
);

/** The directory has the owner told: nobody else gets in, here or in another process. */
async function isOwned(t: ExecutionContext, directory: string, pid?: number): Promise<void> {
	const error = await t.throwsAsync<QueueLockedError>(lockDirectory(directory, fileSystem), {
		instanceOf: QueueLockedError,
	});
	t.true(pid === undefined || error!.owner.pid === pid, `${error!.owner.pid} instead of ${pid}`);
}

/** The directory is free: it is taken at once, and nothing is left in it. */
async function isFree(t: ExecutionContext, directory: string): Promise<void> {
	const lock = await lockDirectory(directory, fileSystem);
	t.is(readdirSync(directory).length, 1);
	await lock.release();
	t.deepEqual(readdirSync(directory), []);
}

type Crowd = Partial<ContentionOptions> & {seconds: number};

/** Lets a crowd contend; reports what it did, and gives the longest time that a killed owner's directory was not taken. */
async function compete(t: ExecutionContext, what: string, crowd: Crowd): Promise<number> {
	announce(t);
	const report = startFigures(t, 'T9', what);
	const directory = temporaryDirectory(t);
	const random = randomFrom(seed);
	const {holds, kills, stops} = await contend(t, {
		contenders: sized(4, 8),
		acquisitions,
		killRate: 0.15,
		...crowd,
		directory,
		random,
	});
	const overlaps = countOverlaps(holds);
	const takeover = longestTakeover(holds);
	t.is(overlaps, 0);
	t.true(holds.length >= acquisitions && kills > 0 && holds.some(({isKilled}) => isKilled));
	t.is(crowd.isDisturbed === true, stops > 0);
	await isFree(t, directory);
	report({
		acquisitions: holds.length,
		kills,
		...(crowd.isDisturbed && {stops}),
		overlaps,
		'ms at most to take over': Math.ceil(takeover),
	});
	return takeover;
}

onUnixSerially(
	'of many processes no two ever own a directory, and that of a killed owner is taken at once',
	async t => {
		const takeover = await compete(t, 'processes that contend, owners killed', {seconds: sized(0, 12)});
		t.true(takeover < 5000, `${takeover} ms`);
	},
);

onUnixSerially('of many processes that are stopped, continued and killed at any moment no two ever own it', async t => {
	await compete(t, 'processes that contend, stopped and killed at any moment', {
		seconds: sized(0, 12),
		isDisturbed: true,
	});
});

inContainers('of many processes, half of them in containers, no two ever own a directory they share', async t => {
	const under = (index: number) => (index % 2 === 0 ? container : undefined);
	await compete(t, 'processes that contend, half of them in containers', {seconds: sized(0, 12), under});
});

inOwnContainers('an unprivileged user in containers of their own has one owner for a directory too', async t => {
	const directory = temporaryDirectory(t);
	fileSystem.makeDirectory(join(directory, 'queue'));
	const open = ['sh', '-c', 'chmod 777 "$0" "$0/queue" && exec "$@"', directory];
	const holder = await holdInChild(t, join(directory, 'queue'), {under: [...open, ...nobody, ...ownContainer]});
	const refused = startJson(t, ['lock-holder', join(directory, 'queue'), 'hold'], {
		under: [...nobody, ...ownContainer],
	});
	t.like(await refused.next(), {code: 'QUEUE_LOCKED', owner: {pid: 1}});
	await isOwned(t, join(directory, 'queue'), 1);
	await killChild(holder.process);
	const next = await holdInChild(t, join(directory, 'queue'), {under: [...nobody, ...ownContainer]});
	await killChild(next.process);
	await isFree(t, join(directory, 'queue'));
});

onUnixSerially('a directory has one owner by whatever name it is reached', async t => {
	const directory = temporaryDirectory(t);
	const link = join(temporaryDirectory(t), 'link');
	symlinkSync(directory, link);
	const names = [
		directory,
		link,
		relative(process.cwd(), directory),
		`${directory}/../${basename(directory)}/`,
		`${link}/.`,
	];
	for (const owned of names) {
		const lock = await lockDirectory(owned, fileSystem);
		for (const name of names) {
			await isOwned(t, name, process.pid);
		}

		const child = startJson(t, ['lock-holder', basename(directory), 'hold'], {cwd: dirname(directory)});
		t.like(await child.next(), {code: 'QUEUE_LOCKED', owner: {pid: process.pid}});
		await lock.release();
	}

	await isFree(t, directory);
});

inContainers('a directory has one owner through a bind mount, in a container or not', async t => {
	const directory = temporaryDirectory(t);
	const other = temporaryDirectory(t);
	const under = [...container, ...inShell(`mount --bind ${directory} ${other}`)];
	const holder = await holdInChild(t, directory);
	const refused = startJson(t, ['lock-holder', other, 'hold'], {under});
	t.like(await refused.next(), {code: 'QUEUE_LOCKED', owner: {pid: holder.pid}});
	await killChild(holder.process);
	const contained = await holdInChild(t, other, {under});
	await isOwned(t, directory, 1);
	await killChild(contained.process);
	await isFree(t, directory);
});

inContainers(
	'in a container without /proc a directory has one owner too, at the end of a long path as well',
	async t => {
		for (const directory of [temporaryDirectory(t), join(temporaryDirectory(t), 'a'.repeat(200))]) {
			fileSystem.makeDirectory(directory);
			const under = [...container, ...inShell('umount -l /proc')];
			const holder = await holdInChild(t, directory, {under});
			await isOwned(t, directory, 1);
			await killChild(holder.process);
			const lock = await lockDirectory(directory, fileSystem);
			const refused = startJson(t, ['lock-holder', directory, 'hold'], {under});
			t.like(await refused.next(), {code: 'QUEUE_LOCKED', owner: {pid: process.pid}});
			await lock.release();
			await isFree(t, directory);
		}
	},
);

inContainers('a directory on a read-only file system is a storage error and stays as it was', async t => {
	const directory = temporaryDirectory(t);
	const holder = await holdInChild(t, directory);
	const before = readdirSync(directory);
	const under = [
		...container,
		...inShell(`mount --bind ${directory} ${directory} && mount -o remount,bind,ro ${directory}`),
	];
	const refused = startJson(t, ['lock-holder', directory, 'hold'], {under});
	t.like(await refused.next(), {code: 'QUEUE_STORAGE'});
	t.deepEqual(readdirSync(directory), before);
	await killChild(holder.process);
	await isFree(t, directory);
});

onUnixSerially('of the worker threads of a process one owns a directory, until it ends', async t => {
	const directory = temporaryDirectory(t);
	const link = join(temporaryDirectory(t), 'link');
	symlinkSync(directory, link);
	for (const round of range(0, sized(2, 20))) {
		const [first, second] = await Promise.all([directory, link].map(path => holdInWorker(path)));
		const [owner, other] = first!.answer.code === undefined ? [first!, second!] : [second!, first!];
		t.deepEqual(owner.answer, {pid: process.pid});
		t.like(other.answer, {code: 'QUEUE_LOCKED', owner: {pid: process.pid}}, `round ${round}`);
		await isOwned(t, directory, process.pid);
		await owner.worker.terminate();
		await other.worker.terminate();
		await isFree(t, link);
	}
});

/** Locks a directory in a worker thread, which holds it until it is terminated. */
async function holdInWorker(directory: string): Promise<{worker: Worker; answer: Record<string, unknown>}> {
	const path = join(import.meta.dirname, '..', 'fixtures', 'lock-holder.js');
	const worker = new Worker(path, {argv: [directory, 'hold'], stdin: true, stdout: true});
	const [line] = (await pEvent(worker.stdout, 'data', {multiArgs: true})) as [Buffer];
	return {worker, answer: JSON.parse(String(line))};
}

onUnixSerially('of cluster workers exactly one owns a directory, and none when all have ended', async t => {
	const directory = temporaryDirectory(t);
	for (const round of range(0, sized(1, 10))) {
		const child = startJson(t, ['lock-cluster', directory, '4']);
		const locked = 'QUEUE_LOCKED';
		t.deepEqual(await child.next(), [locked, locked, locked, 'taken'] as never, `round ${round}`);
		await child.ended;
		await isFree(t, directory);
	}
});

onUnixSerially('an owner whose event loop is blocked stays the owner', async t => {
	const directory = temporaryDirectory(t);
	const blocked = startJson(t, ['lock-holder', directory, 'block']);
	t.deepEqual(await blocked.next(), {pid: blocked.pid});
	for (const _ of range(0, sized(1, 5))) {
		await isOwned(t, directory, blocked.pid);
	}

	await killChild(blocked.process);
	await isFree(t, directory);
});

onLinuxSerially('an owner without a descriptor left stays the owner', async t => {
	const directory = temporaryDirectory(t);
	const starved = startJson(t, ['lock-holder', directory, 'starve'], {under: inShell('ulimit -n 64')});
	t.like(await starved.next(), {code: 'EMFILE'});
	for (const _ of range(0, sized(1, 5))) {
		await isOwned(t, directory, starved.pid);
	}

	await killChild(starved.process);
	await isFree(t, directory);
});

onLinuxSerially('a contender that runs out of descriptors leaves nothing, and takes nothing that is owned', async t => {
	const directory = temporaryDirectory(t);
	const attempts = async () => {
		const child = startJson(t, ['lock-scarce', directory, '8'], {under: inShell('ulimit -n 64')});
		const lines = [];
		for (const _ of range(0, 8)) {
			lines.push((await child.next()) as {outcome: string; names: string[]});
		}

		return lines;
	};
	const free = await attempts();
	t.deepEqual([...new Set(free.map(({outcome}) => outcome))], ['QUEUE_STORAGE', 'taken']);
	t.true(free.every(({names}) => names.length === 0));

	const lock = await lockDirectory(directory, fileSystem);
	const [ownName] = readdirSync(directory);
	for (const digit of range(0, 6)) {
		// There are more claims to look at than descriptors to do it with.
		await leaveDeadSocket(join(directory, `lock-00000000-1-${String(digit).repeat(12)}`));
	}

	const owned = await attempts();
	t.deepEqual([...new Set(owned.map(({outcome}) => outcome))], ['QUEUE_STORAGE', 'QUEUE_LOCKED']);
	t.true(owned.every(({names}) => names.includes(ownName!)));
	await isOwned(t, directory, process.pid);
	await lock.release();
	await isFree(t, directory);
});

onUnixSerially('a child that outlives a killed owner does not keep its directory', async t => {
	const directory = temporaryDirectory(t);
	const parent = startJson(t, ['lock-holder', directory, 'parent']);
	const {child} = (await parent.next()) as {child: number};
	await killChild(parent.process);
	try {
		t.true(process.kill(child, 0));
		await isFree(t, directory);
	} finally {
		process.kill(child, 'SIGKILL');
	}
});

onUnixSerially('a directory at the end of a path of any length has one owner', async t => {
	const root = temporaryDirectory(t);
	for (const length of [108, 109, 256, 1000, 4000]) {
		const directory = longPath(root, length);
		t.is(directory.length, length);
		const queue = await DiskQueue.open<number>(directory, {durability: 'write'});
		await queue.put(length);
		await t.throwsAsync(DiskQueue.open(directory), {code: 'QUEUE_LOCKED'});
		const child = startJson(t, ['lock-holder', directory, 'hold']);
		t.like(await child.next(), {code: 'QUEUE_LOCKED', owner: {pid: process.pid}});
		t.is(await queue.get(), length);
		await queue.close();
		t.deepEqual(readdirSync(directory), ['checkpoint']);
	}
});

/** A path of a length below a directory, none of whose names is too long. */
function longPath(root: string, length: number): string {
	let path = root;
	while (path.length < length) {
		path = join(path, 'd'.repeat(Math.min(100, Math.max(1, length - path.length - 1))));
	}

	return path.length === length ? path : longPath(`${root}/e`, length);
}

onUnixSerially('a directory that was moved keeps its owner, and one in its place has another', async t => {
	const root = temporaryDirectory(t);
	const [place, moved] = [join(root, 'place'), join(root, 'moved')];
	fileSystem.makeDirectory(place);
	const first = await holdInChild(t, place);
	renameSync(place, moved);
	fileSystem.makeDirectory(place);
	const second = await holdInChild(t, place);
	await isOwned(t, moved, first.pid);
	await isOwned(t, place, second.pid);
	await release(t, first);
	await isOwned(t, place, second.pid);
	await killChild(second.process);
	await isFree(t, place);
	await isFree(t, moved);
});

onUnixSerially('a directory that was removed under its owner can be made and taken again', async t => {
	const directory = join(temporaryDirectory(t), 'queue');
	fileSystem.makeDirectory(directory);
	const first = await holdInChild(t, directory);
	rmSync(directory, {recursive: true});
	fileSystem.makeDirectory(directory);
	const second = await holdInChild(t, directory);
	await release(t, first);
	await isOwned(t, directory, second.pid);
	await release(t, second);
	await isFree(t, directory);
});

async function release(t: ExecutionContext, holder: JsonChild): Promise<void> {
	holder.process.stdin!.write('release\n');
	t.deepEqual(await holder.next(), {released: true});
	await holder.ended;
}
