import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {cpSync, existsSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {startFigures} from '../helpers/figures.ts';
import {announce, isLong, seed} from '../helpers/form.ts';
import {type Mutant, mutants} from '../helpers/mutants.ts';
import {randomFrom} from '../helpers/random.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const root = join(import.meta.dirname, '../../..');
const random = randomFrom(seed);

/** How long the tests of one file may take, in milliseconds: several times what the slowest takes beside another. */
const patience = 200_000;

/** How many are tried at a time: one a core. */
const workers = 2;

/** All of them, or one, another each time, that takes little time. */
const chosen = isLong ? mutants : [pick(mutants.filter(({killers}) => !killers[0]!.startsWith('reliability')))];

function pick<T>(values: readonly T[]): T {
	return values[Math.floor(random() * values.length)]!;
}

/** A bug may leave a name unused. */
const compile = ['node_modules/typescript/bin/tsc', '--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];

/** Copies what is built, with the bug in it. */
function mutate(directory: string, {bug, edits}: Mutant): void {
	for (const name of ['source', 'test', 'examples', 'package.json', 'tsconfig.json', 'README.md', 'docs']) {
		cpSync(join(root, name), join(directory, name), {recursive: true});
	}

	symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'), 'dir');
	for (const {file, find, replace} of edits) {
		const path = join(directory, 'source', file);
		const parts = readFileSync(path, 'utf8').split(find);
		if (parts.length !== 2) {
			throw new Error(`${bug}: '${find}' is ${parts.length - 1} times in ${file}, not once`);
		}

		writeFileSync(path, parts.join(replace));
	}
}

async function run(
	t: ExecutionContext,
	directory: string,
	parameters: string[],
): Promise<{code: number; output: string}> {
	const environment = {...process.env, DISQ_FORM: 'short', DISQ_FIGURES: '', NODE_V8_COVERAGE: ''};
	const child = spawn(process.execPath, parameters, {
		cwd: directory,
		env: environment,
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	t.teardown(() => child.kill('SIGKILL'));
	let isLate = false;
	// The runner ends its own processes then, and says what it waits for.
	const timer = setTimeout(() => {
		isLate = true;
		child.kill('SIGINT');
	}, patience);
	let output = '';
	for (const stream of [child.stdout, child.stderr]) {
		stream.setEncoding('utf8').on('data', (text: string) => {
			output += text;
		});
	}

	const [code] = (await once(child, 'close')) as [number | null];
	clearTimeout(timer);
	if (isLate) {
		throw new Error(`${parameters.join(' ')} takes more than ${patience} ms: ${output.slice(-1000)}`);
	}

	return {code: code ?? -1, output};
}

/** The tests that notice a bug, first of those that should. */
async function killerOf(t: ExecutionContext, mutant: Mutant): Promise<string | undefined> {
	const directory = temporaryDirectory(t);
	mutate(directory, mutant);
	const {code, output} = await run(t, directory, compile);
	if (code !== 0) {
		throw new Error(`${mutant.bug}: does not compile: ${output}`);
	}

	for (const killer of mutant.killers) {
		const tests = await run(t, directory, [
			'node_modules/ava/entrypoints/cli.mjs',
			'--fail-fast',
			`build/test/${killer}.test.js`,
		]);
		if (tests.code !== 0 && /tests? failed|uncaught exception|unhandled rejection/i.test(tests.output)) {
			return killer;
		}
	}

	return undefined;
}

test('each of the bugs that the tests should notice is noticed by those that should', async t => {
	announce(t);
	const report = startFigures(t, 'T11', 'bugs put into the source, one at a time');
	const waiting = [...chosen];
	const survivors: string[] = [];
	const work = async () => {
		for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
			const start = performance.now();
			const killer = await killerOf(t, mutant);
			t.log(`${((performance.now() - start) / 1000).toFixed(0)} s: ${mutant.bug}: ${killer ?? 'not noticed'}`);
			if (!killer) {
				survivors.push(mutant.bug);
			}
		}
	};
	await Promise.all(Array.from({length: workers}, work));
	t.true(chosen.length > 0);
	t.deepEqual(survivors, []);
	report({bugs: chosen.length, killed: chosen.length - survivors.length});
});

test('every bug has its place in the source, once, and tests that should notice it', t => {
	for (const {bug, edits, killers} of mutants) {
		for (const killer of killers) {
			t.true(existsSync(join(root, `test/${killer}.test.ts`)), `${bug}: ${killer}`);
		}

		for (const {file, find} of edits) {
			const parts = readFileSync(join(root, 'source', file), 'utf8').split(find);
			t.is(parts.length, 2, `${bug}: '${find}' in ${file}`);
		}
	}

	t.true(mutants.length >= 20);
});
