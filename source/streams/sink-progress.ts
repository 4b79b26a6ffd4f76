import type {Writable} from 'node:stream';

/** What a destination of `pipe()` has confirmed of what it was given. */
export class SinkProgress {
	readonly #sink: Writable;
	readonly #onProgress: () => void;
	/** The largest count confirmed so far: of a sink that failed, nothing more is counted. */
	#confirmed = 0;

	/** `onProgress` is called when the sink has emptied its buffer or finished. */
	constructor(sink: Writable, onProgress: () => void) {
		this.#sink = sink;
		this.#onProgress = onProgress;
		sink.on('drain', onProgress);
		sink.on('finish', onProgress);
	}

	/** How many records the sink has confirmed, of `given` that left the stream for it. */
	confirmed(given: number): number {
		this.#confirmed = Math.max(this.#confirmed, given - this.#outstanding(given));
		return this.#confirmed;
	}

	/** Whether the sink may confirm more. */
	isBehind(given: number): boolean {
		return !this.#hasFailed() && this.confirmed(given) < given;
	}

	/** The sink, to wait for its events. */
	get sink(): Writable {
		return this.#sink;
	}

	close(): void {
		this.#sink.off('drain', this.#onProgress);
		this.#sink.off('finish', this.#onProgress);
	}

	/**
	 * Records the sink was given and has not confirmed. Its `writableLength` counts records if it is in object mode, and
	 * bytes if not: those tell only whether there are any. A failing sink takes the failed record off its count.
	 */
	#outstanding(given: number): number {
		const {writableLength, writableObjectMode} = this.#sink;
		if (this.#hasFailed() || typeof writableLength !== 'number') {
			return given;
		}

		return writableObjectMode || writableLength === 0 ? writableLength : given;
	}

	#hasFailed(): boolean {
		const {errored, destroyed, writableFinished} = this.#sink;
		return (errored ?? null) !== null || (destroyed && !writableFinished);
	}
}
