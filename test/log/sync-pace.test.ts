import test from 'ava';
import {SyncPace} from '../../source/log/sync-pace.ts';
import {range} from '../helpers/queues.ts';

const few = 100;
const many = 100_000;

/** A pace whose syncs take what they are said to, in milliseconds. */
function paceOf() {
	let now = 0;
	const pace = new SyncPace(() => now);
	/** Runs syncs; gives where. */
	const run = async (times: number, bytes: number, milliseconds: number) => {
		const places: string[] = [];
		for (let left = times; left > 0; left--) {
			await pace.run(bytes, async where => {
				places.push(where);
				now += milliseconds;
			});
		}

		return places;
	};
	return {pace, run};
}

const threadPool = (times: number) => range(0, times).map(() => 'threadPool');
const inPlace = (times: number) => range(0, times).map(() => 'inPlace');

test('small syncs are made in place where they take less than 0.3 ms on average', async t => {
	const {run} = paceOf();
	t.deepEqual(await run(26, few, 0.1), threadPool(26));
	t.deepEqual(await run(1000, few, 0.1), inPlace(1000));
	t.deepEqual(await run(1, few, 3), inPlace(1));
	t.deepEqual(await run(10, few, 0.1), inPlace(10));
	t.deepEqual(await run(1, few, 100), inPlace(1));
	t.deepEqual(await run(100, few, 0.1), threadPool(100));
	await run(100, few, 0.1);
	t.deepEqual(await run(1, few, 0.1), inPlace(1));
});

test('syncs that take longer are left to another thread', async t => {
	const {run} = paceOf();
	t.deepEqual(await run(1000, few, 0.3), threadPool(1000));
});

test('a sync of many bytes is not made in place, and what it takes says nothing of small ones', async t => {
	const {run} = paceOf();
	await run(100, few, 0.1);
	t.deepEqual(await run(100, many, 100), threadPool(100));
	t.deepEqual(await run(1, few, 0.1), inPlace(1));
});

test('syncs are small after four in a row', async t => {
	const {pace, run} = paceOf();
	await run(3, few, 1);
	t.false(pace.isSmall);
	await run(1, few, 1);
	t.true(pace.isSmall);
	await run(1, many, 1);
	t.false(pace.isSmall);
	await run(4, few, 1);
	t.true(pace.isSmall);
	pace.forgetSmall();
	t.false(pace.isSmall);
});

test('a sync that fails is not counted', async t => {
	const {pace, run} = paceOf();
	await run(100, few, 0.1);
	const fail = async () => {
		throw new Error('EIO');
	};
	await t.throwsAsync(pace.run(few, fail), {message: 'EIO'});
	t.deepEqual(await run(1, few, 0.1), inPlace(1));
});
