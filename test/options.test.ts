import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {DiskQueue} from '../source/index.ts';
import {defaults, resolveOptions} from '../source/options.ts';

const root = join(import.meta.dirname, '../..');
/** Marked as internal, and left out of the published types. */
const internal = [
	'lease',
	'deliver',
	'pieceBytes',
	'putRun',
	'settle',
	'giveBack',
	'onClosing',
	'awaitBeforeClose',
	'wake',
];

test('defaults are filled in, and given options kept', t => {
	t.deepEqual(resolveOptions({}), {...defaults});
	t.deepEqual(resolveOptions({cacheSize: 5, durability: undefined}), {...defaults, cacheSize: 5});
});

test('the documented default of every option is the one in force', t => {
	const text = readFileSync(join(root, 'source/options.ts'), 'utf8');
	const documented = [...text.matchAll(/@default (\S+)[^\n]*\n\s*\*\/\s*(\w+)\?:/g)].map(([, value, name]) => [
		name!,
		value!.replaceAll("'", ''),
	]);
	const inForce = Object.entries(defaults).map(([name, value]) => [name, String(value)]);
	t.deepEqual(
		documented.filter(([name]) => !['codec', 'deadLetter'].includes(name!)),
		inForce,
	);
});

test('the README names every public method, and every one has a docstring with an example', t => {
	const readme = readFileSync(join(root, 'README.md'), 'utf8');
	const source = readFileSync(join(root, 'source/queue/disk-queue.ts'), 'utf8');
	const methods = Object.getOwnPropertyNames(DiskQueue.prototype).filter(
		name => !['constructor', ...internal].includes(name),
	);
	t.true(methods.length > 20);
	for (const name of methods) {
		t.regex(readme, new RegExp(`\`${name}\\b`), name);
		const docstring = new RegExp(`/\\*\\*((?:(?!\\*/)[^])*)\\*/\\n\\t(?:static )?(?:async )?(?:get )?${name}\\b`).exec(
			source,
		);
		t.regex(docstring?.[1] ?? '', /`[^`]*queue\b[^`]*`/, `example in the docstring of ${name}`);
	}
});
