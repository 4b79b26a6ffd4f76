import test from 'ava';
import fc from 'fast-check';
import {BlockRing} from '../../source/queue/block-ring.ts';
import {range} from '../helpers/queues.ts';

const limit = {records: 5, bytes: 100};

const step = fc.record({
	call: fc.constantFrom('add', 'add', 'add', 'push', 'takeOne', 'take', 'takeWithin', 'drop', 'takeAll', 'clear'),
	count: fc.integer({min: 1, max: 8}),
	bytes: fc.integer({min: 1, max: 60}),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** Does a step to both, and says whether they gave the same. */
function isSame(ring: BlockRing<number>, model: number[], {call, count, bytes}: Step, next: () => number): boolean {
	const isTaken = (taken: number[]) => taken.every(record => record === model.shift());
	if (call === 'add') {
		for (let left = count; left > 0; left--) {
			ring.add(model[model.push(next()) - 1]!, bytes, limit);
		}

		return true;
	}

	if (call === 'push') {
		const records = range(0, count).map(next);
		ring.push(records, bytes, 0);
		model.push(...records);
		return true;
	}

	if (call === 'clear') {
		ring.clear();
		model.length = 0;
		return true;
	}

	if (ring.length === 0) {
		return true;
	}

	switch (call) {
		case 'takeOne':
			return isTaken([ring.takeOne()]);
		case 'take': {
			const taken = ring.take(count);
			return taken.length > 0 && taken.length <= count && isTaken(taken);
		}

		case 'takeWithin': {
			const taken = ring.takeWithin({records: count, bytes});
			return taken.length > 0 && taken.length <= count && isTaken(taken);
		}

		case 'drop': {
			const first = [...ring.first(count)];
			ring.drop(first.length);
			return first.length <= count && isTaken(first);
		}

		default:
			return ring.takeAll(count).length === Math.min(count, model.length) && model.splice(0, count).length > 0;
	}
}

test('gives what came in, in order, under any sequence of calls, and counts records and bytes', t => {
	fc.assert(
		fc.property(fc.array(step, {maxLength: 60}), steps => {
			const ring = new BlockRing<number>();
			const model: number[] = [];
			let last = 0;
			for (const each of steps) {
				if (!isSame(ring, model, each, () => last++)) {
					return false;
				}

				const isCounted = ring.length === model.length && ring.bytes > 0 === model.length > 0;
				if (!isCounted || String(ring.peek(7)) !== String(model.slice(0, 7)) || ring.firstBytes > ring.bytes + 1e-6) {
					return false;
				}
			}

			return String(ring.takeAll()) === String(model) && ring.bytes === 0;
		}),
		{numRuns: 500},
	);
	t.pass();
});

test('a block takes no more than its bounds, but for one record that is larger', t => {
	const ring = new BlockRing<number>();
	const blocks: number[][] = [];
	for (const [record, bytes] of [10, 20, 30, 40, 50, 500, 1, 1, 1, 1, 1, 1].entries()) {
		ring.add(record, bytes, limit);
	}

	while (ring.length > 0) {
		blocks.push(ring.take(100));
	}

	t.deepEqual(blocks, [[0, 1, 2, 3], [4], [5], [6, 7, 8, 9, 10], [11]]);
});

test('records that were taken count in their block: it does not hold on to many of them', t => {
	const ring = new BlockRing<number>();
	ring.add(0, 60, limit);
	ring.add(1, 30, limit);
	t.is(ring.takeOne(), 0);
	ring.add(2, 30, limit);
	t.deepEqual(ring.first(10), [1]);
	t.is(ring.firstBytes, 45);
});

test('a record that came first says when the others of its block came', t => {
	const ring = new BlockRing<number>();
	t.is(ring.since, undefined);
	ring.push([1, 2], 10, 1234);
	const before = Date.now();
	ring.add(3, 10, limit);
	t.is(ring.since, 1234);
	ring.take(2);
	t.true(ring.since! >= before && ring.since! <= Date.now());
});
