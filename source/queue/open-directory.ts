import {randomInt} from 'node:crypto';
import {dirname, resolve} from 'node:path';
import {QueueStorageError} from '../errors.ts';
import {type DirectoryLock, lockDirectory} from '../log/directory-lock.ts';
import {guardStorage} from '../log/guarded-storage.ts';
import {SegmentLog, type SegmentLogOptions} from '../log/segment-log.ts';
import type {Storage} from '../storage.ts';
import {awaitDeparture} from './departures.ts';

/** What tells that a name on the path is there, and no directory. */
const blockedCodes = ['EEXIST', 'ENOTDIR', 'ENOENT', 'ELOOP'];

/** Salts are of 32 bits, and 0 is that of a segment whose name has none. */
const saltLimit = 2 ** 32;

/** Takes the directory of a queue, creating it if need be, and recovers its log. Failing, it holds and leaves nothing. */
export async function openDirectory<T>(
	directory: string,
	options: Omit<SegmentLogOptions<T>, 'salt'>,
): Promise<{lock: DirectoryLock; log: SegmentLog<T>}> {
	const path = resolve(directory);
	await awaitDeparture(path);
	await createDirectory(path, options.storage);
	const lock = await lockDirectory(path, options.storage);
	try {
		const storage = guardStorage(options.storage, lock, path);
		const salt = randomInt(1, saltLimit);
		return {lock, log: await SegmentLog.open(path, {...options, salt, storage})};
	} catch (error) {
		await lock.release();
		throw error;
	}
}

/** Creates what is missing of a path; from here on it survives a power cut. */
async function createDirectory(path: string, storage: Storage): Promise<void> {
	try {
		const topmost = storage.makeDirectory(path);
		if (topmost !== undefined) {
			for (let created = path; created.length >= topmost.length; created = dirname(created)) {
				await storage.syncDirectory(dirname(created));
			}
		}
	} catch (error) {
		const isBlocked = blockedCodes.includes((error as NodeJS.ErrnoException).code ?? '');
		const advice = isBlocked
			? 'A file, or a link to nowhere, is in the way: give the path of a directory, or of one to be created.'
			: 'Check that the parent directory may be written.';
		throw new QueueStorageError('create the directory', path, error, advice);
	}
}
