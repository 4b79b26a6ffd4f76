import {QueueCodecError, QueueVersionError} from '../errors.ts';
import {type BlockHeader, blockHeaderBytes, decodeBlockHeader} from '../format/block.ts';
import {Mismatch} from '../format/mismatch.ts';
import {checkSegmentPlace, decodeSegmentHeader, formatVersion, segmentHeaderBytes} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import {ReadAhead} from './read-ahead.ts';
import type {Segment} from './segment.ts';
import {readUpTo, withFile} from './transfer.ts';

/** Makes so many bytes available from the cursor on: true if they are, false if not in this turn. */
export type Fill = (bytes: number) => boolean;

/** What the headers of a log's segments say, and where they are read. */
export type CursorLog = {
	readonly queueId: Buffer;
	readonly codec: {readonly name: string};
	readonly storage: Storage;
};

/** A place in one segment of a log, and the bytes from there on. */
export class SegmentCursor {
	readonly #log: CursorLog;
	readonly #window: ReadAhead;
	#segment: Segment | undefined;
	/** What the file turned out not to have: the bytes up to the end that the log knew then. */
	#missing: {from: number; end: number} | undefined;

	constructor(log: CursorLog) {
		this.#log = log;
		this.#window = new ReadAhead(log.storage);
	}

	/** Undefined before a segment was entered, and once it was left. */
	get segment(): Segment | undefined {
		return this.#segment;
	}

	/** Offset in the segment. */
	get position(): number {
		return this.#window.position;
	}

	/** Offset behind the blocks of the segment that its file has. */
	get limit(): number {
		const {end} = this.#segment!;
		return this.#missing?.end === end ? this.#missing.from : end;
	}

	/** The bytes that are here. Valid until the next call of another method. */
	view(): Buffer {
		return this.#window.view();
	}

	enter(segment: Segment, offset: number): void {
		this.#window.set(segment.path, offset);
		this.#segment = segment;
		this.#missing = undefined;
	}

	/** Lets go of the segment, so that its file can be removed. */
	leave(): void {
		this.#window.close();
		this.#segment = undefined;
	}

	skip(bytes: number): void {
		this.#window.skip(bytes);
	}

	/** Starts to read what comes next. */
	prefetch(): void {
		this.#window.prefetch(this.limit);
	}

	/** Reads until so many bytes are here; fewer, if the file ends before them or the cursor went elsewhere meanwhile. */
	async load(bytes: number): Promise<void> {
		const segment = this.#segment!;
		const {end} = segment;
		const isThere = await this.#window.fill(bytes, this.limit);
		if (!isThere && segment === this.#segment) {
			this.#shorten(end);
		}
	}

	/** The same in this turn. */
	loadSync(bytes: number): void {
		if (!this.#window.fillSync(bytes, this.limit)) {
			this.#shorten(this.#segment!.end);
		}
	}

	/** The file is gone: what it had counts as damage. */
	giveUpFile(): void {
		this.#missing = {from: 0, end: this.#segment!.end};
	}

	/** Asks for bytes from the cursor on; a mismatch if the segment ends before them. */
	want(bytes: number, what: string, fill: Fill): Mismatch | 'later' | undefined {
		const isThere = this.position + bytes <= this.limit && fill(bytes);
		if (isThere && this.view().byteLength >= bytes) {
			return undefined;
		}

		const available = this.limit - this.position;
		return available < bytes ? new Mismatch(`${what} of ${bytes} bytes`, `${available} bytes`) : 'later';
	}

	/** Reads the header of the segment, at whose start the cursor is, and goes behind it. */
	passHeader(fill: Fill): Mismatch | 'later' | undefined {
		const missing = this.want(segmentHeaderBytes, 'a segment header', fill);
		if (missing) {
			return missing;
		}

		const mismatch = this.#checkHeader(this.view());
		if (!mismatch) {
			this.skip(segmentHeaderBytes);
		}

		return mismatch;
	}

	/** The block header at so many bytes behind the cursor, which are here. */
	blockHeader(bytes = 0): BlockHeader | Mismatch {
		return decodeBlockHeader(this.view(), bytes, this.#segment!.identity);
	}

	/** The block header at an offset of the segment, read out of turn; a mismatch also if the segment's own does not check. */
	peekBlockHeader(offset: number): BlockHeader | Mismatch {
		const {path, identity} = this.#segment!;
		const {storage} = this.#log;
		return withFile(path, storage, descriptor => {
			const mismatch = this.#checkHeader(readUpTo(storage, descriptor, 0, segmentHeaderBytes));
			return mismatch ?? decodeBlockHeader(readUpTo(storage, descriptor, offset, blockHeaderBytes), 0, identity);
		});
	}

	#checkHeader(bytes: Buffer): Mismatch | undefined {
		const {path, firstSequence, salt} = this.#segment!;
		const {queueId, codec} = this.#log;
		const header = decodeSegmentHeader(bytes);
		if (header instanceof Mismatch) {
			return header;
		}

		if (header.version > formatVersion) {
			throw new QueueVersionError(path, header.version, formatVersion);
		}

		const misplaced = checkSegmentPlace(header, {queueId, firstSequence, salt});
		if (misplaced) {
			return misplaced;
		}

		if (header.codecName !== codec.name) {
			throw new QueueCodecError(path, header.codecName, codec.name);
		}

		return undefined;
	}

	/** A file that ends before the log's end of it: what is missing counts as damage, and not what is appended later. */
	#shorten(end: number): void {
		this.#missing = {from: this.position + this.view().byteLength, end};
	}
}
