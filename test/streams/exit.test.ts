import test from 'ava';
import {pEvent} from 'p-event';
import {diskQueue} from '../../source/index.ts';
import {runFixture} from '../helpers/children.ts';
import {range} from '../helpers/queues.ts';
import {leftovers} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const count = 5000;
const cacheSize = 1024;
const synced = 4800;

const orderly: Array<{ending: string; how: string; code: number; through: string}> = [
	{ending: 'exit', how: 'calls process.exit(0)', code: 0, through: 'queue'},
	{ending: 'throw', how: 'throws an uncaught exception', code: 1, through: 'queue'},
	{ending: 'reject', how: 'has an unhandled rejection', code: 1, through: 'queue'},
	{ending: 'return', how: 'returns from main with the queue open', code: 0, through: 'queue'},
	{ending: 'dispose', how: 'leaves the block of `await using`', code: 0, through: 'queue'},
	{ending: 'exit', how: 'calls process.exit(0) amid a pipe', code: 0, through: 'stream'},
	{ending: 'throw', how: 'throws an uncaught exception amid a pipe', code: 1, through: 'stream'},
	{ending: 'return', how: 'returns from main amid a pipe', code: 0, through: 'stream'},
];

for (const {ending, how, code, through} of orderly) {
	test(`'spill': a process that ${how} loses no record`, async t => {
		const directory = temporaryDirectory(t);
		const result = await runFixture(t, 'exiting', [directory, ending, through]);
		t.is(result.code, code, result.stderr);
		t.deepEqual(await leftovers(directory), range(0, count));
	});
}

test("'spill': a process that exits with no room on the disk saves what is done all the same", async t => {
	const directory = temporaryDirectory(t);
	const {code, stderr} = await runFixture(t, 'exiting-full', [directory]);
	t.is(code, 0);
	t.regex(stderr, /^disq: .*ENOSPC/);
	t.deepEqual(await leftovers(directory), range(40, 100));
});

for (const [ending, through, least] of [
	['kill', 'queue', count - cacheSize],
	['syncKill', 'queue', synced],
	['kill', 'stream', count - 3 * cacheSize],
] as const) {
	test(`'spill': after SIGKILL (${ending}, ${through}) what was spilled or synced is there, in order`, async t => {
		const directory = temporaryDirectory(t);
		const {signal} = await runFixture(t, 'exiting', [directory, ending, through]);
		t.is(signal, 'SIGKILL');
		const records = await leftovers<number>(directory);
		t.deepEqual(records, range(0, records.length));
		t.log(`${records.length} of ${count} are there`);
		t.true(records.length >= least);
	});
}

test('await using of a stream keeps what was written, and closes it without an error', async t => {
	const directory = temporaryDirectory(t);
	const stream = diskQueue<number>(directory, {durability: 'write'});
	stream.on('error', error => t.fail(error.message));
	let accepted = 0;
	for (const id of range(0, 100)) {
		stream.write(id, () => accepted++);
	}

	await stream[Symbol.asyncDispose]();
	t.true(stream.closed);
	t.is(accepted, 100);
	await stream[Symbol.asyncDispose]();
	t.deepEqual(await leftovers(directory), range(0, 100));
});

test('await using of a stream that has failed, or is not read to its end, closes it without another error', async t => {
	const directory = temporaryDirectory(t);
	const failure = new Error('enough');
	const errors: Error[] = [];
	{
		await using stream = diskQueue<number>(directory);
		stream.on('error', error => errors.push(error));
		stream.end(1);
		await pEvent(stream, 'finish');
		stream.destroy(failure);
	}

	t.deepEqual(errors, [failure]);
	{
		await using stream = diskQueue<number>(directory);
		stream.on('error', error => errors.push(error));
		await pEvent(stream, 'readable');
	}

	t.deepEqual(errors, [failure]);
	t.deepEqual(await leftovers(directory), [1]);
});
