import type {DiskQueue} from '../queue/disk-queue.ts';
import {accepted} from '../queue/put-side.ts';

/** Calls back when a hook of a stream is done. */
export type Callback = (error?: Error | null) => void;

/** Puts what is written to a stream into its queue; a write is called back when its put resolves. */
export class WritingSide<T> {
	#queue!: DiskQueue<T>;

	/** From here on there is a queue to put to. */
	start(queue: DiskQueue<T>): void {
		this.#queue = queue;
	}

	write(record: T, callback: Callback): void {
		whenAccepted(this.#queue.put(record), callback);
	}

	writeAll(chunks: Array<{chunk: T}>, callback: Callback): void {
		whenAccepted(this.#queue.putRun(chunks.map(({chunk}) => chunk)), callback);
	}
}

/** Calls back in this turn if a put did not have to wait. */
function whenAccepted(put: Promise<void>, callback: Callback): void {
	if (put === accepted) {
		callback();
	} else {
		put.then(() => callback(), callback);
	}
}
