import {basename, dirname} from 'node:path';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {systemError} from './faulty-storage.ts';
import {withoutSalt} from './segment-names.ts';

/**
 * A call that changed or forced something, in the order in which the calls ended. `covers`: how many operations came
 * before the call began, which are those that it forces.
 */
export type Operation =
	| {kind: 'create' | 'unlink'; path: string; inode: number}
	| {kind: 'rename'; path: string; to: string; inode: number}
	| {kind: 'makeDirectory'; path: string}
	| {kind: 'write'; path: string; inode: number; position: number; bytes: Buffer}
	| {kind: 'truncate'; path: string; inode: number; length: number}
	| {kind: 'sync' | 'failedSync'; path: string; inode: number; covers: number}
	| {kind: 'syncDirectory'; path: string; covers: number};

/** Content of a file that is never changed; `key` tells contents apart. */
export type Content = {readonly bytes: Buffer; readonly key: string};

/** What a disk holds: directories and files by path. */
export type DiskImage = ReadonlyMap<string, Content | 'directory'>;

/** No descriptor of the real file system is as high. */
export const firstDescriptor = 1_000_000;

type File = {inode: number; path: string; bytes: Buffer; length: number; origin: Content | undefined};

/** One process on a disk: its storage, until it is killed. */
export type Life = {storage: Storage; kill(): void};

const notThere = (call: string) => systemError('ENOENT', call);

/**
 * A disk in memory, with a log of every operation that changes or forces something: what a crash may leave of it is for
 * a model to say. Reads see all that was written, as the cache of an operating system does.
 */
export class SimulatedDisk {
	readonly operations: Operation[] = [];
	/** What it began with. */
	readonly base: ReadonlyMap<string, {inode: number; content: Content} | 'directory'>;
	readonly #entries = new Map<string, File | 'directory'>();
	readonly #descriptors = new Map<number, File>();
	readonly #latency: () => Promise<void>;
	readonly #failing: Array<{method: 'sync' | 'syncDirectory' | 'write'; file: string}> = [];
	/** The descriptor whose last write the disk took in part. */
	#full = 0;
	#lastDescriptor = firstDescriptor;
	#lastInode = 0;

	/** `latency`: what a sync waits for before it ends. */
	constructor(image: DiskImage = new Map(), latency: () => Promise<void> = async () => {}) {
		const base = new Map<string, {inode: number; content: Content} | 'directory'>();
		for (const [path, content] of image) {
			if (content === 'directory') {
				base.set(path, content);
				this.#entries.set(path, content);
			} else {
				const inode = ++this.#lastInode;
				const {bytes} = content;
				base.set(path, {inode, content});
				this.#entries.set(path, {inode, path, bytes, length: bytes.byteLength, origin: content});
			}
		}

		this.base = base;
		this.#latency = latency;
	}

	/** Descriptors that nobody has given back. */
	get openDescriptors(): number {
		return this.#descriptors.size;
	}

	/** Lets the next call of a method on a file of that name fail, whatever its salt; a write takes half before. */
	fail(method: 'sync' | 'syncDirectory' | 'write', file: string): void {
		this.#failing.push({method, file});
	}

	/** Changes bytes on the device itself, as a defect of it does. */
	damage(path: string, position: number, bytes: Buffer): void {
		const file = this.#file(path, 'damage');
		this.#write(file, position, bytes);
		this.operations.push({kind: 'sync', path, inode: file.inode, covers: this.operations.length});
	}

	/** What the disk holds now; `keyOf` gives a new content its key. */
	image(keyOf: (bytes: Buffer) => string): DiskImage {
		const image = new Map<string, Content | 'directory'>();
		for (const [path, entry] of this.#entries) {
			if (entry === 'directory') {
				image.set(path, entry);
			} else {
				const bytes = entry.bytes.subarray(0, entry.length);
				image.set(path, entry.origin ?? {bytes, key: keyOf(bytes)});
			}
		}

		return image;
	}

	/** A process that works on the disk. After its end its calls fail, and do nothing. */
	live(): Life {
		let isAlive = true;
		const descriptors = new Set<number>();
		const check = () => {
			if (!isAlive) {
				throw systemError('EIO', 'a call of a killed process');
			}
		};
		const wait = async () => {
			check();
			await this.#latency();
			check();
		};
		const open = (file: File): number => {
			const descriptor = ++this.#lastDescriptor;
			this.#descriptors.set(descriptor, file);
			descriptors.add(descriptor);
			return descriptor;
		};
		const storage: Storage = {
			...fileSystem,
			makeDirectory: path => {
				check();
				return this.#makeDirectory(path);
			},
			list: path => this.#list(path),
			kind: path => storage.stat(path)?.kind,
			stat: path => {
				const entry = this.#entries.get(path);
				return entry && entry === 'directory'
					? {kind: 'directory', bytes: 0, links: 2}
					: entry && {kind: 'file', bytes: (entry as File).length, links: 1};
			},
			open: (path, how) => {
				check();
				return open(how === 'create' ? this.#create(path) : this.#file(path, 'open'));
			},
			size: descriptor => this.#opened(descriptor).length,
			read: async (descriptor, target, position) => this.#read(descriptor, target, position),
			readSync: (descriptor, target, position) => this.#read(descriptor, target, position),
			write: (descriptor, pieces, position) => {
				check();
				const file = this.#opened(descriptor);
				const bytes = Buffer.concat(pieces);
				if (this.#full === descriptor) {
					this.#full = 0;
					throw systemError('ENOSPC', 'write');
				}

				this.#full = this.#strikes('write', file.path) ? descriptor : 0;
				return this.#write(file, position, this.#full ? bytes.subarray(0, bytes.byteLength >> 1) : bytes);
			},
			truncate: (descriptor, bytes) => {
				check();
				this.#truncate(this.#opened(descriptor), bytes);
			},
			sync: async descriptor => {
				const {inode, path} = this.#opened(descriptor);
				const covers = this.operations.length;
				await wait();
				const isFailing = this.#strikes('sync', path);
				this.operations.push({kind: isFailing ? 'failedSync' : 'sync', path, inode, covers});
				if (isFailing) {
					throw systemError('EIO', 'fdatasync');
				}
			},
			syncDirectory: async path => {
				const covers = this.operations.length;
				await wait();
				if (this.#strikes('syncDirectory', path)) {
					throw systemError('EIO', 'fsync');
				}

				this.operations.push({kind: 'syncDirectory', path, covers});
			},
			rename: (from, to) => {
				check();
				this.#rename(from, to);
			},
			unlink: path => {
				check();
				this.#unlink(path);
			},
			close: descriptor => {
				this.#descriptors.delete(descriptor);
				descriptors.delete(descriptor);
			},
		};
		return {
			storage,
			kill: () => {
				isAlive = false;
				for (const descriptor of descriptors) {
					this.#descriptors.delete(descriptor);
				}
			},
		};
	}

	#strikes(method: string, path: string): boolean {
		const index = this.#failing.findIndex(
			fault => fault.method === method && fault.file === withoutSalt(basename(path)),
		);
		if (index !== -1) {
			this.#failing.splice(index, 1);
		}

		return index !== -1;
	}

	#list(path: string): string[] {
		if (this.#entries.get(path) !== 'directory') {
			throw notThere('scandir');
		}

		return [...this.#entries.keys()]
			.filter(each => dirname(each) === path && each !== path)
			.map(each => basename(each));
	}

	#makeDirectory(path: string): string | undefined {
		if (this.#entries.has(path) || path === dirname(path)) {
			return undefined;
		}

		const topmost = this.#makeDirectory(dirname(path));
		this.#entries.set(path, 'directory');
		this.operations.push({kind: 'makeDirectory', path});
		return topmost ?? path;
	}

	#file(path: string, call: string): File {
		const entry = this.#entries.get(path);
		if (!entry || entry === 'directory') {
			throw notThere(call);
		}

		return entry;
	}

	#opened(descriptor: number): File {
		const file = this.#descriptors.get(descriptor);
		if (!file) {
			throw systemError('EBADF', 'a call');
		}

		return file;
	}

	#create(path: string): File {
		if (this.#entries.has(path)) {
			throw systemError('EEXIST', 'open');
		}

		if (this.#entries.get(dirname(path)) !== 'directory') {
			throw notThere('open');
		}

		const file = {inode: ++this.#lastInode, path, bytes: Buffer.alloc(0), length: 0, origin: undefined};
		this.#entries.set(path, file);
		this.operations.push({kind: 'create', path, inode: file.inode});
		return file;
	}

	#read(descriptor: number, target: Uint8Array, position: number): number {
		const {bytes, length} = this.#opened(descriptor);
		return position >= length ? 0 : bytes.copy(target, 0, position, Math.min(length, position + target.byteLength));
	}

	#write(file: File, position: number, bytes: Buffer): number {
		this.operations.push({kind: 'write', path: file.path, inode: file.inode, position, bytes});
		const end = position + bytes.byteLength;
		if (file.origin || file.bytes.byteLength < end) {
			const grown = Buffer.alloc(Math.max(end, file.length));
			file.bytes.copy(grown, 0, 0, file.length);
			file.bytes = grown;
		}

		file.origin = undefined;
		bytes.copy(file.bytes, position);
		file.length = Math.max(file.length, end);
		return bytes.byteLength;
	}

	#truncate(file: File, length: number): void {
		this.operations.push({kind: 'truncate', path: file.path, inode: file.inode, length});
		const bytes = Buffer.alloc(length);
		file.bytes.copy(bytes, 0, 0, Math.min(length, file.length));
		file.bytes = bytes;
		file.length = length;
		file.origin = undefined;
	}

	#rename(from: string, to: string): void {
		const file = this.#file(from, 'rename');
		this.#entries.delete(from);
		this.#entries.set(to, file);
		file.path = to;
		this.operations.push({kind: 'rename', path: from, to, inode: file.inode});
	}

	#unlink(path: string): void {
		const entry = this.#entries.get(path);
		if (entry && entry !== 'directory') {
			this.#entries.delete(path);
			this.operations.push({kind: 'unlink', path, inode: entry.inode});
		}
	}
}
