import {existsSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {DiskQueue, type Durability} from '../../source/index.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {copyOf, temporaryDirectory} from '../helpers/temporary-directory.ts';

const durabilities: Durability[] = ['spill', 'write', 'fsync'];

test('opening creates the directory, and a new queue is empty', async t => {
	const directory = join(temporaryDirectory(t), 'not', 'yet');
	const queue = await openQueue(t, {}, directory);
	t.true(existsSync(directory));
	t.is(queue.size, 0);
	t.like(queue.stats(), {nextSequence: 0, segments: 0, diskBytes: 0});
});

for (const count of [10, 20, 50]) {
	test(`${count} records through a cache of 20 are counted, and come out in order`, async t => {
		const queue = await openQueue<number>(t, {cacheSize: 20});
		for (const record of range(0, count)) {
			await queue.put(record);
			t.is(queue.size, record + 1);
		}

		t.is(queue.stats().diskRecords > 0, count > 20);
		for (const record of range(0, count)) {
			t.is(await queue.get(), record);
			t.is(queue.size, count - record - 1);
		}
	});
}

for (const durability of durabilities) {
	test(`${durability}: sync with some records taken keeps the rest, in this run and the next`, async t => {
		const queue = await openQueue<number>(t, {durability, cacheSize: 4});
		await queue.putMany([0, 1, 2]);
		t.is(await queue.get(), 0);
		await queue.sync();
		const killed = await openQueue<number>(t, {}, copyOf(t, queue.directory));
		t.deepEqual(await drain(killed), [1, 2]);
		t.deepEqual(await drain(queue), [1, 2]);
	});

	test(`${durability}: sync of an empty queue leaves it empty`, async t => {
		const queue = await openQueue<number>(t, {durability});
		await queue.sync();
		t.is(queue.size, 0);
		t.deepEqual(
			readdirSync(queue.directory).filter(name => name.endsWith('.log')),
			[],
		);
		await t.throwsAsync(queue.get({timeout: 0}), {code: 'QUEUE_EMPTY'});
	});

	test(`${durability}: an unused or drained queue opens again, and is empty`, async t => {
		const directory = temporaryDirectory(t);
		for (const round of range(0, 4)) {
			const queue = await DiskQueue.open<number>(directory, {durability, cacheSize: 2});
			t.is(queue.size, 0);
			if (round % 2 === 1) {
				await queue.putMany(range(0, 20));
				t.is((await drain(queue)).length, 20);
			}

			await queue.close();
		}
	});

	test(`${durability}: a process killed right after open, or after one get, loses no record`, async t => {
		const queue = await openQueue<number>(t, {durability, cacheSize: 3});
		await queue.putMany(range(0, 9));
		await queue.close();
		const again = await openQueue<number>(t, {durability, cacheSize: 3}, queue.directory);
		t.deepEqual(await drain(await openQueue<number>(t, {}, copyOf(t, queue.directory))), range(0, 9));
		t.is(await again.get(), 0);
		const left = await drain(await openQueue<number>(t, {}, copyOf(t, queue.directory)));
		t.deepEqual(left.slice(-8), range(1, 9));
	});

	test(`${durability}: sync beside puts and gets neither loses nor repeats a record`, async t => {
		const queue = await openQueue<number>(t, {durability, cacheSize: 16});
		const count = 2000;
		let isOver = false;
		const syncing = (async () => {
			while (!isOver) {
				await queue.sync();
				await nextTurn();
			}
		})();
		const produce = async (parity: number) => {
			for (const index of range(0, count)) {
				await queue.put(2 * index + parity);
			}
		};
		const taken: number[] = [];
		const consume = async () => {
			while (taken.length < 2 * count) {
				const record = await queue.get({timeout: 100}).catch(() => undefined);
				if (record !== undefined) {
					taken.push(record);
				}
			}
		};

		await Promise.all([produce(0), produce(1), consume(), consume()]);
		isOver = true;
		await syncing;
		t.deepEqual(
			taken.toSorted((a, b) => a - b),
			range(0, 2 * count),
		);
	});
}
