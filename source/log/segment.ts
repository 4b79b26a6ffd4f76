import {join} from 'node:path';
import type {BlockHeader} from '../format/block.ts';
import type {Checkpoint} from '../format/checkpoint.ts';
import {segmentFileName} from '../format/file-name.ts';
import {type SegmentPlace, segmentIdentity} from '../format/segment-header.ts';

/** One file of the log, as its readers and writers share it. */
export type Segment = {
	readonly path: string;
	readonly firstSequence: number;
	readonly salt: number;
	/** Seed of its blocks' header checksums. */
	readonly identity: number;
	/** Offset behind its last whole block. */
	end: number;
	/** Whether a power cut could take what was written. */
	isDirty: boolean;
	/** Its records before this sequence are on the device. */
	syncedSequence: number;
	/** The segment behind it; its content ends where that one begins. */
	next: Segment | undefined;
};

export function segmentAt(directory: string, place: SegmentPlace, end: number): Segment {
	const {firstSequence, salt} = place;
	return {
		path: join(directory, segmentFileName(firstSequence, salt)),
		firstSequence,
		salt,
		identity: segmentIdentity(place),
		end,
		isDirty: false,
		syncedSequence: firstSequence,
		next: undefined,
	};
}

/** The end of a log as a checkpoint names it. */
export function endOf(segments: readonly Segment[], nextSequence: number): Checkpoint['end'] {
	const last = segments.at(-1);
	return {nextSequence, segment: last?.firstSequence ?? nextSequence, offset: last?.end ?? 0};
}

/** The sequence from which on the next segment has the records; infinite for the last one. */
export function endSequence({next}: Segment): number {
	return next?.firstSequence ?? Number.POSITIVE_INFINITY;
}

/** Whether a block's sequences are among those that its segment can hold, in a log that ends before `nextSequence`. */
export function canHold(segment: Segment, {firstSequence, records}: BlockHeader, nextSequence: number): boolean {
	const end = Math.min(endSequence(segment), nextSequence);
	return firstSequence >= segment.firstSequence && firstSequence + records <= end;
}
