import type {Durability} from '../../source/index.ts';

/** One way to use a queue for long. */
export type SoakVariant = {
	/**
	 * `queue`: put and get. `reopened`: the same, closed and opened again after each round. `deliveries`: receive, settled in
	 * no order. `pipeline`: a source, a `diskQueue` and a sink.
	 */
	through: 'queue' | 'reopened' | 'deliveries' | 'pipeline';
	durability: Durability;
	maxBytes?: number;
};

export type SoakPlan = SoakVariant & {
	directory: string;
	/** It ends after so many rounds and seconds, whichever comes last. */
	rounds: number;
	seconds: number;
	recordsPerRound: number;
	segmentBytes: number;
	seed: number;
};

/** What a process holds when its queue is drained and its garbage collected. Sizes are bytes. */
export type SoakSample = {
	/** When it was taken. */
	at: 'start' | 'round' | 'end';
	/** Records that came out so far, and their bytes. */
	records: number;
	bytes: number;
	/** The heap in use, and what it refers to outside. */
	held: number;
	rss: number;
	peakRss: number;
	/** What descriptors are open for. */
	descriptors: string[];
	/** What keeps the event loop alive. */
	resources: string[];
	/** Bytes of the directory's files now, and at most in this round. */
	diskBytes: number;
	peakDiskBytes: number;
	segments: number;
	/** Whether a huge record was in this round. */
	hasHuge: boolean;
	/** How often there was no room so far. */
	fulls: number;
};

export type SoakRecord = {id: number; body: Uint8Array};

export const smallestBytes = 10;
/** Some less than 1 MiB, so that a record of any size fits a quarter of 4 MiB. */
export const largestBytes: number = 1000 * 1024;
export const hugeBytes: number = 50 * 1024 * 1024;

/** One round of so many has a huge record. */
export const roundsPerCycle = 4;

/** Which record of a round is the huge one, if any is: the last, or one in the middle. */
export function placeOfHuge(round: number, {recordsPerRound, maxBytes}: SoakPlan): number | undefined {
	if (maxBytes !== undefined || round % roundsPerCycle !== 1) {
		return undefined;
	}

	return round % (2 * roundsPerCycle) === 1 ? recordsPerRound - 1 : recordsPerRound >> 1;
}

const starts = 4096;
const pool = Buffer.alloc(largestBytes + starts, 'what the records of a soak are made of; ');

/** A record of a size, whose content follows from its id and its size. */
export function soakRecord(id: number, bytes: number): SoakRecord {
	return {id, body: Buffer.from(contentOf(id, bytes))};
}

/** Whether a record is as it was made. */
export function isIntact({id, body}: SoakRecord): boolean {
	return contentOf(id, body.byteLength).equals(body);
}

/** Sizes from the smallest to the largest with a heavy tail: most are some bytes, one in thirty is over 256 KiB. */
export function randomSize(random: () => number): number {
	return Math.floor(smallestBytes * (largestBytes / smallestBytes) ** (random() ** 4));
}

function contentOf(id: number, bytes: number): Buffer {
	const start = (id * 7919) % starts;
	return bytes > largestBytes ? Buffer.alloc(bytes, id % 251) : pool.subarray(start, start + bytes);
}
