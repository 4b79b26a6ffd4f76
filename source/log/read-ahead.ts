import type {Storage} from '../storage.ts';

const initialBytes = 512 * 1024;

/** A buffer for large blocks: it holds some of them, so that one can be read while another is used. */
const ampleBytes = 4 * initialBytes;
const blocksHeld = 8;

/** A larger buffer is given back as soon as the block that needed it is consumed; a smaller one is worth keeping. */
const hugeBytes = 8 * initialBytes;

/** Enough for a file with less to read. */
const smallBytes = 16 * 1024;

/** A file with the reads under way, which need its descriptor: it is closed after the last, once the window has left. */
type OpenFile = {descriptor: number; reads: number; isLeft: boolean};

/**
 * A window of bytes that moves forward through one file: what was read and not yet consumed stands in front, and the
 * next read goes behind it while the front is being used.
 */
export class ReadAhead {
	readonly #storage: Storage;
	#path = '';
	/** Opened at the first read. */
	#file: OpenFile | undefined;
	/** Allocated at the first read. */
	#buffer: Buffer = Buffer.alloc(0);
	/** The bytes read and not consumed are those from `#start` to `#stop`; the first stands at `#position` in the file. */
	#start = 0;
	#stop = 0;
	#position = 0;
	/** What was skipped last: the next block may be as large. */
	#lastSkip = 0;
	/** The read under way, and the bytes it read. It writes behind `#stop`, so the window must not be moved before it ends. */
	#reading: Promise<number> | undefined;
	/** Counts the places the window was set to: whoever waits for a read begun at another place is told nothing of it. */
	#place = 0;

	constructor(storage: Storage) {
		this.#storage = storage;
	}

	/** Offset in the file of the first byte of the window. */
	get position(): number {
		return this.#position;
	}

	/** The bytes that are here. Valid until the next call of another method. */
	view(): Buffer {
		return this.#buffer.subarray(this.#start, this.#stop);
	}

	/** Sets the window, empty, at a position of a file. */
	set(path: string, position: number): void {
		this.close();
		this.#path = path;
		this.#position = position;
	}

	/** Moves the window forward, past bytes that need not have been read. */
	skip(bytes: number): void {
		this.#lastSkip = bytes;
		this.#position += bytes;
		if (bytes <= this.#stop - this.#start) {
			this.#start += bytes;
		} else {
			this.#forget();
		}
	}

	/** Starts to read what comes next, up to `limit`, if there is room in the window and no read under way. */
	prefetch(limit: number): void {
		this.#releaseHuge();
		const bytes = Math.max(this.#buffer.byteLength, this.#ample(this.#lastSkip, limit));
		const isWanted = this.#stop - this.#start < bytes / 2 && bytes <= hugeBytes;
		if (this.#reading === undefined && isWanted) {
			if (bytes > this.#buffer.byteLength) {
				this.#replace(bytes);
			} else if (this.#stop > bytes / 2) {
				this.#compact();
			}

			this.#startRead(limit);
		}
	}

	/** Reads until `wanted` bytes are here, or the window was set elsewhere; false if the file has fewer before `limit`. */
	async fill(wanted: number, limit: number): Promise<boolean> {
		while (this.#stop - this.#start < wanted) {
			if (this.#reading === undefined) {
				this.#makeRoom(wanted, limit);
				this.#startRead(limit);
			}

			if (this.#reading === undefined) {
				return false;
			}

			const place = this.#place;
			let bytesRead: number;
			try {
				bytesRead = await this.#reading;
			} catch (error) {
				if (place === this.#place) {
					throw error;
				}

				return true;
			}

			if (place !== this.#place) {
				return true;
			}

			if (bytesRead === 0) {
				return false;
			}
		}

		return true;
	}

	/** `fill` without leaving the current turn. */
	fillSync(wanted: number, limit: number): boolean {
		if (this.#stop - this.#start >= wanted) {
			return true;
		}

		this.#abandonRead(wanted);
		this.#makeRoom(wanted, limit);
		while (this.#stop - this.#start < wanted) {
			const target = this.#target(limit);
			const bytesRead = target ? this.#storage.readSync(this.#open().descriptor, target, this.#end) : 0;
			if (bytesRead === 0) {
				return false;
			}

			this.#stop += bytesRead;
		}

		return true;
	}

	/** Closes the file, after the reads under way have ended, and empties the window. */
	close(): void {
		const file = this.#file;
		this.#file = undefined;
		this.#forget();
		if (file) {
			file.isLeft = true;
			this.#closeIfIdle(file);
		}
	}

	#open(): OpenFile {
		this.#file ??= {descriptor: this.#storage.open(this.#path, 'read'), reads: 0, isLeft: false};
		return this.#file;
	}

	#closeIfIdle(file: OpenFile): void {
		if (file.isLeft && file.reads === 0) {
			this.#storage.close(file.descriptor);
		}
	}

	/** Offset in the file behind the window. */
	get #end(): number {
		return this.#position + this.#stop - this.#start;
	}

	#startRead(limit: number): void {
		const target = this.#target(limit);
		if (target) {
			this.#reading = this.#read(target, this.#place);
			// The error reaches whoever fills; a prefetch alone has nobody to tell.
			this.#reading.catch(() => {});
		}
	}

	async #read(target: Buffer, place: number): Promise<number> {
		try {
			const bytesRead = await this.#readFile(target);
			if (place === this.#place) {
				this.#stop += bytesRead;
			}

			return bytesRead;
		} finally {
			if (place === this.#place) {
				this.#reading = undefined;
			}
		}
	}

	async #readFile(target: Buffer): Promise<number> {
		const file = this.#open();
		file.reads++;
		try {
			return await this.#storage.read(file.descriptor, target, this.#end);
		} finally {
			file.reads--;
			this.#closeIfIdle(file);
		}
	}

	/** The room behind the window, no longer than what the file has before `limit`; undefined if there is none. */
	#target(limit: number): Buffer | undefined {
		const bytes = Math.min(this.#buffer.byteLength - this.#stop, limit - this.#end);
		return bytes > 0 ? this.#buffer.subarray(this.#stop, this.#stop + bytes) : undefined;
	}

	#makeRoom(wanted: number, limit: number): void {
		const usual = limit - this.#position > smallBytes ? initialBytes : smallBytes;
		const bytes = Math.max(wanted, usual, this.#ample(wanted, limit));
		if (bytes > this.#buffer.byteLength || this.#isOversized(wanted)) {
			this.#replace(bytes);
		} else if (this.#start > this.#buffer.byteLength / 2 || this.#buffer.byteLength - this.#start < wanted) {
			this.#compact();
		}
	}

	/** Room for some blocks of a size; none where they are so large that one is enough. */
	#ample(blockBytes: number, limit: number): number {
		return blockBytes < ampleBytes / 2 ? Math.min(blocksHeld * blockBytes, limit - this.#position, ampleBytes) : 0;
	}

	/** A buffer that grew for one large block is given back after it. */
	#isOversized(wanted: number): boolean {
		return this.#buffer.byteLength > ampleBytes && wanted <= ampleBytes && this.#stop - this.#start <= ampleBytes;
	}

	/** Nothing more may be read for long: a huge buffer is not kept until then. */
	#releaseHuge(): void {
		const isNeeded = this.#reading !== undefined || this.#stop - this.#start > initialBytes;
		if (this.#buffer.byteLength > hugeBytes && !isNeeded) {
			this.#replace(initialBytes);
		}
	}

	#compact(): void {
		this.#buffer.copyWithin(0, this.#start, this.#stop);
		this.#stop -= this.#start;
		this.#start = 0;
	}

	#replace(bytes: number): void {
		const buffer = Buffer.allocUnsafeSlow(bytes);
		this.#buffer.copy(buffer, 0, this.#start, this.#stop);
		this.#buffer = buffer;
		this.#stop -= this.#start;
		this.#start = 0;
	}

	/** A read under way may still write to the buffer: leave it that buffer and take another. */
	#abandonRead(wanted: number): void {
		if (this.#reading) {
			this.#reading = undefined;
			this.#place++;
			this.#replace(Math.max(wanted, initialBytes));
		}
	}

	#forget(): void {
		this.#place++;
		this.#abandonRead(0);
		this.#start = 0;
		this.#stop = 0;
		this.#releaseHuge();
	}
}
