import {basename} from 'node:path';
import {fileSystem, type Storage} from '../../source/storage.ts';

/** A call to fail: the `nth` from now on (the next one by default) of a method, on a file of that name if one is given. */
export type Fault = {
	method: keyof Storage;
	/** Base name of the file or directory. */
	file?: string;
	nth?: number;
	/** How many calls fail in a row; 1 by default. */
	times?: number;
	code: string;
	/** For `write`: the bytes taken of those given, before the next call fails. */
	take?: (bytes: number) => number;
};

export type FaultyStorage = {
	storage: Storage;
	/** The calls that change or force something, as `method file`, in the order they ended; cleared with `length = 0`. */
	operations: string[];
	/** Lets a call fail. */
	inject(fault: Fault): void;
	/** Faults that have not struck. */
	pending(): number;
	/** Keeps the next call of `sync`, `syncDirectory` or `read` from ending until the returned function is called. */
	hold(method: 'sync' | 'syncDirectory' | 'read'): () => void;
};

/** An error as the file system gives it. */
export function systemError(code: string, syscall: string): NodeJS.ErrnoException {
	return Object.assign(new Error(`${code}: injected, ${syscall}`), {code, syscall});
}

const recorded = new Set(['write', 'truncate', 'sync', 'syncDirectory', 'rename', 'unlink', 'close', 'create']);

/** The file system, with calls that fail when told to, and a record of those that matter for what a crash leaves. */
export function faultyStorage(): FaultyStorage {
	const operations: string[] = [];
	const names = new Map<number, string>();
	const faults: Array<Required<Pick<Fault, 'nth' | 'times'>> & Fault> = [];
	const held = new Map<string, Promise<void>>();

	const record = (method: string, file: string) => {
		if (recorded.has(method)) {
			operations.push(`${method} ${file}`);
		}
	};

	const strike = (method: string, file: string): Fault | undefined => {
		const fault = faults.find(fault => fault.method === method && (fault.file === undefined || fault.file === file));
		if (!fault || --fault.nth > 0) {
			return undefined;
		}

		fault.nth = 1;
		if (--fault.times === 0) {
			faults.splice(faults.indexOf(fault), 1);
		}

		return fault;
	};

	const check = (method: string, file: string) => {
		const fault = strike(method, file);
		if (fault) {
			record(`failed ${method}`, file);
			throw systemError(fault.code, method);
		}
	};

	const release = async (method: string) => {
		const promise = held.get(method);
		held.delete(method);
		await promise;
	};

	const nameOf = (descriptor: number) => names.get(descriptor) ?? '?';
	const storage: Storage = {
		...fileSystem,
		list(path) {
			check('list', basename(path));
			return fileSystem.list(path);
		},
		stat(path) {
			check('stat', basename(path));
			return fileSystem.stat(path);
		},
		makeDirectory(path) {
			check('makeDirectory', basename(path));
			return fileSystem.makeDirectory(path);
		},
		open(path, how) {
			check('open', basename(path));
			const descriptor = fileSystem.open(path, how);
			names.set(descriptor, basename(path));
			if (how === 'create') {
				record('create', basename(path));
			}

			return descriptor;
		},
		async read(descriptor, target, position) {
			check('read', nameOf(descriptor));
			await release('read');
			return fileSystem.read(descriptor, target, position);
		},
		readSync(descriptor, target, position) {
			check('readSync', nameOf(descriptor));
			return fileSystem.readSync(descriptor, target, position);
		},
		write(descriptor, pieces, position) {
			const file = nameOf(descriptor);
			const fault = strike('write', file);
			if (fault?.take) {
				const bytes = Buffer.concat(pieces);
				const taken = fault.take(bytes.byteLength);
				faults.unshift({...fault, nth: 1, times: 1, take: undefined!});
				return taken === 0 ? 0 : fileSystem.write(descriptor, [bytes.subarray(0, taken)], position);
			}

			if (fault) {
				throw systemError(fault.code, 'write');
			}

			record('write', file);
			return fileSystem.write(descriptor, pieces, position);
		},
		truncate(descriptor, bytes) {
			check('truncate', nameOf(descriptor));
			fileSystem.truncate(descriptor, bytes);
			record('truncate', nameOf(descriptor));
		},
		async sync(descriptor) {
			const file = nameOf(descriptor);
			check('sync', file);
			await release('sync');
			await fileSystem.sync(descriptor);
			record('sync', file);
		},
		async syncDirectory(path) {
			check('syncDirectory', basename(path));
			await release('syncDirectory');
			await fileSystem.syncDirectory(path);
			record('syncDirectory', basename(path));
		},
		rename(from, to) {
			check('rename', basename(from));
			fileSystem.rename(from, to);
			record('rename', basename(from));
		},
		unlink(path) {
			check('unlink', basename(path));
			fileSystem.unlink(path);
			record('unlink', basename(path));
		},
		close(descriptor) {
			record('close', nameOf(descriptor));
			names.delete(descriptor);
			fileSystem.close(descriptor);
		},
	};

	return {
		storage,
		operations,
		inject: fault => faults.push({nth: 1, times: 1, ...fault}),
		pending: () => faults.length,
		hold(method) {
			let open = () => {};
			held.set(
				method,
				new Promise(resolve => {
					open = resolve;
				}),
			);
			return open;
		},
	};
}

/** The file system without its syncs, for tests that make thousands of logs and no claim about power cuts. */
export const unsyncedStorage: Storage = {
	...fileSystem,
	async sync() {},
	async syncDirectory() {},
};
