import type {Storage} from '../storage.ts';
import type {Progress} from './progress.ts';
import type {SegmentList} from './segment-list.ts';

export type ReclaimParts = {
	directory: string;
	storage: Storage;
	segments: SegmentList;
	progress: Progress;
	/** Whether a checkpoint may pass more, once what it would pass is copied for certain. */
	isMorePassable(): boolean;
	/** Forces the checkpoint, and its name, to the device. */
	syncCheckpoint(): Promise<void>;
	/** The checkpoint is forced to the device whenever this many more records are done. */
	maxRedelivery: number;
	/** Told of segments that were removed. */
	reclaimed(segments: number, bytes: number): void;
};

/** Removes the segments whose records are all done, one round at a time. */
export class Reclaim {
	readonly #parts: ReclaimParts;
	#round: Promise<void> | undefined;

	constructor(parts: ReclaimParts) {
		this.#parts = parts;
	}

	/** The round under way: it never rejects, and another one may follow it. */
	get round(): Promise<void> | undefined {
		return this.#round;
	}

	/** Starts a round, if one is worth its sync; and another one after it, for what was done meanwhile. */
	startIfDue(): void {
		if (this.#round || !this.#isDue) {
			return;
		}

		this.#round = this.#run().then(
			() => {
				this.#round = undefined;
				this.startIfDue();
			},
			() => {
				// Tried again with the next checkpoint; close() and sync() tell what is wrong.
				this.#round = undefined;
			},
		);
	}

	get #isDue(): boolean {
		const {segments, progress, isMorePassable, maxRedelivery} = this.#parts;
		const {sequence, written, durable} = progress;
		const passable = isMorePassable() ? sequence : written;
		return segments.firstBefore(passable) !== undefined || written - durable >= maxRedelivery;
	}

	/** Checkpoint durable, then unlink, then the directory: a crash in between leaves files that recovery removes. */
	async #run(): Promise<void> {
		const {directory, storage, segments, progress, syncCheckpoint, reclaimed} = this.#parts;
		await syncCheckpoint();
		const done = progress.durable;
		let count = 0;
		let bytes = 0;
		try {
			for (let first = segments.firstBefore(done); first; first = segments.firstBefore(done)) {
				segments.removeFirst();
				count++;
				bytes += first.end;
			}
		} finally {
			if (count > 0) {
				reclaimed(count, bytes);
			}
		}

		if (count > 0) {
			await storage.syncDirectory(directory);
		}
	}
}
