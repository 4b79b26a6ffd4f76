import {basename} from 'node:path';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {withoutSalt} from './segment-names.ts';

/** The calls of the file system that may fail. `close` is none: see `fileSystem.close`. */
export type FaultyMethod = Exclude<keyof Storage, 'close'>;

/** A call to fail: the `nth` from now on (the next one by default) of a method, on a file of that name if one is given. */
export type Fault = {
	/** `any`: whatever is called. */
	method: FaultyMethod | 'any';
	/** Base name of the file or directory; of a segment, without its salt. */
	file?: string;
	nth?: number;
	/** How many calls fail in a row; 1 by default. */
	times?: number;
	/** Without it nothing fails: a short count is all. */
	code?: string;
	/** For `write`, `read` and `readSync`: the bytes taken of those given, before the next call fails. */
	take?: (bytes: number) => number;
};

export type FaultyStorage = {
	storage: Storage;
	/**
	 * The calls that change or force something, as `method file`, or `failed method file`, in the order they ended;
	 * cleared with `length = 0`.
	 */
	operations: string[];
	/** How often each method was called. */
	calls: Map<FaultyMethod, number>;
	/** Lets a call fail. */
	inject(fault: Fault): void;
	/** Faults that have not struck. */
	pending(): number;
	/** Lets everything succeed from here on. */
	heal(): void;
	/** Names of the files that are open, once for each descriptor. */
	openFiles(): string[];
	/** Keeps the next call of `sync`, `syncDirectory` or `read` from ending until the returned function is called. */
	hold(method: 'sync' | 'syncDirectory' | 'read'): () => void;
};

/** An error as the file system gives it. */
export function systemError(code: string, syscall: string): NodeJS.ErrnoException {
	return Object.assign(new Error(`${code}: injected, ${syscall}`), {code, syscall});
}

type ActiveFault = Fault & {nth: number; times: number; hasStruck: boolean};

const recorded = new Set(['write', 'truncate', 'sync', 'syncDirectory', 'rename', 'unlink', 'close', 'create']);

/** The file system, with calls that fail when told to, and a record of those that matter for what a crash leaves. */
export function faultyStorage(): FaultyStorage {
	const operations: string[] = [];
	const calls = new Map<FaultyMethod, number>();
	const names = new Map<number, string>();
	const faults: ActiveFault[] = [];
	const held = new Map<string, Promise<void>>();

	const record = (method: string, file: string, prefix = '') => {
		if (recorded.has(method)) {
			operations.push(`${prefix}${method} ${file}`);
		}
	};

	const strike = (method: FaultyMethod, file: string): Fault | undefined => {
		calls.set(method, (calls.get(method) ?? 0) + 1);
		const fault = faults.find(
			each =>
				(each.method === method || each.method === 'any') &&
				(each.file === undefined || each.file === withoutSalt(file)),
		);
		if (!fault || --fault.nth > 0) {
			return undefined;
		}

		fault.nth = 1;
		fault.hasStruck = true;
		if (--fault.times === 0) {
			faults.splice(faults.indexOf(fault), 1);
		}

		return fault;
	};

	const fail = (method: FaultyMethod, file: string, fault: Fault | undefined) => {
		if (fault?.code) {
			record(method, file, 'failed ');
			throw systemError(fault.code, method);
		}
	};

	const check = (method: FaultyMethod, file: string) => fail(method, file, strike(method, file));

	/** The same for a call that fails in a later turn, like those that wait for a device. */
	const checkLater = async (method: FaultyMethod, file: string) => {
		const fault = strike(method, file);
		if (fault) {
			await new Promise(setImmediate);
		}

		fail(method, file, fault);
	};

	/** How much of a call is done before it fails, or ends short. */
	const shorten = (method: 'write' | 'read' | 'readSync', file: string, bytes: number): number => {
		const fault = strike(method, file);
		if (!fault?.take) {
			fail(method, file, fault);
			return bytes;
		}

		if (fault.code) {
			faults.unshift({method, file: withoutSalt(file), code: fault.code, nth: 1, times: 1, hasStruck: true});
		}

		return fault.take(bytes);
	};

	const release = async (method: string) => {
		const promise = held.get(method);
		held.delete(method);
		await promise;
	};

	const nameOf = (descriptor: number) => names.get(descriptor) ?? '?';
	const storage: Storage = {
		...fileSystem,
		makeDirectory(path) {
			check('makeDirectory', basename(path));
			return fileSystem.makeDirectory(path);
		},
		list(path) {
			check('list', basename(path));
			return fileSystem.list(path);
		},
		kind(path) {
			check('kind', basename(path));
			return fileSystem.kind(path);
		},
		stat(path) {
			check('stat', basename(path));
			return fileSystem.stat(path);
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
		openDirectory(path) {
			check('openDirectory', basename(path));
			const descriptor = fileSystem.openDirectory(path);
			names.set(descriptor, basename(path));
			return descriptor;
		},
		size(descriptor) {
			check('size', nameOf(descriptor));
			return fileSystem.size(descriptor);
		},
		async read(descriptor, target, position) {
			const bytes = shorten('read', nameOf(descriptor), target.byteLength);
			await release('read');
			return fileSystem.read(descriptor, target.subarray(0, bytes), position);
		},
		readSync(descriptor, target, position) {
			const bytes = shorten('readSync', nameOf(descriptor), target.byteLength);
			return fileSystem.readSync(descriptor, target.subarray(0, bytes), position);
		},
		write(descriptor, pieces, position) {
			const whole = Buffer.concat(pieces);
			const bytes = shorten('write', nameOf(descriptor), whole.byteLength);
			record('write', nameOf(descriptor));
			return bytes === 0 ? 0 : fileSystem.write(descriptor, [whole.subarray(0, bytes)], position);
		},
		truncate(descriptor, bytes) {
			check('truncate', nameOf(descriptor));
			fileSystem.truncate(descriptor, bytes);
			record('truncate', nameOf(descriptor));
		},
		async sync(descriptor, where) {
			const file = nameOf(descriptor);
			await checkLater('sync', file);
			await release('sync');
			await fileSystem.sync(descriptor, where);
			record('sync', file);
		},
		async syncDirectory(path) {
			await checkLater('syncDirectory', basename(path));
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
		symlink(target, path) {
			check('symlink', basename(path));
			fileSystem.symlink(target, path);
		},
		readText(path) {
			check('readText', basename(path));
			return fileSystem.readText(path);
		},
		realPath(path) {
			check('realPath', basename(path));
			return fileSystem.realPath(path);
		},
		fileSystemType(path) {
			check('fileSystemType', basename(path));
			return fileSystem.fileSystemType(path);
		},
	};

	return {
		storage,
		operations,
		calls,
		inject: fault => faults.push({nth: 1, times: 1, ...fault, hasStruck: false}),
		pending: () => faults.filter(({hasStruck}) => !hasStruck).length,
		heal: () => void faults.splice(0),
		openFiles: () => [...names.values()],
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
