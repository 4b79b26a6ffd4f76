import type {Interruption, Model} from './interrupted-runs.ts';
import type {Note} from './journal.ts';

/** What is known of a record. */
type Known = {
	isAccepted: boolean;
	/** Neither SIGKILL takes it, nor, if durable, a power cut. */
	isWritten: boolean;
	isDurable: boolean;
	deliveries: number;
	durableDeliveries: number;
	isInFlight: boolean;
	isAcknowledged: boolean;
	/** It was found gone after SIGKILL; it was done before a sync, or found gone after a power cut. */
	isDone: boolean;
	isDurablyDone: boolean;
	/** It may be, or was found, among the dead letters; also after a power cut. */
	mayBeDead: boolean;
	isDead: boolean;
	isDurablyDead: boolean;
};

/** What a directory holds: how often each record would have been delivered by now, by its id, and the dead letters. */
export type FoundDeliveries = {attempts: Map<number, number>; dead: Set<number>};

/**
 * What must be in a queue whose records are received, and settled in any order, by runs that are interrupted.
 *
 * A run notes `p <id>` before it puts a record, `a <id>` when the put has resolved; `d <id> <attempts>` when the record is
 * delivered; `k <id>` before it acknowledges the delivery, `n <id>` before it gives it back, `r <id>` before it rejects it;
 * `b` before a sync, `s` when that has ended.
 */
export class DeliveryModel implements Model<FoundDeliveries> {
	readonly figures: Record<'records accepted' | 'records verified' | 'dead letters' | 'attempts at most', number> = {
		'records accepted': 0,
		'records verified': 0,
		'dead letters': 0,
		'attempts at most': 0,
	};
	readonly #maxAttempts: number;
	#known = new Map<number, Known>();
	#nextId = 0;

	constructor(maxAttempts: number) {
		this.#maxAttempts = maxAttempts;
	}

	get nextId(): number {
		return this.#nextId;
	}

	closed(): void {
		for (const record of this.#known.values()) {
			record.isDurable = true;
			record.durableDeliveries = record.deliveries;
			record.isDurablyDone = record.isDone;
			record.isDurablyDead = record.isDead;
		}
	}

	compare(notes: Note[], found: FoundDeliveries, interruption: Interruption): string[] {
		const {known, problems} = this.#readRun(notes);
		return [...problems, ...compare(known, found, {...interruption, maxAttempts: this.#maxAttempts})];
	}

	goOn(notes: Note[], found: FoundDeliveries, interruption: Interruption): void {
		const {known} = this.#readRun(notes);
		const {figures} = this;
		figures['records accepted'] += notes.filter(([event]) => event === 'a').length;
		figures['records verified'] += found.attempts.size;
		figures['dead letters'] = found.dead.size;
		figures['attempts at most'] = Math.max(figures['attempts at most'], ...found.attempts.values());
		this.#nextId = Math.max(this.#nextId, ...[...known.keys()].map(id => id + 1));
		this.#known = goOn(known, found, interruption);
	}

	#readRun(notes: Note[]): {known: Map<number, Known>; problems: string[]} {
		const known = new Map([...this.#known].map(([id, record]) => [id, {...record}]));
		const problems: string[] = [];
		let syncing: Array<() => void> = [];
		const readers: Record<string, (id: number, attempts: number) => void> = {
			p: id => known.set(id, unknown()),
			a(id) {
				known.get(id)!.isAccepted = true;
			},
			d: (id, attempts) => problems.push(...deliver(known.get(id), id, attempts)),
			n(id) {
				known.get(id)!.isInFlight = false;
			},
			k(id) {
				known.get(id)!.isAcknowledged = true;
			},
			r(id) {
				known.get(id)!.mayBeDead = true;
			},
			b() {
				syncing = [...known.values()].map(syncOf);
			},
			s() {
				for (const synced of syncing) {
					synced();
				}
			},
		};
		for (const [event, id, attempts] of notes) {
			readers[event]!(id!, attempts!);
		}

		return {known, problems};
	}
}

function unknown(): Known {
	return {
		isAccepted: false,
		isWritten: false,
		isDurable: false,
		deliveries: 0,
		durableDeliveries: 0,
		isInFlight: false,
		isAcknowledged: false,
		isDone: false,
		isDurablyDone: false,
		mayBeDead: false,
		isDead: false,
		isDurablyDead: false,
	};
}

/** Counts a delivery; a record is with one consumer at a time, and not again once it is acknowledged. */
function deliver(record: Known | undefined, id: number, attempts: number): string[] {
	if (!record) {
		return [`delivered and never put: ${id}`];
	}

	const isFree = !record.isInFlight && !record.isAcknowledged;
	record.deliveries++;
	record.isInFlight = true;
	// What is delivered is in the log.
	record.isWritten = true;
	return [
		...unless(isFree, `delivered twice in a run: ${id}`),
		...unless(attempts === record.deliveries, `attempt ${attempts} of ${id} was number ${record.deliveries}`),
	];
}

/** What becomes of a record when a sync that begins now has ended. */
function syncOf(record: Known): () => void {
	const {isAccepted, isWritten, deliveries, isAcknowledged} = record;
	return () => {
		record.isDurable ||= isAccepted || isWritten;
		record.durableDeliveries = deliveries;
		record.isDurablyDone ||= isAcknowledged;
	};
}

type Bounds = Interruption & {maxAttempts: number};

function compare(known: Map<number, Known>, {attempts, dead}: FoundDeliveries, bounds: Bounds): string[] {
	const problems = [...attempts.keys(), ...dead].flatMap(id => unless(known.has(id), `never put: ${id}`));
	for (const [id, record] of known) {
		const count = attempts.get(id);
		const wrong = compareRecord(record, {count, isDead: dead.has(id)}, bounds);
		problems.push(...wrong.map(problem => `${problem}: ${id}, attempt ${count}, ${JSON.stringify(record)}`));
	}

	return problems;
}

function compareRecord(
	record: Known,
	{count, isDead}: {count: number | undefined; isDead: boolean},
	bounds: Bounds,
): string[] {
	const {deliveries, durableDeliveries} = record;
	const isKill = bounds.crash === 'SIGKILL';
	const mayBeGone = isDead || record.isAcknowledged || !isSafe(record, bounds);
	const mustBeGone = isKill ? record.isDone : record.isDurablyDone;
	const mustBeDead = isKill ? record.isDead : record.isDurablyDead;
	// One delivery may be counted and not noted.
	const mayBeDead = record.mayBeDead || deliveries + 1 >= bounds.maxAttempts;
	const isCounted =
		count === undefined || (count > (isKill ? deliveries : durableDeliveries) && count <= deliveries + 2);
	return [
		...unless(count !== undefined || mayBeGone, 'lost'),
		...unless(count === undefined || !mustBeGone, 'came back'),
		...unless(isCounted, 'wrong attempt'),
		...unless(isDead || !mustBeDead, 'lost among the dead letters'),
		...unless(!isDead || mayBeDead, 'a dead letter without a cause'),
	];
}

/** Whether the crash must leave the record, unless it is done. */
function isSafe({isAccepted, isWritten, isDurable}: Known, {crash, durability}: Interruption): boolean {
	return crash === 'power cut'
		? isDurable || (durability === 'fsync' && isAccepted)
		: isWritten || isDurable || (durability !== 'spill' && isAccepted);
}

/** What is known after a crash. What is there after a power cut, or gone, is so durably; what is lost is forgotten. */
function goOn(
	known: Map<number, Known>,
	{attempts, dead}: FoundDeliveries,
	interruption: Interruption,
): Map<number, Known> {
	const isPowerCut = interruption.crash === 'power cut';
	const next = new Map<number, Known>();
	for (const [id, record] of known) {
		const count = attempts.get(id);
		const isDead = dead.has(id);
		if (count === undefined && !isDead && !record.isAcknowledged) {
			continue;
		}

		const isDone = count === undefined;
		const deliveries = isDone ? record.deliveries : count - 1;
		next.set(id, {
			isAccepted: record.isAccepted,
			isWritten: true,
			isDurable: isPowerCut || isSafe(record, {...interruption, crash: 'power cut'}),
			deliveries,
			durableDeliveries: isPowerCut ? deliveries : Math.min(deliveries, record.durableDeliveries),
			isInFlight: false,
			isAcknowledged: isDone && record.isAcknowledged,
			isDone,
			isDurablyDone: isDone && (isPowerCut || record.isDurablyDone),
			mayBeDead: record.mayBeDead || isDead,
			isDead,
			isDurablyDead: isDead && (isPowerCut || record.isDurablyDead),
		});
	}

	return next;
}

function unless(isRight: boolean, problem: string): string[] {
	return isRight ? [] : [problem];
}
