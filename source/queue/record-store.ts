import type {SegmentLog} from '../log/segment-log.ts';
import {Lease} from './lease.ts';
import {MemoryWindow} from './memory-window.ts';

/** Bounds of a block: from 64 records on a larger one gains nothing. */
export const blockLimit: Readonly<{records: number; bytes: number}> = {records: 512, bytes: 256 * 1024};

export type StoreOptions = {
	cacheSize: number;
	cacheBytes: number;
	/** The part of both that may hold records of the log. */
	headShare: number;
};

/**
 * The records of a queue in order, wherever they are: given back, in memory from the log, on disk, in memory only.
 *
 * Records in memory only are always newer than all records of the log: whatever is appended is appended in order.
 */
export class RecordStore<T> {
	readonly #log: SegmentLog<T>;
	readonly #memory: MemoryWindow<T>;
	readonly #spillLimit: {records: number; bytes: number};
	/** Runs that are not done, in queue order: with a consumer, or given back by one. */
	readonly #leases: Array<Lease<T>> = [];
	/** Records given back and not taken again. */
	#returned = 0;

	constructor(log: SegmentLog<T>, {cacheSize, cacheBytes, headShare}: StoreOptions) {
		this.#log = log;
		this.#memory = new MemoryWindow<T>({records: cacheSize, bytes: cacheBytes, headShare});
		this.#spillLimit = {...blockLimit, records: Math.min(blockLimit.records, Math.ceil(cacheSize / 2))};
	}

	/** Records that wait for a consumer. */
	get size(): number {
		return this.#returned + this.#memory.length + this.diskSize;
	}

	/** Of those, the ones that are on disk only. */
	get diskSize(): number {
		return Math.max(0, this.#log.nextSequence - this.#log.reader.sequence);
	}

	/** Of those, the ones in memory, and what is known of their size in bytes. */
	get memory(): {records: number; bytes: number} {
		return {records: this.#memory.length + this.#returned, bytes: Math.round(this.#memory.bytes)};
	}

	/** Records with a consumer, and not done. */
	get inFlight(): number {
		return this.#leases.reduce((sum, lease) => sum + (lease.isReturned ? 0 : lease.length), 0);
	}

	/** Whether a record may be added to memory without making room. */
	get hasRoom(): boolean {
		return this.#memory.hasRoomInTail;
	}

	/** Whether the next records must come from disk first: `load` them. */
	get isLoadDue(): boolean {
		return this.#returned === 0 && this.#memory.head.length === 0 && !this.#log.reader.isAtEnd;
	}

	/** Adds a record at the end, in memory only. */
	add(record: T, bytes: number): void {
		this.#memory.tail.push(record, bytes);
	}

	/** Appends records to the log, all or none. They stay in memory too if they are next and there is room. */
	append(records: T[]): void {
		const block = this.#log.append(records);
		const {reader} = this.#log;
		if (reader.sequence === block.firstSequence && this.#memory.hasRoomInHead(records.length, block.bytes)) {
			reader.pass(block);
			this.#memory.head.pushAll(records, block.bytes);
		}
	}

	/** Appends the oldest records that are in memory only, as one block of at most `max`; false if there are none. */
	spill(max: number = this.#spillLimit.records): boolean {
		const lease = this.#firstUnlogged();
		if (lease) {
			this.#appendLease(lease);
			return true;
		}

		const {tail} = this.#memory;
		if (tail.length === 0) {
			return false;
		}

		const records = tail.first({...this.#spillLimit, records: max});
		this.append(records);
		tail.drop(records.length);
		return true;
	}

	/** Drops the record, or the run with a consumer, that `spill` could not encode. */
	dropUnencodable(): void {
		const lease = this.#firstUnlogged();
		if (lease) {
			this.settle(lease, lease.length);
		} else {
			this.#memory.tail.drop(1);
		}
	}

	/** Takes up to `max` records, done with it; undefined if none is in memory. */
	take(max: number): T[] | undefined {
		if (this.#returned > 0) {
			const lease = this.lease(max)!;
			const records = lease.rest();
			this.settle(lease, lease.length);
			return records;
		}

		const run = this.#nextRun(max);
		if (run) {
			this.#markProgress();
		}

		return run?.records;
	}

	/** Takes up to `max` records that stay the queue's until they are settled; undefined if none is in memory. */
	lease(max: number): Lease<T> | undefined {
		if (this.#returned > 0) {
			return this.#leaseReturned(max);
		}

		const run = this.#nextRun(max);
		if (!run) {
			return undefined;
		}

		const lease = new Lease(run.records, run.sequence);
		this.#leases.push(lease);
		return lease;
	}

	/** Says that the next `count` records of a lease are done. */
	settle(lease: Lease<T>, count: number): void {
		lease.done += count;
		if (lease.length === 0) {
			this.#leases.splice(this.#leases.indexOf(lease), 1);
		}

		this.#markProgress();
	}

	/** Puts what is not done of a lease back in its place, to be taken again. */
	giveBack(lease: Lease<T>): void {
		if (!lease.isReturned && lease.length > 0) {
			lease.isReturned = true;
			this.#returned += lease.length;
		}
	}

	/** Brings the next records from disk nearer; when it resolves, look again. */
	load(): Promise<void> {
		return this.#log.reader.load();
	}

	/** The next records behind those given back, and the sequence of the first if they are in the log. */
	#nextRun(max: number): {records: T[]; sequence: number | undefined} | undefined {
		const {head, tail} = this.#memory;
		const {reader} = this.#log;
		if (head.length === 0 && !reader.isAtEnd) {
			this.#loadHead();
		}

		if (head.length > 0) {
			const sequence = reader.sequence - head.length;
			return {records: head.take(Math.min(max, head.length)), sequence};
		}

		if (tail.length > 0 && reader.isAtEnd) {
			return {records: tail.take(Math.min(max, tail.length)), sequence: undefined};
		}

		return undefined;
	}

	#loadHead(): void {
		const block = this.#log.reader.next();
		if (block) {
			this.#memory.head.pushAll(block.records, block.bytes);
		}
	}

	#leaseReturned(max: number): Lease<T> {
		const index = this.#leases.findIndex(({isReturned}) => isReturned);
		const lease = this.#leases[index]!;
		const count = Math.min(max, lease.length);
		this.#returned -= count;
		if (count === lease.length) {
			lease.isReturned = false;
			return lease;
		}

		const start = lease.done;
		const front = new Lease(
			lease.records.slice(start, start + count),
			lease.sequence === undefined ? undefined : lease.sequence + start,
		);
		lease.done += count;
		this.#leases.splice(index, 0, front);
		return front;
	}

	/** The oldest run that is in memory only. Such runs are newer than those in the log. */
	#firstUnlogged(): Lease<T> | undefined {
		return this.#leases.at(-1)?.sequence === undefined
			? this.#leases.find(({sequence}) => sequence === undefined)
			: undefined;
	}

	/** Gives a run with a consumer its place in the log, before the newer records. */
	#appendLease(lease: Lease<T>): void {
		const block = this.#log.append(lease.rest());
		lease.sequence = block.firstSequence - lease.done;
		this.#log.reader.pass(block);
	}

	/** What is before the oldest run that is not done is done. */
	#markProgress(): void {
		const oldest = this.#leases[0];
		const isLogged = oldest?.sequence !== undefined;
		const next = this.#log.reader.sequence - this.#memory.head.length;
		this.#log.markDone(isLogged ? oldest.sequence! + oldest.done : next);
	}
}
