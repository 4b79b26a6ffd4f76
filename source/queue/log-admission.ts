import {QueueFullError, QueueRecordError, QueueStorageError} from '../errors.ts';
import {blockHeaderBytes} from '../format/block.ts';
import {isSyncPutOff} from '../log/passing-failure.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import {type Admission, isTaken, type Put, type PutLine} from './admission.ts';
import {fewerToAppend} from './append-failure.ts';
import type {Limits} from './limits.ts';
import type {RecordStore} from './record-store.ts';
import {maxBlockRecords} from './spill.ts';
import type {Waiter} from './waiting-line.ts';

/** Blocks that one turn appends, and one sync forces to the device, at most. */
const blocksPerGroup = 4;

export type LogAdmissionOptions = {
	/** Whether a put waits for the device. */
	isSyncing: boolean;
	/** Bound of a block. */
	blockBytes: number;
	/** Told when there are new records to take. */
	added(): void;
};

/** How many blocks were appended together, and the puts whose last record is among them. */
type Group<T> = {blocks: number; waiters: Array<Waiter<Put<T>, void>>; error: unknown};

/**
 * Puts of a `'write'` or `'fsync'` queue: every record goes to the log, and a put resolves when it is there. All that
 * is put meanwhile shares a block and a sync, without a timer.
 */
export class LogAdmission<T> implements Admission<T> {
	readonly #store: RecordStore<T>;
	readonly #log: SegmentLog<T>;
	readonly #line: PutLine<T>;
	readonly #limits: Limits<T>;
	readonly #options: LogAdmissionOptions;
	/** Blocks appended and not yet on the device, to be appended again if they cannot get there; and their sequence. */
	readonly #unsynced: T[][] = [];
	#unsyncedFrom = 0;
	/** A group that is appended, and whose sync was put off. */
	#waiting: Group<T> | undefined;

	constructor(
		store: RecordStore<T>,
		log: SegmentLog<T>,
		line: PutLine<T>,
		limits: Limits<T>,
		options: LogAdmissionOptions,
	) {
		this.#store = store;
		this.#log = log;
		this.#line = line;
		this.#limits = limits;
		this.#options = options;
	}

	/** A record put without waiting gets to the device a turn later. */
	get isDue(): boolean {
		return this.#unsynced.length > 0;
	}

	/** A record is nowhere before it is in the log. */
	addNow(): boolean {
		return false;
	}

	addSome(): void {
		// As in `addNow`.
	}

	/** In this turn, unless there is a sync to wait for. */
	admit(): void | Promise<void> {
		const group = this.#waiting ?? this.#appendGroup();
		if (this.isDue) {
			return this.#syncAndSettle(group);
		}

		settle(group);
	}

	async finish(): Promise<void> {
		try {
			while (this.#line.length > 0 || this.isDue) {
				await this.admit();
			}
		} catch (error) {
			this.#waiting && reject(this.#waiting, error);
			throw error;
		}
	}

	/** A record that must come in now: appended alone. */
	admitNow(put: Put<T>): void {
		while (!isTaken(put)) {
			if (!this.#limits.makeRoom()) {
				throw new QueueFullError(this.#log.directory, undefined);
			}

			this.#limits.checkBytes(put.sizes[put.taken]! + blockHeaderBytes);
			this.#append([put.records[put.taken]!]);
			put.taken++;
		}

		this.#options.added();
	}

	/** Appends blocks of what waits; an error ends the group, and leaves in line what was not appended. */
	#appendGroup(): Group<T> {
		const group: Group<T> = {blocks: 0, waiters: [], error: undefined};
		try {
			while (group.blocks < blocksPerGroup && this.#line.length > 0) {
				this.#appendBlock(group, maxBlockRecords);
			}
		} catch (error) {
			group.error = error;
		}

		this.#options.added();
		return group;
	}

	#appendBlock(group: Group<T>, max: number): void {
		if (!this.#limits.makeRoom()) {
			throw new QueueFullError(this.#log.directory, undefined);
		}

		const {records, bytes} = this.#gather(Math.min(max, this.#limits.room));
		this.#limits.checkBytes(bytes + blockHeaderBytes);
		try {
			this.#append(records);
		} catch (error) {
			this.#appendFewer(error, records.length, group);
			return;
		}

		group.blocks++;
		this.#advance(records.length, group);
	}

	#append(records: T[]): void {
		this.#store.append(records);
		if (this.#options.isSyncing) {
			this.#unsyncedFrom = this.isDue ? this.#unsyncedFrom : this.#log.nextSequence - records.length;
			this.#unsynced.push(records);
		}
	}

	/** A record that cannot be encoded is refused alone; those with it are appended without it. */
	#appendFewer(error: unknown, records: number, group: Group<T>): void {
		const fewer = fewerToAppend(error, records, this.#log);
		if (fewer !== undefined) {
			this.#appendBlock(group, fewer);
		} else if (error instanceof QueueRecordError) {
			this.#line.claimFirst()!.reject(error);
		} else {
			throw error;
		}
	}

	/** The next records of those who wait, up to `max`, as many as fit a block, but at least one. They stay in line. */
	#gather(max: number): {records: T[]; bytes: number} {
		const records: T[] = [];
		let bytes = 0;
		for (const {request} of this.#line.waiting()) {
			for (let index = request.taken; index < request.sizes.length; index++) {
				const size = request.sizes[index]!;
				if (records.length === max || (records.length > 0 && bytes + size > this.#options.blockBytes)) {
					return {records, bytes};
				}

				records.push(request.records[index]!);
				bytes += size;
			}
		}

		return {records, bytes};
	}

	/** Counts appended records off the line. */
	#advance(count: number, group: Group<T>): void {
		for (let left = count; left > 0; ) {
			const {request} = this.#line.first()!;
			const taken = Math.min(left, request.sizes.length - request.taken);
			request.taken += taken;
			left -= taken;
			if (isTaken(request)) {
				group.waiters.push(this.#line.claimFirst()!);
			}
		}
	}

	/**
	 * Forces a group to the device: from here on it survives a power cut. A sync that fails is not tried again on that
	 * file; the records, still in memory, go to a fresh segment. Failing there too, for whatever reason, the group's puts
	 * reject and writing ends: consumers may have been given those records, so their sequences must not go to others. One
	 * that was put off is tried again, before anything else is appended.
	 */
	async #syncAndSettle(group: Group<T>): Promise<void> {
		let isInLog = true;
		const appendAgain = () => {
			isInLog = false;
			this.#appendAgain();
			isInLog = true;
		};
		this.#waiting = undefined;
		try {
			await this.#sync(appendAgain);
		} catch (cause) {
			if (isInLog && isSyncPutOff(cause)) {
				this.#waiting = group;
				throw cause;
			}

			const advice = 'Nothing more is written. Open the queue again when the device is in order.';
			const error = new QueueStorageError('append again, after a failed sync, to', this.#log.directory, cause, advice);
			reject(group, error);
			throw error;
		}

		// There may be room by now: the next turn finds out.
		settle(group.error instanceof QueueFullError ? {...group, error: undefined} : group);
	}

	async #sync(appendAgain: () => void): Promise<void> {
		let covered = this.#unsynced.length;
		await this.#log.syncRecords(() => {
			appendAgain();
			covered = this.#unsynced.length;
		});
		for (const records of this.#unsynced.splice(0, covered)) {
			this.#unsyncedFrom += records.length;
		}
	}

	/** Another sync, as that of an acknowledgement, may have forced some blocks to the device meanwhile. */
	#forgetSynced(): void {
		while (this.isDue && this.#unsyncedFrom < this.#log.durableSequence) {
			this.#unsyncedFrom += this.#unsynced.shift()!.length;
		}
	}

	#appendAgain(): void {
		this.#forgetSynced();
		this.#log.rewindTo(this.#unsyncedFrom);
		for (const records of this.#unsynced) {
			this.#store.append(records, false);
		}
	}
}

function reject<T>({waiters}: Group<T>, error: unknown): void {
	for (const waiter of waiters) {
		waiter.reject(error);
	}
}

/** Resolves the puts of a group, and passes on what ended it. */
function settle<T>({waiters, error}: Group<T>): void {
	for (const waiter of waiters) {
		waiter.resolve();
	}

	if (error) {
		throw error;
	}
}
