import type {Interruption, Model} from './interrupted-runs.ts';
import type {Note} from './journal.ts';

/** What was done in the last turn of the event loop comes back, and so many at most. */
const doneInOneTurn = 1024;

/**
 * What must be in a queue whose records are put in the order of their ids, and taken in order, by runs that are
 * interrupted.
 *
 * A run notes `p <id>` before it puts a record, `a <id>` when the put has resolved; `g <count>` before it takes so many at
 * most, `t <id> ...` what it has taken, or is about to call done; `b` before a sync, `s` when that has ended.
 */
export class FifoModel implements Model<number[]> {
	readonly figures: Record<'records accepted' | 'records verified' | 'done came back at most', number> = {
		'records accepted': 0,
		'records verified': 0,
		'done came back at most': 0,
	};
	#nextId = 0;
	/** Ids in the queue, in order. */
	#present: number[] = [];
	/** Ids that are done, but not so that a power cut would not bring them back. */
	#done: number[] = [];
	/** Up to this id no power cut takes a record. */
	#durableId = -1;

	get nextId(): number {
		return this.#nextId;
	}

	closed(): void {
		this.#durableId = this.#nextId - 1;
		this.#done = [];
	}

	compare(notes: Note[], returned: number[], interruption: Interruption): string[] {
		const run = this.#readRun(notes);
		return compare(run, {returned, safeId: this.#safeId(run, interruption), ...interruption});
	}

	goOn(notes: Note[], returned: number[], interruption: Interruption): void {
		const run = this.#readRun(notes);
		const {figures} = this;
		figures['records accepted'] += run.accepted.length;
		figures['records verified'] += returned.length;
		const cameBack = returned.filter(id => id <= lastOf(run.taken)).length;
		figures['done came back at most'] = Math.max(figures['done came back at most'], cameBack);
		this.#nextId = Math.max(this.#nextId, lastOf(run.queued) + 1);
		// What is there after a power cut, or gone, is so on the device.
		const isPowerCut = interruption.crash === 'power cut';
		this.#durableId = isPowerCut ? this.#nextId - 1 : this.#safeId(run, {...interruption, crash: 'power cut'});
		this.#done = isPowerCut ? [] : run.mayReturn.filter(id => !returned.includes(id));
		this.#present = returned;
	}

	#readRun(notes: Note[]): Run {
		const run: Run = {
			queued: [...this.#present],
			accepted: [],
			taken: [],
			taking: 0,
			mayReturn: this.#done,
			syncedId: -1,
		};
		let synced = {syncedId: -1, done: 0};
		let done = 0;
		const readers: Record<string, (...numbers: number[]) => void> = {
			p: id => run.queued.push(id!),
			a: id => run.accepted.push(id!),
			g(count) {
				run.taking = count!;
			},
			t(...ids) {
				run.taken.push(...ids);
				run.taking = 0;
			},
			b() {
				synced = {syncedId: lastOf(run.accepted), done: run.taken.length};
			},
			s() {
				run.syncedId = synced.syncedId;
				run.mayReturn = [];
				done = synced.done;
			},
		};
		for (const [event, ...numbers] of notes) {
			readers[event]!(...numbers);
		}

		run.mayReturn = [...run.mayReturn, ...run.queued.slice(done, run.taken.length + run.taking)];
		return run;
	}

	/** Up to which id the crash must leave what was not taken. */
	#safeId(run: Run, {crash, durability, inMemory = 0}: Interruption): number {
		if (crash === 'power cut') {
			return Math.max(this.#durableId, run.syncedId, durability === 'fsync' ? lastOf(run.accepted) : -1);
		}

		const written = durability === 'spill' ? run.accepted.slice(0, -inMemory) : run.accepted;
		return Math.max(lastOf(this.#present), run.syncedId, lastOf(written));
	}
}

/** What a run has noted. */
type Run = {
	/** Ids that were there, or were put, in order. */
	queued: number[];
	accepted: number[];
	taken: number[];
	/** How many more may be taken. */
	taking: number;
	/** Ids that may be done, and may come back after a power cut. */
	mayReturn: number[];
	/** The last id that was accepted before a sync that has ended. */
	syncedId: number;
};

type Comparison = Interruption & {returned: number[]; safeId: number};

function compare(
	run: Run,
	{returned, safeId, crash, durability, maxRedelivered = doneInOneTurn}: Comparison,
): string[] {
	const {queued, taken, taking, mayReturn} = run;
	const isKill = crash === 'SIGKILL';
	const found = new Set(returned);
	const takenId = Math.max(lastOf(mayReturn), lastOf(queued.slice(0, taken.length + taking)));
	// What was taken from memory was in no file: of those some may come back, and others not.
	const firstId = durability === 'spill' ? takenId + 1 : Math.min(takenId + 1, returned[0] ?? takenId + 1);
	const missing = [...new Set([...mayReturn, ...queued])].filter(id => id >= firstId && !found.has(id));
	const allowed = new Set([...(isKill ? queued : mayReturn), ...queued.slice(taken.length)]);
	const wrong: Record<string, number[]> = {
		'taken out of order': taken.filter((id, index) => id !== queued[index]),
		lost: missing.filter(id => id <= safeId),
		'left out': isKill ? missing.filter(id => id < lastOf(returned)) : [],
		'done for good, or never put': returned.filter(id => !allowed.has(id)),
		'out of order, or twice': returned.filter((id, index) => index > 0 && id <= returned[index - 1]!),
		'done in earlier turns': isKill ? returned.filter(id => id <= lastOf(taken)).slice(maxRedelivered) : [],
	};
	return Object.entries(wrong).flatMap(([problem, ids]) => (ids.length > 0 ? [`${problem}: ${ids}`] : []));
}

function lastOf(ids: number[]): number {
	return ids.at(-1) ?? -1;
}
