import type {Writable} from 'node:stream';
import type {DiskQueue} from '../queue/disk-queue.ts';
import type {IsOver} from '../queue/engine.ts';

/** How a reading side takes records, and who says that they are done. `given` is what has left the stream's buffer. */
export interface Intake<T, Run> {
	/** Whether some of what was taken is not done, as far as it was looked into. */
	readonly isHolding: boolean;
	/** From here on there is a queue to take from. */
	start(queue: DiskQueue<T>): void;
	/** Takes what fits `room`, but at least one record; undefined when no record waits and it is over. */
	take(room: number, isOver: IsOver, signal: AbortSignal): Promise<Run | undefined>;
	/** Gives back what comes too late. */
	refuse(run: Run): void;
	/** Keeps account of what was taken, and gives its chunks. */
	accept(run: Run): unknown[];
	/** Settles what is done. */
	confirm(given: number): void;
	addSink(sink: Writable): void;
	/** Says that a sink, or all of them, are given no more. */
	endSinks(sink: unknown, given: number): void;
	/** Waits until the sinks have confirmed all they were given, or failed. Once aborted it waits for those only that go on confirming. */
	awaitSinks(given: number, signal: AbortSignal): Promise<void>;
	/** Gives back what is not done. */
	close(given: number): void;
}
