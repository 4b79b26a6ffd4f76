import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import type {Form} from './command.ts';
import type {Environment} from './environment.ts';
import {benchmarkFolder} from './peers.ts';
import type {SystemName} from './systems/index.ts';
import type {Case, Measurement, Row} from './workload.ts';
import {type WorkloadName, workloadNames} from './workloads/index.ts';

export type RowResult = Pick<Row<unknown>, 'name' | 'role'> & {
	system: SystemName;
	/** One a round. */
	measurements: Measurement[];
	/** Why there are none, or fewer. */
	problem?: string;
};

export type CaseResult = Omit<Case<unknown>, 'rows'> & {
	workload: WorkloadName;
	workloadTitle: string;
	date: string;
	rows: RowResult[];
};

export type Results = {form: Form; environment: Environment; cases: CaseResult[]};

/** What was measured last in a form. */
export function readResults(form: Form): Results | undefined {
	try {
		return JSON.parse(readFileSync(pathOf(form), 'utf8')) as Results;
	} catch {
		return undefined;
	}
}

/** Adds to what was measured before, if that was of the same disq on the same machine: else it is forgotten. */
export function mergeResults({form, environment, cases}: Results): Results {
	const earlier = readResults(form);
	const kept = isSame(earlier?.environment, environment) ? earlier!.cases : [];
	const isNew = ({name}: CaseResult) => cases.some(result => result.name === name);
	const place = ({workload}: CaseResult) => workloadNames.indexOf(workload);
	const all = [...kept.filter(result => !isNew(result)), ...cases].toSorted((a, b) => place(a) - place(b));
	return {form, environment, cases: all};
}

function isSame(one: Environment | undefined, other: Environment): boolean {
	return JSON.stringify(one) === JSON.stringify(other);
}

export function saveResults(results: Results): string {
	const path = pathOf(results.form);
	mkdirSync(dirname(path), {recursive: true});
	writeFileSync(path, `${JSON.stringify(results, undefined, '\t')}\n`);
	return path;
}

function pathOf(form: Form): string {
	return join(benchmarkFolder, 'results', `${form}.json`);
}
