import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';

export type ChildResult = {code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string};

/** Starts a program of `test/fixtures`; it is killed if it still runs when the test ends. */
export function startFixture(
	t: ExecutionContext,
	name: string,
	parameters: string[] = [],
	{execArgv = []}: {execArgv?: string[]} = {},
): {child: ChildProcess; result: Promise<ChildResult>} {
	const path = fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url));
	const child = spawn(process.execPath, [...execArgv, path, ...parameters], {stdio: ['pipe', 'pipe', 'pipe']});
	t.teardown(() => child.kill('SIGKILL'));
	return {child, result: collect(child)};
}

/** Runs a program of `test/fixtures` to its end. */
export function runFixture(
	t: ExecutionContext,
	name: string,
	parameters: string[] = [],
	options: {execArgv?: string[]} = {},
): Promise<ChildResult> {
	return startFixture(t, name, parameters, options).result;
}

async function collect(child: ChildProcess): Promise<ChildResult> {
	const output = {stdout: '', stderr: ''};
	for (const name of ['stdout', 'stderr'] as const) {
		child[name]!.setEncoding('utf8').on('data', (text: string) => {
			output[name] += text;
		});
	}

	const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
	return {code, signal, ...output};
}
