import {join} from 'node:path';
import test from 'ava';
import {pEvent} from 'p-event';
import {type DeadLetter, DiskQueue} from '../../source/index.ts';
import {startFixture} from '../helpers/children.ts';
import {sized} from '../helpers/form.ts';
import {consumerKind} from '../helpers/interrupted-kinds.ts';
import {killRuns} from '../helpers/kill-runs.ts';
import {type NumberedRecord, numberedRecord} from '../helpers/numbered-record.ts';
import {drain, openQueue, range} from '../helpers/queues.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

for (const [durability, kills] of [
	['spill', sized(4, 60)],
	['write', sized(4, 80)],
	['fsync', sized(4, 60)],
] as const) {
	test.serial(
		`'${durability}': ${kills} times SIGKILL amid deliveries: what was acknowledged and synced stays done, all else comes back, attempts grow`,
		t => killRuns(t, {kind: consumerKind(durability), kills, what: `deliveries and dead letters, '${durability}'`}),
	);
}

test.serial(
	'a record that kills its consumer ends in the dead-letter queue after exactly three deliveries',
	async t => {
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
	},
);
