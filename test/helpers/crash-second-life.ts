import {type Truth, truthOf} from './crash-check.ts';
import {type Candidate, type Explorer, latencyFrom} from './crash-explorer.ts';
import {CrashJournal} from './crash-journal.ts';
import {CrashModel, type CrashModelOptions} from './crash-model.ts';
import {leaseAll, openStore} from './crash-outcome.ts';
import {nextTurn} from './queues.ts';
import {SimulatedDisk} from './simulated-disk.ts';

/**
 * Recovers what a crash left, and goes on for a while: all of it is recorded, to be crashed too. What the first open gave
 * is on the device, and never lost again. What it did not give never comes back, though its bytes be on the device.
 */
export async function recordSecondLife(
	{state, outcome}: Candidate,
	{contents, directories}: Explorer,
	options: CrashModelOptions,
): Promise<Truth> {
	const [directory] = directories as [string];
	const disk = new SimulatedDisk(state.image(), latencyFrom(options.random));
	const {delivered} = outcome.queues[0]!;
	const found = delivered.map(({record}) => record.id);
	// What the first life lost has no id that is used again.
	const journal = new CrashJournal(disk.operations, {firstId: Math.max(0, ...found) + 1000, found});
	await act(disk, journal, directory);
	const written = delivered.map(({sequence, record}) => ({operation: -1, directory, sequence, id: record.id}));
	return truthOf(journal, new CrashModel(disk, contents, {...options, former: state.former()}), directories, written);
}

/** Takes what is there, appends, is done with some, syncs, reclaims, closes. */
async function act(disk: SimulatedDisk, journal: CrashJournal, directory: string): Promise<void> {
	const {log, store} = await openStore(disk.live().storage, directory);
	const {leases} = await leaseAll(store);
	const appended: number[] = [];
	const append = (count: number) => {
		const records = journal.next(count);
		store.append(records);
		appended.push(...records.map(({id}) => id));
		journal.promise(appended, 'kill');
	};
	const sync = async (how: () => Promise<void>) => {
		const ids = [...appended];
		await how();
		journal.promise(ids, 'powerCut');
	};

	append(1);
	await sync(() => log.sync());
	append(2);
	const done: number[] = [];
	for (const lease of leases.slice(0, Math.ceil(leases.length / 2))) {
		done.push(...lease.rest().map(({id}) => id));
		journal.done(done);
		store.settle(lease, lease.length);
	}

	log.writeCheckpoint();
	journal.doneFor(done, 'kill');
	await nextTurn();
	await sync(() => log.sync());
	journal.doneFor(done, 'powerCut');
	log.freeDone();
	append(1);
	await nextTurn();
	await sync(() => log.close());
}
