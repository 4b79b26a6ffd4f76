import type {DeadLetterQueue} from '../options.ts';
import {isPassing} from './append-failure.ts';
import {DeadLetters} from './dead-letters.ts';
import {type DeliveryOwner, QueueDelivery} from './delivery.ts';
import type {Lease, Verdict} from './lease.ts';
import type {Drop, Limits} from './limits.ts';
import type {RecordStore} from './record-store.ts';
import type {Shortage} from './shortage.ts';
import {maxDelay} from './waiting-line.ts';

/** Records that may be with consumers, or wait for a delay, at once: so many fit a checkpoint, in any order of acks. */
const maxUnsettled = 4096;

/** How long a record waits that the dead-letter queue refused, in milliseconds. */
const burialRetryDelay = 1000;

/** How long a queue that closes waits for a dead-letter queue without room, in milliseconds. */
const lastBurialDelay = 1000;

/** Why a record is given up that nobody rejected. */
const tooManyAttempts = 'maxAttempts';

export type DeliveriesOptions<T> = {
	limits: Limits<T>;
	shortage: Shortage;
	maxAttempts: number;
	deadLetter: DeadLetterQueue<T> | undefined;
	/** Attempts were counted that a killed process must not take back. */
	attempted(): void;
	/** Records are done, or given up. */
	settled(): void;
	/** There are records to take again. */
	returned(): void;
	/** Told of records given up that no dead-letter queue takes. */
	dropped(drop: Drop<T>): void;
	/** Told of a dead-letter queue that fails. */
	failed(error: unknown): void;
};

/** Records that come back together, after a delay in milliseconds. */
type Returning<T> = {delay: number; leases: Array<Lease<T>>};

/** What consumers hold of a queue: gives out deliveries, and settles them and the leases of streams. */
export class Deliveries<T> implements DeliveryOwner<T> {
	readonly #store: RecordStore<T>;
	readonly #options: DeliveriesOptions<T>;
	readonly #deadLetters: DeadLetters<T>;
	readonly #delays = new Set<NodeJS.Timeout>();
	/** Those given back just now: what follows at once with the same delay comes back with them, as a batch that failed does. */
	#returning: Returning<T> | undefined;
	#deadLettered = 0;
	/** From here on nothing is settled any more: what is not done comes back at the next open. */
	#isOver = false;

	constructor(store: RecordStore<T>, options: DeliveriesOptions<T>) {
		this.#store = store;
		this.#options = options;
		this.#deadLetters = new DeadLetters(options.deadLetter, {
			buried: lease => this.#buried(lease),
			dropped: (lease, reason) => this.#givenUp(lease, reason),
			failed: (lease, error) => this.#notBuried(lease, error),
		});
	}

	/** Records that the dead-letter queue took so far. */
	get deadLettered(): number {
		return this.#deadLettered;
	}

	/** Takes up to `max` records to be delivered; undefined if none can be had in this turn. */
	deliver(max: number): Array<QueueDelivery<T>> | undefined {
		const deliveries: Array<QueueDelivery<T>> = [];
		try {
			for (let next = this.#deliverOne(); next; next = deliveries.length < max ? this.#deliverOne() : undefined) {
				deliveries.push(next);
			}
		} catch (error) {
			// What is delivered is delivered; the next call meets the error again.
			if (deliveries.length === 0) {
				this.#waitOrThrow(error);
			}
		}

		if (deliveries.length === 0) {
			return undefined;
		}

		this.#options.shortage.check(true);
		this.#options.attempted();
		return deliveries;
	}

	/** Says that the next `count` records of a lease are done. */
	settle(lease: Lease<T>, count: number): void {
		if (!this.#isOver && count > 0) {
			this.#store.settle(lease, count);
			this.#options.settled();
		}
	}

	acknowledge(lease: Lease<T>): void {
		this.settle(lease, 1);
	}

	/** Gives back what is not done of a lease, to its place in the queue. */
	giveBack(lease: Lease<T>): void {
		if (!this.#isOver) {
			this.#store.giveBack(lease);
			this.#options.returned();
		}
	}

	nack(lease: Lease<T>, delay: number, error: unknown): void {
		if (this.#isOver) {
			return;
		}

		if (lease.attempts >= this.#options.maxAttempts) {
			this.#bury(lease, {reason: tooManyAttempts, error});
		} else if (delay > 0) {
			this.#returnLater(lease, delay);
		} else {
			this.giveBack(lease);
		}
	}

	undo(lease: Lease<T>): void {
		if (!this.#isOver) {
			this.#store.undo(lease);
			this.#options.returned();
		}
	}

	reject(lease: Lease<T>, reason: string): void {
		if (!this.#isOver) {
			this.#bury(lease, {reason});
		}
	}

	/** Waits for dead letters on their way, but not for long if they find no room, and settles nothing after that. */
	async end(): Promise<void> {
		const late = setTimeout(() => this.#deadLetters.callOff(), lastBurialDelay);
		while (this.#deadLetters.isBurying) {
			await this.#deadLetters.settle();
		}

		clearTimeout(late);
		this.#isOver = true;
		for (const timer of this.#delays) {
			clearTimeout(timer);
		}
	}

	/** A record that was delivered too often before is buried instead, and the next one is tried. */
	#deliverOne(): QueueDelivery<T> | undefined {
		while (this.#store.inFlight + this.#store.delayed < maxUnsettled) {
			this.#spillNext();
			const lease = this.#store.deliver();
			if (!lease) {
				return undefined;
			}

			if (lease.attempts <= this.#options.maxAttempts) {
				lease.verdict = undefined;
				return new QueueDelivery(lease, this);
			}

			lease.attempts--;
			this.#bury(lease, lease.verdict ?? {reason: tooManyAttempts});
		}

		return undefined;
	}

	/** A record is in the log when it is delivered. */
	#spillNext(): void {
		const {limits} = this.#options;
		while (this.#store.isSpillDue) {
			limits.checkBytes(this.#store.spillBytes);
			this.#store.spill();
		}
	}

	/** A record that finds no room in the log is delivered once there is some. */
	#waitOrThrow(error: unknown): void {
		if (!isPassing(error)) {
			throw error;
		}

		this.#options.shortage.meet(error);
	}

	#returnLater(lease: Lease<T>, delay: number): void {
		this.#store.giveBack(lease, 'delayed');
		if (this.#returning?.delay !== delay) {
			const returning = {delay, leases: []};
			this.#returning = returning;
			this.#returnAfter(returning);
			queueMicrotask(() => {
				this.#returning = undefined;
			});
		}

		this.#returning.leases.push(lease);
	}

	#returnAfter({delay, leases}: Returning<T>): void {
		const timer = setTimeout(
			() => {
				this.#delays.delete(timer);
				if (delay > maxDelay) {
					this.#returnAfter({delay: delay - maxDelay, leases});
					return;
				}

				for (const lease of leases) {
					this.#store.giveBack(lease);
				}

				this.#options.returned();
			},
			Math.min(delay, maxDelay),
		);
		this.#delays.add(timer.unref());
	}

	/** Refused by the dead-letter queue, it is given up for the same reason once more. */
	#bury(lease: Lease<T>, verdict: Verdict): void {
		lease.verdict = verdict;
		this.#deadLetters.bury(lease, verdict.reason, verdict.error);
	}

	#buried(lease: Lease<T>): void {
		this.#deadLettered++;
		this.#store.discard(lease);
		this.#options.settled();
	}

	#givenUp(lease: Lease<T>, reason: string): void {
		const records = lease.rest();
		this.#store.discard(lease);
		this.#options.dropped({count: 1, reason: reason === tooManyAttempts ? reason : 'rejected', records});
	}

	#notBuried(lease: Lease<T>, error: unknown): void {
		this.#options.failed(error);
		this.#returnLater(lease, burialRetryDelay);
	}
}
