import {encodeSegmentHeader, type SegmentHeader, segmentHeaderBytes} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import type {Segment} from './segment.ts';
import {writeAll} from './transfer.ts';

/** Appends whole blocks to one segment, at explicit positions: a write that fails leaves no part of a block behind. */
export class SegmentWriter {
	readonly segment: Segment;
	readonly #storage: Storage;
	readonly #descriptor: number;
	/** Offset up to which a power cut takes nothing. */
	#syncedEnd = 0;
	#syncs = 0;
	#isClosed = false;
	/** Set when a part of a failed write could not be cut off: nothing may follow it in this file. */
	#isSpoiled = false;

	private constructor(segment: Segment, storage: Storage, descriptor: number) {
		this.segment = segment;
		this.#storage = storage;
		this.#descriptor = descriptor;
	}

	/** Creates the file with its header; a file that cannot be given its header is removed again. */
	static create(segment: Segment, header: Omit<SegmentHeader, 'version'>, storage: Storage): SegmentWriter {
		const writer = new SegmentWriter(segment, storage, storage.open(segment.path, 'create'));
		try {
			writer.append([encodeSegmentHeader(header)]);
		} catch (error) {
			writer.close();
			storage.unlink(segment.path);
			throw error;
		}

		return writer;
	}

	/** Goes on behind the last block of a segment that was closed in order. */
	static reopen(segment: Segment, storage: Storage): SegmentWriter {
		const writer = new SegmentWriter(segment, storage, storage.open(segment.path, 'update'));
		writer.#syncedEnd = segment.end;
		return writer;
	}

	get syncedEnd(): number {
		return this.#syncedEnd;
	}

	get isSpoiled(): boolean {
		return this.#isSpoiled;
	}

	get hasBlocks(): boolean {
		return this.segment.end > segmentHeaderBytes;
	}

	/** Hands bytes to the operating system: from here on they survive the end of this process. */
	append(pieces: Uint8Array[]): void {
		const start = this.segment.end;
		try {
			this.segment.end = writeAll(this.#storage, this.#descriptor, pieces, start);
			this.segment.isDirty = true;
		} catch (error) {
			this.#cut(start);
			throw error;
		}
	}

	/** Forces what was appended to the device: from here on it survives a power cut. */
	async sync(): Promise<void> {
		const covered = this.segment.end;
		this.#syncs++;
		try {
			await this.#storage.sync(this.#descriptor);
		} finally {
			this.#syncs--;
			this.#closeIfIdle();
		}

		this.#syncedEnd = covered;
		this.segment.isDirty = this.segment.end > covered;
	}

	/** Gives the descriptor back, once no sync is using it. */
	close(): void {
		this.#isClosed = true;
		this.#closeIfIdle();
	}

	#closeIfIdle(): void {
		if (this.#isClosed && this.#syncs === 0) {
			this.#storage.close(this.#descriptor);
		}
	}

	#cut(end: number): void {
		try {
			this.#storage.truncate(this.#descriptor, end);
		} catch {
			this.#isSpoiled = true;
		}
	}
}
