import {type Corruption, QueueCorruptError, QueueStorageError} from '../errors.ts';
import {type BlockHeader, blockHeaderBytes} from '../format/block.ts';
import type {SequenceRange} from '../format/checkpoint.ts';
import {Mismatch} from '../format/mismatch.ts';
import {segmentHeaderBytes} from '../format/segment-header.ts';
import type {Codec} from '../options.ts';
import type {Storage} from '../storage.ts';
import {BlockMarks} from './block-marks.ts';
import {decodePayload} from './payload.ts';
import {nextBlock, quarantineBytes} from './quarantine.ts';
import {canHold, endSequence, type Segment} from './segment.ts';
import {type Fill, SegmentCursor} from './segment-cursor.ts';
import {coversRange} from './sequence-ranges.ts';
import {isTorn} from './torn.ts';

/** The records of one block that are due. */
export type LoadedBlock<T> = {records: T[]; bytes: number; appendedAt: number};

/** Where a block was appended. */
export type AppendedBlock = {
	segment: Segment;
	firstSequence: number;
	records: number;
	offset: number;
	bytes: number;
	appendedAt: number;
};

/** What the reader reads: the log's segments in order, which grow behind it. */
export type ReadableLog<T> = {
	readonly directory: string;
	readonly segments: readonly Segment[];
	readonly nextSequence: number;
	/** The sequence behind the last record. */
	readonly recordsEnd: number;
	readonly queueId: Buffer;
	readonly codec: Codec<T>;
	readonly storage: Storage;
	readonly onCorruption: 'quarantine' | 'throw';
	/** Sequences of which a power cut may have taken some: that they are missing is no damage. */
	readonly doubtful: SequenceRange[];
	/** Told of damage that was set aside. */
	report(corruption: Corruption): void;
};

/**
 * Reads the log forward, block by block, from a sequence on.
 *
 * Blocks must follow one another without a gap in sequence. What does not check is set aside, with what it cost, and
 * reading goes on at the next whole block.
 */
export class SegmentReader<T> {
	readonly #log: ReadableLog<T>;
	readonly #cursor: SegmentCursor;
	#sequence: number;
	/** The sequence behind the last block that was found in the segment, due or not. */
	#passed = 0;
	/** Where the block with the first sequence may start, if an earlier run left word of it. */
	#hint: number;
	/** Bytes that must come before `next` can go on. */
	#wanted = 0;
	readonly #marks = new BlockMarks();

	constructor(log: ReadableLog<T>, sequence: number, hint: number) {
		this.#log = log;
		this.#cursor = new SegmentCursor(log);
		this.#sequence = sequence;
		this.#hint = hint;
	}

	/** The sequence of the first record that was not given out. */
	get sequence(): number {
		return this.#sequence;
	}

	/** The next block, if its bytes are in memory. If not, and `isAtEnd` is false, call `load` and come again. */
	next(): LoadedBlock<T> | undefined {
		return this.#attempt(bytes => {
			this.#wanted = bytes;
			return this.#cursor.view().byteLength >= bytes;
		});
	}

	/** The next block, read in this turn if need be; undefined at the end of the log. */
	nextSync(): LoadedBlock<T> | undefined {
		return this.#attempt(bytes => {
			this.#cursor.loadSync(bytes);
			return true;
		});
	}

	/** Reads what `next` is waiting for; nothing if that has been left meanwhile. */
	async load(): Promise<void> {
		const {segment} = this.#cursor;
		if (!segment) {
			return;
		}

		try {
			await this.#cursor.load(this.#wanted);
		} catch (error) {
			if (segment === this.#cursor.segment) {
				this.#tolerateMissing(error);
			}
		}
	}

	/** Whether every record of the log was given out. */
	get isAtEnd(): boolean {
		return this.#sequence >= this.#log.recordsEnd;
	}

	/** Goes on from a later sequence: what comes before it is done, and no loss. */
	skipTo(sequence: number): void {
		if (sequence > this.#sequence) {
			this.#sequence = sequence;
			this.#hint = 0;
		}
	}

	/** A reader of its own that goes on from here, to look ahead: it reports no damage, the first one will. */
	fork(): SegmentReader<T> {
		const {directory, segments, nextSequence, recordsEnd, queueId, codec, storage, onCorruption, doubtful} = this.#log;
		const numbers = {nextSequence, recordsEnd};
		const log = {directory, segments, ...numbers, queueId, codec, storage, onCorruption, doubtful, report() {}};
		const fork = new SegmentReader<T>(log, this.#sequence, 0);
		if (this.#cursor.segment) {
			fork.#enter(this.#cursor.segment, this.#cursor.position);
		}

		return fork;
	}

	/** Passes a block that was just appended, whose records are still in memory: the reader must be at the end. */
	pass({segment, firstSequence, records, offset, bytes}: AppendedBlock): void {
		if (this.#cursor.segment !== segment || this.#cursor.position !== offset) {
			this.#enter(segment, offset);
		}

		this.#accept(firstSequence, records, bytes);
	}

	/** Offset of the block that holds a sequence given out earlier; 0 if not known. Forgets what is before it. */
	offsetOf(sequence: number): number {
		const mark = this.#marks.find(sequence);
		return mark && mark.segment === this.#holderOf(sequence) ? mark.offset : 0;
	}

	/** Lets go of a segment whose records are all done, so that its file can be removed. */
	leave(segment: Segment): void {
		if (this.#cursor.segment === segment) {
			this.#cursor.leave();
		}
	}

	close(): void {
		this.#cursor.leave();
	}

	/** Runs one attempt to find a block; a call of the file system that fails leaves the reader where it is. */
	#attempt(fill: Fill): LoadedBlock<T> | undefined {
		for (;;) {
			try {
				return this.#find(fill);
			} catch (error) {
				this.#tolerateMissing(error);
			}
		}
	}

	/** A segment that is gone is a loss to report and pass; one that cannot be read is not. */
	#tolerateMissing(error: unknown): void {
		const {code, syscall} = error as NodeJS.ErrnoException;
		if (code !== 'ENOENT') {
			throw syscall ? cannotRead(this.#cursor.segment!.path, error) : error;
		}

		this.#cursor.giveUpFile();
	}

	#find(fill: Fill): LoadedBlock<T> | undefined {
		while (!this.isAtEnd) {
			if (this.#isSegmentDone()) {
				if (!this.#enterNext()) {
					return undefined;
				}

				continue;
			}

			const found = this.#cursor.position === 0 ? this.#cursor.passHeader(fill) : this.#readBlock(fill);
			if (found === 'later') {
				return undefined;
			}

			if (found instanceof Mismatch) {
				this.#setAside(found);
			} else if (found) {
				return found;
			}
		}

		return undefined;
	}

	/** Bytes behind the last record of a segment are what a failed or torn write left: they are not looked at. */
	#isSegmentDone(): boolean {
		const {segment} = this.#cursor;
		return !segment || this.#cursor.position >= this.#cursor.limit || this.#sequence >= endSequence(segment);
	}

	/** Goes to the segment with the next sequence; false if there is none. Sequences that no segment has are lost. */
	#enterNext(): boolean {
		const {segments, recordsEnd} = this.#log;
		const holder = this.#holderOf(this.#sequence);
		const {segment} = this.#cursor;
		if (holder && holder !== segment) {
			this.#enter(holder, 0);
			this.#followHint(holder);
			return true;
		}

		const next = segments.find(({firstSequence}) => firstSequence > this.#sequence);
		const resume = next?.firstSequence ?? recordsEnd;
		if (this.#isDoubtful(this.#sequence, resume)) {
			this.#sequence = resume;
			return next !== undefined;
		}

		const path = segment?.path ?? next?.path ?? this.#log.directory;
		this.#lose(
			{path, offset: segment ? this.#cursor.limit : 0, bytes: 0},
			new Mismatch(`sequence ${this.#sequence}`, next ? `sequence ${resume}` : 'the end of the segment'),
			resume,
		);
		return next !== undefined;
	}

	/** Goes where the hint says, if the segment is whole in its header and the block due stands there: it may be begun anew. */
	#followHint(segment: Segment): void {
		const hint = this.#hint;
		this.#hint = 0;
		if (hint === 0 || hint >= segment.end) {
			return;
		}

		const block = this.#cursor.peekBlockHeader(hint);
		if (!(block instanceof Mismatch) && holds(block, this.#sequence)) {
			this.#cursor.skip(hint);
			this.#passed = block.firstSequence;
		}
	}

	#holderOf(sequence: number): Segment | undefined {
		return this.#log.segments.findLast(({firstSequence}) => firstSequence <= sequence);
	}

	#enter(segment: Segment, offset: number): void {
		this.#cursor.enter(segment, offset);
		this.#passed = offset === 0 ? segment.firstSequence : this.#sequence;
	}

	#readBlock(fill: Fill): LoadedBlock<T> | Mismatch | 'later' | undefined {
		const cursor = this.#cursor;
		const missing = cursor.want(blockHeaderBytes, 'a block header', fill);
		if (missing) {
			return missing;
		}

		const segment = cursor.segment!;
		const header = cursor.blockHeader();
		if (header instanceof Mismatch) {
			return header;
		}

		const {nextSequence} = this.#log;
		if (!canHold(segment, header, nextSequence)) {
			const end = Math.min(endSequence(segment), nextSequence) - 1;
			const found = `${header.records} from ${header.firstSequence}`;
			return new Mismatch(`records from ${segment.firstSequence} to ${end}`, found);
		}

		const bytes = blockHeaderBytes + header.payloadBytes;
		const end = header.firstSequence + header.records;
		if (end <= this.#sequence && cursor.position + bytes <= cursor.limit) {
			this.#passed = end;
			cursor.skip(bytes);
			return undefined;
		}

		return cursor.want(bytes, 'a block', fill) ?? this.#checkGap(header, bytes, fill) ?? this.#decode(header, bytes);
	}

	/** A block behind missing sequences is believed unless the next one says that they are not missing. */
	#checkGap({firstSequence, records}: BlockHeader, bytes: number, fill: Fill): Mismatch | 'later' | undefined {
		const behind = bytes + blockHeaderBytes;
		if (firstSequence <= this.#sequence || this.#cursor.position + behind > this.#cursor.limit) {
			return undefined;
		}

		const missing = this.#cursor.want(behind, 'a block header', fill);
		if (missing) {
			return missing;
		}

		const next = this.#cursor.blockHeader(bytes);
		const isDenied =
			!(next instanceof Mismatch) &&
			next.firstSequence >= this.#sequence &&
			next.firstSequence < firstSequence + records;
		return isDenied ? new Mismatch(`sequence ${this.#sequence}`, `sequence ${firstSequence}`) : undefined;
	}

	#decode(header: BlockHeader, bytes: number): LoadedBlock<T> | Mismatch | undefined {
		const {firstSequence} = header;
		if (firstSequence > this.#sequence) {
			const at = {path: this.#cursor.segment!.path, offset: this.#cursor.position, bytes: 0};
			const gap = new Mismatch(`sequence ${this.#sequence}`, `sequence ${firstSequence}`);
			this.#lose(at, gap, firstSequence);
			return undefined;
		}

		const payload = this.#cursor.view().subarray(blockHeaderBytes, bytes);
		const records = decodePayload(payload, header, this.#log.codec);
		if (records instanceof Mismatch) {
			return records;
		}

		const due = firstSequence === this.#sequence ? records : records.slice(this.#sequence - firstSequence);
		this.#accept(firstSequence, header.records, bytes);
		this.#cursor.prefetch();
		return {records: due, bytes, appendedAt: header.appendedAt};
	}

	#accept(firstSequence: number, records: number, bytes: number): void {
		this.#marks.add({sequence: firstSequence, segment: this.#cursor.segment!, offset: this.#cursor.position});
		this.#sequence = firstSequence + records;
		this.#passed = this.#sequence;
		this.#cursor.skip(bytes);
	}

	/** Sets aside what does not check, up to the next whole block. */
	#setAside(mismatch: Mismatch): void {
		const segment = this.#cursor.segment!;
		const from = this.#cursor.position;
		const to = this.#cursor.limit;
		const {nextSequence, storage} = this.#log;
		const searchFrom = from === 0 ? segmentHeaderBytes : from + 1;
		const next = nextBlock(segment, {from: searchFrom, to, sequence: this.#passed, nextSequence}, storage);
		const end = next?.offset ?? to;
		const found = Math.min(next?.header.firstSequence ?? nextSequence, endSequence(segment));
		const resume = Math.max(found, this.#sequence);
		if (this.#isDoubtful(this.#passed, found) && isTorn(segment, {from, to: end}, storage)) {
			this.#sequence = resume;
		} else {
			this.#lose({path: segment.path, offset: from, bytes: end - from}, mismatch, resume);
		}

		this.#cursor.skip(end - from);
	}

	/** Whether a power cut may have taken the records before `next`; without any, something else of the one there. */
	#isDoubtful(first: number, next: number): boolean {
		return coversRange(this.#log.doubtful, {first, next: Math.max(next, first + 1)});
	}

	/** Gives up the records before `resume`, and says so; with `onCorruption: 'throw'` it stays where it is. */
	#lose(at: {path: string; offset: number; bytes: number}, mismatch: Mismatch, resume: number): void {
		const lost = resume > this.#sequence ? {first: this.#sequence, last: resume - 1} : undefined;
		const {expected, found} = mismatch;
		const corruption: Corruption = {...at, lost, expected, found, quarantine: undefined};
		if (this.#log.onCorruption === 'throw') {
			throw new QueueCorruptError(corruption);
		}

		const {segment} = this.#cursor;
		if (segment) {
			const range = {from: at.offset, to: at.offset + at.bytes};
			corruption.quarantine = quarantineBytes(segment, range, this.#log.storage);
		}

		this.#sequence = resume;
		this.#log.report(corruption);
	}
}

function holds({firstSequence, records}: BlockHeader, sequence: number): boolean {
	return firstSequence <= sequence && sequence < firstSequence + records;
}

function cannotRead(path: string, cause: unknown): QueueStorageError {
	const advice = 'Nothing was changed and nothing is lost: the next call tries again.';
	return new QueueStorageError('read', path, cause, advice);
}
