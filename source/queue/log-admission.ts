import {QueueRecordError} from '../errors.ts';
import type {SegmentLog} from '../log/segment-log.ts';
import {type Admission, type AdmissionEvents, isTaken, type Put, type PutLine} from './admission.ts';
import {blockLimit, type RecordStore} from './record-store.ts';
import type {Waiter} from './waiting-line.ts';

/** Blocks that one turn appends, and one sync forces to the device, at most. */
const blocksPerGroup = 4;

type BlockLimit = {records: number; bytes: number};

/** Blocks appended together, and the puts whose last record is among them. */
type Group<T> = {firstSequence: number; blocks: T[][]; waiters: Array<Waiter<Put<T>, void>>; error: unknown};

/**
 * Puts of a `'write'` or `'fsync'` queue: every record goes to the log, and a put resolves when it is there. All that
 * is put meanwhile shares a block and a sync: group commit without a timer.
 */
export class LogAdmission<T> implements Admission<T> {
	readonly #store: RecordStore<T>;
	readonly #log: SegmentLog<T>;
	readonly #line: PutLine<T>;
	readonly #events: AdmissionEvents;
	readonly #isSyncing: boolean;

	constructor(
		store: RecordStore<T>,
		log: SegmentLog<T>,
		line: PutLine<T>,
		{isSyncing, ...events}: AdmissionEvents & {isSyncing: boolean},
	) {
		this.#store = store;
		this.#log = log;
		this.#line = line;
		this.#events = events;
		this.#isSyncing = isSyncing;
	}

	addNow(): void {
		// A record is nowhere before it is in the log.
	}

	/** In this turn, unless there is a sync to wait for. */
	admit(): void | Promise<void> {
		const group = this.#appendGroup();
		if (this.#isSyncing) {
			return this.#syncAndSettle(group);
		}

		settle(group);
	}

	async finish(): Promise<void> {
		while (this.#line.length > 0) {
			await this.admit();
		}
	}

	spillAll(): void {
		// Nothing is in memory only.
	}

	/** Appends blocks of what waits; an error ends the group, and leaves in line what was not appended. */
	#appendGroup(): Group<T> {
		const group: Group<T> = {firstSequence: this.#log.nextSequence, blocks: [], waiters: [], error: undefined};
		try {
			while (group.blocks.length < blocksPerGroup && this.#line.length > 0) {
				this.#appendBlock(group, blockLimit);
			}
		} catch (error) {
			group.error = error;
		}

		this.#events.added();
		return group;
	}

	#appendBlock(group: Group<T>, limit: BlockLimit): void {
		const records = this.#gather(limit);
		try {
			this.#store.append(records);
		} catch (error) {
			this.#refuse(error, records.length, group);
			return;
		}

		group.blocks.push(records);
		this.#advance(records.length, group);
	}

	/** A record that cannot be encoded is refused alone: a block with one in it is appended record by record. */
	#refuse(error: unknown, records: number, group: Group<T>): void {
		if (!(error instanceof QueueRecordError)) {
			throw error;
		}

		if (records > 1) {
			this.#appendBlock(group, {...blockLimit, records: 1});
		} else {
			this.#line.claimFirst()!.reject(error);
		}
	}

	/** The next records of those who wait, as many as fit the limit, but at least one. They stay in line. */
	#gather(limit: BlockLimit): T[] {
		const gathered: T[] = [];
		let total = 0;
		for (const {request} of this.#line.waiting()) {
			for (let index = request.taken; index < request.sizes.length; index++) {
				total += request.sizes[index]!;
				if (gathered.length === limit.records || (gathered.length > 0 && total > limit.bytes)) {
					return gathered;
				}

				gathered.push(request.records[index]!);
			}
		}

		return gathered;
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
	 * file; the records, still in memory, go to a fresh segment. Failing there too, the group's puts reject.
	 */
	async #syncAndSettle(group: Group<T>): Promise<void> {
		try {
			await this.#log.syncRecords().catch(() => this.#appendAgain(group));
		} catch (error) {
			for (const waiter of group.waiters) {
				waiter.reject(error);
			}

			throw error;
		}

		settle(group);
	}

	#appendAgain({firstSequence, blocks}: Group<T>): Promise<void> {
		this.#log.rewindTo(firstSequence);
		for (const records of blocks) {
			this.#store.append(records);
		}

		return this.#log.syncRecords();
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
