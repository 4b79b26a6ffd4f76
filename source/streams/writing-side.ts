import type {WaitOptions} from '../options.ts';
import type {DiskQueue} from '../queue/disk-queue.ts';
import {accepted} from '../queue/put-side.ts';

/** Calls back when a hook of a stream is done. */
export type Callback = (error?: Error | null) => void;

/** Puts what is written to a stream into its queue; a write is called back when its put resolves. */
export class WritingSide<T> {
	#queue!: DiskQueue<T>;
	/** Aborts the put that waits, if the queue is not the stream's own: a stream that is gone gives it nothing more. */
	#gone: AbortController | undefined;
	#options: WaitOptions | undefined;
	#put: Promise<void> = accepted;

	/** From here on there is a queue to put to. One that is the stream's own still saves, as it closes, what waits. */
	start(queue: DiskQueue<T>, {isOwn}: {isOwn: boolean}): void {
		this.#queue = queue;
		if (!isOwn) {
			this.#gone = new AbortController();
			this.#options = {signal: this.#gone.signal};
		}
	}

	write(record: T, callback: Callback): void {
		this.#settle(this.#queue.put(record, this.#options), callback);
	}

	writeAll(chunks: Array<{chunk: T}>, callback: Callback): void {
		const records = chunks.map(({chunk}) => chunk);
		this.#settle(this.#queue.putRun(records, this.#options), callback);
	}

	/** The stream is destroyed: resolves when it puts nothing more. */
	async leave(): Promise<void> {
		if (this.#gone) {
			this.#gone.abort();
			await this.#put.catch(() => {});
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
