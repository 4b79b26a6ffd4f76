/** How many records wait, in all and on disk. */
type Waiting = {readonly size: number; readonly diskSize: number};

/** What is told of a queue's records as a whole. */
type TurningPointEvents = {spilled(): void; emptied(): void};

/** Notices when records begin to wait on disk, and when none wait any more. */
export class TurningPoints {
	readonly #waiting: Waiting;
	readonly #events: TurningPointEvents;
	#isOnDisk: boolean;
	#isEmpty: boolean;

	/** `isOnDisk`: whether records waited there when the queue was opened. */
	constructor(waiting: Waiting, isOnDisk: boolean, events: TurningPointEvents) {
		this.#waiting = waiting;
		this.#events = events;
		this.#isOnDisk = isOnDisk;
		this.#isEmpty = !isOnDisk;
	}

	/** Records may have been added, and may be gone by the next look. */
	added(): void {
		this.#isEmpty &&= this.#waiting.size === 0;
	}

	look(): void {
		const isOnDisk = this.#waiting.diskSize > 0;
		if (isOnDisk && !this.#isOnDisk) {
			this.#events.spilled();
		}

		this.#isOnDisk = isOnDisk;
		const isEmpty = this.#waiting.size === 0;
		if (isEmpty && !this.#isEmpty) {
			this.#events.emptied();
		}

		this.#isEmpty = isEmpty;
	}
}
