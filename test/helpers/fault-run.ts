import {setMaxListeners} from 'node:events';
import {existsSync} from 'node:fs';
import {basename} from 'node:path';
import {type Delivery, DiskQueue, type DiskQueueOptions, type Durability, QueueError} from '../../source/index.ts';
import {type FaultyStorage, faultyStorage} from './faulty-storage.ts';
import type {Ledger} from './ledger.ts';
import type {NumberedRecord} from './numbered-record.ts';
import {nextTurn} from './queues.ts';
import {copyDirectory} from './temporary-directory.ts';

export type Numbered = DiskQueue<NumberedRecord>;

/** In so many turns of the event loop everything settles that no failing call holds up. */
const turnsToSettle = 20;

type RunOptions = {
	directory: string;
	durability: Durability;
	ledger: Ledger;
	/** The fault does not end: who waits for room gives up. */
	isForGood: boolean;
};

/** One run of a script over a file system that fails: what it did, what it was told, and what is wrong with that. */
export class FaultRun {
	readonly directory: string;
	readonly durability: Durability;
	readonly faulty: FaultyStorage = faultyStorage();
	readonly ledger: Ledger;
	readonly problems: string[];
	/** Calls that have not settled. */
	readonly pending: Set<string> = new Set();
	/** Errors by code, or by the code of what caused them. */
	readonly errors: string[] = [];
	/** Whether damage may be found: the directory was damaged before. */
	isDamaged = false;
	readonly lost: Array<{first: number; last: number}> = [];
	readonly #isForGood: boolean;
	readonly #queues: Numbered[] = [];
	readonly #giveUp = new AbortController();

	constructor({directory, durability, ledger, isForGood}: RunOptions) {
		this.directory = directory;
		this.durability = durability;
		this.ledger = ledger;
		this.problems = ledger.problems;
		this.#isForGood = isForGood;
		setMaxListeners(0, this.#giveUp.signal);
	}

	/** Options with which a few records make several blocks and segments. */
	get options(): DiskQueueOptions<NumberedRecord> {
		return {storage: this.faulty.storage, durability: this.durability, segmentBytes: 4096};
	}

	/** Makes a call and notes how it ends: its result, or undefined and a fair error. */
	async attempt<R>(what: string, call: () => Promise<R> | R): Promise<R | undefined> {
		this.pending.add(what);
		try {
			return await call();
		} catch (error) {
			this.checkError(what, error);
			return undefined;
		} finally {
			this.pending.delete(what);
		}
	}

	async open(options: DiskQueueOptions<NumberedRecord> = {}): Promise<Numbered | undefined> {
		const queue = await this.attempt('open', () =>
			DiskQueue.open<NumberedRecord>(this.directory, {...this.options, cacheSize: 8, ...options}),
		);
		if (queue) {
			this.#queues.push(queue);
			this.watch(queue, () => this.#giveUp.abort());
		}

		return queue;
	}

	/** Listens to a queue; `full` is called when a fault that does not end leaves it no room. */
	watch(queue: Numbered, full: () => void): void {
		const corruption = ({
			path,
			offset,
			lost,
		}: {
			path: string;
			offset: number;
			lost?: {first: number; last: number} | undefined;
		}) => {
			if (lost) {
				this.lost.push(lost);
			}

			if (!this.isDamaged) {
				this.problems.push(`damage where there is none: ${path} at ${offset}`);
			}
		};
		queue.recovery.corruptions.forEach(corruption);
		queue.on('corruption', corruption);
		queue.on('error', error => this.checkError('error event', error));
		queue.on('full', cause => {
			this.checkError('full event', cause);
			if (this.#isForGood) {
				full();
			}
		});
	}

	/** Puts records one by one, all at once. */
	async put(queue: Numbered, count: number): Promise<void> {
		const puts = this.ledger.next(count).map(async record => {
			const options = this.#patience();
			try {
				await this.#tracked(queue, `put ${record.id}`, queue.put(record, options));
				this.#accept([record]);
			} catch (error) {
				this.checkError(`put ${record.id}`, error);
				if (['QUEUE_FULL', 'ABORT_ERR'].includes((error as {code: string}).code)) {
					this.ledger.note([record], 'refused');
				}
			}
		});
		await Promise.all(puts);
	}

	async putMany(queue: Numbered, count: number): Promise<void> {
		const records = this.ledger.next(count);
		const isPut = await this.attempt(`putMany from ${records[0]!.id}`, async () => {
			await this.#orClose(queue, queue.putMany(records, this.#patience()));
			return true;
		});
		if (isPut) {
			this.#accept(records);
		}
	}

	/** Puts records without waiting; those are as safe as others but with 'fsync', when a sync must come first. */
	putNow(queue: Numbered, count: number): void {
		for (const record of this.ledger.next(count)) {
			try {
				queue.putNowait(record);
				this.ledger.note([record], this.durability === 'write' ? 'safe' : 'accepted');
			} catch (error) {
				this.checkError(`putNowait ${record.id}`, error);
				this.ledger.note([record], (error as {code: string}).code === 'QUEUE_FULL' ? 'refused' : 'given');
			}
		}
	}

	/** Takes records, if there are any; false if that failed. */
	async take(queue: Numbered, max: number): Promise<boolean> {
		if (queue.size === 0) {
			return true;
		}

		const records = await this.attempt('getMany', () => queue.getMany(max));
		this.ledger.take(records ?? []);
		return records !== undefined;
	}

	/** Takes all that can be had: a call that fails is made once more. */
	async drain(queue: Numbered, max = 7): Promise<void> {
		for (let failures = 0; queue.size > 0 && failures < 2; ) {
			failures += (await this.take(queue, max)) ? 0 : 1;
		}
	}

	async receive(queue: Numbered, max: number): Promise<Array<Delivery<NumberedRecord>>> {
		const deliveries =
			(queue.size > 0 && (await this.attempt('receive', () => queue.receiveMany(max, this.#patience())))) || [];
		this.ledger.take(
			deliveries.map(({record}) => record),
			'waiting',
		);
		return deliveries;
	}

	async sync(queue: Numbered): Promise<void> {
		const vouched = this.ledger.vouch();
		if (await this.attempt('sync', () => queue.sync().then(() => true))) {
			vouched();
		}
	}

	async close(queue: Numbered): Promise<void> {
		const vouched = this.ledger.vouch();
		if (await this.attempt('close', () => queue.close().then(() => true))) {
			vouched();
		}
	}

	/** Closes what is open; what a killed process would have left is copied before. */
	async end(copy: string): Promise<Ledger> {
		if (existsSync(this.directory)) {
			copyDirectory(this.directory, copy);
		}

		const ledger = this.ledger.copy();
		for (const queue of this.#queues) {
			await this.close(queue);
		}

		return ledger;
	}

	/** Says what is wrong with an error, if anything is: every one is of this library, and leads to the fault. */
	checkError(what: string, error: unknown): void {
		const {code, message, cause} = error as {code?: string; message: string; cause?: unknown};
		this.errors.push(`${what}: ${code}`);
		const isTold = (told: unknown): boolean =>
			told instanceof QueueError && told.code === 'QUEUE_STORAGE'
				? told.cause instanceof Error && /injected|took nothing/.test(told.cause.message)
				: false;
		const isFair = ['ABORT_ERR', 'QUEUE_EMPTY', 'QUEUE_CLOSED'].includes(code!)
			? this.#isForGood
			: error instanceof QueueError &&
				/^(?:Cannot|No) .{20}/.test(message) &&
				message.includes(basename(this.directory)) &&
				(code === 'QUEUE_STORAGE' ? isTold(error) : code === 'QUEUE_FULL' ? isTold(cause) : code === 'QUEUE_SHUT_DOWN');
		if (!isFair) {
			this.problems.push(`${what}: ${code} ${message}; cause ${(cause as Error | undefined)?.message}`);
		}
	}

	#accept(records: NumberedRecord[]): void {
		this.ledger.note(records, this.durability === 'spill' ? 'accepted' : 'safe');
	}

	async #tracked(queue: Numbered, what: string, put: Promise<void>): Promise<void> {
		this.pending.add(what);
		try {
			await this.#orClose(queue, put);
		} finally {
			this.pending.delete(what);
		}
	}

	/** Aborted once a fault that does not end leaves no room. */
	get givenUp(): AbortSignal {
		return this.#giveUp.signal;
	}

	/** Waits for a put. One that is in the log waits for a sync, however long that is put off: only a close gives it up. */
	async #orClose(queue: Numbered, put: Promise<void>): Promise<void> {
		let isSettled = false;
		const settled = put.finally(() => {
			isSettled = true;
		});
		const closeIfStuck = async () => {
			for (let turn = 0; turn < turnsToSettle && !isSettled; turn++) {
				await nextTurn();
			}

			if (!isSettled) {
				await this.close(queue);
			}
		};
		const onAbort = () => void closeIfStuck();
		const {signal} = this.#giveUp;
		signal.addEventListener('abort', onAbort);
		try {
			await settled;
		} finally {
			signal.removeEventListener('abort', onAbort);
		}
	}

	/** How long a put or a delivery waits. Once a fault that does not end is known, it waits no more. */
	#patience(): {signal?: AbortSignal; timeout?: number} {
		if (!this.#isForGood) {
			return {};
		}

		return this.#giveUp.signal.aborted ? {timeout: 1} : {signal: this.#giveUp.signal};
	}
}
