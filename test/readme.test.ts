import {execFile} from 'node:child_process';
import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {promisify} from 'node:util';
import test from 'ava';
import {temporaryDirectory} from './helpers/temporary-directory.ts';

const root = join(import.meta.dirname, '../..');
// Inside the package, where its own name can be imported.
const programs = join(import.meta.dirname, 'readme-programs');

function programsOf(file: string): string[] {
	const blocks = readFileSync(join(root, file), 'utf8').matchAll(/^```js\n(.*?)^```/gms);
	return [...blocks].map(([, block]) => block!).filter(block => block.includes('import '));
}

test('every program of the README runs', async t => {
	mkdirSync(programs, {recursive: true});
	const outputs: string[] = [];
	for (const [index, program] of programsOf('README.md').entries()) {
		const path = join(programs, `${index}.mjs`);
		writeFileSync(path, program);
		const {stdout} = await promisify(execFile)(process.execPath, [path], {cwd: temporaryDirectory(t)});
		outputs.push(stdout);
	}

	t.is(outputs.length, 3);
	t.is(outputs[0], '100 readings uploaded\n');
	t.is(outputs[1], '{ id: 1 } [ { id: 2 }, { id: 3 } ]\n');
	t.regex(outputs[2]!, /^POST 3 records, Idempotency-Key: [0-9a-f]{32}-0\n$/);
});

test('every file that the documentation links is there', t => {
	let links = 0;
	for (const file of ['README.md', ...readdirSync(join(root, 'docs')).map(name => `docs/${name}`)]) {
		for (const [, target] of readFileSync(join(root, file), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
			t.notThrows(() => readFileSync(join(root, file, '..', target!)), `${file}: ${target}`);
			links++;
		}
	}

	t.true(links > 5);
});
