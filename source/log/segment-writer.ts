import {segmentHeaderBytes} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import type {Segment} from './segment.ts';
import type {SyncPace} from './sync-pace.ts';
import {writeAll} from './transfer.ts';

const zeros = Buffer.alloc(256 * 1024);

/**
 * Appends whole blocks to one segment, at explicit positions. What a failed write leaves behind is cut off, if that can be
 * done, and nothing may follow it: the segment ends there.
 */
export class SegmentWriter {
	readonly segment: Segment;
	readonly #storage: Storage;
	readonly #descriptor: number;
	/** Offset up to which a power cut takes nothing. */
	#syncedEnd = 0;
	#syncs = 0;
	/** Offset up to which zeros were written ahead. */
	#reservedEnd = 0;
	readonly #pace: SyncPace;
	#isClosed = false;

	private constructor(segment: Segment, storage: Storage, {descriptor, pace}: {descriptor: number; pace: SyncPace}) {
		this.segment = segment;
		this.#storage = storage;
		this.#descriptor = descriptor;
		this.#pace = pace;
	}

	/** Creates the file; its header is the first to be appended. */
	static create(segment: Segment, storage: Storage, pace: SyncPace): SegmentWriter {
		return new SegmentWriter(segment, storage, {descriptor: storage.open(segment.path, 'create'), pace});
	}

	get syncedEnd(): number {
		return this.#syncedEnd;
	}

	get hasBlocks(): boolean {
		return this.segment.end > segmentHeaderBytes;
	}

	/** Bytes of zeros behind the last block. */
	get reservedBytes(): number {
		return Math.max(0, this.#reservedEnd - this.segment.end);
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
			const bytes = covered - this.#syncedEnd;
			await this.#pace.run(bytes, where => this.#storage.sync(this.#descriptor, where));
		} finally {
			this.#syncs--;
			this.#closeIfIdle();
		}

		this.#syncedEnd = covered;
		this.segment.isDirty = this.segment.end > covered;
	}

	/** Whether it pays to write zeros ahead. */
	get isReserveDue(): boolean {
		return this.#pace.isSmall && this.reservedBytes === 0;
	}

	/**
	 * Writes zeros ahead, up to `room`: the blocks that take their place leave the length of the file as it is, and are
	 * forced to the device in less time. Zeros are never a block.
	 */
	reserve(room: number): void {
		const bytes = Math.min(room, zeros.byteLength);
		if (bytes <= 0) {
			return;
		}

		try {
			this.#reservedEnd = writeAll(this.#storage, this.#descriptor, [zeros.subarray(0, bytes)], this.segment.end);
		} catch {
			// The blocks to come make the file longer themselves, if they can.
			this.#cut(this.segment.end);
			this.#pace.forgetSmall();
		}
	}

	/** Cuts off the zeros behind the last block; true if there were any. */
	trim(): boolean {
		const isDue = this.reservedBytes > 0;
		if (isDue) {
			this.#cut(this.segment.end);
		}

		return isDue;
	}

	/** Gives the descriptor back, once no sync is using it. */
	close(): void {
		this.trim();
		this.#isClosed = true;
		this.#closeIfIdle();
	}

	#closeIfIdle(): void {
		if (this.#isClosed && this.#syncs === 0) {
			this.#storage.close(this.#descriptor);
		}
	}

	#cut(end: number): void {
		this.#reservedEnd = 0;
		try {
			this.#storage.truncate(this.#descriptor, end);
		} catch {
			// Its readers stop before it, and a crash makes of it a torn tail.
		}
	}
}
