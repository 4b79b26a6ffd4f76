import {QueueTaskDoneError, QueueUnfinishedError} from '../errors.ts';
import type {WaitOptions} from '../options.ts';
import type {RecordStore} from './record-store.ts';
import {WaitingLine} from './waiting-line.ts';

/** What `taskDone` and `join` count: records taken by `get`, until the consumer says that they are worked on. */
export class Tasks<T> {
	readonly #store: RecordStore<T>;
	readonly #line: WaitingLine<undefined, void>;
	/** Records taken for good, and not said to be done. */
	#open = 0;

	constructor(store: RecordStore<T>) {
		this.#store = store;
		this.#line = new WaitingLine(timeout => new QueueUnfinishedError(store.directory, timeout));
	}

	/** Counts records taken for good. */
	taken(count: number): void {
		this.#open += count;
	}

	/** Counts one as done. */
	done(): void {
		if (this.#open === 0) {
			throw new QueueTaskDoneError(this.#store.directory);
		}

		this.#open--;
		this.check();
	}

	/** Waits until nothing waits, is in flight, or open. */
	async join(options: WaitOptions | undefined): Promise<void> {
		if (!this.#isIdle || options?.signal?.aborted) {
			await this.#line.wait(undefined, options);
		}
	}

	/** Lets go who joined, if it is so. */
	check(): void {
		if (this.#line.length > 0 && this.#isIdle) {
			for (const waiter of this.#line.claimAll()) {
				waiter.resolve();
			}
		}
	}

	rejectAll(error: unknown): void {
		this.#line.rejectAll(error);
	}

	get #isIdle(): boolean {
		return this.#open === 0 && this.#store.size === 0 && this.#store.inFlight === 0;
	}
}
