import {type Corruption, QueueCodecError, QueueCorruptError, QueueStorageError, QueueVersionError} from '../errors.ts';
import {type BlockHeader, blockHeaderBytes, checkPayload, decodeBlockHeader} from '../format/block.ts';
import type {SequenceRange} from '../format/checkpoint.ts';
import {Mismatch} from '../format/mismatch.ts';
import {checkSegmentPlace, decodeSegmentHeader, formatVersion, segmentHeaderBytes} from '../format/segment-header.ts';
import type {Codec} from '../options.ts';
import {Ring} from '../ring.ts';
import type {Storage} from '../storage.ts';
import {nextBlock, quarantineBytes} from './quarantine.ts';
import {ReadAhead} from './read-ahead.ts';
import {canHold, endSequence, type Segment} from './segment.ts';
import {coversRange} from './sequence-ranges.ts';
import {isTorn} from './torn.ts';
import {readUpTo, withFile} from './transfer.ts';

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

/** Makes `bytes` of the window available: true if they are, false if not in this turn. */
type Fill = (bytes: number) => boolean;

/**
 * Reads the log forward, block by block, from a sequence on.
 *
 * Blocks must follow one another without a gap in sequence. What does not check is set aside, with what it cost, and
 * reading goes on at the next whole block.
 */
export class SegmentReader<T> {
	readonly #log: ReadableLog<T>;
	readonly #window: ReadAhead;
	/** The segment the window is on; undefined before the first read. */
	#segment: Segment | undefined;
	/** Where its blocks end for this reader: the end the log knows, or that of a file that turned out shorter. */
	#fileEnd = Number.POSITIVE_INFINITY;
	#sequence: number;
	/** The sequence behind the last block that was found in the segment, due or not. */
	#passed = 0;
	/** Where the block with the first sequence may start, if an earlier run left word of it. */
	#hint: number;
	/** Bytes that must come before `next` can go on. */
	#wanted = 0;
	/** Where the blocks given out begin, from the one with the oldest record that is not done. */
	readonly #marks = new Ring<{sequence: number; segment: Segment; offset: number}>();

	constructor(log: ReadableLog<T>, sequence: number, hint: number) {
		this.#log = log;
		this.#window = new ReadAhead(log.storage);
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
			return this.#window.view().byteLength >= bytes;
		});
	}

	/** The next block, read in this turn if need be; undefined at the end of the log. */
	nextSync(): LoadedBlock<T> | undefined {
		return this.#attempt(bytes => {
			if (!this.#window.fillSync(bytes, this.#limit)) {
				this.#shorten();
			}

			return true;
		});
	}

	/** Reads what `next` is waiting for; nothing if that has been left meanwhile. */
	async load(): Promise<void> {
		const segment = this.#segment;
		if (!segment) {
			return;
		}

		try {
			const isThere = await this.#window.fill(this.#wanted, this.#limit);
			if (!isThere && segment === this.#segment) {
				this.#shorten();
			}
		} catch (error) {
			this.#tolerateMissing(error);
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
		if (this.#segment) {
			fork.#enter(this.#segment, this.#window.position);
		}

		return fork;
	}

	/** Passes a block that was just appended, whose records are still in memory: the reader must be at the end. */
	pass({segment, firstSequence, records, offset, bytes}: AppendedBlock): void {
		if (this.#segment !== segment || this.#window.position !== offset) {
			this.#enter(segment, offset);
		}

		this.#accept(firstSequence, records, bytes);
	}

	/** Offset of the block that holds a sequence given out earlier; 0 if not known. Forgets what is before it. */
	offsetOf(sequence: number): number {
		while (this.#marks.length > 1 && this.#marks.at(1).sequence <= sequence) {
			this.#marks.shift();
		}

		if (this.#marks.length === 0) {
			return 0;
		}

		const mark = this.#marks.at(0);
		return mark.sequence <= sequence && mark.segment === this.#holderOf(sequence) ? mark.offset : 0;
	}

	/** Lets go of a segment whose records are all done, so that its file can be removed. */
	leave(segment: Segment): void {
		if (this.#segment === segment) {
			this.#window.close();
			this.#segment = undefined;
		}
	}

	close(): void {
		this.#window.close();
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
			throw syscall ? cannotRead(this.#segment!.path, error) : error;
		}

		this.#fileEnd = 0;
	}

	#find(fill: Fill): LoadedBlock<T> | undefined {
		while (!this.isAtEnd) {
			if (this.#isSegmentDone()) {
				if (!this.#enterNext()) {
					return undefined;
				}

				continue;
			}

			const found = this.#window.position === 0 ? this.#readHeader(fill) : this.#readBlock(fill);
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

	/** Offset behind the blocks of the current segment. */
	get #limit(): number {
		return Math.min(this.#segment!.end, this.#fileEnd);
	}

	/** Bytes behind the last record of a segment are what a failed or torn write left: they are not looked at. */
	#isSegmentDone(): boolean {
		const segment = this.#segment;
		return !segment || this.#window.position >= this.#limit || this.#sequence >= endSequence(segment);
	}

	/** Goes to the segment with the next sequence; false if there is none. Sequences that no segment has are lost. */
	#enterNext(): boolean {
		const {segments, recordsEnd} = this.#log;
		const holder = this.#holderOf(this.#sequence);
		if (holder && holder !== this.#segment) {
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

		const path = this.#segment?.path ?? next?.path ?? this.#log.directory;
		this.#lose(
			{path, offset: this.#segment ? this.#limit : 0, bytes: 0},
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

		const {storage} = this.#log;
		const block = withFile(segment.path, storage, descriptor => {
			const mismatch = this.#checkHeader(readUpTo(storage, descriptor, 0, segmentHeaderBytes));
			const bytes = readUpTo(storage, descriptor, hint, blockHeaderBytes);
			return mismatch ?? decodeBlockHeader(bytes, 0, segment.identity);
		});
		if (!(block instanceof Mismatch) && holds(block, this.#sequence)) {
			this.#window.skip(hint);
			this.#passed = block.firstSequence;
		}
	}

	#holderOf(sequence: number): Segment | undefined {
		return this.#log.segments.findLast(({firstSequence}) => firstSequence <= sequence);
	}

	#enter(segment: Segment, offset: number): void {
		this.#window.set(segment.path, offset);
		this.#segment = segment;
		this.#passed = offset === 0 ? segment.firstSequence : this.#sequence;
		this.#fileEnd = Number.POSITIVE_INFINITY;
	}

	/** Asks for bytes at the window's start; a mismatch if the segment ends before them. */
	#want(bytes: number, what: string, fill: Fill): Mismatch | 'later' | undefined {
		const isThere = this.#window.position + bytes <= this.#limit && fill(bytes);
		if (isThere && this.#window.view().byteLength >= bytes) {
			return undefined;
		}

		const available = this.#limit - this.#window.position;
		return available < bytes ? new Mismatch(`${what} of ${bytes} bytes`, `${available} bytes`) : 'later';
	}

	#readHeader(fill: Fill): Mismatch | 'later' | undefined {
		const missing = this.#want(segmentHeaderBytes, 'a segment header', fill);
		if (missing) {
			return missing;
		}

		const mismatch = this.#checkHeader(this.#window.view());
		if (!mismatch) {
			this.#window.skip(segmentHeaderBytes);
		}

		return mismatch;
	}

	#checkHeader(bytes: Buffer): Mismatch | undefined {
		const segment = this.#segment!;
		const header = decodeSegmentHeader(bytes);
		if (header instanceof Mismatch) {
			return header;
		}

		if (header.version > formatVersion) {
			throw new QueueVersionError(segment.path, header.version, formatVersion);
		}

		const {firstSequence, salt} = segment;
		const misplaced = checkSegmentPlace(header, {queueId: this.#log.queueId, firstSequence, salt});
		if (misplaced) {
			return misplaced;
		}

		if (header.codecName !== this.#log.codec.name) {
			throw new QueueCodecError(segment.path, header.codecName, this.#log.codec.name);
		}

		return undefined;
	}

	#readBlock(fill: Fill): LoadedBlock<T> | Mismatch | 'later' | undefined {
		const missing = this.#want(blockHeaderBytes, 'a block header', fill);
		if (missing) {
			return missing;
		}

		const segment = this.#segment!;
		const header = decodeBlockHeader(this.#window.view(), 0, segment.identity);
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
		if (end <= this.#sequence && this.#window.position + bytes <= this.#limit) {
			this.#passed = end;
			this.#window.skip(bytes);
			return undefined;
		}

		return this.#want(bytes, 'a block', fill) ?? this.#checkGap(header, bytes, fill) ?? this.#decode(header, bytes);
	}

	/** A block behind missing sequences is believed unless the next one says that they are not missing. */
	#checkGap({firstSequence, records}: BlockHeader, bytes: number, fill: Fill): Mismatch | 'later' | undefined {
		const behind = bytes + blockHeaderBytes;
		if (firstSequence <= this.#sequence || this.#window.position + behind > this.#limit) {
			return undefined;
		}

		const missing = this.#want(behind, 'a block header', fill);
		if (missing) {
			return missing;
		}

		const segment = this.#segment!;
		const next = decodeBlockHeader(this.#window.view(), bytes, segment.identity);
		const isDenied =
			!(next instanceof Mismatch) &&
			next.firstSequence >= this.#sequence &&
			next.firstSequence < firstSequence + records;
		return isDenied ? new Mismatch(`sequence ${this.#sequence}`, `sequence ${firstSequence}`) : undefined;
	}

	#decode(header: BlockHeader, bytes: number): LoadedBlock<T> | Mismatch | undefined {
		const {firstSequence} = header;
		if (firstSequence > this.#sequence) {
			const at = {path: this.#segment!.path, offset: this.#window.position, bytes: 0};
			const gap = new Mismatch(`sequence ${this.#sequence}`, `sequence ${firstSequence}`);
			this.#lose(at, gap, firstSequence);
			return undefined;
		}

		const payload = this.#window.view().subarray(blockHeaderBytes, bytes);
		const records = checkPayload(payload, header) ?? this.#decodeRecords(payload, header.records);
		if (records instanceof Mismatch) {
			return records;
		}

		const due = firstSequence === this.#sequence ? records : records.slice(this.#sequence - firstSequence);
		this.#accept(firstSequence, header.records, bytes);
		this.#window.prefetch(this.#limit);
		return {records: due, bytes, appendedAt: header.appendedAt};
	}

	/** A payload that checks and does not decode is damage of one block, like any other. */
	#decodeRecords(payload: Buffer, count: number): T[] | Mismatch {
		try {
			const records: unknown = this.#log.codec.decode(payload);
			const length = Array.isArray(records) ? records.length : undefined;
			if (length !== count) {
				return new Mismatch(`${count} records`, length === undefined ? typeof records : `${length} records`);
			}

			const isWhole = !(records as unknown[]).includes(null) && !(records as unknown[]).includes(undefined);
			return isWhole ? (records as T[]) : new Mismatch('records', 'null, which no record is');
		} catch (error) {
			return new Mismatch('a payload that can be decoded', error instanceof Error ? error.name : typeof error);
		}
	}

	#accept(firstSequence: number, records: number, bytes: number): void {
		this.#marks.push({sequence: firstSequence, segment: this.#segment!, offset: this.#window.position});
		this.#sequence = firstSequence + records;
		this.#passed = this.#sequence;
		this.#window.skip(bytes);
	}

	/** A file that ends before the log's end of it: what is missing counts as damage. */
	#shorten(): void {
		this.#fileEnd = this.#window.position + this.#window.view().byteLength;
	}

	/** Sets aside what does not check, up to the next whole block. */
	#setAside(mismatch: Mismatch): void {
		const segment = this.#segment!;
		const from = this.#window.position;
		const to = this.#limit;
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

		this.#window.skip(end - from);
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

		if (this.#segment) {
			const range = {from: at.offset, to: at.offset + at.bytes};
			corruption.quarantine = quarantineBytes(this.#segment, range, this.#log.storage);
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
