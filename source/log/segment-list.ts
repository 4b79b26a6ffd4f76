import {encodeBlockHeader} from '../format/block.ts';
import type {Checkpoint} from '../format/checkpoint.ts';
import {encodeSegmentHeader} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import type {Recovered} from './recovery.ts';
import {endOf, type Segment, segmentAt} from './segment.ts';
import type {AppendedBlock} from './segment-reader.ts';
import {SegmentWriter} from './segment-writer.ts';
import {SyncPace} from './sync-pace.ts';

/** Where the segments of a log are, and what goes into their headers. */
export type ListPlace = {directory: string; queueId: Buffer; salt: number; codecName: string; storage: Storage};

/**
 * The segments of a log in order. The active one, which is appended to, is the last, and was begun since the open: what an
 * earlier run left is sealed, as a crash may have taken blocks of it that the device still has.
 */
export class SegmentList {
	readonly #place: ListPlace;
	readonly #segments: Segment[];
	#nextSequence: number;
	/** The sequence behind the last record: lower than the next one after a power cut that took what was between. */
	#recordsEnd: number;
	#writer: SegmentWriter | undefined;
	readonly #pace = new SyncPace();
	/** Told of a segment before its file goes. */
	readonly #leave: (segment: Segment) => void;

	constructor(
		place: ListPlace,
		{segments, nextSequence, recordsEnd}: Pick<Recovered, 'segments' | 'nextSequence' | 'recordsEnd'>,
		leave: (segment: Segment) => void,
	) {
		this.#place = place;
		this.#segments = segments;
		this.#nextSequence = nextSequence;
		this.#recordsEnd = recordsEnd;
		this.#leave = leave;
	}

	get all(): readonly Segment[] {
		return this.#segments;
	}

	get nextSequence(): number {
		return this.#nextSequence;
	}

	get recordsEnd(): number {
		return this.#recordsEnd;
	}

	get bytes(): number {
		return this.#segments.reduce((sum, {end}) => sum + end, 0);
	}

	/** Bytes that were written ahead, for blocks to come. */
	get reservedBytes(): number {
		return this.#writer?.reservedBytes ?? 0;
	}

	/** Where the log ends now. */
	get end(): Checkpoint['end'] {
		return endOf(this.#segments, this.#nextSequence);
	}

	/** The writer of the active segment, if there is one. */
	get writer(): SegmentWriter | undefined {
		return this.#writer;
	}

	/** Whether there is an active segment, and blocks in it. */
	get isSealable(): boolean {
		return this.#writer?.hasBlocks ?? false;
	}

	/** Whether a block of so many bytes needs a fresh segment: the first block of one always has room. */
	needsRoll(blockBytes: number, segmentBytes: number): boolean {
		const writer = this.#writer;
		return !writer || (writer.hasBlocks && writer.segment.end + blockBytes > segmentBytes);
	}

	/** Starts the next segment. */
	roll(): void {
		const {directory, queueId, salt, codecName, storage} = this.#place;
		const segment = segmentAt(directory, {queueId, firstSequence: this.#nextSequence, salt}, 0);
		this.#removeFrom(segment.firstSequence);
		const writer = SegmentWriter.create(segment, storage, this.#pace);
		this.seal();
		const last = this.#segments.at(-1);
		if (last) {
			last.next = segment;
		}

		// It is listed before it has its header, so that what is left of it can be removed.
		this.#segments.push(segment);
		this.#writer = writer;
		writer.append([encodeSegmentHeader({...segment, queueId, codecName})]);
	}

	/** Appends a block to the active segment: from here on it survives the end of this process. All or nothing. */
	append(payload: Uint8Array[], records: number): AppendedBlock {
		const writer = this.#writer!;
		const {segment} = writer;
		const place = {records, firstSequence: this.#nextSequence, appendedAt: Date.now()};
		const offset = segment.end;
		writer.append([encodeBlockHeader(payload, place, segment.identity), ...payload]);
		this.#nextSequence += records;
		this.#recordsEnd = this.#nextSequence;
		return {segment, ...place, offset, bytes: segment.end - offset};
	}

	/** Cuts off what was written ahead of the blocks: the file is to be synced once more. */
	trim(): void {
		if (this.#writer?.trim()) {
			this.#writer.segment.isDirty = true;
		}
	}

	/** Finishes the active segment: what is appended next goes into a fresh one. */
	seal(): void {
		this.#writer?.close();
		this.#writer = undefined;
	}

	/**
	 * Ends the active segment after a write that failed: nothing follows in its file, which can go when its records are
	 * done. On a full disk that may be all there is to free. One that has no block yet goes at once.
	 */
	giveUpActive(): void {
		this.seal();
		try {
			this.#removeFrom(this.#nextSequence);
		} catch {
			// It goes when its name is needed.
		}
	}

	/** Takes back what was appended from a sequence on; a fresh segment follows. */
	rewindTo(sequence: number): void {
		this.seal();
		this.#nextSequence = sequence;
		this.#recordsEnd = sequence;
		this.#removeFrom(sequence);
	}

	/** The first segment, if all its records are before a sequence, and no more can come. */
	firstBefore(sequence: number): Segment | undefined {
		const [first] = this.#segments;
		const end = first?.next?.firstSequence ?? (this.#writer ? undefined : this.#nextSequence);
		return end !== undefined && end <= sequence ? first : undefined;
	}

	removeFirst(): void {
		const [first] = this.#segments;
		this.#leave(first!);
		this.#place.storage.unlink(first!.path);
		this.#segments.shift();
	}

	removeAll(): void {
		this.seal();
		while (this.#segments.length > 0) {
			this.removeFirst();
		}
	}

	/** Removes the segments from a sequence on: nothing in them counts, and what comes next needs their names. */
	#removeFrom(sequence: number): void {
		for (let last = this.#segments.at(-1); last && last.firstSequence >= sequence; last = this.#segments.at(-1)) {
			this.seal();
			this.#leave(last);
			this.#place.storage.unlink(last.path);
			this.#segments.pop();
			const newLast = this.#segments.at(-1);
			if (newLast) {
				newLast.next = undefined;
			}
		}
	}
}
