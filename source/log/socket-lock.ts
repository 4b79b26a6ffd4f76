import {randomBytes} from 'node:crypto';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {Storage} from '../storage.ts';
import {claimNameBytes, newClaimName, parseClaimName, readBoot, temporaryName} from './claim-name.ts';
import {type ClaimState, claim, type DirectoryLock, inquire, type Rival, rivalOf} from './lock-claim.ts';

/** Names for the sockets in a directory that fit into a socket's address. */
type Addresses = {
	of(name: string): string;
	close(): void;
};

/** What one attempt works with. */
type Attempt = {
	directory: string;
	storage: Storage;
	addresses: Addresses;
	boot: string;
};

// 104 bytes on macOS and the BSDs, 108 elsewhere, with the final zero. Node 20 cuts a longer path without a word.
const addressBytes = 103;

const probesAtOnce = 32;

const noRoom: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);

// File systems of one host's kernel, by `statfs`: ext2-4, xfs, btrfs, tmpfs, overlay, f2fs, zfs.
const localFileSystems = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0xf2f52010, 0x2fc12fc1]);

/**
 * One attempt by a unix socket in the directory: listen, become visible, look at everybody else who is.
 *
 * Of two that contend, the one to become visible later sees the other, so that two can never both find themselves alone.
 */
export async function takeBySocket(directory: string, storage: Storage): Promise<DirectoryLock | Rival> {
	const boot = readBoot(storage);
	const addresses = byDescriptor(directory, storage) ?? byPath(directory, storage);
	try {
		return await takeMakingRoom({directory, storage, addresses, boot});
	} finally {
		addresses.close();
	}
}

/** Linux: through the directory's descriptor, whatever the length of its path. Undefined where there is no /proc. */
function byDescriptor(directory: string, storage: Storage): Addresses | undefined {
	if (process.platform !== 'linux') {
		return undefined;
	}

	const descriptor = storage.openDirectory(directory);
	const path = `/proc/self/fd/${descriptor}`;
	let isUsable = false;
	try {
		isUsable = storage.kind(path) !== undefined;
	} finally {
		if (!isUsable) {
			storage.close(descriptor);
		}
	}

	return isUsable ? {of: name => join(path, name), close: () => storage.close(descriptor)} : undefined;
}

/** Elsewhere: by path, through a link with a short name if that is too long. */
function byPath(directory: string, storage: Storage): Addresses {
	if (fits(directory)) {
		return {of: name => join(directory, name), close() {}};
	}

	const link = join(tmpdir(), `disq-${randomBytes(3).toString('hex')}`);
	if (!fits(link)) {
		throw new Error(`ENAMETOOLONG: no room for a socket's name in '${tmpdir()}'`);
	}

	storage.symlink(directory, link);
	return {of: name => join(link, name), close: () => storage.unlink(link)};
}

function fits(directory: string): boolean {
	return Buffer.byteLength(directory) + 1 + claimNameBytes <= addressBytes;
}

/** On a full disk the claim of a dead owner may have the room that the next one needs: it is looked at first. */
async function takeMakingRoom(attempt: Attempt): Promise<DirectoryLock | Rival> {
	try {
		return await take(attempt);
	} catch (error) {
		if (!noRoom.has((error as NodeJS.ErrnoException).code)) {
			throw error;
		}

		const rival = await findRival(attempt);
		if (rival) {
			return rival;
		}

		await sweep(attempt);
		return take(attempt);
	}
}

/** Claims the directory, and gives the claim up again unless it turns out to be the only living one. */
async function take(attempt: Attempt): Promise<DirectoryLock | Rival> {
	const name = newClaimName(attempt.boot);
	const place = join(attempt.directory, name);
	let state: ClaimState = 'contender';
	const lock = await claim({
		address: attempt.addresses.of(temporaryName(name)),
		state: () => state,
		remove() {
			discard(attempt, temporaryName(name));
			discard(attempt, name);
		},
		isVisible: () => attempt.storage.kind(place) === 'socket',
	});
	try {
		const rival = appear(attempt, name) ?? (await findRival(attempt, name));
		if (rival) {
			await lock.release();
			return rival;
		}

		state = 'owner';
		await sweep(attempt);
		return lock;
	} catch (error) {
		await lock.release();
		throw error;
	}
}

/**
 * Makes a claim visible, now that it listens. Its temporary name may be gone: between bind and listen it looks dead to an
 * owner that sweeps.
 */
function appear({directory, storage}: Attempt, name: string): Rival | undefined {
	try {
		storage.rename(join(directory, temporaryName(name)), join(directory, name));
		return undefined;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
			throw error;
		}

		return rivalOf({state: 'absent'}, 0);
	}
}

/** The rival to report: an owner rather than one that only tries. */
async function findRival(attempt: Attempt, ownName?: string): Promise<Rival | undefined> {
	const names = listClaims(attempt, {temporary: false}).filter(name => name !== ownName);
	const rivals = await probeAll(attempt, names);
	return rivals.find(rival => !rival.isPassing) ?? rivals[0];
}

/** Removes the sockets of processes that died before their claim was visible. */
async function sweep(attempt: Attempt): Promise<void> {
	await probeAll(attempt, listClaims(attempt, {temporary: true}));
}

/** Only a socket is a claim: a file or link of that name is somebody else's. */
function listClaims({directory, storage}: Attempt, {temporary}: {temporary: boolean}): string[] {
	return storage
		.list(directory)
		.filter(name => parseClaimName(name)?.temporary === temporary && storage.kind(join(directory, name)) === 'socket');
}

/** Looks at claims and gives the rivals among them; so many at a time that there are descriptors for it. */
async function probeAll(attempt: Attempt, names: string[]): Promise<Rival[]> {
	const rivals: Rival[] = [];
	for (let first = 0; first < names.length; first += probesAtOnce) {
		const group = names.slice(first, first + probesAtOnce);
		const found = await Promise.all(group.map(name => probe(attempt, name)));
		rivals.push(...found.filter(rival => rival !== undefined));
	}

	return rivals;
}

/** Tells whether a claim may be alive; a dead one is removed. */
async function probe(attempt: Attempt, name: string): Promise<Rival | undefined> {
	const {directory, storage, addresses} = attempt;
	const finding = await inquire(addresses.of(name));
	if (finding.state === 'absent' && storage.kind(join(directory, name)) === undefined) {
		return undefined;
	}

	const {boot, pid} = parseClaimName(name)!;
	if (finding.state !== 'refused') {
		return rivalOf(finding, pid);
	}

	// This kernel has no listener, but another host's may.
	if (boot !== attempt.boot && !isLocal(attempt)) {
		return {owner: {pid}, isPassing: false, detail: distantOwner(join(directory, name))};
	}

	discard(attempt, name);
	return undefined;
}

// Elsewhere the boot is never told apart, so that a claim of another one is another system's.
function isLocal({directory, storage}: Attempt): boolean {
	return process.platform === 'linux' && localFileSystems.has(storage.fileSystemType(directory) >>> 0);
}

function distantOwner(path: string): string {
	return `which may run on another host that shares this file system; if it does not, remove ${path} by hand`;
}

/** Removes the name of a socket that nobody listens on, or that is about to close. If it stays, it is dead all the same. */
function discard({directory, storage}: Attempt, name: string): void {
	try {
		storage.unlink(join(directory, name));
	} catch {
		// The next to take the directory tries again.
	}
}
