import {blockHeaderBytes} from '../../source/format/block.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import type {Operation} from './simulated-disk.ts';

/** A record of these suites: its content follows from its id. */
export type CrashRecord = {id: number; text: string};

/** What ends a run: the process alone, or the power. */
export type Crash = 'kill' | 'powerCut';

/** What is known of a record, by the count of operations from which on it holds. */
type Known = {
	put: number;
	/** It was promised to survive. */
	promised: Record<Crash, number>;
	/** It may be done. */
	done: number;
	/** It must not come back. */
	doneFor: Record<Crash, number>;
	/** It may have gone to the dead-letter queue. */
	moved: number;
	/** It was damaged on the device: it may be missing, if that is told. */
	damaged: number;
	/** It was delivered, each time. */
	delivered: number[];
};

/** What a state may, must and must not give back of a record. */
export type Expected = {
	id: number;
	isPut: boolean;
	isDue: boolean;
	isDone: boolean;
	isMoved: boolean;
	isDamaged: boolean;
	/** It says that it was delivered at least so often. */
	attempts: number;
};

const never = Number.POSITIVE_INFINITY;

/** Ids of records of about 1.5 KiB begin here: three fill the smallest segment that a queue allows. */
export const firstLargeId = 1_000_000;

/** Of every few records one is longer than a sector, one longer than two. */
export function crashRecord(id: number): CrashRecord {
	const times = id >= firstLargeId ? 100 : id % 7 === 3 ? 60 : id % 7 === 5 ? 120 : 1;
	return {id, text: `record ${id} `.repeat(times)};
}

/** What a run was told of its records, and after which operation: the truth that every crash state is held against. */
export class CrashJournal {
	/** Bytes that the device made of others, by the count of operations from which on they are kept somewhere. */
	readonly kept: Array<{from: number; bytes: Buffer}> = [];
	readonly #known = new Map<number, Known>();
	readonly #operations: readonly Operation[];
	#nextId: number;

	/** `found`: records that the disk holds at the start, and so is to keep. */
	constructor(operations: readonly Operation[], {firstId = 0, found = []}: {firstId?: number; found?: number[]} = {}) {
		this.#operations = operations;
		this.#nextId = Math.max(firstId, ...found.map(id => id + 1));
		for (const id of found) {
			this.#known.set(id, {...this.#unknown(), promised: {kill: 0, powerCut: 0}});
		}
	}

	/** Makes the next records, which are about to be put. */
	next(count: number): CrashRecord[] {
		return Array.from({length: count}, () => {
			this.#known.set(this.#nextId, this.#unknown());
			return crashRecord(this.#nextId++);
		});
	}

	/** Says that records survive a crash from here on; what survives a power cut survives a kill. */
	promise(ids: Iterable<number>, crash: Crash): void {
		this.#note(ids, 'promised', crash);
	}

	/** Whether a record survives a kill. */
	isPromised(id: number): boolean {
		return this.#of(id).promised.kill <= this.#now;
	}

	/** Says that records may be done, from a count of operations on. */
	done(ids: Iterable<number>, from: number = this.#now): void {
		for (const id of ids) {
			this.#of(id).done = Math.min(this.#of(id).done, from);
		}
	}

	/** Says that what is done stays done over a crash from here on. */
	doneFor(ids: Iterable<number>, crash: Crash): void {
		this.#note(ids, 'doneFor', crash);
	}

	delivered(id: number): void {
		this.#of(id).delivered.push(this.#now);
	}

	/** Says that a record may be in the dead-letter queue, or in both. */
	moved(id: number): void {
		this.#of(id).moved = this.#now;
	}

	/** Says that records may be missing, if that is told. */
	damaged(ids: Iterable<number>): void {
		for (const id of ids) {
			this.#of(id).damaged = this.#now;
		}
	}

	/** Says that bytes which no longer check are kept from here on, in their place or elsewhere. */
	keeps(bytes: Buffer): void {
		this.kept.push({from: this.#now, bytes});
	}

	/** What holds at a crash before an operation. */
	expectedAt(crash: number, how: Crash): Expected[] {
		return [...this.#known].map(([id, known]) => ({
			id,
			isPut: known.put <= crash,
			isDue: known.promised[how] <= crash && known.done > crash,
			isDone: known.doneFor[how] <= crash,
			isMoved: known.moved <= crash,
			isDamaged: known.damaged <= crash,
			attempts: how === 'kill' ? known.delivered.filter(from => from <= crash).length : 0,
		}));
	}

	/** The records promised to survive a crash, done or not. */
	promisedAt(crash: number, how: Crash): Set<number> {
		return new Set([...this.#known.keys()].filter(id => this.#of(id).promised[how] <= crash));
	}

	get #now(): number {
		return this.#operations.length;
	}

	#unknown(): Known {
		return {
			put: this.#now,
			promised: {kill: never, powerCut: never},
			done: never,
			doneFor: {kill: never, powerCut: never},
			moved: never,
			damaged: never,
			delivered: [],
		};
	}

	#of(id: number): Known {
		return this.#known.get(id)!;
	}

	#note(ids: Iterable<number>, what: 'promised' | 'doneFor', crash: Crash): void {
		for (const id of ids) {
			const known = this.#of(id)[what];
			known[crash] = Math.min(known[crash], this.#now);
			known.kill = Math.min(known.kill, known[crash]);
		}
	}
}

/** A record that an operation wrote to a log; -1 if it was there before. */
export type WrittenRecord = {operation: number; directory: string; sequence: number; id: number};

const codec = msgpackCodec<CrashRecord | {record: CrashRecord}>();
const blockMagic = Buffer.from('d15b10c5', 'hex');

/** The records that operations wrote, read off their bytes. */
export function writtenRecords(operations: readonly Operation[]): WrittenRecord[] {
	return operations.flatMap((operation, index) =>
		operation.kind === 'write' && operation.path.endsWith('.log') && isBlock(operation.bytes)
			? readBlock(operation.bytes, index, operation.path.slice(0, operation.path.lastIndexOf('/')))
			: [],
	);
}

/** Whether bytes are a block, not the half of one. */
function isBlock(bytes: Buffer): boolean {
	return bytes.indexOf(blockMagic) === 0 && bytes.byteLength === blockHeaderBytes + bytes.readUInt32LE(4);
}

function readBlock(bytes: Buffer, operation: number, directory: string): WrittenRecord[] {
	const first = Number(bytes.readBigUInt64LE(16));
	const records = codec.decode(bytes.subarray(blockHeaderBytes));
	return records.map((record, index) => ({operation, directory, sequence: first + index, id: unwrap(record).id}));
}

/** The record of a dead letter, or one that is none. */
export function unwrap(record: CrashRecord | {record: CrashRecord}): CrashRecord {
	return 'record' in record ? record.record : record;
}
