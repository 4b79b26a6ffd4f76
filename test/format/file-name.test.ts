import test from 'ava';
import {
	checkpointFileName,
	parseSegmentFileName,
	quarantineDirectoryName,
	segmentFileName,
} from '../../source/format/file-name.ts';

test('files have these names', t => {
	t.is(checkpointFileName, 'checkpoint');
	t.is(quarantineDirectoryName, 'quarantine');
	t.is(segmentFileName(0), '00000000000000000000.log');
	t.is(segmentFileName(1234), '00000000000000001234.log');
	t.is(segmentFileName(Number.MAX_SAFE_INTEGER), '00009007199254740991.log');
	t.is(segmentFileName(1234, 0xabc), '00000000000000001234.00000abc.log');
});

test('names sort as their sequences do, and come back', t => {
	const sequences = [0, 9, 10, 99, 100, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER];
	const salts = [0, 1, 0x80000000, 0xffffffff];
	const names = sequences.map((sequence, index) => segmentFileName(sequence, salts[index % salts.length]));
	t.deepEqual(names, [...names].sort());
	t.deepEqual(
		names.map(parseSegmentFileName),
		sequences.map((firstSequence, index) => ({firstSequence, salt: salts[index % salts.length]})),
	);
});

const foreign = [
	'',
	'.log',
	'0.log',
	'0000000000000000000.log',
	'000000000000000000000.log',
	'00000000000000000000.LOG',
	'00000000000000000000.log.bad',
	'00000000000000000000.log\n',
	'x0000000000000000000.log',
	'+0000000000000000001.log',
	' 0000000000000000001.log',
	'0000000000000000001e.log',
	'٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠.log',
	'00009007199254740992.log',
	'99999999999999999999.log',
	'00000000000000000000.00000000.log',
	'00000000000000000000.0000000a.log.bad',
	'00000000000000000000.000000A0.log',
	'00000000000000000000.abc.log',
	'00000000000000000000-0000000a.log',
	'00000000000000000000.00000abcd.log',
	'checkpoint',
	'quarantine',
];

test('a name that is not exactly ours is not a segment', t => {
	for (const name of foreign) {
		t.is(parseSegmentFileName(name), undefined, JSON.stringify(name));
	}

	t.is(foreign.length, 23);
});
