import {execSync} from 'node:child_process';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import test from 'ava';
import {codeIn, pages, readPage, root, rowsOf, sectionsOf} from '../helpers/pages.ts';

const sources = [...pages, 'CHANGELOG.md', '.github/CONTRIBUTING.md', '.github/SECURITY.md'];

function withoutCode(text: string): string {
	return text.replaceAll(/^```.*?^```$/gms, '');
}

test('every file and every anchor that the pages link is there', t => {
	let links = 0;
	let anchors = 0;
	for (const page of sources) {
		for (const [, target] of withoutCode(readPage(page)).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
			const [path, anchor] = target!.split('#') as [string, string | undefined];
			const file = path === '' ? page : join(dirname(page), path);
			t.true(existsSync(join(root, file)), `${page}: ${target}`);
			if (anchor !== undefined) {
				t.true(
					sectionsOf(file).some(section => section.anchor === anchor),
					`${page}: ${target}`,
				);
				anchors++;
			}

			links++;
		}
	}

	t.true(links > 100, `${links} links`);
	t.true(anchors > 60, `${anchors} anchors`);
});

test('what the pages link is in the package that is installed', t => {
	const [{files}] = JSON.parse(execSync('npm pack --dry-run --json --ignore-scripts', {cwd: root, encoding: 'utf8'}));
	const packed = new Set((files as Array<{path: string}>).map(({path}) => path));
	let links = 0;
	for (const page of pages) {
		t.true(packed.has(page), page);
		for (const [, target] of withoutCode(readPage(page)).matchAll(/\]\((?!https?:|#)([^)\s#]+)/g)) {
			t.true(packed.has(join(dirname(page), target!).replaceAll('\\', '/')), `${page}: ${target}`);
			links++;
		}
	}

	t.true(links > 60, `${links} links`);
});

test('the README names the packages that an example needs', t => {
	for (const row of rowsOf(sectionsOf('README.md').find(({title}) => title === 'The three jobs')!.text)) {
		const [example] = /examples\/\w+\.ts/.exec(row[1]!)!;
		const source = readPage(example);
		const imported = [...source.matchAll(/(?:from |import\.meta\.resolve\()'((?!node:|\.)[^']+)'/g)].map(
			([, name]) => name!,
		);
		t.deepEqual(codeIn(row[2]!).sort(), imported.filter(name => name !== 'disq').sort(), example);
	}
});

test('no two headings of a page have the same anchor', t => {
	for (const page of pages) {
		const anchors = sectionsOf(page).map(({anchor}) => anchor);
		t.is(new Set(anchors).size, anchors.length, page);
	}
});

test('every page of docs is linked from the README', t => {
	const readme = readPage('README.md');
	for (const page of pages.filter(name => name !== 'README.md')) {
		t.true(readme.includes(`](${page}`), page);
	}
});

test('every picture is linked, tells what it shows, and is drawn for light and dark backgrounds', t => {
	const folder = join(root, 'docs/pictures');
	const pictures = readdirSync(folder);
	t.true(pictures.length > 1);
	const text = pages.map(readPage).join('\n');
	for (const name of pictures) {
		const picture = readFileSync(join(folder, name), 'utf8');
		t.true(text.includes(`pictures/${name})`), name);
		for (const part of ['<title', '<desc', 'role="img"', 'prefers-color-scheme: dark', 'viewBox']) {
			t.true(picture.includes(part), `${name}: ${part}`);
		}

		t.false(/https?:\/\/(?!www\.w3\.org\/2000\/svg")/.test(picture), name);
	}
});
