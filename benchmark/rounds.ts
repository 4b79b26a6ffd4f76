import {execFile} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import type {Command} from './command.ts';
import type {Task} from './measure.ts';
import {peerVersion} from './peers.ts';
import type {CaseResult, RowResult} from './results.ts';
import {loadSystem} from './systems/index.ts';
import type {Case, Measurement, Row} from './workload.ts';
import {loadWorkload, type WorkloadName} from './workloads/index.ts';

const program = fileURLToPath(new URL('measure.js', import.meta.url));
const timeout = 5 * 60_000;
const run = promisify(execFile);

type Progress = {
	/** Told after each measurement of a row. */
	measured(caseName: string, round: number, row: RowResult): void;
	finished(result: CaseResult): void;
};

/** Measures all cases of the chosen workloads, round by round. */
export async function measureWorkloads(
	{workloads, sized, rounds, directory}: Command,
	progress: Progress,
): Promise<CaseResult[]> {
	const scratch = makeScratch(directory);
	const results: CaseResult[] = [];
	for (const workload of workloads) {
		const {title, cases} = await loadWorkload(workload);
		for (const each of cases(sized)) {
			const result = await measureCase(each, {workload, title, rounds, scratch, progress});
			progress.finished(result);
			results.push(result);
		}
	}

	return results;
}

/** Makes the directory of all queues of a run, which goes with it. */
function makeScratch(directory: string): string {
	mkdirSync(directory, {recursive: true});
	const scratch = mkdtempSync(join(directory, 'run-'));
	process.once('exit', () => rmSync(scratch, {recursive: true, force: true}));
	for (const signal of ['SIGINT', 'SIGTERM'] as const) {
		process.once(signal, () => process.exit(1));
	}

	return scratch;
}

type Run = {workload: WorkloadName; title: string; rounds: number; scratch: string; progress: Progress};

async function measureCase({rows, ...given}: Case<unknown>, run: Run): Promise<CaseResult> {
	const {workload, title: workloadTitle, rounds, progress} = run;
	const results: RowResult[] = rows.map(({name, role, system}) => ({name, role, system, measurements: []}));
	for (let round = 1; round <= rounds; round++) {
		for (const [index, row] of rows.entries()) {
			const result = results[index]!;
			if (!result.problem) {
				await measureRow(row, result, run);
				progress.measured(given.name, round, result);
			}
		}
	}

	return {...given, workload, workloadTitle, date: new Date().toISOString().slice(0, 10), rows: results};
}

/** Adds a measurement to a row, or says why there is none. */
async function measureRow(row: Row<unknown>, result: RowResult, {workload, scratch}: Run): Promise<void> {
	const {peer} = await loadSystem(row.system);
	if (peer && !peerVersion(peer)) {
		result.problem = 'not installed';
		return;
	}

	const directory = join(scratch, row.directory ?? 'fresh');
	try {
		if (mkdirSync(directory, {recursive: true}) && row.prepare) {
			await measureApart({workload, parameters: row.prepare, directory});
		}

		if (row.before) {
			await crash({workload, parameters: row.before, directory});
		}

		result.measurements.push(await measureApart({workload, parameters: row.parameters, directory}));
	} catch (error) {
		result.problem = problemOf(error as ChildFailure);
	} finally {
		if (!row.directory || result.problem) {
			rmSync(directory, {recursive: true, force: true});
		}
	}
}

/** Measures in a process of its own, when the device has nothing left to do. */
async function measureApart(task: Task): Promise<Measurement> {
	await run('sync', []).catch(() => undefined);
	const {stdout} = await run(process.execPath, [program, JSON.stringify(task)], {timeout, killSignal: 'SIGKILL'});
	return JSON.parse(stdout) as Measurement;
}

type ChildFailure = Error & {stderr?: string; code?: number | string; killed?: boolean; signal?: NodeJS.Signals};

/** Runs a task that must end by a SIGKILL of its own. */
async function crash(task: Task): Promise<void> {
	const failure = await measureApart(task).then(
		() => new Error('It was to be killed, and ended'),
		(error: ChildFailure) => (error.signal === 'SIGKILL' && !error.killed ? undefined : error),
	);
	if (failure) {
		throw failure;
	}
}

function problemOf({killed, code, stderr}: ChildFailure): string {
	if (killed) {
		return `not done within ${timeout / 60_000} minutes`;
	}

	return /^\w*Error.*$/m.exec(stderr ?? '')?.[0] ?? `ended with code ${code}`;
}
