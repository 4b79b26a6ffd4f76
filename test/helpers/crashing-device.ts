import {statSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {MountingShell, runApart} from './mounting-shell.ts';
import {unless} from './platforms.ts';
import {memoryDirectory} from './temporary-directory.ts';

/** What becomes of the file system's journal in memory when the power is cut. */
export type JournalFate = 'flushed' | 'lost';

const deviceBytes = 64 * 1024 * 1024;
const shutdownFlags: Record<JournalFate, number> = {flushed: 1, lost: 2};

/** Shell function `shutdown`: stops the ext4 at a path, with a flag, by the call EXT4_IOC_SHUTDOWN. */
const shutdownFunction = `
shutdown() {
	if command -v perl >/dev/null; then
		perl -e 'open(D, "<", $ARGV[0]) && ioctl(D, 0x8004587d, pack("I", $ARGV[1])) or die $!' "$@"
	else
		python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], 0), 0x8004587d, struct.pack("I", int(sys.argv[2])))' "$@"
	fi
}
`;

/** Does one such crash, of a file system that it makes. */
const probe = `${shutdownFunction}
cd "$(mktemp --directory)" && trap 'umount disk; rm -r "$PWD"' EXIT
mkdir disk && truncate --size 1M device && mkfs.ext4 -q device && mount -o loop device disk && shutdown disk 2
`;

// Nothing is initialized later, when the file system is in use.
const makeFileSystem = 'mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0,nodiscard';

/** Declares tests that crash a file system, one at a time. */
export const onCrashingDevice: typeof test = unless(whyNot(), test.serial);

/**
 * An ext4 on a device in memory that can lose its power: from that moment on nothing reaches the device, and what was not
 * forced there is gone when it is mounted again.
 */
export class CrashingDevice {
	/** The root of the file system. */
	readonly root: string;
	readonly #directory: string;
	readonly #shell: MountingShell;

	private constructor(directory: string, shell: MountingShell) {
		this.#directory = directory;
		this.#shell = shell;
		this.root = shell.path('disk');
	}

	/** Makes a device with an empty file system. Both go when the test ends, or this process. */
	static async create(t: ExecutionContext): Promise<CrashingDevice> {
		const directory = memoryDirectory(t);
		const device = new CrashingDevice(directory, MountingShell.start(t, directory, shutdownFunction));
		await device.#run(`mkdir disk image && truncate --size ${deviceBytes} device && ${makeFileSystem} device`);
		await device.#run('mount -o loop device disk');
		return device;
	}

	/** Cuts the power. */
	async crash(journal: JournalFate = 'lost'): Promise<void> {
		await this.#run(`shutdown disk ${shutdownFlags[journal]}`);
	}

	/** Mounts what the device has. Fails if a file is still open. */
	async remount(options = 'defaults'): Promise<void> {
		await this.#run(`umount disk && mount -o loop,${options} device disk`);
	}

	/** Looks at what the device has now, mounted from a copy. No process may be writing. */
	async onImage<R>(look: (root: string) => Promise<R>): Promise<R> {
		await this.#copyDevice();
		await this.#run('mount -o loop copy image');
		try {
			return await look(this.#shell.path('image'));
		} finally {
			await this.#run('umount image && rm copy');
		}
	}

	/** The kernel may still write by itself: what was copied meanwhile is no state that the device had. */
	async #copyDevice(): Promise<void> {
		const changedAt = () => statSync(join(this.#directory, 'device'), {bigint: true}).mtimeNs;
		for (let before: bigint | undefined; before !== changedAt(); ) {
			before = changedAt();
			await this.#run('cp --sparse=always device copy');
		}
	}

	#run(command: string): Promise<void> {
		return this.#shell.run(command);
	}
}

function whyNot(): string | undefined {
	if (process.platform !== 'linux') {
		return 'needs Linux';
	}

	if (process.getuid!() !== 0) {
		return 'needs root';
	}

	return runApart(probe) ? undefined : 'needs mkfs.ext4, loop devices, and perl or python3';
}
