import type {Writable} from 'node:stream';

/** Counts what a stream has taken in and given out, in what its buffer counts: records, or bytes, or characters. */
export interface Meter {
	/** What has left the stream's buffer. */
	readonly given: number;
	/** What to take for so much room in the buffer. */
	limit(room: number): {max: number; maxBytes: number};
	/** What records are to the stream. Throws if one is nothing to it. */
	chunksOf(records: unknown[]): unknown[];
	/** Counts the next record in, right before it is pushed; gives what to push. */
	countIn(chunk: unknown): unknown;
	/** Says that no record follows. */
	end(): void;
	/** Does something that changes how the stream counts its buffer. */
	recount(change: () => void): void;
	/** How many of the next records, up to `max`, lie wholly in what is confirmed. */
	countWithin(confirmed: number, max: number): number;
	/** Forgets the next records: they are done. */
	forget(count: number): void;
	/** Whether a sink counts its buffer as the stream does. */
	isAlike(sink: Writable): boolean;
}

/** What a meter asks of a stream. */
export type Metered = {
	readonly readableLength: number;
	readonly readableEncoding: BufferEncoding | null;
};

/** Counts records. */
export class RecordMeter implements Meter {
	readonly #stream: Metered;
	#pushed = 0;
	#done = 0;

	constructor(stream: Metered) {
		this.#stream = stream;
	}

	get given(): number {
		return this.#pushed - this.#stream.readableLength;
	}

	limit(room: number): {max: number; maxBytes: number} {
		return {max: room, maxBytes: Number.POSITIVE_INFINITY};
	}

	chunksOf(records: unknown[]): unknown[] {
		return records;
	}

	countIn(chunk: unknown): unknown {
		this.#pushed++;
		return chunk;
	}

	end(): void {
		// A record is whole when it is pushed.
	}

	recount(change: () => void): void {
		change();
	}

	countWithin(confirmed: number, max: number): number {
		return Math.max(0, Math.min(max, confirmed - this.#done));
	}

	forget(count: number): void {
		this.#done += count;
	}

	isAlike({writableObjectMode}: Writable): boolean {
		return writableObjectMode;
	}
}
