import {readdirSync, renameSync, rmSync, unlinkSync} from 'node:fs';
import {join} from 'node:path';
import {DiskQueue} from '../../source/index.ts';
import {isClaimName} from '../../source/log/directory-lock.ts';
import {fingerprint, segmentNames} from '../helpers/logs.ts';
import {onUnix} from '../helpers/platforms.ts';
import {drain, openQueue, range} from '../helpers/queues.ts';
import {leftovers} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const small = {durability: 'write', segmentBytes: 4096, cacheSize: 4} as const;
const text = 'x'.repeat(1000);
const texts = (from: number, to: number): string[] => range(from, to).map(id => `${id} ${text}`);

onUnix(
	'a queue whose directory was moved away leaves the one in its place alone, and keeps what is its own',
	async t => {
		const place = join(temporaryDirectory(t), 'place');
		const moved = `${place}-moved`;
		const first = await DiskQueue.open<string>(place, small);
		await first.putMany(texts(0, 20));
		renameSync(place, moved);
		const second = await openQueue<string>(t, small, place);
		await second.putMany(texts(100, 120));
		const before = fingerprint(place);

		const cause = {code: 'QUEUE_STORAGE', message: /ESTALE.*was moved or removed/};
		await t.throwsAsync(first.putMany(texts(20, 40)), cause);
		const taken: string[] = [];
		await t.throwsAsync(
			(async () => {
				while (taken.length < 20) {
					taken.push(await first.get());
				}
			})(),
			cause,
		);
		await t.throwsAsync(first.close(), cause);
		t.deepEqual(fingerprint(place), before);
		t.deepEqual(await drain(second), texts(100, 120));

		const rest = await leftovers<string>(moved);
		t.deepEqual(taken, texts(0, taken.length));
		t.deepEqual(rest.slice(0, 20 - taken.length), texts(taken.length, 20));
	},
);

onUnix("'fsync': nothing is accepted once the directory is removed", async t => {
	const place = join(temporaryDirectory(t), 'place');
	const queue = await DiskQueue.open<string>(place, {durability: 'fsync'});
	await queue.put('before');
	rmSync(place, {recursive: true});
	await t.throwsAsync(queue.put('after'), {code: 'QUEUE_STORAGE', message: /ESTALE/});
	await t.throwsAsync(queue.close(), {code: 'QUEUE_STORAGE'});
});

onUnix('a queue whose lock was removed, and the directory taken by another, touches no file of it', async t => {
	const place = temporaryDirectory(t);
	const first = await DiskQueue.open<string>(place, small);
	await first.putMany(texts(0, 20));
	for (const name of readdirSync(place).filter(isClaimName)) {
		unlinkSync(join(place, name));
	}

	const second = await openQueue<string>(t, small, place);
	const segments = segmentNames(place);
	await t.throwsAsync(first.putMany(texts(20, 40)), {code: 'QUEUE_STORAGE', message: /ESTALE/});
	await t.throwsAsync(first.close(), {code: 'QUEUE_STORAGE'});
	t.deepEqual(segmentNames(place), segments);
	t.deepEqual(await drain(second), texts(0, 20));
});
