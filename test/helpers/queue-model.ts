import type {DeadLetter, Overflow} from '../../source/index.ts';

export type Value = {id: number; text: string};

/** A record as the model knows it. Its ordinal is its place in the queue for ever. */
export type Item = {
	ordinal: number;
	value: Value;
	/** How often it was received. */
	attempts: number;
	/** Given back, and not to be taken before the queue is opened again. */
	isDelayed: boolean;
};

export type ModelOptions = {maxSize: number; overflow: Overflow; maxAttempts: number; hasDeadLetters: boolean};

/** What a queue should hold: lists in memory. */
export class QueueModel {
	options: ModelOptions;
	/** Records that wait, by ordinal. */
	waiting: Item[] = [];
	inFlight: Item[] = [];
	/** Puts that wait for room on the device; any number of the first may be in the queue. */
	pending: Item[] = [];
	/** What is done, dropped or buried: after a crash it may come back, if that was a moment ago. */
	gone: Map<number, Item> = new Map();
	letters: Array<Omit<DeadLetter<Value>, 'sequence'>> = [];
	dropped = 0;
	deadLettered = 0;
	/** Records taken by `get`, and not said to be done. */
	openTasks = 0;
	isShutDown = false;
	isDeviceFull = false;
	/** Every record put before this ordinal was forced to the device. */
	syncedOrdinal = 0;
	#next = 0;

	constructor(options: ModelOptions) {
		this.options = options;
	}

	get nextOrdinal(): number {
		return this.#next;
	}

	/** What may be taken, in order. */
	get takable(): Item[] {
		return this.waiting.filter(({isDelayed}) => !isDelayed);
	}

	/** What may be received: what was received too often is buried instead. */
	get receivable(): Item[] {
		return this.takable.filter(({attempts}) => attempts < this.options.maxAttempts);
	}

	/** Records that may be put before something must give way. */
	get room(): number {
		return Math.max(0, this.options.maxSize - this.waiting.length);
	}

	/** Whether so many more may be put without a wait that has no end here. */
	hasRoomFor(count: number): boolean {
		const {overflow, maxSize} = this.options;
		const needed = this.waiting.length + count - maxSize;
		return overflow === 'wait' ? needed <= 0 : overflow === 'dropNewest' || needed <= this.takable.length + count - 1;
	}

	make(text: string): Item {
		const ordinal = this.#next++;
		return {ordinal, value: {id: ordinal, text}, attempts: 0, isDelayed: false};
	}

	/** Puts a record that there is room for, or that something gives way for. */
	put(item: Item): void {
		const {overflow} = this.options;
		if (this.room === 0 && overflow === 'dropNewest') {
			this.dropped++;
			this.gone.set(item.ordinal, item);
			return;
		}

		while (this.room === 0) {
			this.drop(this.takable[0]!);
		}

		this.waiting.push(item);
	}

	drop(item: Item): void {
		this.dropped++;
		this.remove(item);
	}

	/** Takes what waits first, done with it. */
	take(count: number): Item[] {
		const taken = this.takable.slice(0, count);
		for (const item of taken) {
			this.remove(item);
		}

		return taken;
	}

	/** Takes a record from where it is, for good. */
	remove(item: Item): void {
		this.waiting = this.waiting.filter(other => other !== item);
		this.inFlight = this.inFlight.filter(other => other !== item);
		this.gone.set(item.ordinal, item);
	}

	/** Receives a record; those before it that were received too often are buried. */
	receive(): Item {
		while (this.takable[0]!.attempts >= this.options.maxAttempts) {
			this.bury(this.takable[0]!, 'maxAttempts');
		}

		const item = this.takable[0]!;
		item.attempts++;
		this.waiting.splice(this.waiting.indexOf(item), 1);
		this.inFlight.push(item);
		return item;
	}

	/** Gives a record up, that is in flight or about to be. */
	bury(item: Item, reason: string): void {
		const {value, attempts} = item;
		this.remove(item);
		if (this.options.hasDeadLetters) {
			this.deadLettered++;
			this.letters.push({record: value, attempts, reason});
		} else {
			this.dropped++;
		}
	}

	nack(item: Item, isDelayed: boolean): void {
		if (item.attempts >= this.options.maxAttempts) {
			this.bury(item, 'maxAttempts');
		} else {
			item.isDelayed = isDelayed;
			this.giveBack(item);
		}
	}

	giveBack(item: Item): void {
		this.inFlight = this.inFlight.filter(other => other !== item);
		this.waiting.push(item);
		this.waiting.sort((a, b) => a.ordinal - b.ordinal);
	}

	clear(): void {
		for (const item of this.waiting) {
			this.remove(item);
		}
	}

	/** The device has room again: puts that waited are in. */
	empty(): void {
		this.isDeviceFull = false;
		this.waiting.push(...this.pending.splice(0));
	}

	/** The next open begins, with what is not done. */
	reopen(options: ModelOptions): void {
		for (const item of [...this.inFlight]) {
			this.giveBack(item);
		}

		for (const item of this.waiting) {
			item.isDelayed = false;
		}

		this.options = options;
		this.openTasks = 0;
		this.dropped = 0;
		this.deadLettered = 0;
		this.isShutDown = false;
		this.syncedOrdinal = this.#next;
	}

	/**
	 * A crash left these records. All that is not done must be among them, but for the newest of a `'spill'` queue that
	 * were neither synced nor written; and nothing that was done longer ago than a moment.
	 */
	crash(
		found: Value[],
		{survives, isSettled}: {survives: 'all' | 'what was written'; isSettled: boolean},
	): string | undefined {
		const undone = [...this.waiting, ...this.inFlight].sort((a, b) => a.ordinal - b.ordinal);
		const ids = found.map(({id}) => id);
		const returned = ids.filter(id => !undone.some(({ordinal}) => ordinal === id));
		const kept = undone.filter(({ordinal}) => ids.includes(ordinal));
		const lost = undone.slice(kept.length);
		const isPrefix = kept.every((item, index) => item === undone[index]);
		if (!isPrefix || ids.some((id, index) => index > 0 && id <= ids[index - 1]!)) {
			return `not in order: ${ids} of ${undone.map(({ordinal}) => ordinal)}`;
		}

		if (lost.some(({ordinal}) => survives === 'all' || ordinal < this.syncedOrdinal)) {
			return `lost: ${lost.map(({ordinal}) => ordinal)}, synced before ${this.syncedOrdinal}`;
		}

		if (returned.some(id => isSettled || !this.gone.has(id))) {
			return `came back: ${returned}`;
		}

		this.waiting = [...kept, ...returned.map(id => this.gone.get(id)!)].sort((a, b) => a.ordinal - b.ordinal);
		this.inFlight = [];
		return undefined;
	}
}
