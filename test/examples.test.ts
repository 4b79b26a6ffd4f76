import {spawn} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import test from 'ava';
import {temporaryDirectory} from './helpers/temporary-directory.ts';

const examples = join(import.meta.dirname, '../examples');

type Run = {lines: string[]; code: number | null; signal: NodeJS.Signals | null; errors: string};

/** Runs an example to its end. `onLine` may end it earlier, by a signal. */
async function run(
	name: string,
	args: string[],
	onLine: (line: string) => NodeJS.Signals | undefined = () => undefined,
): Promise<Run> {
	const child = spawn(process.execPath, [join(examples, `${name}.js`), ...args], {stdio: ['ignore', 'pipe', 'pipe']});
	const lines: string[] = [];
	let errors = '';
	child.stderr.setEncoding('utf8').on('data', text => {
		errors += text;
	});
	createInterface({input: child.stdout}).on('line', line => {
		lines.push(line);
		const signal = onLine(line);
		if (signal && !child.killed) {
			child.kill(signal);
		}
	});
	return new Promise(resolve => {
		child.on('close', (code, signal) => resolve({lines, code, signal, errors}));
	});
}

const etlArguments = (directory: string, pause: number) => [
	...['--directory', directory],
	...['--pause', String(pause)],
	...['--interval', '50'],
];

test('every example has a test here', t => {
	const names = readdirSync(examples).filter(name => name.endsWith('.js'));
	t.deepEqual(names.sort(), ['etl.js', 'fifty.js', 'producers-consumers.js']);
});

test('fifty puts and gets go through a cache of ten, in order', async t => {
	const {lines, code, errors} = await run('fifty', [join(temporaryDirectory(t), 'queue')]);
	t.is(code, 0, errors);
	t.is(lines[0], '50 records wait: 10 in memory, 40 on disk');
	t.deepEqual(
		lines.slice(1),
		Array.from({length: 50}, (_, number) => String(number)),
	);
});

test('two producers and two consumers share the tasks, each done once', async t => {
	const {lines, code, errors} = await run('producers-consumers', [join(temporaryDirectory(t), 'queue')]);
	t.is(code, 0, errors);
	t.is(lines.at(-1), '100 tasks done');
	const tasks = lines.slice(0, -1).map(line => line.replace(/^(left|right) did /, ''));
	t.is(tasks.length, 100);
	t.is(new Set(tasks).size, 100);
});

test('the ETL job killed twice and stopped once ends with the figures of an uninterrupted run', async t => {
	const whole = temporaryDirectory(t);
	const uninterrupted = await run('etl', etlArguments(whole, 0));
	t.is(uninterrupted.code, 0, uninterrupted.errors);
	const figures = readFileSync(join(whole, 'delays-by-distance.json'), 'utf8');
	const flights = JSON.parse(figures).reduce((sum: number, band: {flights: number}) => sum + band.flights, 0);
	t.is(flights, 200_000);

	const directory = temporaryDirectory(t);
	const killed = await run('etl', etlArguments(directory, 5), () => 'SIGKILL');
	t.is(killed.signal, 'SIGKILL');
	const again = await run('etl', etlArguments(directory, 5), deliveredBeyond(40_000, 'SIGKILL'));
	t.is(again.signal, 'SIGKILL');
	t.true(again.lines[0]!.startsWith('Going on: '), again.lines[0]);
	const stopped = await run('etl', etlArguments(directory, 5), deliveredBeyond(90_000, 'SIGINT'));
	t.is(stopped.code, 0, stopped.errors);
	t.is(stopped.lines.at(-1), 'Stopped. Start again to go on.');
	const last = await run('etl', etlArguments(directory, 0));
	t.is(last.code, 0, last.errors);
	t.is(readFileSync(join(directory, 'delays-by-distance.json'), 'utf8'), figures);
	t.deepEqual(readdirSync(directory), ['delays-by-distance.json']);
});

function deliveredBeyond(count: number, signal: NodeJS.Signals): (line: string) => NodeJS.Signals | undefined {
	return line => {
		const delivered = Number(/delivered ([\d,]+)/.exec(line)?.[1]?.replaceAll(',', '') ?? 0);
		return delivered > count ? signal : undefined;
	};
}
