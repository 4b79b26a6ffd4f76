import {randomBytes} from 'node:crypto';
import type {Storage} from '../storage.ts';

/*
 * A claim on a queue directory is a unix socket in it named
 *
 *     lock-<boot id, 8 hex>-<pid>-<random, 12 hex>        it listens, or its process is dead
 *     lock-<boot id, 8 hex>-<pid>-<random, 12 hex>.new    it may not listen yet
 *
 * A name is used once, so to remove a dead one can never hit a living one. It has at most 41 bytes: the path of a socket
 * is limited to 108.
 */
const pattern = /^lock-(?<boot>[0-9a-f]{8})-(?<pid>\d{1,10})-[0-9a-f]{12}(?<temporary>\.new)?$/;

// Of every boot of a system that has no boot id.
const unknownBoot = '00000000';

export const claimNameBytes = 41;

export type ClaimName = {boot: string; pid: number; temporary: boolean};

/** Whether a name in a queue directory is the lock's own, to be ignored by everything else. */
export function isClaimName(name: string): boolean {
	return pattern.test(name);
}

/** Reads a claim's name; undefined if it is none. */
export function parseClaimName(name: string): ClaimName | undefined {
	const groups = pattern.exec(name)?.groups;
	return groups && {boot: groups.boot!, pid: Number(groups.pid), temporary: groups.temporary !== undefined};
}

/** A fresh name for a claim of this process. */
export function newClaimName(boot: string): string {
	return `lock-${boot}-${process.pid}-${randomBytes(6).toString('hex')}`;
}

/** The temporary name that a claim has until it listens. */
export function temporaryName(name: string): string {
	return `${name}.new`;
}

/** First 8 hex digits of this boot's id. A Linux that hides it counts as a boot of its own, never as the same one. */
export function readBoot(storage: Storage): string {
	if (process.platform !== 'linux') {
		return unknownBoot;
	}

	try {
		return storage.readText('/proc/sys/kernel/random/boot_id').slice(0, unknownBoot.length);
	} catch {
		return randomBytes(unknownBoot.length / 2).toString('hex');
	}
}
