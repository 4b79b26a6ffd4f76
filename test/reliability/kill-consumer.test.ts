import {cpSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {type DeadLetter, DiskQueue} from '../../source/index.ts';
import {startFixture} from '../helpers/children.ts';
import {type NumberedRecord, numberedRecord} from '../helpers/numbered-record.ts';
import {drain, openQueue, range} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const kills = Number(process.env.DISQ_KILLS ?? 40);
const seed = Number(process.env.DISQ_SEED ?? Date.now() % 2 ** 32);
/** The longest a child runs once its queue is open, in milliseconds. */
const longestRun = 150;
const recordsPerRun = 300;

/** What is known of a record from the journals of all children. */
type Known = {deliveries: number; isAcknowledged: boolean; isSynced: boolean};

function readJournal(path: string, known: Map<number, Known>): void {
	const acknowledged: number[] = [];
	for (const line of readFileSync(path, 'utf8').split('\n').slice(0, -1)) {
		const [event, ...numbers] = line.split(' ');
		const [first] = numbers.map(Number) as [number];
		if (event === 'p') {
			known.set(first, known.get(first) ?? {deliveries: 0, isAcknowledged: false, isSynced: false});
		} else if (event === 'd') {
			const record = known.get(first) ?? {deliveries: 0, isAcknowledged: false, isSynced: false};
			record.deliveries++;
			known.set(first, record);
		} else if (event === 'k') {
			known.get(first)!.isAcknowledged = true;
			acknowledged.push(first);
		} else {
			for (const id of acknowledged.slice(0, first)) {
				known.get(id)!.isSynced = true;
			}
		}
	}
}

/** Delivers all that a copy of a directory holds, and so leaves the directory as the killed process left it. */
async function deliverAll(t: ExecutionContext, directory: string): Promise<Map<number, number>> {
	const copy = temporaryDirectory(t);
	cpSync(directory, copy, {recursive: true, filter: path => !/lock-[^/]*$/.test(path)});
	const queue = await openQueue<NumberedRecord>(t, {}, copy);
	const attempts = new Map<number, number>();
	let last = -1;
	while (queue.size > 0) {
		for (const {record, attempts: count} of await queue.receiveMany(1000)) {
			t.true(record.id > last, `${record.id} after ${last}`);
			t.deepEqual(record, numberedRecord(record.id));
			attempts.set(record.id, count);
			last = record.id;
		}
	}

	await queue.close();
	return attempts;
}

test(`${kills} times SIGKILL between receive and ack: what was acknowledged and synced stays done, all else comes back, attempts grow`, async t => {
	t.timeout(10 * 60_000);
	t.log(`seed ${seed}`);
	const random = randomFrom(seed);
	const directory = temporaryDirectory(t);
	const known = new Map<number, Known>();
	let highest = 0;
	let checked = 0;
	for (const round of range(0, kills)) {
		const journal = join(temporaryDirectory(t), 'journal');
		const parameters = [directory, journal, round * recordsPerRun, recordsPerRun, seed + round].map(String);
		const {child, result} = startFixture(t, 'killed-consumer', parameters);
		await Promise.race([pEvent(child.stdout!, 'data'), result]);
		// Not a wait for something: the moment of the kill is to be anywhere.
		await setTimeout(random() * longestRun);
		child.kill('SIGKILL');
		const {signal, stderr} = await result;
		t.is(signal, 'SIGKILL', stderr);
		readJournal(journal, known);

		const attempts = await deliverAll(t, directory);
		for (const [id, record] of known) {
			const count = attempts.get(id);
			const what = `round ${round}, record ${id}, attempt ${count}: ${JSON.stringify(record)}`;
			t.true(record.isAcknowledged || count !== undefined, `lost: ${what}`);
			t.false(record.isSynced && count !== undefined, `came back: ${what}`);
			if (count !== undefined) {
				// The process may have been killed after the delivery was counted and before it was noted.
				t.true(count === record.deliveries + 1 || count === record.deliveries + 2, what);
				record.deliveries = count - 1;
				record.isAcknowledged = false;
				highest = Math.max(highest, count);
				checked++;
			}
		}
	}

	t.log(`${kills} kills, ${known.size} records put, ${checked} redeliveries checked, up to ${highest} attempts`);
	t.true(known.size > 0 && checked > 0 && highest > 2);
});

test('a record that kills its consumer ends in the dead-letter queue after exactly three deliveries', async t => {
	const root = temporaryDirectory(t);
	const directory = join(root, 'queue');
	const queue = await DiskQueue.open<NumberedRecord>(directory, {durability: 'write'});
	await queue.put(numberedRecord(0));
	await queue.close();
	const attempts: string[] = [];
	for (const _ of range(0, 3)) {
		const {child, result} = startFixture(t, 'poisoned-consumer', [root]);
		const [attempt] = (await pEvent(child.stdout!, 'data', {multiArgs: true})) as [string];
		attempts.push(attempt.trim());
		child.kill('SIGKILL');
		await result;
	}

	t.deepEqual(attempts, ['attempt 1', 'attempt 2', 'attempt 3']);
	const last = await openQueue<NumberedRecord>(
		t,
		{maxAttempts: 3, deadLetter: join(root, 'dead'), durability: 'write'},
		directory,
	);
	await t.throwsAsync(last.receive({timeout: 1}), {code: 'QUEUE_EMPTY'});
	await last.join();
	await last.close();
	const dead = await openQueue<DeadLetter<NumberedRecord>>(t, {}, join(root, 'dead'));
	t.like((await drain(dead))[0], {reason: 'maxAttempts', attempts: 3, sequence: 0});
});
