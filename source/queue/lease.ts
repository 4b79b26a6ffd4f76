/** A run of records handed to a consumer, in queue order, until it says that they are done or gives them back. */
export class Lease<T> {
	readonly records: T[];
	/** How many, from the first, are done. */
	done = 0;
	/** Sequence of the first record; undefined while they are not in the log. */
	sequence: number | undefined;
	isReturned = false;

	constructor(records: T[], sequence: number | undefined) {
		this.records = records;
		this.sequence = sequence;
	}

	/** How many are not done. */
	get length(): number {
		return this.records.length - this.done;
	}

	/** The records that are not done. */
	rest(): T[] {
		return this.records.slice(this.done);
	}
}
