import type {Duplex} from 'node:stream';
import type {Durability} from 'disq';
import type {RecordKind} from '../records.ts';

/** How a system is to be opened. Each takes what it has a setting for. */
export type Setting = {
	kind: RecordKind;
	/** Records of a batch. */
	batchRecords: number;
	/** What a put must survive, in disq's terms. @default 'spill' */
	durability?: Durability | undefined;
	/** Whether records are put and taken one by one, where the system can do both. @default false */
	isOneByOne?: boolean | undefined;
};

/** How a stream is to be opened. */
export type StreamSetting = Pick<Setting, 'durability'> & {highWaterMark: number};

/** A queue that is filled, then drained, each in the way that suits it best. */
export interface Fifo {
	/** Puts the records made for the indexes from 0 up to `count`. */
	fill(count: number, make: (index: number) => object): Promise<void>;
	/** Takes `count` records, in order, and removes them. */
	drain(count: number, take: (record: unknown) => void): Promise<void>;
	close(): Promise<void> | void;
	/** Bytes of the encoded records alone, where the system knows them. */
	readonly payloadBytes?: number;
}

/** A queue that producers use record by record. */
export interface Puts {
	/** Resolves when the record survives what the setting says. */
	put(record: object): Promise<void>;
	close(): Promise<void> | void;
}

/** A queue that producers and consumers use record by record. */
export interface SharedQueue extends Puts {
	/** Waits for a record if there is none. */
	get(): Promise<unknown>;
}

export type System = {
	/** What it is set up to do, and why this is the best careful use of it. Printed with the results. */
	setup: string;
	/** The package that must be installed, if it is none of disq's own. */
	peer?: string;
	/** Loads what opening would load otherwise, where importing the system does not. */
	load?(): Promise<void>;
	openFifo?(directory: string, setting: Setting): Promise<Fifo>;
	openPuts?(directory: string, setting: Setting): Promise<Puts>;
	openDuplex?(directory: string, setting: StreamSetting): Duplex;
	openQueue?(directory: string, setting: Setting): Promise<SharedQueue>;
};

/** What most systems do best: put and take a batch at a time. */
export type BatchCalls = {
	putBatch(records: object[]): unknown;
	/** Takes up to `max` records, at least one. */
	takeBatch(max: number): unknown[] | Promise<unknown[]>;
};

export function fillAndDrain({putBatch, takeBatch}: BatchCalls, batchRecords: number): Pick<Fifo, 'fill' | 'drain'> {
	return {
		async fill(count, make) {
			for (const batch of batches(count, batchRecords, make)) {
				await putBatch(batch);
			}
		},
		async drain(count, take) {
			for (let taken = 0; taken < count; ) {
				const records = await takeBatch(Math.min(batchRecords, count - taken));
				taken += records.length;
				records.forEach(take);
			}
		},
	};
}

/** Makes records batch by batch. */
export function* batches(
	count: number,
	batchRecords: number,
	make: (index: number) => object,
): Generator<object[], void, void> {
	for (let first = 0; first < count; first += batchRecords) {
		yield Array.from({length: Math.min(batchRecords, count - first)}, (_, index) => make(first + index));
	}
}
