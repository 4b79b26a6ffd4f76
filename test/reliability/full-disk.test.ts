import {execFileSync} from 'node:child_process';
import {readdirSync, rmSync, statSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import type {Durability} from '../../source/index.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, isLong, seed, sized} from '../helpers/form.ts';
import {FullDiskLife, takes} from '../helpers/full-disk-life.ts';
import {openDescriptors} from '../helpers/logs.ts';
import {checkedId, type NumberedRecord, numberedRecord} from '../helpers/numbered-record.ts';
import {unless, without} from '../helpers/platforms.ts';
import {drain, openQueue, range} from '../helpers/queues.ts';
import {pickFrom, randomFrom} from '../helpers/random.ts';
import {type DiskKind, onSmallDisk, SmallDisk} from '../helpers/small-disk.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const kibibyte = 1024;
const durabilities: Durability[] = ['spill', 'write', 'fsync'];

type Plan = {disk: SmallDisk; durability: Durability; rounds: number; random: () => number};
type Counts = {'times full': number; 'records verified': number};

/** The life of a queue on a disk that it fills, and that another program fills too. */
async function liveThroughFullDisk(t: ExecutionContext, {disk, durability, rounds, random}: Plan): Promise<Counts> {
	const descriptors = openDescriptors();
	const segmentBytes = pickFrom([16, 64, 100], random) * kibibyte;
	const cacheSize = pickFrom([10, 50, 200], random);
	const directory = join(disk.root, durability);
	const life = await FullDiskLife.begin(t, directory, {durability, segmentBytes, cacheSize});
	await life.fill();
	for (let round = 0; round < rounds; round++) {
		await life.checkBackpressure();
		disk.fill();
		t.is(disk.free, 0);
		for (const take of takes) {
			await life.take(3, take);
		}

		await life.checkKilled();
		life.checkDiskBytes();
		await life.loseRoom(disk, random);
		await life.drainUntilResumed(random);
		await life.reach('full');
		disk.relieve();
		await life.reach('resume');
		await life.reach('full');
	}

	t.deepEqual(
		life.events,
		Array.from({length: life.events.length}, (_, index) => (index % 2 === 0 ? 'full' : 'resume')),
	);
	disk.fill();
	const code = await life.close();
	t.is(code, 'QUEUE_STORAGE');
	t.is(openDescriptors(), descriptors);
	const again = await life.reopen(() => disk.relieve());
	disk.fill();
	await life.checkReopened(again, code);
	disk.relieve();
	await again.put(numberedRecord(0));
	t.deepEqual(await again.get(), numberedRecord(0));
	await again.close();
	t.is(openDescriptors(), descriptors);
	rmSync(directory, {recursive: true});
	return {'times full': life.episodes, 'records verified': life.done.length};
}

async function survivesFullDisk(t: ExecutionContext, kind: DiskKind, sizes: number[]): Promise<void> {
	announce(t);
	const report = startFigures(t, 'T7', `${kind.fileSystem}, no ${kind.shortage} left`);
	const random = randomFrom(seed);
	const counts = {queues: 0, 'times full': 0, 'records verified': 0};
	for (const size of sizes) {
		const disk = await SmallDisk.create(t, kind, size);
		for (const durability of durabilities) {
			const figures = await liveThroughFullDisk(t, {disk, durability, rounds: sized(1, 2), random});
			counts.queues++;
			counts['times full'] += figures['times full'];
			counts['records verified'] += figures['records verified'];
		}
	}

	t.is(counts.queues, sizes.length * durabilities.length);
	report(counts);
}

const mebibyte = kibibyte * kibibyte;

for (const [kind, sizes] of [
	[{fileSystem: 'tmpfs', shortage: 'bytes'}, [mebibyte / 2, mebibyte, 2 * mebibyte]],
	[{fileSystem: 'ext4', shortage: 'bytes'}, [mebibyte, 2 * mebibyte]],
	[{fileSystem: 'tmpfs', shortage: 'inodes'}, [10, 16, 30]],
	[{fileSystem: 'ext4', shortage: 'inodes'}, [6, 12]],
] as Array<[DiskKind, number[]]>) {
	if (isLong) {
		onSmallDisk(`${kind.fileSystem} without ${kind.shortage}: puts wait, gets go on, and nothing is lost`, t =>
			survivesFullDisk(t, kind, sizes),
		);
	}
}

/** Bytes that a file may have: a checkpoint, and less than the large record. */
const fileLimit = 150 * kibibyte;
const largeBytes = 200 * kibibyte;

/** Sets the limit of this process, as `ulimit -S -f` does. */
function limitFiles(bytes: number | 'unlimited'): void {
	execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]);
}

const onFileLimit = unless(without('prlimit, of Linux', ['prlimit', '--fsize']), test.serial);

onFileLimit('a limit of the file size: records go on in the next file, and one that fits none waits', async t => {
	announce(t);
	const report = startFigures(t, 'T7', 'a limit of the file size');
	t.teardown(() => limitFiles('unlimited'));
	const counts = {queues: 0, 'times full': 0, 'records verified': 0};
	const records = range(0, sized(1000, 5000));
	for (const durability of durabilities) {
		limitFiles(fileLimit);
		const directory = temporaryDirectory(t);
		const queue = await openQueue<NumberedRecord>(t, {durability, cacheSize: 10}, directory);
		queue.on('full', () => {
			counts['times full']++;
		});
		const full = pEvent(queue, 'full' as never);
		for (const id of records) {
			await queue.put(numberedRecord(id));
		}

		t.is(counts['times full'], counts.queues);
		const sizes = readdirSync(directory).map(name => statSync(join(directory, name)).size);
		t.true(sizes.length > 3 && Math.max(...sizes) <= fileLimit);
		const large = {...numberedRecord(records.length), payload: new Uint8Array(largeBytes)};
		const waiting = Promise.all([large, ...range(0, 20).map(numberedRecord)].map(record => queue.put(record)));
		await full;
		await t.throwsAsync(queue.put(large, {timeout: 1}), {code: 'QUEUE_FULL'});
		const [delivery] = await queue.receiveMany(1);
		delivery!.ack();
		t.is(checkedId(delivery!.record), 0);
		t.is(checkedId(await queue.get()), 1);
		limitFiles('unlimited');
		await waiting;
		await queue.close();
		const again = await openQueue<NumberedRecord>(t, {}, directory);
		t.deepEqual(await drain(again), [
			...records.slice(2).map(numberedRecord),
			large,
			...range(0, 20).map(numberedRecord),
		]);
		counts.queues++;
		counts['records verified'] += records.length + 21;
	}

	t.is(counts.queues, durabilities.length);
	report(counts);
});
