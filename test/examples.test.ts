import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {dataFile, dataOf} from './helpers/data.ts';
import {examplesDirectory, runExample as run} from './helpers/examples.ts';
import {temporaryDirectory} from './helpers/temporary-directory.ts';

const etlArguments = (directory: string, pause: number) => [
	...['--directory', directory],
	...['--pause', String(pause)],
	...['--interval', '50'],
];

test('every example has a test here', t => {
	const names = readdirSync(examplesDirectory).filter(name => name.endsWith('.js'));
	const tested = ['etl.js', 'fifty.js', 'ingest.js', 'producers-consumers.js', 'upload.js'];
	t.deepEqual(names.sort(), tested);
});

const wrongCalls: Array<[string, string, string, RegExp]> = [
	['upload', '--concurrency', 'abc', /^--concurrency is to be a whole number from 1 up, not "abc"\n$/],
	['upload', '--batch', '0', /^--batch is to be a whole number from 1 up, not "0"\n$/],
	['ingest', '--max-bytes', '1k', /^--max-bytes is to be a whole number from 262144 up, not "1k"\n$/],
	['ingest', '--pause', '', /^--pause is to be a whole number from 0 up, not ""\n$/],
	['etl', '--pause', '1.5', /^--pause is to be a whole number from 0 up, not "1.5"\n$/],
	['etl', '--file', 'missing.json', /^Cannot read the flights: ENOENT.*missing\.json'\n$/],
];

for (const [name, flag, value, message] of wrongCalls) {
	test(`${name} ${flag} "${value}" is refused before anything is done`, async t => {
		const directory = join(temporaryDirectory(t), 'work');
		const {lines, code, errors} = await run(t, name, ['--directory', directory, `${flag}=${value}`]);
		t.regex(errors, message);
		t.is(code, 1);
		t.deepEqual(lines, []);
		t.false(existsSync(directory));
	});
}

test('fifty puts and gets go through a cache of ten, in order', async t => {
	const {lines, code, errors} = await run(t, 'fifty', [join(temporaryDirectory(t), 'queue')]);
	t.is(code, 0, errors);
	t.is(lines[0], '50 records wait: 10 in memory, 40 on disk');
	t.deepEqual(
		lines.slice(1),
		Array.from({length: 50}, (_, number) => String(number)),
	);
});

test('two producers and two consumers share the tasks, each done once', async t => {
	const {lines, code, errors} = await run(t, 'producers-consumers', [join(temporaryDirectory(t), 'queue')]);
	t.is(code, 0, errors);
	t.is(lines.at(-1), '100 tasks done');
	const tasks = lines.slice(0, -1).map(line => line.replace(/^(left|right) did /, ''));
	t.is(tasks.length, 100);
	t.is(new Set(tasks).size, 100);
});

test('the ETL job killed twice and stopped once ends with the figures of an uninterrupted run', async t => {
	const whole = temporaryDirectory(t);
	const uninterrupted = await run(t, 'etl', etlArguments(whole, 0));
	t.is(uninterrupted.code, 0, uninterrupted.errors);
	const figures = readFileSync(join(whole, 'delays-by-distance.json'), 'utf8');
	const flights = JSON.parse(figures).reduce((sum: number, band: {flights: number}) => sum + band.flights, 0);
	t.is(flights, 200_000);

	const directory = temporaryDirectory(t);
	const killed = await run(t, 'etl', etlArguments(directory, 5), () => 'SIGKILL');
	t.is(killed.signal, 'SIGKILL');
	const again = await run(t, 'etl', etlArguments(directory, 5), deliveredBeyond(40_000, 'SIGKILL'));
	t.is(again.signal, 'SIGKILL');
	t.true(again.lines[0]!.startsWith('Going on: '), again.lines[0]);
	const stopped = await run(t, 'etl', etlArguments(directory, 5), deliveredBeyond(90_000, 'SIGINT'));
	t.is(stopped.code, 0, stopped.errors);
	t.is(stopped.lines.at(-1), 'Stopped. Start again to go on.');
	const last = await run(t, 'etl', etlArguments(directory, 0));
	t.is(last.code, 0, last.errors);
	t.is(readFileSync(join(directory, 'delays-by-distance.json'), 'utf8'), figures);
	t.deepEqual(readdirSync(directory), ['delays-by-distance.json']);
});

test('the ETL job reads CSV as it reads JSON', async t => {
	const json = dataFile('flights-10k.json');
	const flights = dataOf<Record<string, number>>('flights-10k.json');
	const csv = join(temporaryDirectory(t), 'flights.csv');
	const names = Object.keys(flights[0]!);
	const rows = flights.map(flight => names.map(name => flight[name]).join(','));
	writeFileSync(csv, [names.join(','), ...rows, ''].join('\n'));
	const figures: string[] = [];
	for (const file of [json, csv]) {
		const directory = temporaryDirectory(t);
		const {lines, code, errors} = await run(t, 'etl', [...etlArguments(directory, 0), '--file', file]);
		t.is(code, 0, errors);
		t.true(lines.at(-1)!.startsWith('10,000 flights summed up'), lines.at(-1));
		figures.push(readFileSync(join(directory, 'delays-by-distance.json'), 'utf8'));
	}

	t.is(figures[1], figures[0]);
});

function deliveredBeyond(count: number, signal: NodeJS.Signals): (line: string) => NodeJS.Signals | undefined {
	return line => {
		const delivered = Number(/delivered ([\d,]+)/.exec(line)?.[1]?.replaceAll(',', '') ?? 0);
		return delivered > count ? signal : undefined;
	};
}
