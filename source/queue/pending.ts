import type {Delivered, PendingRun} from '../format/checkpoint.ts';
import type {Lease} from './lease.ts';

/** The runs of a queue that are not done, in queue order: with a consumer, or given back by one. */
export class Pending<T> {
	/** Those in the log first, by sequence; then those in memory only. One that cannot be encoded stays where it is. */
	readonly #leases: Array<Lease<T>> = [];
	#ready = 0;
	#delayed = 0;
	#inFlight = 0;

	/** Records that may be taken again. */
	get ready(): number {
		return this.#ready;
	}

	/** Records given back that may not be taken yet. */
	get delayed(): number {
		return this.#delayed;
	}

	/** Records with a consumer. */
	get inFlight(): number {
		return this.#inFlight;
	}

	/** Sequence of the oldest record that is in the log. */
	get firstSequence(): number | undefined {
		return this.#leases.length > 0 ? this.#leases.find(({isUnencodable}) => !isUnencodable)?.first : undefined;
	}

	/** Adds a run that was just taken, and so is the newest. */
	add(lease: Lease<T>): void {
		this.#leases.push(lease);
		this.#count(lease, lease.length);
	}

	/** Takes up to `max` records that are ready. */
	takeReady(max: number): Lease<T> | undefined {
		if (this.#ready === 0) {
			return undefined;
		}

		const index = this.#leases.findIndex(({state}) => state === 'ready');
		const lease = this.#leases[index]!;
		if (lease.length <= max) {
			this.move(lease, 'inFlight');
			return lease;
		}

		this.#count(lease, -max);
		const front = lease.split(max);
		this.#leases.splice(index, 0, front);
		this.#count(front, max);
		return front;
	}

	/** Moves a run to another state. */
	move(lease: Lease<T>, state: Lease<T>['state']): void {
		this.#count(lease, -lease.length);
		lease.state = state;
		this.#count(lease, lease.length);
	}

	/** Counts the next records of a run as done. */
	settle(lease: Lease<T>, count: number): void {
		this.#count(lease, -count);
		lease.done += count;
		if (lease.length === 0) {
			this.#leases.splice(this.#indexOf(lease), 1);
		}
	}

	/** The oldest run that is in memory only and may come to the log. */
	firstUnlogged(): Lease<T> | undefined {
		return this.#leases.at(-1)?.sequence === undefined
			? this.#leases.find(({sequence, isUnencodable}) => sequence === undefined && !isUnencodable)
			: undefined;
	}

	/** Every run that is ready or delayed. */
	returned(): Array<Lease<T>> {
		return this.#leases.filter(({state}) => state !== 'inFlight');
	}

	/** What a checkpoint says of it, `next` being the sequence behind the last record taken. */
	describe(next: number): Delivered {
		const runs: PendingRun[] = [];
		for (const {first, length, attempts} of this.#leases) {
			const last = runs.at(-1);
			if (first === undefined) {
				continue;
			}

			if (last && last.first + last.records === first && last.attempts === attempts) {
				last.records += length;
			} else {
				runs.push({first, records: length, attempts});
			}
		}

		return {next, runs};
	}

	#count({state}: Lease<T>, records: number): void {
		if (state === 'inFlight') {
			this.#inFlight += records;
		} else if (state === 'ready') {
			this.#ready += records;
		} else {
			this.#delayed += records;
		}
	}

	/** By its end, if it is in the log; a run in memory only is among the last. */
	#indexOf(lease: Lease<T>): number {
		const {end} = lease;
		if (this.#leases[0] === lease || end === undefined) {
			return this.#leases.indexOf(lease);
		}

		let low = 0;
		let high = this.#leases.length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			const other = this.#leases[middle]!.end;
			if (other !== undefined && other < end) {
				low = middle + 1;
			} else {
				high = middle;
			}
		}

		return this.#leases[low] === lease ? low : this.#leases.indexOf(lease);
	}
}
