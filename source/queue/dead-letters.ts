import type {DeadLetter, DeadLetterQueue} from '../options.ts';
import type {Lease} from './lease.ts';

/** What becomes of a record that was given up. */
export type BurialEvents<T> = {
	/** It is in the dead-letter queue. */
	buried(lease: Lease<T>): void;
	/** There is no dead-letter queue: it is dropped. */
	dropped(lease: Lease<T>): void;
	/** The dead-letter queue refused it: it stays in its queue. */
	failed(lease: Lease<T>, error: unknown): void;
};

/** Moves records that are given up to the dead-letter queue: put there first, then done here, so that none is lost. */
export class DeadLetters<T> {
	readonly #target: DeadLetterQueue<T> | undefined;
	readonly #events: BurialEvents<T>;
	readonly #burials = new Set<Promise<void>>();

	constructor(target: DeadLetterQueue<T> | undefined, events: BurialEvents<T>) {
		this.#target = target;
		this.#events = events;
	}

	/** Gives up the record of a lease. */
	bury(lease: Lease<T>, reason: string): void {
		if (!this.#target) {
			this.#events.dropped(lease);
			return;
		}

		const burial = this.#put(this.#target, lease, reason);
		this.#burials.add(burial);
		void burial.finally(() => this.#burials.delete(burial));
	}

	/** Waits for records on their way. */
	async settle(): Promise<void> {
		await Promise.all(this.#burials);
	}

	async #put(target: DeadLetterQueue<T>, lease: Lease<T>, reason: string): Promise<void> {
		const letter: DeadLetter<T> = {
			record: lease.records[lease.done]!,
			reason,
			attempts: lease.attempts,
			sequence: lease.first!,
		};
		try {
			await target.put(letter);
			this.#events.buried(lease);
		} catch (error) {
			this.#events.failed(lease, error);
		}
	}
}
