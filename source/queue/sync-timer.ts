import {maxDelay} from './waiting-line.ts';

/** Calls for a sync now and then, until it is stopped; it keeps no process running. */
export class SyncTimer {
	readonly #sync: () => Promise<void>;
	readonly #failed: (error: Error) => void;
	#timer: NodeJS.Timeout | undefined;
	/** The sync under way: one at a time, as a device may take longer than the interval. It never rejects. */
	#syncing: Promise<void> | undefined;

	constructor(sync: () => Promise<void>, failed: (error: Error) => void) {
		this.#sync = sync;
		this.#failed = failed;
	}

	/** `interval`: in milliseconds; `Infinity` for never. */
	start(interval: number): void {
		if (Number.isFinite(interval)) {
			this.#timer = setInterval(() => this.#tick(), Math.min(interval, maxDelay)).unref();
		}
	}

	stop(): void {
		clearInterval(this.#timer);
	}

	#tick(): void {
		this.#syncing ??= this.#sync()
			.catch(error => this.#failed(error as Error))
			.finally(() => {
				this.#syncing = undefined;
			});
	}
}
