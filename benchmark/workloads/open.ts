import {performance} from 'node:perf_hooks';
import {peakRssBytes} from '../gauges.ts';
import {recordKinds} from '../records.ts';
import {loadSystem, type SystemName} from '../systems/index.ts';
import type {Fifo, Setting} from '../systems/system.ts';
import type {Case, Goal, Measurement, Row, Workload} from '../workload.ts';

export type OpenParameters = {
	system: SystemName;
	/** What this process does: fill the queue, be killed while it puts, load the package alone, or open the queue. */
	step: 'fill' | 'crash' | 'load' | 'open';
	records: number;
};

const {make} = recordKinds.A;
const crashRecords = 20_000;
const setting: Setting = {kind: 'A', batchRecords: 512, durability: 'write'};
// What still counts as the same time.
const sameRatio = 1.2;
const bare = 'a process with disq loaded';

export const open: Workload<OpenParameters> = {
	title: 'Open with a backlog',
	cases(sized) {
		const backlogs = [sized(1_000_000, 100_000), sized(5_000_000, 500_000)];
		return [cleanCase(backlogs), crashCase(backlogs)];
	},
	async measure({system, step, records}, directory) {
		const {load, openFifo} = await loadSystem(system);
		await load?.();
		if (step === 'load') {
			return {figures: {peakRssBytes: peakRssBytes()}};
		}

		if (step === 'open') {
			return measureOpen(() => openFifo!(directory, {...setting, isOneByOne: true, batchRecords: 1}));
		}

		const fifo = await openFifo!(directory, setting);
		await fifo.fill(records, make);
		if (step === 'crash') {
			process.kill(process.pid, 'SIGKILL');
		}

		await fifo.close();
		return {figures: {}};
	},
};

async function measureOpen(openFifo: () => Promise<Fifo>): Promise<Measurement> {
	const start = performance.now();
	const fifo = await openFifo();
	await fifo.drain(1, () => {});
	const openMilliseconds = performance.now() - start;
	const figures = {openMilliseconds, peakRssBytes: peakRssBytes()};
	await fifo.close();
	return {figures};
}

function rowsOf(backlogs: number[], before: OpenParameters['step'] | undefined): Array<Row<OpenParameters>> {
	return (['disq', 'sqlite'] as const).flatMap(system =>
		backlogs.map(records => ({
			name: rowName(system, records),
			system,
			role: system === 'disq' ? 'disq' : 'peer',
			parameters: {system, records, step: 'open'},
			directory: `${system}-${records}`,
			prepare: {system, records, step: 'fill'},
			...(before && {before: {system, records: crashRecords, step: before}}),
		})),
	);
}

function rowName(system: SystemName, records: number): string {
	return `${system}, ${records.toLocaleString('en-US')} queued`;
}

function cleanCase(backlogs: number[]): Case<OpenParameters> {
	const [small, large] = backlogs.map(records => rowName('disq', records)) as [string, string];
	return {
		name: 'open-clean',
		title: 'After a clean close',
		what: 'The time from opening the directory to the first record of kind A, in a process that has loaded the package.',
		rows: [
			{name: bare, system: 'disq', role: 'limit', parameters: {system: 'disq', records: 0, step: 'load'}},
			...rowsOf(backlogs, undefined),
		],
		columns: ['openMilliseconds', 'peakRssBytes'],
		goals: [
			...backlogs.map(records => ({
				row: rowName('disq', records),
				figure: 'openMilliseconds' as const,
				against: rowName('sqlite', records),
				atMost: 1.3,
			})),
			{row: large, figure: 'openMilliseconds', against: small, atMost: sameRatio},
			memoryGoal(large),
		],
	};
}

function crashCase(backlogs: number[]): Case<OpenParameters> {
	return {
		name: 'open-crash',
		title: 'After a crash',
		what:
			`The same, after a process that had put ${crashRecords.toLocaleString('en-US')} more records, each surviving its ` +
			'death, was killed with SIGKILL.',
		rows: [
			{name: bare, system: 'disq', role: 'limit', parameters: {system: 'disq', records: 0, step: 'load'}},
			...rowsOf(backlogs, 'crash'),
		],
		columns: ['openMilliseconds', 'peakRssBytes'],
		goals: [memoryGoal(rowName('disq', backlogs.at(-1)!))],
	};
}

function memoryGoal(row: string): Goal {
	return {row, figure: 'peakRssBytes', against: bare, compared: 'difference', atMost: 20e6};
}
