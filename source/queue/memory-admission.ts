import {QueueFullError} from '../errors.ts';
import {type Admission, isTaken, type Put, type PutLine} from './admission.ts';
import type {Limits} from './limits.ts';
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
	readonly #limits: Limits<T>;
	/** Told when there are new records to take. */
	readonly #added: () => void;

	constructor(store: RecordStore<T>, line: PutLine<T>, limits: Limits<T>, added: () => void) {
		this.#store = store;
		this.#line = line;
		this.#limits = limits;
		this.#added = added;
	}

	get isDue(): boolean {
		return false;
	}

	addNow(record: T, bytes: number): boolean {
		const hasRoom = this.#store.hasRoom && this.#canMakeRoom();
		if (hasRoom) {
			this.#store.add(record, bytes);
			this.#added();
		}

		return hasRoom;
	}

	addSome(put: Put<T>): void {
		const {taken} = put;
		while (!isTaken(put) && this.#store.hasRoom && this.#canMakeRoom()) {
			put.taken += this.#store.addSome(put, this.#limits.room);
		}

		if (put.taken > taken) {
			this.#added();
		}
	}

	/** A record that must come in now: spilled at once if memory is full. */
	admitNow(put: Put<T>): void {
		while (!isTaken(put)) {
			this.#requireRoom();
			if (!this.#store.hasRoom) {
				this.#spill();
			}

			this.#add(put);
		}
	}

	admit(): void {
		let blocks = 0;
		for (let waiter = this.#line.first(); waiter; waiter = this.#line.first()) {
			this.addSome(waiter.request);
			if (isTaken(waiter.request)) {
				this.#line.claimFirst()!.resolve();
				continue;
			}

			this.#requireRoom();
			if (blocks++ === blocksPerTurn) {
				return;
			}

			this.#spill();
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
			this.#store.spillAll();
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

	#add(put: Put<T>): void {
		this.#store.add(put.records[put.taken]!, put.sizes[put.taken]!);
		put.taken++;
		this.#added();
	}

	/** Where what would be dropped cannot be read, a put waits until it can. */
	#canMakeRoom(): boolean {
		try {
			return this.#limits.makeRoom();
		} catch {
			return false;
		}
	}

	#requireRoom(): void {
		if (!this.#limits.makeRoom()) {
			throw new QueueFullError(this.#store.directory, undefined);
		}
	}

	#spill(): void {
		this.#limits.checkBytes(this.#store.spillBytes);
		this.#store.spill();
	}
}
