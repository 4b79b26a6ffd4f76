/*
 * Runs the tests, already compiled, on the newest node of every line that disq supports, and prints a table of what
 * passed. The nodes come from the npm registry, in the versions that `.ci/nodes/package-lock.json` holds; `npm update`
 * in that folder renews them. Each run has a copy of the project, so that several may go on at once.
 *
 *     npm run test:nodes -- [--jobs 2] [--all] [line, e.g. 22]… [-- arguments for ava]
 *
 * The reliability suites crash, kill and damage: what they test is the log and the file system rather than the node, and
 * they take most of the time. So they are run on the line of the node that runs this, and on the others with `--all`,
 * or by naming their files. Lines that are named are run alone, so one version at a time is `npm run test:nodes -- 22`.
 */
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {
	cpSync,
	createWriteStream,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
} from 'node:fs';
import {availableParallelism} from 'node:os';
import {delimiter, dirname, join} from 'node:path';
import {performance} from 'node:perf_hooks';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';

/** The oldest version of each line that the tests' runner takes. */
const lines = {20: '20.19.0', 22: '22.20.0', 24: '24.12.0', 26: '26.0.0'};
const root = fileURLToPath(new URL('../', import.meta.url));
const nodes = join(root, '.ci/nodes');
const runner = join(root, 'node_modules/ava/entrypoints/cli.mjs');
const ownArguments = process.argv.slice(2);
const split = ownArguments.includes('--') ? ownArguments.indexOf('--') : ownArguments.length;
const {values, positionals} = parseArgs({
	args: ownArguments.slice(0, split),
	allowPositionals: true,
	options: {jobs: {type: 'string', default: '2'}, all: {type: 'boolean', default: false}},
});

const jobs = Number(values.jobs);
const ownLine = process.versions.node.split('.')[0];

/** The tests of a line, in what ava takes: all that its configuration names, unless some are left out. */
function testsOf(line) {
	const given = ownArguments.slice(split + 1);
	const isWhole = given.length > 0 || values.all || line === ownLine;
	return isWhole ? given : ['build/test/**/*.test.js', '!build/test/reliability/**'];
}

/** What the lock says of the node of a line for this machine. */
function nodeOf(line) {
	const {packages} = JSON.parse(readFileSync(join(nodes, 'package-lock.json'), 'utf8'));
	const place = `node_modules/node${line}-${process.platform}-${process.arch}`;
	const version = packages[place]?.version;
	const binary = version && join(nodes, place, Object.values(packages[place].bin)[0]);
	return {line, version, binary, reason: reasonAgainst(line, version)};
}

/** Why a line cannot be tested here, if so. */
function reasonAgainst(line, version) {
	if (!version) {
		return `the registry has no node ${line} for ${process.platform}-${process.arch}`;
	}

	return version.localeCompare(lines[line], 'en', {numeric: true}) < 0
		? `the registry has no node ${line} for ${process.platform}-${process.arch} newer than ${version}; the tests need ${lines[line]}`
		: undefined;
}

function versionOf(binary) {
	const {stdout, error} = spawnSync(binary, ['--version'], {encoding: 'utf8'});
	return {version: stdout?.trim().slice(1), error};
}

function install(wanted) {
	if (wanted.every(({version, binary}) => existsSync(binary) && versionOf(binary).version === version)) {
		return;
	}

	console.log(`Installing ${wanted.map(({version}) => version).join(', ')} into .ci/nodes`);
	const npm = spawnSync('npm ci --no-audit --no-fund', {cwd: nodes, stdio: 'inherit', shell: true});
	if (npm.status !== 0) {
		throw new Error('The nodes could not be installed from the npm registry: is it reached from here?');
	}
}

/** A copy of the project, with the packages of the original. */
function copyProject(version) {
	const copy = join(nodes, 'runs', version);
	rmSync(copy, {recursive: true, force: true});
	mkdirSync(copy, {recursive: true});
	for (const name of readdirSync(root).filter(name => !/^(node_modules|coverage|\.git|\.ci)$/.test(name))) {
		cpSync(join(root, name), join(copy, name), {recursive: true});
	}

	symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');

	return copy;
}

/** Runs the tests on one node, with its share of the processors. */
async function runTests({line, version, binary}) {
	const copy = copyProject(version);
	const log = join(nodes, 'runs', `${version}.tap`);
	const start = performance.now();
	const concurrency = Math.max(1, Math.floor(availableParallelism() / jobs));
	const options = ['--tap', `--concurrency=${concurrency}`, ...testsOf(line)];
	const child = spawn(binary, [runner, ...options], {
		cwd: copy,
		env: {...process.env, PATH: `${dirname(binary)}${delimiter}${process.env.PATH}`},
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	const file = createWriteStream(log);
	child.stdout.pipe(file, {end: false});
	child.stderr.pipe(file, {end: false});
	const [code] = await once(child, 'close');
	file.end();
	await once(file, 'close');
	const tap = readFileSync(log, 'utf8');
	const count = name => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0);
	const seconds = (performance.now() - start) / 1000;
	const failures = [...tap.matchAll(/^not ok \d+ - (.*)$/gm)].map(([, title]) => title);
	console.log(`node ${version}: ${code === 0 ? 'passed' : 'FAILED'} in ${seconds.toFixed(0)} s`);
	return {passed: count('pass'), failed: count('fail'), seconds, failures, log, code};
}

async function runAll(wanted) {
	const results = new Map();
	const waiting = [...wanted];
	const work = async () => {
		for (let node = waiting.shift(); node; node = waiting.shift()) {
			results.set(node, await runTests(node));
		}
	};
	await Promise.all(Array.from({length: jobs}, work));
	return results;
}

const chosen = (positionals.length > 0 ? positionals : Object.keys(lines)).map(line => nodeOf(line));
const wanted = chosen.filter(({reason}) => !reason);
install(wanted);
for (const node of wanted) {
	const {error} = versionOf(node.binary);
	if (error) {
		node.reason = `${node.binary} does not start (${error.code}); on Linux it needs glibc`;
	}
}

const results = await runAll(wanted.filter(({reason}) => !reason));
console.log('\n| node | passed | failed | seconds |\n|---|---|---|---|');
for (const {line, version, reason} of chosen) {
	const result = [...results].find(([node]) => node.line === line)?.[1];
	console.log(
		result
			? `| ${version} | ${result.passed} | ${result.failed} | ${result.seconds.toFixed(0)} |`
			: `| ${line} | not run: ${reason} | | |`,
	);
}

for (const [{version}, {failures, log, code}] of results) {
	if (code !== 0) {
		console.log(`\nnode ${version} ended with ${code}; all it said is in ${log}`);
		console.log(failures.map(title => `- ${title}`).join('\n'));
	}
}

const sum = name => [...results.values()].reduce((total, result) => total + result[name], 0);
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
// A line that was named must be run: of the others, those that there are.
const isComplete = positionals.length > 0 ? results.size === chosen.length : results.size > 0;
process.exitCode = isComplete && [...results.values()].every(({code, passed}) => code === 0 && passed > 0) ? 0 : 1;
