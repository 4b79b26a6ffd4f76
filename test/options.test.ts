import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {defaults, resolveOptions} from '../source/options.ts';

const root = join(import.meta.dirname, '../..');

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
		documented.filter(([name]) => name !== 'codec'),
		inForce,
	);
});

test('the README lists every option with its default', t => {
	const readme = readFileSync(join(root, 'README.md'), 'utf8');
	for (const name of [...Object.keys(defaults), 'codec', 'highWaterMark', 'acknowledge', 'signal']) {
		t.regex(readme, new RegExp(`^\\| \`${name}\` \\|`, 'm'), name);
	}

	t.true(Object.isFrozen(defaults));
});

test('the README lists every error code', t => {
	const readme = readFileSync(join(root, 'README.md'), 'utf8');
	const codes = [...readFileSync(join(root, 'source/errors.ts'), 'utf8').matchAll(/^\t\| '(QUEUE_\w+)'/gm)].map(
		([, code]) => code!,
	);
	t.true(codes.length > 8);
	for (const code of codes) {
		t.true(readme.includes(`\`${code}\``), code);
	}
});
