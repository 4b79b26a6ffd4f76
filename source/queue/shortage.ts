import type {QueueError} from '../errors.ts';
import type {SegmentLog} from '../log/segment-log.ts';

/** How often what found no room is tried again, in milliseconds. */
const retryInterval = 250;

export type ShortageOptions = {
	/** It begins: puts wait, or deliveries. */
	began(cause: QueueError): void;
	/** It is over. */
	ended(): void;
	/** Who waits is to be served once more. */
	retry(): void;
};

/** A want of room, in the queue or on the device: what waits for its end is tried again until the log has grown. */
export class Shortage {
	readonly #log: Pick<SegmentLog<never>, 'nextSequence'>;
	readonly #options: ShortageOptions;
	#cause: QueueError | undefined;
	/** Where the log ended when it was last met. */
	#sequence = 0;
	#timer: NodeJS.Timeout | undefined;

	constructor(log: Pick<SegmentLog<never>, 'nextSequence'>, options: ShortageOptions) {
		this.#log = log;
		this.#options = options;
	}

	/** What found no room; undefined if there is some. */
	get cause(): QueueError | undefined {
		return this.#cause;
	}

	/** Whether the next try is a matter of time. */
	get isRetryDue(): boolean {
		return this.#timer !== undefined;
	}

	/** Something found no room. */
	meet(cause: QueueError): void {
		if (!this.#cause) {
			this.#options.began(cause);
		}

		this.#cause = cause;
		this.#sequence = this.#log.nextSequence;
		this.#timer ??= setTimeout(() => {
			this.#timer = undefined;
			this.#options.retry();
		}, retryInterval);
	}

	/** There may be room now. */
	retryNow(): void {
		if (this.#timer) {
			this.close();
			this.#options.retry();
		}
	}

	/** Ends it if something was appended since, or if nobody wants room any more. */
	check(isWanted: boolean): void {
		if (this.#cause && (!isWanted || this.#log.nextSequence > this.#sequence)) {
			this.#cause = undefined;
			this.close();
			this.#options.ended();
		}
	}

	/** Nothing is tried again. */
	close(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
	}
}
