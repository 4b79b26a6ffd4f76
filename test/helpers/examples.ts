import {type ChildProcess, spawn} from 'node:child_process';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import type {ExecutionContext} from 'ava';

export const examplesDirectory: string = join(import.meta.dirname, '../../examples');

export type ExampleResult = {lines: string[]; code: number | null; signal: NodeJS.Signals | null; errors: string};

export type ExampleOptions = {
	/** Told of every line that the example writes. */
	onLine?: (line: string, child: ChildProcess) => void;
	env?: Record<string, string>;
	/** Modules to load before it, paths or URLs. */
	imports?: string[];
};

export type RunningExample = {child: ChildProcess; result: Promise<ExampleResult>};

/** Starts an example, with a channel for messages; it is killed if it still runs when the test ends. */
export function startExample(
	t: ExecutionContext,
	name: string,
	parameters: string[],
	{onLine = () => {}, env = {}, imports = []}: ExampleOptions = {},
): RunningExample {
	const nodeOptions = imports.flatMap(module => ['--import', module]);
	const child = spawn(process.execPath, [...nodeOptions, join(examplesDirectory, `${name}.js`), ...parameters], {
		stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
		env: {...process.env, ...env},
	});
	t.teardown(() => child.kill('SIGKILL'));
	const lines: string[] = [];
	let errors = '';
	child.stderr!.setEncoding('utf8').on('data', text => {
		errors += text;
	});
	createInterface({input: child.stdout!}).on('line', line => {
		lines.push(line);
		onLine(line, child);
	});
	const result = new Promise<ExampleResult>(resolve => {
		child.on('close', (code, signal) => resolve({lines, code, signal, errors}));
	});
	return {child, result};
}

/** Runs an example to its end. `onLine` may end it earlier, by a signal. */
export function runExample(
	t: ExecutionContext,
	name: string,
	parameters: string[],
	onLine: (line: string) => NodeJS.Signals | undefined = () => undefined,
): Promise<ExampleResult> {
	const {result} = startExample(t, name, parameters, {
		onLine(line, child) {
			const signal = onLine(line);
			if (signal && !child.killed) {
				child.kill(signal);
			}
		},
	});
	return result;
}
