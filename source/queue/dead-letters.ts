import {setMaxListeners} from 'node:events';
import {inspect, types} from 'node:util';
import type {DeadLetter, DeadLetterQueue} from '../options.ts';
import type {Lease} from './lease.ts';

/** More of an error's text is not kept, nor of what else was thrown. */
const maxTextLength = 1000;
const inspection = {depth: 1, maxArrayLength: 20, maxStringLength: maxTextLength};

/** What becomes of a record that was given up. */
export type BurialEvents<T> = {
	/** It is in the dead-letter queue. */
	buried(lease: Lease<T>): void;
	/** There is no dead-letter queue: it is dropped. */
	dropped(lease: Lease<T>, reason: string): void;
	/** The dead-letter queue refused it: it stays in its queue. */
	failed(lease: Lease<T>, error: unknown): void;
};

/** Moves records that are given up to the dead-letter queue: put there first, then done here, so that none is lost. */
export class DeadLetters<T> {
	readonly #target: DeadLetterQueue<T> | undefined;
	readonly #events: BurialEvents<T>;
	readonly #burials = new Set<Promise<void>>();
	/** Aborted when the queue closes and has waited long enough: what waits for room stays in its queue. */
	readonly #late = new AbortController();

	constructor(target: DeadLetterQueue<T> | undefined, events: BurialEvents<T>) {
		this.#target = target;
		// As many as there are records in flight may wait at once.
		setMaxListeners(0, this.#late.signal);
		this.#events = events;
	}

	/** Whether records are on their way. */
	get isBurying(): boolean {
		return this.#burials.size > 0;
	}

	/** Gives up the record of a lease; `error`: what went wrong at last, if that was told. */
	bury(lease: Lease<T>, reason: string, error?: unknown): void {
		if (!this.#target) {
			this.#events.dropped(lease, reason);
			return;
		}

		const burial = this.#put(this.#target, lease, letterOf(lease, reason, error));
		this.#burials.add(burial);
		void burial.finally(() => this.#burials.delete(burial));
	}

	/** Waits for records that are on their way by now. */
	async settle(): Promise<void> {
		await Promise.all(this.#burials);
	}

	/** Lets records stay in their queue that still wait for the dead-letter queue. */
	callOff(): void {
		this.#late.abort();
	}

	async #put(target: DeadLetterQueue<T>, lease: Lease<T>, letter: DeadLetter<T>): Promise<void> {
		const {signal} = this.#late;
		try {
			await target.put(letter, {signal});
			this.#events.buried(lease);
		} catch (error) {
			if (!signal.aborted) {
				this.#events.failed(lease, error);
			}
		}
	}
}

function letterOf<T>(lease: Lease<T>, reason: string, error: unknown): DeadLetter<T> {
	return {
		record: lease.records[lease.done]!,
		// A lone surrogate, as in a message that was cut, no dead-letter queue would take.
		reason: reason.toWellFormed(),
		...(error !== undefined && {error: textOf(error)}),
		attempts: lease.attempts,
		sequence: lease.first!,
	};
}

/** What a person reads of an error, whatever was thrown. */
function textOf(error: unknown): string {
	try {
		const text = typeof error === 'string' || types.isNativeError(error) ? String(error) : inspect(error, inspection);
		// A slice would keep the whole of a long text in memory; a character that is cut in two is replaced on the way.
		return Buffer.from(text.slice(0, maxTextLength)).toString();
	} catch {
		return 'an error that has no text';
	}
}
