import {type ChildProcessByStdio, spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import type {Readable, Writable} from 'node:stream';
import type {ExecutionContext} from 'ava';

/** Runs the lines it reads in a directory. However the reader of its answers ends, what it mounted goes. */
const shellProgram = `
trap '' INT TERM HUP
while read -r line; do
	eval "$line" 2>&1
	echo "= $?"
done
cd /
umount --lazy "$0"/* 2>/dev/null
rm -r "$0"
`;

const apart = ['--mount', '--propagation', 'private', 'sh', '-c'];

/** Runs a program of the shell whose mounts nobody else has; whether it succeeds. */
export function runApart(program: string): boolean {
	return spawnSync('unshare', [...apart, program]).status === 0;
}

/** A shell in a directory whose mounts nobody else has. They go when the test ends, or this process. */
export class MountingShell {
	readonly #directory: string;
	readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
	readonly #lines: AsyncIterator<string>;

	private constructor(directory: string, prelude: string) {
		this.#directory = directory;
		this.#process = spawn('unshare', [...apart, prelude + shellProgram, directory], {
			cwd: directory,
			stdio: ['pipe', 'pipe', 'pipe'],
		});
		// Not inherited: the runner waits for whoever has the stderr of this process, also for a command that does not end.
		this.#process.stderr.pipe(process.stderr);
		this.#lines = createInterface({input: this.#process.stdout})[Symbol.asyncIterator]();
	}

	/** Starts a shell that knows the functions of a prelude. */
	static start(t: ExecutionContext, directory: string, prelude = ''): MountingShell {
		const shell = new MountingShell(directory, prelude);
		const closed = once(shell.#process, 'close');
		t.teardown(async () => {
			shell.#process.stdin.end();
			await closed;
		});
		return shell;
	}

	/** A path in the directory as the shell sees it. */
	path(name: string): string {
		return join('/proc', String(this.#process.pid), 'root', this.#directory, name);
	}

	/** Rejects with what the command printed, if it fails. */
	async run(command: string): Promise<void> {
		this.#process.stdin.write(`${command}\n`);
		const output = await this.#answer();
		if (output.at(-1) !== '= 0') {
			throw new Error(`${command}: ${output.join(' ')}`);
		}
	}

	async #answer(output: string[] = []): Promise<string[]> {
		const {value = '= end'} = await this.#lines.next();
		return value.startsWith('= ') ? [...output, value] : this.#answer([...output, value]);
	}
}
