import {errorMonitor} from 'node:events';
import type {Writable} from 'node:stream';

export type SinkProgressOptions = {
	/** Whether the sink counts its buffer as the stream does. */
	isAlike(): boolean;
	/** Told when the sink has emptied its buffer, or finished, and later in the turn in which it failed. */
	onProgress(): void;
};

/** What a destination of `pipe()` has confirmed of what it was given. */
export class SinkProgress {
	readonly #sink: Writable;
	readonly #isAlike: SinkProgressOptions['isAlike'];
	readonly #listeners: Record<string | symbol, (error?: Error) => void>;
	/** The largest count confirmed so far: of a sink that failed, nothing more is counted. */
	#confirmed = 0;
	/** It is given no more than this. */
	#end = Number.POSITIVE_INFINITY;
	/** What its events said. Not every library of streams says it by a property too, or in time. */
	#hasFinished = false;
	#hasFailed = false;
	#error: Error | undefined;

	constructor(sink: Writable, {isAlike, onProgress}: SinkProgressOptions) {
		this.#sink = sink;
		this.#isAlike = isAlike;
		this.#listeners = {
			drain: onProgress,
			finish: () => {
				this.#hasFinished = true;
				onProgress();
			},
			close: () => {
				this.#hasFailed ||= !this.#hasFinished;
				process.nextTick(onProgress);
			},
			[errorMonitor]: error => {
				this.#hasFailed = true;
				this.#error = error;
				process.nextTick(onProgress);
			},
		};
		for (const name of Reflect.ownKeys(this.#listeners)) {
			sink.on(name, this.#listeners[name]!);
		}
	}

	/** How much the sink has confirmed, of what is given: records, or bytes, that left the stream for it. */
	confirmed(given: number): number {
		const own = Math.min(given, this.#end);
		this.#confirmed = Math.max(this.#confirmed, own - this.#outstanding(own));
		return this.isOver ? given : this.#confirmed;
	}

	/** Whether the sink may confirm more. */
	isBehind(given: number): boolean {
		return !this.#isFailing() && this.confirmed(given) < given;
	}

	/** Whether it has failed, and will never confirm what it was given. */
	hasLost(given: number): boolean {
		return this.#isFailing() && this.confirmed(given) < given;
	}

	/** What it failed with; undefined if it was destroyed without an error. */
	get error(): Error | undefined {
		return this.#sink.errored ?? this.#error;
	}

	/** Whether it is given no more, and has confirmed what it was given. */
	get isOver(): boolean {
		return this.#confirmed === this.#end;
	}

	/** The sink, to wait for its events. */
	get sink(): Writable {
		return this.#sink;
	}

	/** Says that it is given no more than the first `count`. */
	endAt(count: number): void {
		this.#end = Math.min(this.#end, count);
	}

	close(): void {
		for (const name of Reflect.ownKeys(this.#listeners)) {
			this.#sink.off(name, this.#listeners[name]!);
		}
	}

	/**
	 * What the sink was given and has not confirmed. Its `writableLength` counts records if it is in object mode, and bytes
	 * if not; if the stream counts otherwise it tells only whether there is anything. A failing sink takes the failed record
	 * off its count.
	 */
	#outstanding(given: number): number {
		const {writableLength = this.#hasFinished ? 0 : given} = this.#sink;
		if (this.#isFailing()) {
			return given;
		}

		return writableLength === 0 || this.#isAlike() ? writableLength : given;
	}

	#isFailing(): boolean {
		const {errored, destroyed, writableFinished} = this.#sink;
		return this.#hasFailed || (errored ?? null) !== null || (destroyed && !writableFinished);
	}
}
