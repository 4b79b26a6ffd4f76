import {type DiskQueue, type Drop, QueueClosedError, type WaitOptions} from '../../source/index.ts';
import {range} from './queues.ts';
import {pickFrom} from './random.ts';
import {pause} from './restless-storage.ts';

export type Part = {id: number; producer: number; text: string};

/**
 * What became of a record. `given`: to a put that has not resolved. `unsure`: to one that failed after it had begun.
 * `cleared`: it waited, or was put, when the queue was cleared or dropped it, and may be gone.
 */
type Account = {
	fate: 'given' | 'unsure' | 'refused' | 'accepted';
	isTaken: boolean;
	mayBeGone: boolean;
	/** A consumer has it, or settled it while the queue closed: the next open may bring it back. */
	mayComeAgain: boolean;
};

export type LifeOptions = {
	random: () => number;
	textLength: number;
	producers: number;
	consumers: number;
	puts: number;
};

/** Producers, consumers and others that use a queue at once, and what they are told of its records. */
export class OverlappingLife {
	readonly problems: string[] = [];
	readonly counts = {'records put': 0, 'records taken': 0, 'calls given up': 0, clears: 0, closes: 0};
	readonly #queue: DiskQueue<Part>;
	readonly #options: LifeOptions;
	readonly #accounts: Account[] = [];
	readonly #ended = new AbortController();
	/** Records that were dropped without being told of one by one. */
	#unnamedDrops = 0;
	#isClosing = false;

	constructor(queue: DiskQueue<Part>, options: LifeOptions) {
		this.#queue = queue;
		this.#options = options;
		queue.on('drop', drop => this.#drop(drop));
		queue.on('corruption', corruption => this.problems.push(`damage: ${JSON.stringify(corruption)}`));
		queue.on('error', error => this.problems.push(`error: ${error.stack}`));
	}

	/** All of it, until everything was put and taken, or the queue is closed amid it. */
	async live(closeAfter: number): Promise<void> {
		const {producers, consumers} = this.#options;
		const producing = Promise.all(range(0, producers).map(producer => this.#produce(producer)));
		const others = [...range(0, consumers).map(() => this.#consume()), this.#disturb()];
		if (closeAfter < Number.POSITIVE_INFINITY) {
			await this.#closeAfter(closeAfter);
		}

		await producing;
		while (!this.#isClosing && this.#queue.size + this.#queue.stats().inFlight > 0) {
			await new Promise(setImmediate);
		}

		this.#ended.abort();
		await Promise.all(others);
		await this.#queue.close();
	}

	/** Compares what the next open finds. */
	async compare(queue: DiskQueue<Part>): Promise<void> {
		queue.on('corruption', corruption => this.problems.push(`damage at the next open: ${JSON.stringify(corruption)}`));
		const take = this.#taker();
		while (queue.size > 0) {
			for (const part of await queue.getMany(100)) {
				const account = this.#accounts[part.id]!;
				account.isTaken &&= !account.mayComeAgain;
				take(part);
			}
		}

		const lost = this.#accounts.flatMap(({fate, isTaken, mayBeGone}, id) =>
			fate === 'accepted' && !isTaken && !mayBeGone ? [id] : [],
		);
		if (lost.length > this.#unnamedDrops) {
			this.problems.push(`lost: ${lost.join(', ')}; ${this.#unnamedDrops} of them dropped`);
		}
	}

	async #produce(producer: number): Promise<void> {
		const {random, puts} = this.#options;
		for (const _ of range(0, puts)) {
			const parts = range(0, 1 + Math.floor(random() * 6)).map(() => this.#make(producer));
			const [part] = parts as [Part];
			const put = pickFrom(
				[
					{parts: [part], call: () => this.#queue.put(part, this.#wait())},
					{parts: [part], call: async () => this.#queue.putNowait(part)},
					{parts, call: () => this.#queue.putMany(parts)},
				],
				random,
			);
			await this.#put(put);
			await pause(random);
		}
	}

	#make(producer: number): Part {
		const {random, textLength} = this.#options;
		this.#accounts.push({fate: 'refused', isTaken: false, mayBeGone: false, mayComeAgain: false});
		return {id: this.#accounts.length - 1, producer, text: 'x'.repeat(random() * textLength)};
	}

	async #put({parts, call}: {parts: Part[]; call: () => Promise<unknown>}): Promise<void> {
		const accounts = parts.map(({id}) => this.#accounts[id]!);
		const note = (fate: Account['fate']) => {
			for (const account of accounts) {
				account.fate = fate;
			}
		};
		note('given');
		try {
			await call();
			note('accepted');
			this.counts['records put'] += parts.length;
		} catch (error) {
			this.#expect(error);
			note(parts.length > 1 ? 'unsure' : 'refused');
		}
	}

	async #consume(): Promise<void> {
		const {random} = this.#options;
		const queue = this.#queue;
		const take = this.#taker();
		const kinds = [
			async () => take(await queue.get(this.#wait())),
			async () => take(queue.getNowait()),
			async () => (await queue.getMany(1 + Math.floor(random() * 12), this.#wait())).forEach(take),
			async () => {
				const delivery = await queue.receive(this.#wait());
				const account = this.#accounts[delivery.record.id]!;
				account.mayComeAgain = true;
				await pause(random);
				take(delivery.record);
				delivery.ack();
				account.mayComeAgain = this.#isClosing;
			},
		];
		while (!this.#ended.signal.aborted) {
			await pickFrom(kinds, random)().catch(error => this.#expect(error));
			await pause(random);
		}
	}

	/** Looks, and now and then drops everything. */
	async #disturb(): Promise<void> {
		const {random} = this.#options;
		const queue = this.#queue;
		while (!this.#ended.signal.aborted) {
			await pause(random);
			const chance = random();
			try {
				if (chance < 0.02) {
					await this.#clear();
				} else if (chance < 0.4) {
					const size = queue.size;
					const shown = queue.peek(1 + Math.floor(random() * 50));
					this.#check(shown.length <= size, `peek gives ${shown.length} of ${size}`);
				} else if (chance < 0.5) {
					await queue.sync();
				} else {
					const {size, memoryRecords, diskRecords} = queue.stats();
					this.#check(memoryRecords + diskRecords === size, `${memoryRecords} + ${diskRecords} of ${size} records`);
				}
			} catch (error) {
				this.#expect(error);
			}
		}
	}

	async #clear(): Promise<void> {
		for (const account of this.#accounts.filter(({fate, isTaken}) => fate !== 'refused' && !isTaken)) {
			account.mayBeGone = true;
		}

		this.counts.clears++;
		const cleared = this.#queue.clear();
		this.#check(this.#isClosing || this.#queue.size === 0, `${this.#queue.size} records after a clear`);
		await cleared;
	}

	async #closeAfter(pauses: number): Promise<void> {
		for (const _ of range(0, pauses)) {
			await pause(this.#options.random);
		}

		this.#isClosing = true;
		this.counts.closes++;
		await this.#queue.close();
	}

	/** What takes records for one consumer, which gets those of each producer in order. */
	#taker(): (part: Part) => void {
		const last = new Map<number, number>();
		return ({id, producer}) => {
			const account = this.#accounts[id]!;
			this.#check(!account.isTaken, `${id} comes twice`);
			this.#check(account.fate !== 'refused', `${id} comes, and its put was refused`);
			this.#check(id > (last.get(producer) ?? -1), `${id} comes after ${last.get(producer)}`);
			account.isTaken = true;
			last.set(producer, id);
			this.counts['records taken']++;
		};
	}

	#drop({count, records}: Drop<Part>): void {
		this.#unnamedDrops += count - records.length;
		for (const {id} of records) {
			this.#accounts[id]!.mayBeGone = true;
		}
	}

	/** For ever, not at all, for a moment, or until it is aborted. */
	#wait(): WaitOptions {
		const {random} = this.#options;
		const chance = random();
		if (chance < 0.4) {
			return {signal: this.#ended.signal};
		}

		if (chance < 0.8) {
			return {timeout: pickFrom([0, 0, 1, 3], random)};
		}

		const given = new AbortController();
		pause(random).then(() => given.abort());
		return {signal: given.signal};
	}

	/** An error that says that a call was given up, or met the end of the queue. */
	#expect(error: unknown): void {
		const {code, stack} = error as {code?: string; stack?: string};
		const isClosed = this.#isClosing && error instanceof QueueClosedError;
		this.#check(isClosed || ['QUEUE_FULL', 'QUEUE_EMPTY', 'ABORT_ERR'].includes(code ?? ''), `${stack}`);
		this.counts['calls given up']++;
	}

	#check(isRight: boolean, problem: string): void {
		if (!isRight) {
			this.problems.push(problem);
		}
	}
}
