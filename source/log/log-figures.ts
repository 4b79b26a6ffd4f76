import {performance} from 'node:perf_hooks';

/** What a log has written, and how long that took, in milliseconds. */
export class LogFigures {
	writes = 0;
	writeTime = 0;
	syncs = 0;
	syncTime = 0;
	slowestSync = 0;

	/** Counts a write. */
	timeWrite<R>(write: () => R): R {
		const start = performance.now();
		const result = write();
		this.writes++;
		this.writeTime += performance.now() - start;
		return result;
	}

	/** Counts a wait for the device. */
	async timeSync(sync: () => Promise<void>): Promise<void> {
		const start = performance.now();
		await sync();
		const time = performance.now() - start;
		this.syncs++;
		this.syncTime += time;
		this.slowestSync = Math.max(this.slowestSync, time);
	}
}
