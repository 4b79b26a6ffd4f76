import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {codeIn, root, rowsOf, sectionsOf} from '../helpers/pages.ts';

const source = readFileSync(join(root, 'source/errors.ts'), 'utf8');
const rows = rowsOf(sectionsOf('docs/errors.md')[0]!.text);

/** The codes of the type, and that of Node's AbortError. */
const codes = [...source.matchAll(/^\t\| '(QUEUE_\w+)'/gm)].map(([, code]) => code!);

/** The code that the docstring of each class begins with. */
const classes = new Map(
	[...source.matchAll(/`(QUEUE_\w+)`[\s\S]*?export class (\w+) extends QueueError/g)].map(([, code, name]) => [
		code!,
		name!,
	]),
);

test('every error code has an entry in docs/errors.md, and every entry is one of them', t => {
	t.true(codes.length > 8);
	t.deepEqual(
		rows.map(([code]) => codeIn(code!)[0]),
		[...codes, 'ABORT_ERR'],
	);
});

test('every entry names its class, and tells what it means, what was kept and what to do', t => {
	t.true(classes.size > 8);
	for (const [code, name, meaning, kept, advice] of rows) {
		const found = codeIn(name!);
		const expected = classes.get(codeIn(code!)[0]!);
		t.true(expected === undefined || found.includes(expected), `${code}: ${expected}`);
		t.true(
			[meaning, kept, advice].every(cell => cell!.length > 3),
			code,
		);
	}
});
