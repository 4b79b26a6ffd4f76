import test from 'ava';
import {coversRange, joinRanges} from '../../source/log/sequence-ranges.ts';

const range = (first: number, next: number) => ({first, next});

test('ranges that meet are one, and empty ones are none', t => {
	t.deepEqual(joinRanges([], []), []);
	t.deepEqual(joinRanges([range(0, 5)], [range(5, 8), range(20, 20), range(30, 29)]), [range(0, 8)]);
	t.deepEqual(joinRanges([range(10, 15)], [range(0, 12)]), [range(0, 15)]);
	t.deepEqual(joinRanges([range(0, 20)], [range(3, 4), range(25, 30)]), [range(0, 20), range(25, 30)]);
});

test('of too many ranges the last ones are joined over what lies between them', t => {
	const many = Array.from({length: 40}, (_, index) => range(10 * index, 10 * index + 5));
	const joined = joinRanges(many.slice(0, 20), many.slice(20));
	t.is(joined.length, 16);
	t.deepEqual(joined.slice(0, 15), many.slice(0, 15));
	t.deepEqual(joined[15], range(150, 395));
});

test('a range is covered if one range holds all of it', t => {
	const ranges = [range(0, 5), range(10, 20)];
	t.true(coversRange(ranges, range(0, 5)));
	t.true(coversRange(ranges, range(12, 13)));
	t.false(coversRange(ranges, range(4, 6)));
	t.false(coversRange(ranges, range(5, 10)));
	t.false(coversRange([], range(0, 1)));
});
