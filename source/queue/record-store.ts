import type {QueueRecordError} from '../errors.ts';
import {blockHeaderBytes} from '../format/block.ts';
import type {Delivered} from '../format/checkpoint.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import type {Put} from './admission.ts';
import type {BlockRing, RunLimit} from './block-ring.ts';
import type {Held} from './held.ts';
import {Lease} from './lease.ts';
import {MemoryWindow} from './memory-window.ts';
import {Pending} from './pending.ts';
import {restoreDelivered} from './restore.ts';
import {maxBlockRecords, Spill} from './spill.ts';

/** A block holds at most so many bytes, or one record that is larger. */
export const maxBlockBytes: number = 256 * 1024;

const oneRecord: RunLimit = {records: 1, bytes: Number.POSITIVE_INFINITY};

export type StoreOptions = {
	cacheSize: number;
	cacheBytes: number;
	/** The part of both that may hold records of the log. */
	headShare: number;
	/** Bound of a block in bytes. */
	blockBytes: number;
	/** Told of a record that cannot be encoded although it was accepted, and how many are lost: none if a consumer has it. */
	dropped(error: QueueRecordError, count: number): void;
	/** Told that the records which were to come from disk are not there: none of the log waits any more. */
	missed(): void;
};

/** How a take may come by records that are on disk: only if they were read ahead, or by reading them in this turn. */
export type Reading = 'ahead' | 'now';

/**
 * The records of a queue in order, wherever they are: given back, in memory from the log, on disk, in memory only.
 *
 * Records in memory only are always newer than all records of the log: whatever is appended is appended in order.
 */
export class RecordStore<T> {
	readonly #log: SegmentLog<T>;
	readonly #memory: MemoryWindow<T>;
	readonly #pending = new Pending<T>();
	readonly #held: Held<T>;
	readonly #spill: Spill<T>;
	readonly #missed: () => void;
	#isLoadDue = false;
	#put = 0;
	#done = 0;

	constructor(log: SegmentLog<T>, {cacheSize, cacheBytes, headShare, blockBytes, dropped, missed}: StoreOptions) {
		this.#log = log;
		this.#missed = missed;
		const block = {records: Math.min(maxBlockRecords, Math.ceil(cacheSize / 2)), bytes: blockBytes};
		this.#memory = new MemoryWindow<T>({records: cacheSize, bytes: cacheBytes, headShare, block});
		this.#held = {log, memory: this.#memory, pending: this.#pending};
		this.#spill = new Spill(this.#held, dropped);
	}

	/** Records put, and records done, so far. */
	get counts(): {put: number; done: number} {
		return {put: this.#put, done: this.#done};
	}

	/** How long the oldest record in memory has waited, in milliseconds; a clock set back counts as no time. */
	get oldestAge(): number | undefined {
		const since = this.#memory.head.since ?? (this.diskSize === 0 ? this.#memory.tail.since : undefined);
		return since === undefined ? undefined : Math.max(0, Date.now() - since);
	}

	get directory(): string {
		return this.#log.directory;
	}

	/** Records that wait for a consumer. */
	get size(): number {
		return this.#pending.ready + this.#pending.delayed + this.#memory.length + this.diskSize;
	}

	/** Of those, the ones that may be taken now. */
	get takableSize(): number {
		return this.size - this.#pending.delayed;
	}

	/** Of those that wait, the ones that are on disk only. */
	get diskSize(): number {
		return Math.max(0, this.#log.recordsEnd - this.#log.reader.sequence);
	}

	/** Of those, the ones in memory, and what is known of their size in bytes. */
	get memory(): {records: number; bytes: number} {
		const {ready, delayed} = this.#pending;
		return {records: this.#memory.length + ready + delayed, bytes: Math.round(this.#memory.bytes)};
	}

	/** Records with a consumer, and not done. */
	get inFlight(): number {
		return this.#pending.inFlight;
	}

	/** Records given back that wait for a delay. */
	get delayed(): number {
		return this.#pending.delayed;
	}

	/** Whether a record may be added to memory without making room. */
	get hasRoom(): boolean {
		return this.#memory.hasRoomInTail;
	}

	/** What the next `spill` takes of the disk, as far as it is known. */
	get spillBytes(): number {
		return this.#memory.tail.firstBytes + blockHeaderBytes;
	}

	/** Whether a take found that the next records must come from disk first: `load` them. */
	get isLoadDue(): boolean {
		return this.#isLoadDue;
	}

	/** Whether the next record, or one given back, is in memory only: `spill` it, that it can be delivered. */
	get isSpillDue(): boolean {
		const {head, tail} = this.#memory;
		const isTailNext = tail.length > 0 && head.length === 0 && this.#pending.ready === 0 && this.#log.reader.isAtEnd;
		return isTailNext || this.#pending.firstUnlogged() !== undefined;
	}

	/** Sequence behind the last record of the log that was taken. */
	get #taken(): number {
		return this.#log.reader.sequence - this.#memory.head.length;
	}

	/** Brings back what an earlier run had delivered and not acknowledged: those records are the next. */
	async restore(delivered: Delivered): Promise<void> {
		await restoreDelivered(this.#held, delivered);
		this.#markProgress();
	}

	/** Adds a record at the end, in memory only. */
	add(record: T, bytes: number): void {
		this.#put++;
		this.#memory.add(record, bytes);
	}

	/** The same for records of a put that are not taken, while there is room, at most `max`; gives how many. */
	addSome(put: Readonly<Put<T>>, max: number): number {
		const count = this.#memory.addSome(put, max);
		this.#put += count;
		return count;
	}

	/** Appends records to the log, all or none; `isNew` if they were not put before. */
	append(records: T[], isNew = true): void {
		this.#spill.append(records);
		this.#put += isNew ? records.length : 0;
	}

	/** Appends the oldest records that are in memory only, as one block; false if there are none. */
	spill(): boolean {
		return this.#spill.next();
	}

	/** Appends all records that are in memory only. */
	spillAll(): void {
		this.#spill.all();
	}

	/** Takes up to `max` records, done with it; undefined if none can be had in this turn. */
	take(max: number): T[] | undefined {
		const ready = this.#takeReady(max);
		if (ready) {
			return ready;
		}

		const records = this.#nextRing('ahead')?.take(max);
		if (!records) {
			return undefined;
		}

		for (let more = this.#furtherRing(); more && records.length < max; more = this.#furtherRing()) {
			records.push(...more.take(max - records.length));
		}

		this.#done += records.length;
		this.#markProgress();
		return records;
	}

	/** Takes one record, done with it; undefined if it cannot be had in this turn. */
	takeOne(reading: Reading): T | undefined {
		const ready = this.#takeReady(1);
		if (ready) {
			return ready[0];
		}

		const record = this.#nextRing(reading)?.takeOne();
		if (record !== undefined) {
			this.#done++;
			this.#markProgress();
		}

		return record;
	}

	/**
	 * Takes records that stay the queue's until they are settled; undefined if none is in memory. Those given back before
	 * are bounded by their number only.
	 */
	lease(limit: RunLimit): Lease<T> | undefined {
		const ready = this.#pending.takeReady(limit.records);
		if (ready) {
			return ready;
		}

		const ring = this.#nextRing('ahead');
		if (!ring) {
			return undefined;
		}

		const sequence = ring === this.#memory.head ? this.#taken : undefined;
		const lease = new Lease(ring.takeWithin(limit), sequence);
		this.#pending.add(lease);
		return lease;
	}

	/** Takes one record of the log to be delivered, and counts the attempt. Undefined if none is in memory. */
	deliver(): Lease<T> | undefined {
		const lease = this.lease(oneRecord);
		if (lease) {
			lease.attempts++;
			this.#markProgress();
		}

		return lease;
	}

	/** Says that the next `count` records of a lease are done. */
	settle(lease: Lease<T>, count: number): void {
		this.#pending.settle(lease, count);
		this.#done += count;
		this.#markProgress();
	}

	/** Puts what is not done of a lease back in its place, to be taken again, now or when it is made ready. */
	giveBack(lease: Lease<T>, state: 'ready' | 'delayed' = 'ready'): void {
		if (lease.length > 0) {
			this.#pending.move(lease, state);
		}
	}

	/** Takes a delivery back that nobody has seen: its attempt does not count. */
	undo(lease: Lease<T>): void {
		lease.attempts--;
		this.giveBack(lease);
		this.#markProgress();
	}

	/** Copies up to `max` of the next records, reading them from disk in this turn if need be. */
	peek(max: number): T[] {
		const records: T[] = [];
		const gather = (more: T[]) => {
			for (const record of more.slice(0, max - records.length)) {
				records.push(record);
			}
		};
		for (const lease of this.#pending.returned()) {
			gather(lease.state === 'ready' ? lease.rest() : []);
		}

		gather(this.#memory.head.peek(max - records.length));
		this.#peekOnDisk(max - records.length, gather);
		gather(this.#memory.tail.peek(max - records.length));
		return records;
	}

	/** Drops the record that has waited longest, reading it now if need be; gives it, if there was one. */
	discardFirst(): T[] {
		const done = this.#done;
		const record = this.takeOne('now');
		this.#done = done;
		return record === undefined ? [] : [record];
	}

	/** Drops what is not done of a lease. */
	discard(lease: Lease<T>): void {
		this.#pending.settle(lease, lease.length);
		this.#markProgress();
	}

	/** Drops the records of the log before a sequence that wait; gives how many, and those that were at hand. */
	discardBefore(sequence: number): {records: T[]; count: number} {
		const size = this.size;
		const runs: T[][] = [];
		for (const lease of this.#pending.returned()) {
			if (lease.first !== undefined && lease.first < sequence) {
				const count = Math.min(lease.length, sequence - lease.first);
				runs.push(lease.rest().slice(0, count));
				this.#pending.settle(lease, count);
			}
		}

		const {head} = this.#memory;
		runs.push(head.takeAll(Math.max(0, sequence - this.#taken)));
		if (head.length === 0) {
			this.#log.reader.skipTo(sequence);
		}

		this.#markProgress();
		return {records: runs.flat(), count: size - this.size};
	}

	/** Drops all records that wait; those with a consumer stay with it. */
	clear(): void {
		for (const lease of this.#pending.returned()) {
			this.#pending.settle(lease, lease.length);
		}

		const {head, tail} = this.#memory;
		head.clear();
		tail.clear();
		this.#log.reader.skipTo(this.#log.nextSequence);
		this.#markProgress();
	}

	/** Brings the next records from disk nearer; when it resolves, look again. */
	load(): Promise<void> {
		this.#isLoadDue = false;
		return this.#log.reader.load();
	}

	#takeReady(max: number): T[] | undefined {
		const ready = this.#pending.takeReady(max);
		const records = ready?.rest();
		if (ready) {
			this.settle(ready, ready.length);
		}

		return records;
	}

	/** Where the next records are that follow those given back: in the log or not; undefined if they are not at hand. */
	#nextRing(reading: Reading): BlockRing<T> | undefined {
		const {head, tail} = this.#memory;
		const {reader} = this.#log;
		this.#isLoadDue = false;
		if (head.length === 0 && !reader.isAtEnd) {
			const block = reading === 'now' ? reader.nextSync() : reader.next();
			if (block) {
				head.push(block.records, block.bytes, block.appendedAt);
			} else if (reader.isAtEnd) {
				this.#markProgress();
				this.#missed();
			}

			this.#isLoadDue = !block && !reader.isAtEnd;
		}

		if (head.length > 0) {
			return head;
		}

		return tail.length > 0 && reader.isAtEnd ? tail : undefined;
	}

	/** The same after some were taken, which no failure may take along: the next take meets it again. */
	#furtherRing(): BlockRing<T> | undefined {
		try {
			return this.#nextRing('ahead');
		} catch {
			return undefined;
		}
	}

	#peekOnDisk(max: number, gather: (records: T[]) => void): void {
		if (max <= 0 || this.#log.reader.isAtEnd) {
			return;
		}

		const reader = this.#log.reader.fork();
		try {
			let left = max;
			for (let block = reader.nextSync(); block; block = left > 0 ? reader.nextSync() : undefined) {
				gather(block.records);
				left -= block.records.length;
			}
		} finally {
			reader.close();
		}
	}

	/** What is before the oldest run that is not done is done; what is delivered out of order is kept beside. */
	#markProgress(): void {
		const oldest = this.#pending.firstSequence;
		this.#log.markDone(oldest ?? this.#taken);
		if (oldest !== undefined) {
			this.#log.markDelivered(this.#describe);
		}
	}

	readonly #describe = (): Delivered => this.#pending.describe(this.#taken);
}
