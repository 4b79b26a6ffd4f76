import {errorMonitor} from 'node:events';
import type {Writable} from 'node:stream';

/** What a destination of `pipe()` has confirmed of what it was given. */
export class SinkProgress {
	readonly #sink: Writable;
	readonly #listeners: Record<string | symbol, () => void>;
	/** The largest count confirmed so far: of a sink that failed, nothing more is counted. */
	#confirmed = 0;
	/** It is given no more than this. */
	#end = Number.POSITIVE_INFINITY;
	/** What its events said. Not every library of streams says it by a property too, or in time. */
	#hasFinished = false;
	#hasFailed = false;

	/** `onProgress` is called when the sink has emptied its buffer or finished. */
	constructor(sink: Writable, onProgress: () => void) {
		this.#sink = sink;
		this.#listeners = {
			drain: onProgress,
			finish: () => {
				this.#hasFinished = true;
				onProgress();
			},
			close: () => {
				this.#hasFailed ||= !this.#hasFinished;
			},
			[errorMonitor]: () => {
				this.#hasFailed = true;
			},
		};
		for (const name of Reflect.ownKeys(this.#listeners)) {
			sink.on(name, this.#listeners[name]!);
		}
	}

	/** How many records the sink has confirmed, of `given` that left the stream for it. */
	confirmed(given: number): number {
		const own = Math.min(given, this.#end);
		this.#confirmed = Math.max(this.#confirmed, own - this.#outstanding(own));
		return this.isOver ? given : this.#confirmed;
	}

	/** Whether the sink may confirm more. */
	isBehind(given: number): boolean {
		return !this.#isFailing() && this.confirmed(given) < given;
	}

	/** Whether it is given no more, and has confirmed what it was given. */
	get isOver(): boolean {
		return this.#confirmed === this.#end;
	}

	/** The sink, to wait for its events. */
	get sink(): Writable {
		return this.#sink;
	}

	/** Says that it is given no more than the first `count` records. */
	endAt(count: number): void {
		this.#end = Math.min(this.#end, count);
	}

	close(): void {
		for (const name of Reflect.ownKeys(this.#listeners)) {
			this.#sink.off(name, this.#listeners[name]!);
		}
	}

	/**
	 * Records the sink was given and has not confirmed. Its `writableLength` counts records if it is in object mode, and
	 * bytes if not: those tell only whether there are any. A failing sink takes the failed record off its count.
	 */
	#outstanding(given: number): number {
		const {writableLength = this.#hasFinished ? 0 : given, writableObjectMode} = this.#sink;
		if (this.#isFailing()) {
			return given;
		}

		return writableObjectMode || writableLength === 0 ? writableLength : given;
	}

	#isFailing(): boolean {
		const {errored, destroyed, writableFinished} = this.#sink;
		return this.#hasFailed || (errored ?? null) !== null || (destroyed && !writableFinished);
	}
}
