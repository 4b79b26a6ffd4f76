import {
	closeSync,
	constants,
	fdatasync,
	fdatasyncSync,
	fstatSync,
	fsync,
	ftruncateSync,
	lstatSync,
	mkdirSync,
	openSync,
	read,
	readdirSync,
	readFileSync,
	readSync,
	realpathSync,
	renameSync,
	statfsSync,
	symlinkSync,
	unlinkSync,
	writevSync,
} from 'node:fs';
import {promisify} from 'node:util';

const directoryMode = 0o700;
const fileMode = 0o600;

// A file of ours is regular: O_NOFOLLOW refuses a symlink, O_NONBLOCK keeps a FIFO from parking the open.
// Both are undefined on Windows, where they count as 0.
const careful = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
const openFlags: Record<'read' | 'update' | 'create', number> = {
	read: constants.O_RDONLY | careful,
	update: constants.O_RDWR | careful,
	create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | careful,
};

const readAsync = promisify(read);
const fdatasyncAsync = promisify(fdatasync);
const fsyncAsync = promisify(fsync);

/** Where a sync waits for the device: in another thread, or in the one that asks. */
export type SyncPlace = 'threadPool' | 'inPlace';

/**
 * Every file system call of disq, and the only module that imports `node:fs`. Fault injection and recording replace
 * this object.
 *
 * Calls that a block append or an exit handler needs are synchronous: a small append costs 13 us that way and 64-110 us
 * through the thread pool. What waits for a device (sync) or may be cold (read-ahead) is asynchronous, but for syncs that
 * have turned out to be as short as an append.
 */
export const fileSystem = {
	/** Creates a directory and its missing parents, owner-only; resolves to the topmost one it created. */
	makeDirectory(path: string): string | undefined {
		return mkdirSync(path, {recursive: true, mode: directoryMode});
	},

	/** Names in a directory. */
	list(path: string): string[] {
		return readdirSync(path);
	},

	/** What a name is, without following it; undefined if it is not there. */
	kind(path: string): 'file' | 'directory' | 'socket' | 'other' | undefined {
		return fileSystem.stat(path)?.kind;
	},

	/** The same with its length in bytes, and the number of its names (hard links). */
	stat(path: string): {kind: 'file' | 'directory' | 'socket' | 'other'; bytes: number; links: number} | undefined {
		const stats = lstatSync(path, {throwIfNoEntry: false});
		if (!stats) {
			return undefined;
		}

		const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : stats.isSocket() ? 'socket' : 'other';
		return {kind, bytes: stats.size, links: stats.nlink};
	},

	/** Opens a regular file: `create` fails if the name exists, `update` reads and writes in place. */
	open(path: string, how: 'read' | 'update' | 'create'): number {
		const descriptor = openSync(path, openFlags[how], fileMode);
		try {
			if (!fstatSync(descriptor).isFile()) {
				throw Object.assign(new Error(`ENOTSUP: not a regular file, open '${path}'`), {
					code: 'ENOTSUP',
					syscall: 'open',
					path,
				});
			}
		} catch (error) {
			closeSync(descriptor);
			throw error;
		}

		return descriptor;
	},

	/** Opens a directory, for `syncDirectory` or to name a socket in it by descriptor. */
	openDirectory(path: string): number {
		return openSync(path, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0));
	},

	/** Length of an open file in bytes. */
	size(descriptor: number): number {
		return fstatSync(descriptor).size;
	},

	/** Reads at a position; resolves to the bytes read, 0 at the end. */
	async read(descriptor: number, target: Uint8Array, position: number): Promise<number> {
		const {bytesRead} = await readAsync(descriptor, target, 0, target.byteLength, position);
		return bytesRead;
	},

	/** `read` without leaving the current turn. */
	readSync(descriptor: number, target: Uint8Array, position: number): number {
		return readSync(descriptor, target, 0, target.byteLength, position);
	},

	/** Hands pieces to the operating system at a position; returns the bytes taken, which may be fewer. */
	write(descriptor: number, pieces: Uint8Array[], position: number): number {
		return writevSync(descriptor, pieces, position);
	},

	/** Cuts a file to a length. */
	truncate(descriptor: number, bytes: number): void {
		ftruncateSync(descriptor, bytes);
	},

	/** Forces a file's content, and the length needed to read it, to the device; in place the current turn waits for it. */
	async sync(descriptor: number, where: SyncPlace = 'threadPool'): Promise<void> {
		if (where === 'inPlace') {
			fdatasyncSync(descriptor);
		} else {
			await fdatasyncAsync(descriptor);
		}
	},

	/** Forces a directory's entries to the device. Windows has no such call for directories, and needs none. */
	async syncDirectory(path: string): Promise<void> {
		if (process.platform === 'win32') {
			return;
		}

		const descriptor = fileSystem.openDirectory(path);
		try {
			await fsyncAsync(descriptor);
		} finally {
			closeSync(descriptor);
		}
	},

	rename(from: string, to: string): void {
		renameSync(from, to);
	},

	/** Removes a file; one that is not there is removed already. */
	unlink(path: string): void {
		try {
			unlinkSync(path);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
				throw error;
			}
		}
	},

	/** Gives a descriptor back: it is gone whatever the call tells, and what could not be written a sync tells. */
	close(descriptor: number): void {
		try {
			closeSync(descriptor);
		} catch (error) {
			// A descriptor that is not ours would be a mistake of ours.
			if ((error as NodeJS.ErrnoException).code === 'EBADF') {
				throw error;
			}
		}
	},

	/** Makes a short name for a directory, where a socket's path would be too long. */
	symlink(target: string, path: string): void {
		symlinkSync(target, path, 'dir');
	},

	/** Content of a small text file of the system. */
	readText(path: string): string {
		return readFileSync(path, 'utf8');
	},

	/** The one name of a directory that has several: links, short names and letter case resolved. */
	realPath(path: string): string {
		return realpathSync.native(path);
	},

	/** Magic number of the file system under a path, as `statfs` gives it. */
	fileSystemType(path: string): number {
		return statfsSync(path).type;
	},
};

/** The calls that the log makes of a file system. */
export type Storage = typeof fileSystem;
