import {diskBytes, peakRssBytes} from '../gauges.ts';
import {recordKinds} from '../records.ts';
import {loadSystem, type SystemName} from '../systems/index.ts';
import type {Goal, Row, Workload} from '../workload.ts';

export type BacklogParameters = {system: SystemName; records: number};

const {make} = recordKinds.A;
// What still counts as flat.
const flatRatio = 1.1;

export const backlog: Workload<BacklogParameters> = {
	title: 'A growing backlog',
	cases(sized) {
		const backlogs = [sized(1_000_000, 100_000), sized(2_000_000, 200_000), sized(5_000_000, 500_000)];
		const largest = backlogs.at(-1)!;
		return [
			{
				name: 'backlog',
				title: 'Memory and disk, with no consumer',
				what:
					"Record A is put one by one, 'spill', until so many are queued. The raw blocks are written and not kept; the " +
					'payload is what they hold without their heads.',
				rows: [...rowsOf('raw blocks', backlogs), ...rowsOf('disq', backlogs)],
				columns: ['peakRssBytes', 'diskBytes', 'payloadBytes'],
				goals: [
					...memoryGoals(rowName('disq', largest), rowName('disq', backlogs[0]!), rowName('raw blocks', largest)),
					{
						row: rowName('disq', largest),
						figure: 'diskBytes',
						against: rowName('raw blocks', largest),
						againstFigure: 'payloadBytes',
						atMost: 1.05,
					},
				],
			},
		];
	},
	async measure({system, records}, directory) {
		const {openFifo} = await loadSystem(system);
		const fifo = await openFifo!(directory, {kind: 'A', batchRecords: 512, isOneByOne: true});
		await fifo.fill(records, make);
		const {payloadBytes} = fifo;
		const figures = {
			peakRssBytes: peakRssBytes(),
			diskBytes: diskBytes(directory),
			...(payloadBytes && {payloadBytes}),
		};
		await fifo.close();
		return {figures};
	},
};

function rowsOf(system: 'raw blocks' | 'disq', backlogs: number[]): Array<Row<BacklogParameters>> {
	return backlogs.map(records => ({
		name: rowName(system, records),
		system,
		role: system === 'disq' ? 'disq' : 'limit',
		parameters: {system, records},
	}));
}

/** Name of a row; the chart reads the backlog from it. */
function rowName(system: SystemName, records: number): string {
	return `${system}, ${records.toLocaleString('en-US')}`;
}

function memoryGoals(row: string, smallest: string, limit: string): Goal[] {
	return [
		{row, figure: 'peakRssBytes', against: limit, atMost: 1.2},
		{row, figure: 'peakRssBytes', against: smallest, atMost: flatRatio},
	];
}
