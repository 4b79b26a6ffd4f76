import {cpSync, existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {isClaimName} from '../../source/log/claim-name.ts';

/** Where files are in memory, if the system has such a place. */
const memory: string = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** An empty directory of this test alone, removed when the test ends. */
export function temporaryDirectory(t: ExecutionContext): string {
	return removedAfter(t, makeDirectory(tmpdir()));
}

/** The same on a file system in memory, where there is one, for tests that would mostly wait for the device. */
export function memoryDirectory(t: ExecutionContext): string {
	return removedAfter(t, makeDirectory(memory));
}

/** What a killed process leaves: a copy of its directory, on which the next one starts. */
export function copyOf(t: ExecutionContext, directory: string): string {
	const copy = temporaryDirectory(t);
	copyDirectory(directory, copy);
	return copy;
}

/** Looks at a copy of a directory, in memory, and so leaves the directory as it is. One that is not there is empty. */
export async function onCopyOf<R>(directory: string, look: (copy: string) => Promise<R>): Promise<R> {
	const copy = makeDirectory(memory);
	try {
		if (existsSync(directory)) {
			copyDirectory(directory, copy);
		}

		return await look(copy);
	} finally {
		rmSync(copy, {recursive: true});
	}
}

function makeDirectory(parent: string): string {
	return mkdtempSync(join(parent, 'disq-test-'));
}

function removedAfter(t: ExecutionContext, directory: string): string {
	t.teardown(() => rmSync(directory, {recursive: true, force: true}));
	return directory;
}

/** Without the sockets of a lock: they cannot be copied, and those of a killed process are dead. */
export function copyDirectory(from: string, to: string): void {
	cpSync(from, to, {recursive: true, filter: path => !isClaimName(basename(path))});
}
