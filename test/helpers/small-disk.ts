import {closeSync, fsyncSync, openSync, readdirSync, statfsSync, unlinkSync, writeSync} from 'node:fs';
import {dirname, join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {MountingShell, runApart} from './mounting-shell.ts';
import {unless} from './platforms.ts';
import {memoryDirectory} from './temporary-directory.ts';

/** What there is too little of. */
export type Shortage = 'bytes' | 'inodes';

export type DiskKind = {fileSystem: 'tmpfs' | 'ext4'; shortage: Shortage};

const mebibyte = 1024 * 1024;
/** Room for what there is enough of. */
const plentyBytes = 64 * mebibyte;
/** What the names of the files of the other program begin with. */
const ballast = 'ballast';
const fillsAgain = 8;
/** Those that an ext4 needs itself. */
const ownInodes = 11;

/** Declares tests that fill a file system, one at a time. */
export const onSmallDisk: typeof test = unless(whyNot(), test.serial);

/** A file system of its own that is soon full. */
export class SmallDisk {
	readonly root: string;
	readonly #shortage: Shortage;

	private constructor(root: string, shortage: Shortage) {
		this.root = root;
		this.#shortage = shortage;
	}

	/** Makes one with so many bytes or inodes. It goes when the test ends, or this process. */
	static async create(t: ExecutionContext, kind: DiskKind, size: number): Promise<SmallDisk> {
		const shell = MountingShell.start(t, memoryDirectory(t));
		await shell.run(`mkdir disk && ${mountCommand(kind, size)}`);
		return new SmallDisk(shell.path('disk'), kind.shortage);
	}

	/** Bytes or inodes that are left. */
	get free(): number {
		const {bavail, bsize, ffree} = statfsSync(this.root);
		return this.#shortage === 'bytes' ? bavail * bsize : ffree;
	}

	/** Takes all that is left, as another program would. */
	fill(): void {
		const take = this.#shortage === 'bytes' ? writeUntilFull : createUntilFull;
		take(join(this.root, ballast));
		// What was of removed files may come free only with the journal of what has just been written.
		for (let left = fillsAgain; left > 0 && this.free > 0; left--) {
			take(join(this.root, ballast));
		}
	}

	/** Gives back all that was taken so. */
	relieve(): void {
		for (const name of readdirSync(this.root)) {
			if (name.startsWith(ballast)) {
				unlinkSync(join(this.root, name));
			}
		}
	}
}

function mountCommand({fileSystem, shortage}: DiskKind, size: number): string {
	const bytes = shortage === 'bytes' ? size : plentyBytes;
	if (fileSystem === 'tmpfs') {
		return `mount -t tmpfs -o size=${bytes}${shortage === 'inodes' ? `,nr_inodes=${size}` : ''} tmpfs disk`;
	}

	const inodes = shortage === 'inodes' ? `-N ${size + ownInodes}` : '';
	return `truncate --size ${bytes} device && mkfs.ext4 -q -m 0 ${inodes} device && mount -o loop device disk`;
}

function writeUntilFull(path: string): void {
	const descriptor = openSync(path, 'a');
	try {
		for (let bytes = 64 * 1024; bytes >= 1; ) {
			if (!succeeds(() => writeSync(descriptor, Buffer.alloc(bytes)))) {
				bytes = Math.floor(bytes / 2);
			}
		}

		fsyncSync(descriptor);
	} finally {
		closeSync(descriptor);
	}
}

function createUntilFull(path: string): void {
	for (
		let number = readdirSync(dirname(path)).length;
		succeeds(() => closeSync(openSync(`${path}-${number}`, 'a')));
	) {
		number++;
	}
}

/** Whether there was room for a call. */
function succeeds(call: () => void): boolean {
	try {
		call();
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') {
			throw error;
		}

		return false;
	}
}

function whyNot(): string | undefined {
	if (process.platform !== 'linux') {
		return 'needs Linux';
	}

	if (process.getuid!() !== 0) {
		return 'needs root';
	}

	const probe = `cd "$(mktemp --directory)" && trap 'umount disk; rm -r "$PWD"' EXIT
mkdir disk && ${mountCommand({fileSystem: 'ext4', shortage: 'bytes'}, mebibyte)}`;
	return runApart(probe) ? undefined : 'needs mkfs.ext4 and loop devices';
}
