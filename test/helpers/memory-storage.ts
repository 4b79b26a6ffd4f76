import {fileSystem, type Storage} from '../../source/storage.ts';
import {systemError} from './faulty-storage.ts';

/** Contents of files by path; a content is never changed in place, so a copy of the map is a snapshot. */
export type Contents = Map<string, Buffer>;

export type MemoryStorage = {
	storage: Storage;
	/** What the files hold now. */
	contents(): Contents;
};

type File = {bytes: Buffer};

/**
 * A file system in memory, for tests that open thousands of logs: no lock, no crash, every write at once. More than
 * `callLimit` calls fail, which tells an endless loop.
 */
export function memoryStorage(
	initial: Contents = new Map(),
	callLimit: number = Number.POSITIVE_INFINITY,
): MemoryStorage {
	const files = new Map<string, File>([...initial].map(([path, bytes]) => [path, {bytes}]));
	const directories = new Set<string>();
	const open = new Map<number, File>();
	let calls = 0;
	let nextDescriptor = 1000;

	const count = () => {
		if (++calls > callLimit) {
			throw new Error(`more than ${callLimit} calls of the file system`);
		}
	};
	const fileOf = (descriptor: number): File => {
		count();
		const file = open.get(descriptor);
		if (!file) {
			throw systemError('EBADF', 'read');
		}

		return file;
	};
	const read = (descriptor: number, target: Uint8Array, position: number): number => {
		const bytes = fileOf(descriptor).bytes.subarray(position, position + target.byteLength);
		target.set(bytes);
		return bytes.byteLength;
	};
	const list = (directory: string): string[] => {
		const below = [...files.keys()].filter(path => path.startsWith(`${directory}/`));
		return [...new Set(below.map(path => path.slice(directory.length + 1).split('/')[0]!))];
	};
	const stat: Storage['stat'] = path => {
		count();
		const file = files.get(path);
		if (file) {
			return {kind: 'file', bytes: file.bytes.byteLength, links: 1};
		}

		return directories.has(path) || list(path).length > 0 ? {kind: 'directory', bytes: 0, links: 2} : undefined;
	};

	const storage: Storage = {
		...fileSystem,
		makeDirectory(path) {
			directories.add(path);
			return undefined;
		},
		list,
		stat,
		kind: path => stat(path)?.kind,
		open(path, how) {
			count();
			const file = files.get(path);
			if (how === 'create' ? file : !file) {
				throw systemError(file ? 'EEXIST' : 'ENOENT', 'open');
			}

			const opened = file ?? {bytes: Buffer.alloc(0)};
			files.set(path, opened);
			open.set(nextDescriptor, opened);
			return nextDescriptor++;
		},
		size: descriptor => fileOf(descriptor).bytes.byteLength,
		read: async (descriptor, target, position) => read(descriptor, target, position),
		readSync: read,
		write(descriptor, pieces, position) {
			const file = fileOf(descriptor);
			const written = Buffer.concat(pieces);
			const bytes = Buffer.alloc(Math.max(file.bytes.byteLength, position + written.byteLength));
			file.bytes.copy(bytes);
			written.copy(bytes, position);
			file.bytes = bytes;
			return written.byteLength;
		},
		truncate(descriptor, length) {
			const file = fileOf(descriptor);
			file.bytes = Buffer.from(file.bytes.subarray(0, length));
		},
		async sync(descriptor) {
			fileOf(descriptor);
		},
		async syncDirectory() {},
		rename(from, to) {
			files.set(to, files.get(from)!);
			files.delete(from);
		},
		unlink: path => void files.delete(path),
		close: descriptor => void open.delete(descriptor),
	};
	return {storage, contents: () => new Map([...files].map(([path, {bytes}]) => [path, bytes]))};
}
