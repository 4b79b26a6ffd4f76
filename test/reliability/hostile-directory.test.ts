import {execFileSync} from 'node:child_process';
import {
	appendFileSync,
	chmodSync,
	closeSync,
	existsSync,
	linkSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
	writeSync,
} from 'node:fs';
import {basename, join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {parseSegmentFileName, segmentFileName} from '../../source/format/file-name.ts';
import {type Corruption, DiskQueue, QueueStorageError} from '../../source/index.ts';
import {readBoot} from '../../source/log/claim-name.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {reportFigures, startFigures} from '../helpers/figures.ts';
import {type Impostor, impostors, watchPaths} from '../helpers/impostors.ts';
import {holdInChild, killChild, leaveDeadSocket} from '../helpers/locks.ts';
import {fingerprint, segmentNames} from '../helpers/logs.ts';
import {checkedId, type NumberedRecord, numberedRecord} from '../helpers/numbered-record.ts';
import {onLinuxSerially, onUnixSerially, unless} from '../helpers/platforms.ts';
import {drain, openQueue, range} from '../helpers/queues.ts';
import {copyDirectory, copyOf, temporaryDirectory} from '../helpers/temporary-directory.ts';

const suite = 'hostile directories';
const records = 40;
const perBlock = 2;
const nobody = 65534;
const crowd = 3000;
const states = ['killed', 'closed'] as const;
/** Where a segment has its first block, and what a copy of that is called. */
const firstBlock = 64;

/** A directory as its owner left it: some segments, a checkpoint, all records waiting. */
async function leftDirectory(t: ExecutionContext, state: (typeof states)[number]): Promise<string> {
	const queue = await openQueue<NumberedRecord>(t, {durability: 'write', segmentBytes: 4096});
	for (const first of range(0, records / perBlock)) {
		await queue.putMany(range(first * perBlock, (first + 1) * perBlock).map(numberedRecord));
	}

	await queue.sync();
	const killed = copyOf(t, queue.directory);
	await queue.close();
	return state === 'killed' ? killed : copyOf(t, queue.directory);
}

/** What is in a directory that is nobody's queue: also a file under each name of this one. */
function elsewhere(t: ExecutionContext, directory: string): string {
	const outside = temporaryDirectory(t);
	copyDirectory(directory, outside);
	return outside;
}

async function isWhole(t: ExecutionContext, directory: string, until = records): Promise<void> {
	const ids: number[] = [];
	await takeAll(directory, ids);
	t.deepEqual(ids, range(0, until));
}

async function takeAll(directory: string, ids: number[]): Promise<void> {
	const queue = await DiskQueue.open<NumberedRecord>(directory);
	try {
		while (queue.size > 0) {
			ids.push(checkedId(await queue.get()));
		}
	} catch (error) {
		await queue.close().catch(() => {});
		throw error;
	}

	await queue.close();
}

type Refusal = {path: string; code: string; storage?: Storage};

/** An open refuses, telling what is wrong with which path and what to do, and changes nothing. */
async function isRefused(t: ExecutionContext, directory: string, {path, code, storage}: Refusal): Promise<void> {
	const before = fingerprint(directory);
	for (const onCorruption of ['quarantine', 'throw'] as const) {
		const error = await t.throwsAsync(DiskQueue.open(directory, {storage, onCorruption}), {
			instanceOf: QueueStorageError,
			code: 'QUEUE_STORAGE',
		});
		t.is(error!.path, path);
		t.true(error!.message.includes(`${path}: ${code}: `), error!.message);
		t.regex(error!.message, /(Nothing was|It was not) changed\. Put /);
	}

	t.deepEqual(fingerprint(directory), before);
}

/** Which of the impostors can be made here, and by what. */
const hostile = impostors.map(impostor => ({
	...impostor,
	declare: impostor.missing === undefined ? onUnixSerially : unless(impostor.missing, test.serial),
}));
const impostorCounts = {refused: 0, 'left alone': 0, seconds: 0};

for (const {what, make, declare} of hostile) {
	declare(`${what} under a name of ours is refused, and nothing changes`, async t => {
		const start = performance.now();
		for (const state of states) {
			const original = await leftDirectory(t, state);
			const segments = segmentNames(original);
			t.true(segments.length >= 4);
			const names = [segments[0]!, segments[1]!, segments.at(-1)!, segmentFileName(1e6), 'checkpoint', 'quarantine'];
			for (const name of names.filter(each => what !== 'a directory' || each !== 'quarantine')) {
				await isRefusedInPlaceOf(t, copyOf(t, original), {name, make});
				impostorCounts.refused++;
			}
		}

		impostorCounts.seconds += (performance.now() - start) / 1000;
	});
}

/** What stands in the place of a file is not touched, and all records are there when that is back. */
async function isRefusedInPlaceOf(
	t: ExecutionContext,
	directory: string,
	{name, make}: Pick<Impostor, 'make'> & {name: string},
): Promise<void> {
	const outside = elsewhere(t, directory);
	const path = join(directory, name);
	const aside = join(temporaryDirectory(t), name);
	const isThere = existsSync(path);
	if (isThere) {
		renameSync(path, aside);
	}

	await make(path, outside);
	const before = fingerprint(outside);
	const {storage, touches} = watchPaths([path]);
	await isRefused(t, directory, {path, code: 'ENOTSUP', storage});
	t.deepEqual(touches, []);
	t.deepEqual(fingerprint(outside), before);
	rmSync(path, {recursive: true});
	if (isThere) {
		renameSync(aside, path);
	}

	await isWhole(t, directory);
}

const claimNames = ['lock-00000000-1-0123456789ab', 'lock-00000000-1-0123456789ab.new'];

/** Names that are not ours, or look like those of claims, and in quarantine like those of copies. */
function foreignNames(segments: string[]): string[] {
	const copies = segments.flatMap(name => [name.replace('.log', `-${firstBlock}.bad`), copyNameOf(name, 1)]);
	return [
		...['notes.txt', '0.log', '99999999999999999999.log', '.hidden', ' ', 'a\nb', 'lock', 'Ü'.repeat(120)],
		...segments.map(name => `${name}.bak`),
		...claimNames,
		...['notes', 'checkpoint-0.bad', ...segments.map(name => `${name}-0.bad`), ...copies].map(name =>
			join('quarantine', name),
		),
	];
}

/** What another copy of the first block of a segment is called. */
function copyNameOf(segment: string, attempt: number): string {
	return segment.replace('.log', `-${firstBlock}-${attempt}.bad`);
}

for (const {what, make, declare} of hostile) {
	declare(`${what} under another name, or one in quarantine, is left alone`, async t => {
		const start = performance.now();
		for (const state of states) {
			const directory = await leftDirectory(t, state);
			const outside = elsewhere(t, directory);
			const [first, ...others] = segmentNames(directory);
			// A socket under the name of a claim is a claim.
			const names = foreignNames([first!, ...others]).filter(name => what !== 'a socket' || !claimNames.includes(name));
			mkdirSync(join(directory, 'quarantine'));
			const paths = names.map(name => join(directory, name));
			for (const path of paths) {
				await make(path, outside);
			}

			damage(join(directory, first!));
			const before = [fingerprint(outside), fingerprintOf(directory, names)];
			const {storage, touches} = watchPaths(paths);
			await isReadAround(t, directory, {storage, copy: join(directory, 'quarantine', copyNameOf(first!, 2))});
			t.deepEqual(touches, []);
			t.deepEqual([fingerprint(outside), fingerprintOf(directory, names)], before);
			impostorCounts['left alone'] += names.length;
		}

		impostorCounts.seconds += (performance.now() - start) / 1000;
	});
}

function fingerprintOf(directory: string, names: string[]): unknown[] {
	const all = fingerprint(directory);
	return names.map(name => [name, all[name]]);
}

/** All records come back but those of the damaged block, which is told once and copied; over and over. */
async function isReadAround(
	t: ExecutionContext,
	directory: string,
	{storage, copy}: {storage: Storage; copy: string},
): Promise<void> {
	const told: Array<string | undefined> = [];
	for (const _ of range(0, 3)) {
		const queue = await openQueue<NumberedRecord>(t, {storage}, directory);
		queue.on('corruption', ({quarantine}) => told.push(quarantine));
		const ids: number[] = [];
		while (queue.size > 0) {
			ids.push(...(await queue.receiveMany(records)).map(({record}) => checkedId(record)));
		}

		t.deepEqual(ids, range(perBlock, records));
		await queue.close();
		t.deepEqual(told, [copy]);
		t.true(statSync(copy).size > 0);
	}
}

test.serial('as many impostors were met as should', t => {
	const {seconds, ...counts} = impostorCounts;
	reportFigures(t, {suite, what: 'links, FIFOs, sockets, devices, directories', counts, seconds});
	const kinds = hostile.filter(({missing}) => missing === undefined).length;
	t.true(process.platform === 'win32' || (counts.refused >= 10 * kinds && counts['left alone'] >= 70 * kinds));
});

onUnixSerially(
	'a file that is written to is refused if it has a second name; others with one are only read',
	async t => {
		const report = startFigures(t, suite, 'second names (hard links)');
		let refused = 0;
		let read = 0;
		for (const state of states) {
			const original = await leftDirectory(t, state);
			const names = segmentNames(original);
			for (const name of [...names, 'checkpoint']) {
				const directory = copyOf(t, original);
				const outside = temporaryDirectory(t);
				linkSync(join(directory, name), join(outside, name));
				const before = fingerprint(outside);
				if (name === names.at(-1) || name === 'checkpoint') {
					await isRefused(t, directory, {path: join(directory, name), code: 'EMLINK'});
					t.deepEqual(fingerprint(outside), before);
					rmSync(join(outside, name));
					await isWhole(t, directory);
					refused++;
				} else {
					await isWhole(t, directory);
					t.deepEqual(fingerprint(outside), before);
					read++;
				}
			}
		}

		t.true(refused === 4 && read >= 4);
		report({refused, read});
	},
);

onUnixSerially('a torn segment with a second name is refused, also if an empty one follows it', async t => {
	const directory = await leftDirectory(t, 'killed');
	const outside = temporaryDirectory(t);
	const [torn, empty] = segmentNames(directory).slice(-2);
	rmSync(join(directory, 'checkpoint'));
	appendFileSync(join(directory, torn!), 'torn');
	truncateSync(join(directory, empty!));
	linkSync(join(directory, torn!), join(outside, 'second'));
	const before = fingerprint(outside);
	await isRefused(t, directory, {path: join(directory, torn!), code: 'EMLINK'});
	t.deepEqual(fingerprint(outside), before);
	rmSync(join(outside, 'second'));
	await isWhole(t, directory, Number.parseInt(empty!, 10));
});

onUnixSerially(
	'what may not be read, or written to, is told by its path, and all of it is there afterwards',
	async t => {
		const report = startFigures(t, suite, 'files without permission');
		let refused = 0;
		for (const state of states) {
			const original = await leftDirectory(t, state);
			mkdirSync(join(original, 'quarantine'));
			const names = segmentNames(original);
			for (const name of [...names, 'checkpoint', 'quarantine', '.']) {
				const directory = copyOf(t, original);
				const path = join(directory, name);
				await asNobody(directory, async () => {
					const ids: number[] = [];
					const {mode} = statSync(path);
					chmodSync(path, 0);
					const error = await t.throwsAsync(takeAll(directory, ids), {
						instanceOf: QueueStorageError,
						code: 'QUEUE_STORAGE',
					});
					t.true(error!.message.includes(path), error!.message);
					t.regex(error!.message, /EACCES/);
					chmodSync(path, mode);
					await takeAll(directory, ids);
					// What was done when its close failed may come back.
					t.deepEqual([...new Set(ids)], range(0, records), name);
				});
				refused++;
			}
		}

		report({refused});
	},
);

onLinuxSerially(
	'thousands of foreign files, and of dead claims, neither keep a queue from its records nor are changed',
	async t => {
		const report = startFigures(t, suite, 'a crowd of foreign files and dead claims');
		const directory = await leftDirectory(t, 'killed');
		mkdirSync(join(directory, 'quarantine'));
		const foreign = range(0, crowd).flatMap(number => [`${number}.log`, join('quarantine', `${number}`)]);
		for (const name of foreign) {
			writeFileSync(join(directory, name), name);
		}

		const dead = join(temporaryDirectory(t), 'dead');
		await leaveDeadSocket(dead);
		const prefix = `lock-${readBoot(fileSystem)}-1-`;
		for (const number of range(0, crowd)) {
			linkSync(dead, join(directory, `${prefix}${String(number).padStart(12, '0')}`));
		}

		const holder = await holdInChild(t, directory, {under: ['sh', '-c', 'ulimit -n 256; exec "$@"', 'sh']});
		t.deepEqual(
			readdirSync(directory).filter(name => name.startsWith(prefix)),
			[],
		);
		await killChild(holder.process);
		await isWhole(t, directory);
		t.deepEqual(
			foreign.filter(name => readFileSync(join(directory, name), 'utf8') !== name),
			[],
		);
		report({'foreign files': foreign.length, 'dead claims': crowd});
	},
);

for (const umask of [0o000, 0o002, 0o022, 0o027, 0o077]) {
	onUnixSerially(`with a umask of ${umask.toString(8)} others can neither read nor write what is created`, async t => {
		const parent = temporaryDirectory(t);
		const directory = join(parent, 'new', 'queue');
		const before = process.umask(umask);
		try {
			await makeAllKinds(t, directory);
		} finally {
			process.umask(before);
		}

		const modes = readdirSync(parent, {recursive: true, encoding: 'utf8'}).map(name => {
			const stats = statSync(join(parent, name));
			return [name, stats.mode & 0o777, stats.isDirectory() ? 0o700 : 0o600] as const;
		});
		t.deepEqual(
			modes.filter(([, mode, wanted]) => mode !== wanted),
			[],
		);
		const names = modes.map(([name]) => name.replaceAll(/\d{20}(\.[0-9a-f]{8})?/g, 'n'));
		for (const name of [
			'',
			'n.log',
			'checkpoint',
			'quarantine',
			'quarantine/n-64.bad',
			'quarantine/checkpoint-0.bad',
		]) {
			t.true(names.includes(join('new', 'queue', name)), name);
		}

		t.true(names.includes('new/dead/n.log'));
	});
}

/** Lets a queue make a file of each kind there is: also dead letters, beside it, and what is in quarantine. */
async function makeAllKinds(t: ExecutionContext, directory: string): Promise<void> {
	const options = {durability: 'write', deadLetter: join(directory, '..', 'dead')} as const;
	const queue = await openQueue<NumberedRecord>(t, options, directory);
	await queue.put(numberedRecord(0));
	await queue.put(numberedRecord(1));
	(await queue.receive()).reject('no good');
	await queue.close();
	damage(join(directory, segmentNames(directory)[0]!));
	writeFileSync(join(directory, 'checkpoint'), 'damage', {flag: 'r+'});
	truncateSync(join(directory, 'checkpoint'), 100);
	const next = await openQueue<NumberedRecord>(t, options, directory);
	next.on('corruption', () => {});
	await next.put(numberedRecord(2));
	t.is(checkedId(await next.get()), 1);
	await next.sync();
	await next.close();
}

for (const [what, make] of [
	['a link to nowhere', path => symlinkSync('nowhere', path)],
	['a link to itself', path => symlinkSync(basename(path), path)],
	['a file', path => writeFileSync(path, 'theirs')],
	['a FIFO', path => execFileSync('mkfifo', [path])],
	['a socket', path => leaveDeadSocket(path)],
] as Array<[string, (path: string) => unknown]>) {
	onUnixSerially(`${what} in the place of the directory, or above it, is refused by its path`, async t => {
		const parent = temporaryDirectory(t);
		const path = join(parent, 'queue');
		await make(path);
		const before = fingerprint(parent);
		for (const directory of [path, join(path, 'below')]) {
			const error = await t.throwsAsync(DiskQueue.open(directory), {
				instanceOf: QueueStorageError,
				code: 'QUEUE_STORAGE',
			});
			t.is(error!.path, directory);
			t.regex(error!.message, /is in the way: give the path of a directory/);
		}

		t.deepEqual(fingerprint(parent), before);
	});
}

onUnixSerially('a link that gets the name of the checkpoint while the queue is open is not followed', async t => {
	const outside = temporaryDirectory(t);
	const queue = await openQueue<NumberedRecord>(t, {durability: 'write'});
	queue.on('error', () => {});
	symlinkSync(join(outside, 'made'), join(queue.directory, 'checkpoint'));
	await t.throwsAsync(queue.put(numberedRecord(0)), {code: 'QUEUE_STORAGE', message: /EEXIST: file already exists/});
	await queue.close();
	t.deepEqual(readdirSync(outside), []);
	rmSync(join(queue.directory, 'checkpoint'));
	await isWhole(t, queue.directory, 0);
});

onUnixSerially('a link that gets the name of the next segment while the queue is open is not followed', async t => {
	const outside = temporaryDirectory(t);
	const queue = await openQueue<NumberedRecord>(t, {durability: 'write', segmentBytes: 4096});
	queue.on('error', () => {});
	await queue.put(numberedRecord(0));
	const {salt} = parseSegmentFileName(segmentNames(queue.directory)[0]!)!;
	const putToLinks = async () => {
		for (const id of range(1, 1000)) {
			const next = join(queue.directory, segmentFileName(id, salt));
			symlinkSync(join(outside, 'made'), next);
			await queue.put(numberedRecord(id));
			rmSync(next);
		}
	};
	await t.throwsAsync(putToLinks(), {code: 'QUEUE_STORAGE', message: /EEXIST: file already exists/});
	await queue.close();
	t.deepEqual(readdirSync(outside), []);
});

onUnixSerially('damage is told, and not copied, if the quarantine becomes a link while the queue is open', async t => {
	const directory = await leftDirectory(t, 'closed');
	const outside = temporaryDirectory(t);
	damage(join(directory, segmentNames(directory)[0]!));
	const queue = await openQueue<NumberedRecord>(t, {}, directory);
	const told: Corruption[] = [];
	queue.on('corruption', corruption => told.push(corruption));
	symlinkSync(outside, join(directory, 'quarantine'));
	t.deepEqual((await drain(queue)).map(checkedId), range(perBlock, records));
	t.like(told, [{offset: firstBlock, lost: {first: 0, last: perBlock - 1}, quarantine: undefined}]);
	t.deepEqual(readdirSync(outside), []);
	await queue.close();
});

/** Does something without the rights of root, who may do anything. */
async function asNobody(directory: string, work: () => Promise<void>): Promise<void> {
	if (process.geteuid!() !== 0) {
		await work();
		return;
	}

	execFileSync('chown', ['-R', String(nobody), directory]);
	process.seteuid!(nobody);
	try {
		await work();
	} finally {
		process.seteuid!(0);
	}
}

/** Damages the first record of a segment. */
function damage(path: string): void {
	const descriptor = openSync(path, 'r+');
	writeSync(descriptor, Buffer.from('damage'), 0, 6, firstBlock + 60);
	closeSync(descriptor);
}
