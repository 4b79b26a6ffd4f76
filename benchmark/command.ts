import {join, resolve} from 'node:path';
import {parseArgs} from 'node:util';
import {benchmarkFolder} from './peers.ts';
import type {Sized} from './workload.ts';
import {type WorkloadName, workloadNames} from './workloads/index.ts';

export const usage: string = `npm run benchmark -- [options]

  --quick            fewer records and one round: two minutes at most, in place of twenty
  --only NAME,NAME   some of the workloads: ${workloadNames.join(', ')}
  --rounds N         how often each row is measured
  --directory PATH   where the queues are made, on the device to be measured
  --write            write docs/benchmarks.md and its charts
  --report           measure nothing: report what was measured last
  --help             print this`;

export type Form = 'full' | 'quick';

export type Command = {
	form: Form;
	sized: Sized;
	workloads: WorkloadName[];
	rounds: number;
	directory: string;
	isReport: boolean;
	isWriting: boolean;
	isHelp: boolean;
};

const rounds: Readonly<Record<Form, number>> = {full: 7, quick: 1};

/** Reads the options of a run; throws if there is something wrong with them. */
export function parseCommand(parameters: string[]): Command {
	const {values} = parseArgs({
		args: parameters,
		options: {
			quick: {type: 'boolean', default: false},
			only: {type: 'string', default: workloadNames.join()},
			rounds: {type: 'string'},
			directory: {type: 'string', default: join(benchmarkFolder, 'scratch')},
			write: {type: 'boolean', default: false},
			report: {type: 'boolean', default: false},
			help: {type: 'boolean', default: false},
		},
	});
	const form = values.quick ? 'quick' : 'full';
	return {
		form,
		sized: (full, quick) => (values.quick ? quick : full),
		workloads: values.only.split(',').map(checkWorkload),
		rounds: checkRounds(values.rounds ?? rounds[form]),
		directory: resolve(values.directory),
		isReport: values.report,
		isWriting: values.write,
		isHelp: values.help,
	};
}

function checkWorkload(name: string): WorkloadName {
	const workload = workloadNames.find(known => known === name);
	if (!workload) {
		throw new RangeError(`Expected --only to be of ${workloadNames.join(', ')}, got '${name}'`);
	}

	return workload;
}

function checkRounds(given: string | number): number {
	const count = Number(given);
	if (!Number.isInteger(count) || count < 1) {
		throw new RangeError(`Expected --rounds to be a whole number from 1 up, got '${given}'`);
	}

	return count;
}
