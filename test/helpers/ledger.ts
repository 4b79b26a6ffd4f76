import {isDeepStrictEqual} from 'node:util';
import {type NumberedRecord, numberedRecord} from './numbered-record.ts';
import {range} from './queues.ts';

/**
 * How far a record came. `given`: to a put that has not resolved, or failed: it may be in the queue. `refused`: it must
 * not. `accepted`: its put resolved. `safe`: it must come back, whatever becomes of the process.
 */
type Fate = 'given' | 'refused' | 'accepted' | 'safe';

/** `done`: may come back, as often as its queue was not closed in order. `settled`: must not. */
type Progress = 'waiting' | 'done' | 'settled';

type Entry = {fate: Fate; progress: Progress};

/** What one producer and one consumer did with a queue, and so what the next open must bring back. */
export class Ledger {
	/** By id, which is the order of the puts. */
	readonly #entries: Entry[] = [];
	#lastTaken = -1;
	/** What is wrong, in words. */
	readonly problems: string[];

	constructor(problems: string[] = []) {
		this.problems = problems;
	}

	/** The next records to put. */
	next(count: number): NumberedRecord[] {
		const from = this.#entries.length;
		this.#entries.push(...range(0, count).map((): Entry => ({fate: 'given', progress: 'waiting'})));
		return range(from, from + count).map(numberedRecord);
	}

	/** Says what became of records that were given. */
	note(records: Iterable<NumberedRecord>, fate: Fate): void {
		for (const {id} of records) {
			this.#entries[id]!.fate = fate;
		}
	}

	/** Says that a consumer has records; each comes once, after those before it, unless it was given back. */
	take(records: Iterable<NumberedRecord>, progress: Progress = 'done'): void {
		for (const record of records) {
			const entry = this.#entries[record.id];
			if (!entry || !isDeepStrictEqual(record, numberedRecord(record.id))) {
				this.problems.push(`delivered ${JSON.stringify(record).slice(0, 200)}, which was never put`);
				continue;
			}

			if (entry.fate === 'refused' || record.id <= this.#lastTaken) {
				this.problems.push(`delivered ${record.id} (${entry.fate}) after ${this.#lastTaken}`);
			}

			entry.progress = progress;
			this.#lastTaken = record.id;
		}
	}

	/** Says that a record was given back, and comes again with those behind it that were not taken. */
	giveBack(record: NumberedRecord): void {
		this.#entries[record.id]!.progress = 'waiting';
		this.#lastTaken = Math.min(this.#lastTaken, record.id - 1);
	}

	/** Says that a delivered record is done. */
	finish({id}: NumberedRecord): void {
		this.#entries[id]!.progress = 'done';
	}

	/** Says that whatever was accepted and waits was dropped on purpose. */
	clear(): void {
		for (const entry of this.#entries.filter(({progress}) => progress === 'waiting')) {
			entry.progress = 'done';
		}
	}

	/** What a `sync` or `close` vouches for that starts now: call what it gives when that has succeeded. */
	vouch(): () => void {
		const accepted = this.#entries.filter(({fate}) => fate === 'accepted');
		const done = this.#entries.filter(({progress}) => progress === 'done');
		return () => {
			for (const entry of accepted) {
				entry.fate = 'safe';
			}

			for (const entry of done) {
				entry.progress = 'settled';
			}
		};
	}

	/** As it is now, for a copy of the directory made now. */
	copy(problems: string[] = this.problems): Ledger {
		const ledger = new Ledger(problems);
		ledger.#entries.push(...this.#entries.map(entry => ({...entry})));
		return ledger;
	}

	/** Compares what the next open brings back; `lost` says of a record that its loss was reported. */
	check(returned: NumberedRecord[], what: string, lost: (sequence: number) => boolean = () => false): void {
		const problem = (text: string) => this.problems.push(`${what}: ${text}`);
		const ids = returned.map(({id}) => id);
		for (const [index, record] of returned.entries()) {
			const entry = this.#entries[record.id];
			if (!entry || !isDeepStrictEqual(record, numberedRecord(record.id))) {
				problem(`${JSON.stringify(record).slice(0, 200)} was never put`);
			} else if (entry.progress === 'settled' || entry.fate === 'refused') {
				problem(`${record.id} came back: it was ${entry.progress}, ${entry.fate}`);
			} else if (index > 0 && record.id <= ids[index - 1]!) {
				problem(`${record.id} came after ${ids[index - 1]}`);
			}
		}

		const waiting = this.#entries.flatMap(({fate, progress}, id) =>
			progress === 'waiting' && (fate === 'accepted' || fate === 'safe') && !lost(id) ? [id] : [],
		);
		const back = new Set(ids);
		const missing = waiting.filter(id => !back.has(id));
		const unsafe = missing.filter(id => this.#entries[id]!.fate === 'safe');
		if (unsafe.length > 0) {
			problem(`lost ${unsafe.join(', ')}; came back: ${ids.join(', ')}`);
		}

		const last = ids.at(-1) ?? -1;
		if (missing.some(id => id < last)) {
			problem(`a hole: ${missing.filter(id => id < last).join(', ')} missing before ${last}`);
		}
	}
}
