import {QueueError, QueueStorageError, refusedRecord} from '../errors.ts';
import {blockHeaderBytes, countBytes} from '../format/block.ts';
import type {Codec} from '../options.ts';
import type {LogFigures} from './log-figures.ts';
import type {SegmentList} from './segment-list.ts';
import type {AppendedBlock} from './segment-reader.ts';

export type BlockAppenderParts<T> = {
	directory: string;
	segments: SegmentList;
	codec: Codec<T>;
	figures: LogFigures;
	/** A segment is finished after this many bytes. */
	segmentBytes: number;
	/** How many bytes may be written ahead, so that all files stay within their bound. */
	spareBytes(): number;
	/** Starts the next segment. */
	roll(): void;
	/** Told that a segment was finished before it was full. */
	gaveUp(): void;
};

/** Makes a block of records, and appends it where there is room. */
export class BlockAppender<T> {
	readonly #parts: BlockAppenderParts<T>;

	constructor(parts: BlockAppenderParts<T>) {
		this.#parts = parts;
	}

	/** Hands a block to the operating system, all or nothing. Its segment ends where that fails. */
	append(records: T[]): AppendedBlock {
		const payload = this.#encode(records);
		try {
			return this.#appendPayload(payload, records.length);
		} catch (error) {
			this.#giveUpActive();
			const advice = 'The records stay in memory.';
			throw error instanceof QueueError
				? error
				: new QueueStorageError('append to the log in', this.#parts.directory, error, advice);
		}
	}

	#encode(records: T[]): Uint8Array[] {
		const {codec} = this.#parts;
		let payload: Uint8Array[];
		try {
			payload = codec.encodePieces?.(records) ?? [codec.encode(records)];
		} catch (error) {
			throw refusedRecord('cannot be encoded', {cause: error});
		}

		if (countBytes(payload) === 0) {
			throw refusedRecord('is encoded as nothing, which no block can hold');
		}

		return payload;
	}

	/** A segment whose file may not get longer ends there: the block goes to a fresh one. */
	#appendPayload(payload: Uint8Array[], records: number): AppendedBlock {
		const {segments, figures, segmentBytes, roll} = this.#parts;
		if (segments.needsRoll(blockHeaderBytes + countBytes(payload), segmentBytes)) {
			roll();
		}

		const {hasBlocks} = segments.writer!;
		try {
			const block = figures.timeWrite(() => segments.append(payload, records));
			this.#reserve();
			return block;
		} catch (error) {
			if (!hasBlocks || (error as NodeJS.ErrnoException).code !== 'EFBIG') {
				throw error;
			}

			this.#giveUpActive();
			return this.#appendPayload(payload, records);
		}
	}

	#giveUpActive(): void {
		this.#parts.segments.giveUpActive();
		this.#parts.gaveUp();
	}

	/** Makes the syncs to come quicker, where that pays, within the bounds of the file and of all files. */
	#reserve(): void {
		const {segments, segmentBytes, spareBytes} = this.#parts;
		const writer = segments.writer!;
		if (writer.isReserveDue) {
			writer.reserve(Math.min(segmentBytes - writer.segment.end, spareBytes()));
		}
	}
}
