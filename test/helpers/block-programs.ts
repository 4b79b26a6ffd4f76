import {execFile, spawn} from 'node:child_process';
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {type Block, root} from './pages.ts';
import {temporaryDirectory} from './temporary-directory.ts';

/** Inside the package, where its own name is found. */
const folder = join(root, 'build/test/docs/blocks');
const compiled = join(folder, 'compiled');

/** What is used of packages that one migrates from, and that are not installed here. */
const foreign = `
declare module 'fs-capacitor' {
	import type {Readable, Writable} from 'node:stream';
	export class WriteStream extends Writable {
		createReadStream(): Readable;
		release(): void;
	}
}
declare module 'better-queue' {
	export default class Queue<T> {
		constructor(
			process: (tasks: T[], done: (error?: unknown) => void) => void,
			options: {batchSize: number; concurrent: number; maxRetries: number; retryDelay: number},
		);
		push(task: T): void;
	}
}
declare module 'ioredis' {
	export class Redis {
		lpush(list: string, value: string): Promise<number>;
		blmove(from: string, to: string, take: 'RIGHT', put: 'LEFT', seconds: number): Promise<string | null>;
		lrem(list: string, count: number, value: string): Promise<number>;
	}
}
`;

const compilerOptions = {
	...{module: 'nodenext', target: 'es2023', lib: ['es2023', 'esnext.disposable'], types: ['node']},
	...{strict: true, skipLibCheck: true, rootDir: '.', outDir: 'compiled'},
};

function nameOf({id}: Block): string {
	return id.replace(/\W+/g, '-');
}

/** Compiles blocks as the user of the built package would; gives what the compiler has against them. */
export async function compileBlocks(blocks: Block[]): Promise<string> {
	rmSync(folder, {recursive: true, force: true});
	mkdirSync(folder, {recursive: true});
	writeFileSync(join(folder, 'foreign.d.ts'), foreign);
	writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({compilerOptions, include: ['*.mts', 'foreign.d.ts']}));
	for (const block of blocks) {
		writeFileSync(join(folder, `${nameOf(block)}.mts`), block.text);
	}

	const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));
	return new Promise(resolve => {
		execFile(process.execPath, [tsc, '-p', folder], {cwd: folder}, (error, stdout, stderr) => {
			resolve(error ? stdout + stderr || String(error) : '');
		});
	});
}

/** Where the compiled program of a block is. A block of JavaScript is run as it is written. */
export function programOf(block: Block): string {
	const path = join(compiled, `${nameOf(block)}.mjs`);
	if (block.language === 'js') {
		writeFileSync(path, block.text);
	}

	return path;
}

export type RunningBlock = {
	/** Resolves when a line is there. */
	line(text: string): Promise<void>;
	kill(signal: NodeJS.Signals): void;
	result: Promise<{code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string}>;
};

/** Starts the program of a block in a directory; it is killed if it still runs when the test ends. */
export function startBlock(
	t: ExecutionContext,
	block: Block,
	{directory = temporaryDirectory(t), env = {}}: {directory?: string; env?: Record<string, string>} = {},
): RunningBlock {
	const child = spawn(process.execPath, [programOf(block)], {cwd: directory, env: {...process.env, ...env}});
	t.teardown(() => child.kill('SIGKILL'));
	const output = {stdout: '', stderr: ''};
	const waiting = new Map<string, () => void>();
	child.stdout.setEncoding('utf8').on('data', (text: string) => {
		output.stdout += text;
		for (const [line, resolve] of waiting) {
			if (output.stdout.includes(line)) {
				resolve();
			}
		}
	});
	child.stderr.setEncoding('utf8').on('data', (text: string) => {
		output.stderr += text;
	});
	return {
		line: text =>
			new Promise(resolve => {
				output.stdout.includes(text) ? resolve() : waiting.set(text, resolve);
			}),
		kill: signal => child.kill(signal),
		result: new Promise(resolve => {
			child.on('close', (code, signal) => resolve({code, signal, ...output}));
		}),
	};
}
