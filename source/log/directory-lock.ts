import {createHash} from 'node:crypto';
import {resolve} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {QueueLockedError, QueueStorageError} from '../errors.ts';
import type {Storage} from '../storage.ts';
import {claim, type DirectoryLock, inquire, type Rival, rivalOf} from './lock-claim.ts';
import {takeBySocket} from './socket-lock.ts';

export {isClaimName} from './claim-name.ts';
export type {DirectoryLock} from './lock-claim.ts';

const attemptLimit = 20;
const longestPause = 100; // milliseconds
const advice =
	'The directory must exist and be writable, with room for one more name, on a file system that takes unix sockets.';

/**
 * Takes the directory or throws QueueLockedError at once if a living owner has it; a dead owner's claim is removed.
 *
 * A claim is alive while its process listens on it: the kernel knows, whatever became of the process. No pid, clock or
 * heartbeat is asked, so that a frozen owner stays the owner and a killed one is gone at once.
 */
export async function lockDirectory(directory: string, storage: Storage): Promise<DirectoryLock> {
	const taken = await contend(resolve(directory), storage).catch(error => {
		throw new QueueStorageError('lock', directory, error, advice);
	});
	if ('release' in taken) {
		return taken;
	}

	throw new QueueLockedError(directory, taken.owner, taken.detail);
}

/** Contenders that meet all step back; the growing random pause lets one of them be first the next time. */
async function contend(directory: string, storage: Storage): Promise<DirectoryLock | Rival> {
	const take = process.platform === 'win32' ? takeByPipe : takeBySocket;
	let taken = await take(directory, storage);
	for (let attempt = 1; attempt < attemptLimit && 'isPassing' in taken && taken.isPassing; attempt++) {
		await setTimeout(Math.random() * Math.min(2 ** (attempt + 1), longestPause));
		taken = await take(directory, storage);
	}

	return taken;
}

/** One attempt by a named pipe: Windows gives it to one listener, and frees it when that process ends. */
async function takeByPipe(directory: string, storage: Storage): Promise<DirectoryLock | Rival> {
	const digest = createHash('sha256').update(storage.realPath(directory)).digest('hex');
	const address = `\\\\.\\pipe\\disq-${digest}`;
	try {
		// Windows moves no directory that has open files.
		return await claim({address, state: () => 'owner', remove() {}, isVisible: () => true});
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') {
			throw error;
		}
	}

	return rivalOf(await inquire(address), 0);
}
