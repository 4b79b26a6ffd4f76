/**
 * Measures disq beside its limits and its peers: `npm run benchmark -- --help` says how.
 *
 * Each measurement is a process of its own in an empty directory. The rows of a table take turns, A B C A B C, so that
 * what else the machine does meets all of them; ratios are taken within a round.
 */
import {mkdirSync} from 'node:fs';
import {loadavg} from 'node:os';
import {type Command, parseCommand, usage} from './command.ts';
import {describeEnvironment, type Environment} from './environment.ts';
import {installPeers} from './install.ts';
import {printMeasurement, printOutcomes, printSummary} from './report/console.ts';
import {writeDocument} from './report/document.ts';
import {mergeResults, type Results, readResults, saveResults} from './results.ts';
import {measureWorkloads} from './rounds.ts';

const busyLoad = 0.5;

async function measure(command: Command): Promise<Results> {
	installPeers();
	warnIfBusy();
	mkdirSync(command.directory, {recursive: true});
	const environment = await describeEnvironment(command.directory);
	warnOfMissing(environment);
	const cases = await measureWorkloads(command, {measured: printMeasurement, finished: printOutcomes});
	const results = mergeResults({form: command.form, environment, cases});
	console.log(`\nAll figures: ${saveResults(results)}`);
	return results;
}

function warnIfBusy(): void {
	const [load = 0] = loadavg();
	if (load > busyLoad) {
		console.warn(`The machine is busy (load ${load.toFixed(1)}): figures will scatter`);
	}
}

function warnOfMissing({peers}: Environment): void {
	const missing = Object.keys(peers).filter(name => peers[name] === null);
	if (missing.length > 0) {
		console.warn(`Left out, not installed: ${missing.join(', ')}. Remove benchmark/node_modules to try again`);
	}
}

const command = parseCommand(process.argv.slice(2));
if (command.isHelp) {
	console.log(usage);
} else {
	const results = command.isReport ? readResults(command.form) : await measure(command);
	if (!results) {
		throw new Error('Nothing was measured yet');
	}

	printSummary(results, command.workloads);
	if (command.isWriting) {
		await writeDocument(results);
	}

	const isFailed = results.cases.some(({rows}) => rows.some(({role, problem}) => role === 'disq' && problem));
	process.exitCode = isFailed ? 1 : 0;
}
