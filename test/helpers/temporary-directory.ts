import {existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';

/** An empty directory of this test alone, removed when the test ends. */
export function temporaryDirectory(t: ExecutionContext): string {
	const directory = mkdtempSync(join(tmpdir(), 'disq-test-'));
	t.teardown(() => rmSync(directory, {recursive: true, force: true}));
	return directory;
}

/** The same on a file system in memory, where there is one, for tests that would mostly wait for the device. */
export function memoryDirectory(t: ExecutionContext): string {
	const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'disq-test-'));
	t.teardown(() => rmSync(directory, {recursive: true, force: true}));
	return directory;
}
