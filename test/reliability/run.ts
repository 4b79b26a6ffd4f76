/**
 * Runs the suites of this folder, or those named, in their long form and prints what they did as a table; with `--write`
 * the table in docs/reliability.md is replaced by it.
 */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {cpus, release, tmpdir} from 'node:os';
import {join} from 'node:path';
import {performance} from 'node:perf_hooks';
import {fileURLToPath} from 'node:url';
import {describeCounts, type Figures} from '../helpers/figures.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const document = join(root, 'docs/reliability.md');
const begin = '<!-- figures -->';
const end = '<!-- /figures -->';

const suites = process.argv.slice(2).filter(name => !name.startsWith('--'));
const files = (suites.length > 0 ? suites : ['*']).map(name => `build/test/reliability/${name}.test.js`);

/** In minutes: about twice what they take. Suites that do not come to an end are interrupted, and then name what they wait for. */
const patience = 30;

function runSuites(): {status: number; rows: Figures[]} {
	const directory = mkdtempSync(join(tmpdir(), 'disq-figures-'));
	const file = join(directory, 'figures');
	writeFileSync(file, '');
	try {
		const ava = join(root, 'node_modules/ava/entrypoints/cli.mjs');
		const {status} = spawnSync(process.execPath, [ava, ...files], {
			cwd: root,
			stdio: 'inherit',
			timeout: patience * 60_000,
			killSignal: 'SIGINT',
			env: {...process.env, DISQ_FORM: 'long', DISQ_FIGURES: file},
		});
		const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
		return {status: status ?? 1, rows: lines.map(line => JSON.parse(line) as Figures)};
	} finally {
		rmSync(directory, {recursive: true});
	}
}

/** Bugs that a suite has found so far: those of the list below the table that name it. */
function bugsOf(suite: string, text: string): number {
	return text.split('\n').filter(line => line.startsWith(`- **${suite}** `)).length;
}

function tableOf(rows: Figures[], text: string, seconds: number): string {
	const place = ({suite}: Figures) => suite.replace(/\d+/, digits => digits.padStart(3, '0'));
	const sorted = rows.toSorted((a, b) => place(a).localeCompare(place(b)) || a.what.localeCompare(b.what));
	const suites = sorted.map(({suite}) => suite);
	const lines = sorted.map(({suite, what, counts, seconds}, index) => {
		const bugs = suites.indexOf(suite) === index ? bugsOf(suite, text) : '';
		return `| ${suite} | ${what} | ${describeCounts(counts)} | ${bugs} | ${seconds.toFixed(0)} |`;
	});
	const machine = `${process.platform} ${release().split('-')[0]}, ${cpus().length} cores (${cpus()[0]?.model})`;
	const date = new Date().toISOString().slice(0, 10);
	return [
		'| suite | what | how many | bugs found so far | seconds |',
		'|---|---|---|---|---|',
		...lines,
		'',
		`${date}, Node ${process.versions.node}, ${machine}; ${(seconds / 60).toFixed(1)} minutes in all.`,
	].join('\n');
}

const start = performance.now();
const {status, rows} = runSuites();
const text = readFileSync(document, 'utf8');
const table = tableOf(rows, text, (performance.now() - start) / 1000);
console.log(`\n${table}`);
if (status === 0 && process.argv.includes('--write')) {
	const head = text.slice(0, text.indexOf(begin) + begin.length);
	writeFileSync(document, `${head}\n${table}\n${text.slice(text.indexOf(end))}`);
}

process.exitCode = status;
