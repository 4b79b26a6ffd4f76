import {cpSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {isDeepStrictEqual} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {DiskQueue, type Durability} from '../../source/index.ts';
import {startFixture} from '../helpers/children.ts';
import {type NumberedRecord, numberedRecord} from '../helpers/numbered-record.ts';
import {range} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';
import {sinkKinds} from '../helpers/sinks.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const kills = Number(process.env.DISQ_KILLS ?? 50);
const seed = Number(process.env.DISQ_SEED ?? Date.now() % 2 ** 32);
/** The longest a child runs once its queue is open, in milliseconds. */
const longestRun = 80;
const recordsPerRun = 600;
const kinds = [...sinkKinds, 'stalling'];

/** What a child noted: ids in the order of the notes. */
type Journal = {written: number[]; accepted: number[]; confirmed: number[]};

function readJournal(path: string): Journal {
	const ids: Record<string, number[]> = {w: [], a: [], c: []};
	const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
	for (const line of lines) {
		ids[line[0]!]!.push(Number(line.slice(2)));
	}

	return {written: ids.w!, accepted: ids.a!, confirmed: ids.c!};
}

/** Starts a pipeline over a directory, kills it at a moment of its run, and gives what it noted. */
async function killRun(
	t: ExecutionContext,
	directory: string,
	{durability, firstId, random}: {durability: Durability; firstId: number; random: () => number},
): Promise<Journal> {
	const journal = join(temporaryDirectory(t), 'journal');
	const highWaterMark = [4, 64, 1024][Math.floor(random() * 3)]!;
	const kind = kinds[Math.floor(random() * kinds.length)]!;
	const parameters = [directory, journal, durability, firstId, recordsPerRun, highWaterMark, kind].map(String);
	const {child, result} = startFixture(t, 'killed-pipeline', parameters);
	await Promise.race([pEvent(child.stdout!, 'data'), result]);
	// Not a wait for something: the moment of the kill is to be anywhere.
	await setTimeout(random() * longestRun);
	child.kill('SIGKILL');
	const {signal, stderr} = await result;
	t.is(signal, 'SIGKILL', stderr);
	return readJournal(journal);
}

/** Reads all that a directory holds, in order, and leaves it there. */
async function look(directory: string): Promise<NumberedRecord[]> {
	const queue = await DiskQueue.open<NumberedRecord>(directory);
	const records: NumberedRecord[] = [];
	while (records.length < queue.size + queue.stats().inFlight) {
		const lease = await queue.lease(1000, () => true);
		records.push(...lease!.records);
	}

	await queue.close();
	return records;
}

/** What a killed process left, as its next owner would find it; sockets of its lock cannot be copied, and are dead. */
function copyOf(t: ExecutionContext, directory: string): string {
	const copy = temporaryDirectory(t);
	cpSync(directory, copy, {recursive: true, filter: path => !/lock-[^/]*$/.test(path)});
	return copy;
}

async function survivesKills(t: ExecutionContext, durability: Durability, count: number): Promise<void> {
	t.timeout(10 * 60_000);
	t.log(`seed ${seed}`);
	const random = randomFrom(seed);
	const directory = temporaryDirectory(t);
	let left: number[] = [];
	let firstId = 0;
	let verified = 0;
	let redelivered = 0;
	let accepted = 0;
	for (const round of range(0, count)) {
		const journal = await killRun(t, directory, {durability, firstId, random});
		const put = [...left, ...journal.written];
		const confirmed = journal.confirmed.length;
		t.deepEqual(journal.confirmed, put.slice(0, confirmed), `round ${round}: what the sink was given, in order`);
		t.deepEqual(journal.accepted, journal.written.slice(0, journal.accepted.length));

		// Every other time the next child finds what the killed one left as it is.
		const records = await look(round % 2 === 0 ? directory : copyOf(t, directory));
		const damaged = records.filter(record => !isDeepStrictEqual(record, numberedRecord(record.id)));
		t.deepEqual(damaged, [], `round ${round}: intact`);
		const returned = records.map(({id}) => id);
		const first = returned.length > 0 ? put.indexOf(returned[0]!) : confirmed;
		const end = first + returned.length;
		const what = `round ${round}: ${first} to ${end} of ${put.length}, ${confirmed} confirmed, ${left.length} were left, ${journal.accepted.length} accepted`;
		t.true(isDeepStrictEqual(returned, put.slice(first, end)), what);
		t.true(first >= 0 && first <= confirmed, what);
		t.true(end >= left.length + journal.accepted.length, what);

		left = returned;
		firstId += journal.written.length;
		verified += returned.length;
		accepted += journal.accepted.length;
		redelivered = Math.max(redelivered, confirmed - first);
	}

	t.log(
		`${count} kills, ${accepted} records accepted, ${verified} verified, at most ${redelivered} confirmed came back`,
	);
	t.true(accepted > 0);
	t.true(verified > 0 || count < 10);
}

test(
	`'write': ${kills} times SIGKILL at any moment loses nothing accepted, repeats nothing in a run`,
	survivesKills,
	'write',
	kills,
);
test(
	`'fsync': ${Math.ceil(kills / 5)} times SIGKILL at any moment loses nothing accepted, repeats nothing in a run`,
	survivesKills,
	'fsync',
	Math.ceil(kills / 5),
);

test('while its owner lives a directory is refused, naming its pid; after SIGKILL it opens at once', async t => {
	const directory = temporaryDirectory(t);
	for (const round of range(0, 3)) {
		const journal = join(temporaryDirectory(t), 'journal');
		const parameters = [directory, journal, 'write', round * 100, 100, 16, 'async'].map(String);
		const {child, result} = startFixture(t, 'killed-pipeline', parameters);
		await pEvent(child.stdout!, 'data');
		const error = await t.throwsAsync(DiskQueue.open(directory), {code: 'QUEUE_LOCKED'});
		t.regex(error!.message, new RegExp(`process ${child.pid}\\b`));
		child.kill('SIGKILL');
		await result;
		const queue = await DiskQueue.open(directory);
		await queue.close();
	}
});
