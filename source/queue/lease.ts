/** Why a record is given up; `error`: what went wrong at last, if that was told. */
export type Verdict = {reason: string; error?: unknown};

/** A run of records handed to a consumer, in queue order, until it says that they are done or gives them back. */
export class Lease<T> {
	readonly records: T[];
	/** How many, from the first, are done. */
	done = 0;
	/** Sequence of the first record; undefined while they are not in the log. */
	sequence: number | undefined;
	/** How often they were delivered by `receive`, this time counted. */
	attempts: number;
	/** Why it was given up at its last delivery, as long as the dead-letter queue has not taken it. */
	verdict: Verdict | undefined;
	/** It cannot be encoded: it stays with its consumer, and never comes to the log. */
	isUnencodable = false;
	/** `ready`: given back, to be taken again. `delayed`: given back, and not to be taken yet. */
	state: 'inFlight' | 'ready' | 'delayed' = 'inFlight';

	constructor(records: T[], sequence: number | undefined, attempts = 0) {
		this.records = records;
		this.sequence = sequence;
		this.attempts = attempts;
	}

	/** How many are not done. */
	get length(): number {
		return this.records.length - this.done;
	}

	/** Sequence of the first that is not done; undefined while it is not in the log. */
	get first(): number | undefined {
		return this.sequence === undefined ? undefined : this.sequence + this.done;
	}

	/** Sequence behind the last record, which no other run has; undefined while they are not in the log. */
	get end(): number | undefined {
		return this.sequence === undefined ? undefined : this.sequence + this.records.length;
	}

	/** The records that are not done. */
	rest(): T[] {
		return this.records.slice(this.done);
	}

	/** Cuts off the first `count` that are not done. */
	split(count: number): Lease<T> {
		const front = new Lease(this.records.slice(this.done, this.done + count), this.first, this.attempts);
		front.isUnencodable = this.isUnencodable;
		this.done += count;
		return front;
	}
}
