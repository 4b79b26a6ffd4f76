import type {WaitOptions} from '../options.ts';
import type {DiskQueue} from '../queue/disk-queue.ts';
import {accepted} from '../queue/put-side.ts';

/** Calls back when a hook of a stream is done. */
export type Callback = (error?: Error | null) => void;

/** Puts what is written to a stream into its queue; a write is called back when its put resolves. */
export class WritingSide<T> {
	readonly #isObjectMode: boolean;
	#queue!: DiskQueue<T>;
	/** Aborts the put that waits, if the queue is not the stream's own: a stream that is gone gives it nothing more. */
	#gone: AbortController | undefined;
	#options: WaitOptions | undefined;
	#put: Promise<void> = accepted;

	constructor({isObjectMode}: {isObjectMode: boolean}) {
		this.#isObjectMode = isObjectMode;
	}

	/** From here on there is a queue to put to. One that is the stream's own still saves, as it closes, what waits. */
	start(queue: DiskQueue<T>, {isOwn}: {isOwn: boolean}): void {
		this.#queue = queue;
		if (!isOwn) {
			this.#gone = new AbortController();
			this.#options = {signal: this.#gone.signal};
		}
	}

	write(chunk: T, callback: Callback): void {
		this.#putAll([chunk], callback);
	}

	writeAll(chunks: Array<{chunk: T}>, callback: Callback): void {
		this.#putAll(
			chunks.map(({chunk}) => chunk),
			callback,
		);
	}

	/** The stream is destroyed: resolves when it puts nothing more. */
	async leave(): Promise<void> {
		if (this.#gone) {
			this.#gone.abort();
			await this.#put.catch(() => {});
		}
	}

	#putAll(chunks: T[], callback: Callback): void {
		const records = this.#isObjectMode ? chunks : (cut(chunks as Buffer[], this.#queue.pieceBytes) as T[]);
		if (records.length === 0) {
			callback();
		} else if (records.length === 1) {
			this.#settle(this.#queue.put(records[0]!, this.#options), callback);
		} else {
			this.#settle(this.#queue.putRun(records, this.#options), callback);
		}
	}

	/** Calls back in this turn if a put did not have to wait. */
	#settle(put: Promise<void>, callback: Callback): void {
		if (put === accepted) {
			callback();
		} else {
			this.#put = put;
			put.then(() => callback(), callback);
		}
	}
}

/** Cuts what is larger than a piece may be into equal pieces, as few as it takes, and leaves out what is empty. */
function cut(chunks: Buffer[], pieceBytes: number): Buffer[] {
	const pieces: Buffer[] = [];
	for (const chunk of chunks) {
		const {byteLength} = chunk;
		const size = Math.ceil(byteLength / Math.ceil(byteLength / pieceBytes));
		for (let offset = 0; offset < byteLength; offset += size) {
			pieces.push(size === byteLength ? chunk : chunk.subarray(offset, offset + size));
		}
	}

	return pieces;
}
