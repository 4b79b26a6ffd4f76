import {QueueRecordError} from '../errors.ts';
import {type Admission, type AdmissionEvents, isTaken, type Put, type PutLine} from './admission.ts';
import type {RecordStore} from './record-store.ts';

/** Blocks that one turn of the event loop spills at most, so that others get theirs. */
const blocksPerTurn = 4;

/**
 * Puts of a `'spill'` queue: a put needs room in memory. When there is none, one turn of the event loop is left to the
 * consumers; if they made no room, a block goes to disk.
 */
export class MemoryAdmission<T> implements Admission<T> {
	readonly #store: RecordStore<T>;
	readonly #line: PutLine<T>;
	readonly #events: AdmissionEvents;

	constructor(store: RecordStore<T>, line: PutLine<T>, events: AdmissionEvents) {
		this.#store = store;
		this.#line = line;
		this.#events = events;
	}

	addNow(put: Put<T>): void {
		while (!isTaken(put) && this.#store.hasRoom) {
			this.#add(put);
		}
	}

	admit(): void {
		let blocks = 0;
		for (let waiter = this.#line.first(); waiter; waiter = this.#line.first()) {
			this.addNow(waiter.request);
			if (isTaken(waiter.request)) {
				this.#line.claimFirst()!.resolve();
			} else if (blocks++ < blocksPerTurn) {
				this.#spillBlock();
			} else {
				return;
			}
		}
	}

	async finish(): Promise<void> {
		const waiters = this.#line.claimAll();
		for (const {request} of waiters) {
			while (!isTaken(request)) {
				this.#add(request);
			}
		}

		try {
			this.spillAll();
		} catch (error) {
			for (const waiter of waiters) {
				waiter.reject(error);
			}

			throw error;
		}

		for (const waiter of waiters) {
			waiter.resolve();
		}
	}

	spillAll(): void {
		let isMore = true;
		while (isMore) {
			isMore = this.#spillBlock();
		}
	}

	#add(put: Put<T>): void {
		this.#store.add(put.records[put.taken]!, put.sizes[put.taken]!);
		put.taken++;
		this.#events.added();
	}

	/** Spills one block; false if there is nothing to spill. A record the codec refuses after all is dropped alone. */
	#spillBlock(): boolean {
		try {
			return this.#store.spill();
		} catch (error) {
			if (!(error instanceof QueueRecordError)) {
				throw error;
			}

			this.#spillOne();
			return true;
		}
	}

	#spillOne(): void {
		try {
			this.#store.spill(1);
		} catch (error) {
			if (!(error instanceof QueueRecordError)) {
				throw error;
			}

			this.#store.dropUnencodable();
			this.#events.dropped(error);
		}
	}
}
