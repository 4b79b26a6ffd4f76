import {performance} from 'node:perf_hooks';
import type {SyncPlace} from '../storage.ts';

/** What counts as few bytes. */
const smallBytes = 32 * 1024;

/** After so many small syncs in a row it pays to write zeros ahead. */
const smallSyncs = 4;

/** Milliseconds. Syncs that take less on average hold up the event loop as little as packing a large block does. */
const quickTime = 0.3;

/** Before the first one is known. */
const expectedTime = 0.4;

/** How much the newest sync counts in the average: after one of 100 ms some hundred quick ones go to another thread. */
const newestShare = 1 / 64;

/** What the last syncs of a log's segments say of the next one. */
export class SyncPace {
	readonly #now: () => number;
	#small = 0;
	/** Time that small syncs take, on average, in milliseconds. */
	#time = expectedTime;

	/** `now` tells the time, in milliseconds. */
	constructor(now: () => number = () => performance.now()) {
		this.#now = now;
	}

	/** Whether the last syncs were small. */
	get isSmall(): boolean {
		return this.#small >= smallSyncs;
	}

	/**
	 * Runs a sync of so many bytes. Where small ones take about as long as the way to another thread and back, that way
	 * is spared. One that fails says nothing of the next.
	 */
	async run(bytes: number, sync: (where: SyncPlace) => Promise<void>): Promise<void> {
		const isSmall = bytes <= smallBytes;
		const start = this.#now();
		await sync(isSmall && this.#time < quickTime ? 'inPlace' : 'threadPool');
		this.#small = isSmall ? this.#small + 1 : 0;
		if (isSmall) {
			this.#time += (this.#now() - start - this.#time) * newestShare;
		}
	}

	/** Counts small syncs anew. */
	forgetSmall(): void {
		this.#small = 0;
	}
}
