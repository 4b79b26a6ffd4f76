import {type IntervalHistogram, monitorEventLoopDelay} from 'node:perf_hooks';
import {setTimeout as pause} from 'node:timers/promises';
import type {Durability} from 'disq';
import type {RecordKind} from '../records.ts';
import {recordKinds} from '../records.ts';
import {loadSystem, type SystemName} from '../systems/index.ts';
import type {Figures, Row, Workload} from '../workload.ts';
import {putAll} from './fsync.ts';
import {runPipeline} from './pipeline.ts';

export type LoopParameters = {
	/** What is under load, and how. */
	system: SystemName;
	load: 'pipeline' | 'put/get' | '64 producers';
	kind: RecordKind;
	durability: Durability;
	records: number;
};

// Milliseconds. The monitor counts its own interval as delay: it is taken off.
const interval = 1;

export const loop: Workload<LoopParameters> = {
	title: 'Delay of the event loop',
	cases(sized) {
		const rows = [
			row('pipeline', 'A', 'spill', sized(1_000_000, 200_000)),
			row('pipeline', 'A', 'write', sized(1_000_000, 200_000)),
			row('pipeline', 'C', 'spill', sized(8000, 2000)),
			row('put/get', 'A', 'spill', sized(1_000_000, 200_000)),
			row('put/get', 'A', 'write', sized(200_000, 40_000)),
			row('64 producers', 'A', 'fsync', sized(200_000, 40_000)),
		];
		return [
			{
				name: 'loop',
				title: 'Under full load',
				what:
					'How late the event loop is for a timer of 1 ms, while everything goes through the disk: in a pipeline, or by puts ' +
					'awaited one by one, then gets; or each put is forced to the device, with 64 producers. The PassThrough, with no ' +
					'disk and a sink that keeps up, shows what the machine adds.',
				rows: [rowOfPassThrough(sized(5_000_000, 1_000_000)), ...rows],
				columns: ['p50Milliseconds', 'p99Milliseconds', 'maxMilliseconds'],
				goals: rows.map(({name}) => ({row: name, figure: 'p99Milliseconds', atMost: 15})),
			},
		];
	},
	async measure(parameters, directory) {
		const monitor = monitorEventLoopDelay({resolution: interval});
		monitor.enable();
		await loads[parameters.load](parameters, directory);
		// What the load left no turn to count is counted now.
		await pause(2 * interval);
		monitor.disable();
		return {figures: delays(monitor)};
	},
};

async function runThroughDisk(parameters: LoopParameters, directory: string): Promise<void> {
	await runPipeline(parameters.system, {...parameters, isSinkLate: parameters.system === 'disq'}, directory);
}

async function putSynced({system, records}: LoopParameters, directory: string): Promise<void> {
	await putAll({system, producers: 64, records}, directory);
}

async function putThenGet({system, kind, durability, records}: LoopParameters, directory: string): Promise<void> {
	const {make} = recordKinds[kind];
	const {openFifo} = await loadSystem(system);
	const fifo = await openFifo!(directory, {kind, durability, isOneByOne: true, batchRecords: 1});
	await fifo.fill(records, make);
	await fifo.drain(records, () => {});
	await fifo.close();
}

const loads: Record<LoopParameters['load'], (parameters: LoopParameters, directory: string) => Promise<void>> = {
	pipeline: runThroughDisk,
	'put/get': putThenGet,
	'64 producers': putSynced,
};

function delays(monitor: IntervalHistogram): Figures {
	const milliseconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - interval);
	return {
		p99Milliseconds: milliseconds(monitor.percentile(99)),
		p50Milliseconds: milliseconds(monitor.percentile(50)),
		maxMilliseconds: milliseconds(monitor.max),
	};
}

function row(
	load: LoopParameters['load'],
	kind: RecordKind,
	durability: Durability,
	records: number,
): Row<LoopParameters> {
	return {
		name: `${load}, ${kind}, '${durability}'`,
		system: 'disq',
		role: 'disq',
		parameters: {system: 'disq', load, kind, durability, records},
	};
}

function rowOfPassThrough(records: number): Row<LoopParameters> {
	const system = 'PassThrough';
	const parameters: LoopParameters = {system, load: 'pipeline', kind: 'A', durability: 'spill', records};
	return {name: 'pipeline, A, PassThrough', system, role: 'limit', parameters};
}
