import test from 'ava';
import fc from 'fast-check';
import {Ring} from '../source/ring.ts';

const step = fc.oneof(
	{weight: 3, arbitrary: fc.record({call: fc.constant('push' as const), count: fc.integer({min: 1, max: 40})})},
	{weight: 2, arbitrary: fc.record({call: fc.constant('shift' as const), count: fc.integer({min: 1, max: 40})})},
	{weight: 1, arbitrary: fc.record({call: fc.constant('shiftMany' as const), count: fc.integer({min: 0, max: 60})})},
);

test('behaves as an array under any sequence of calls', t => {
	let calls = 0;
	fc.assert(
		fc.property(fc.array(step, {maxLength: 60}), steps => {
			const ring = new Ring<number>();
			const model: number[] = [];
			let next = 0;
			for (const {call, count} of steps) {
				calls++;
				const bounded = Math.min(count, model.length);
				if (call === 'push') {
					for (let index = 0; index < count; index++) {
						ring.push(next);
						model.push(next++);
					}
				} else if (call === 'shift') {
					for (let index = 0; index < bounded; index++) {
						if (ring.shift() !== model.shift()) {
							return false;
						}
					}
				} else if (String(ring.shiftMany(bounded)) !== String(model.splice(0, bounded))) {
					return false;
				}

				if (ring.length !== model.length || model.some((value, index) => ring.at(index) !== value)) {
					return false;
				}
			}

			return true;
		}),
		{numRuns: 300},
	);
	t.true(calls > 1000);
});

test('holds undefined like any other value', t => {
	const ring = new Ring<number | undefined>();
	ring.push(undefined);
	ring.push(1);
	t.is(ring.length, 2);
	t.is(ring.shift(), undefined);
	t.is(ring.shift(), 1);
	t.is(ring.length, 0);
});
