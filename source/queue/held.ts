import type {SegmentLog} from '../log/segment-log.ts';
import type {MemoryWindow} from './memory-window.ts';
import type {Pending} from './pending.ts';

/** Where the records of a queue are: in its log, in memory, with a consumer or given back by one. */
export type Held<T> = {
	readonly log: SegmentLog<T>;
	readonly memory: MemoryWindow<T>;
	readonly pending: Pending<T>;
};
