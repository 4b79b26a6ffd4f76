import {costOf, diskBytes, peakRssBytes, ratesOf, subdirectory, warmUp} from '../gauges.ts';
import {batchSizes, type RecordKind, recordKinds, warmUpRecords} from '../records.ts';
import {loadSystem, type SystemName} from '../systems/index.ts';
import type {Setting} from '../systems/system.ts';
import type {Case, Figures, Goal, Row, Workload} from '../workload.ts';

export type FillParameters = {system: SystemName; records: number; setting: Setting};

export const fill: Workload<FillParameters> = {
	title: 'Fill, then drain',
	cases: sized => [
		fillCase('A', sized(300_000, 30_000), {oneByOne: 0.75, inBatches: 0.9, sqlite: 4}),
		fillCase('B', sized(60_000, 6000), {oneByOne: 0.85, inBatches: 0.85, sqlite: 2.5}),
		fillCase('C', sized(8000, 1500), {sqlite: 3, fsCapacitor: 2.2}),
	],
	async measure(parameters, directory) {
		const records = warmUpRecords[parameters.setting.kind];
		await warmUp(directory, place => fillAndDrain({...parameters, records}, place));
		const figures = await fillAndDrain(parameters, subdirectory(directory, 'measured'));
		return {figures: {...figures, peakRssBytes: peakRssBytes()}};
	},
};

async function fillAndDrain({system, records, setting}: FillParameters, directory: string): Promise<Figures> {
	const {make, check} = recordKinds[setting.kind];
	const {openFifo} = await loadSystem(system);
	const fifo = await openFifo!(directory, setting);
	let taken = 0;
	const filling = await costOf(() => fifo.fill(records, make));
	const bytes = diskBytes(directory);
	const draining = await costOf(() =>
		fifo.drain(records, system === 'raw bytes' ? () => {} : record => check(record, taken++)),
	);
	await fifo.close();
	return {
		...ratesOf(records, [filling, draining]),
		fillPerSecond: records / filling.seconds,
		drainPerSecond: records / draining.seconds,
		diskBytes: bytes,
	};
}

type Ratios = {oneByOne?: number; inBatches?: number; sqlite: number; fsCapacitor?: number};

function fillCase(kind: RecordKind, records: number, ratios: Ratios): Case<FillParameters> {
	return {
		name: `fill-${kind}`,
		title: `Record ${kind}`,
		what:
			`${records.toLocaleString('en-US')} records are put, then taken, nobody taking before all are put. Records/s are ` +
			`those of both together. Record ${kind} is ${recordKinds[kind].description}.`,
		rows: fillRows(kind, records),
		columns: ['recordsPerSecond', 'fillPerSecond', 'drainPerSecond', 'cpuMicroseconds', 'peakRssBytes', 'diskBytes'],
		goals: fillGoals(ratios),
	};
}

function fillRows(kind: RecordKind, records: number): Array<Row<FillParameters>> {
	const {batch, block} = batchSizes[kind];
	const row = (
		role: Row<FillParameters>['role'],
		system: SystemName,
		name: string = system,
		given: Partial<Setting> = {},
	): Row<FillParameters> => ({
		role,
		system,
		name,
		parameters: {system, records, setting: {kind, batchRecords: batch, ...given}},
	});
	const isOneByOne = true;
	const bytesOnly = [row('peer', 'fs-capacitor')];
	const textOnly = [row('peer', 'disk-queue'), row('peer', 'ndjson', 'NDJSON file, readline')];
	return [
		row('limit', 'raw bytes', 'raw bytes', {batchRecords: block}),
		row('limit', 'raw blocks', 'raw blocks', {batchRecords: block}),
		row('disq', 'disq', oneByOneName, {isOneByOne}),
		row('disq', 'disq', inBatchesName),
		row('disq', 'disq', "put/get, 'write'", {isOneByOne, durability: 'write'}),
		row('disq', 'disq', "putMany/getMany, 'write'", {durability: 'write'}),
		row('peer', 'sqlite'),
		row('peer', 'lmdb'),
		row('peer', 'classic-level'),
		...(kind === 'C' ? bytesOnly : textOnly),
	];
}

const oneByOneName = "put/get, 'spill'";
const inBatchesName = "putMany/getMany, 'spill'";

function fillGoals({oneByOne, inBatches, sqlite, fsCapacitor}: Ratios): Goal[] {
	const goal = (row: string, against: string, atLeast: number | undefined): Goal[] =>
		atLeast === undefined ? [] : [{figure: 'recordsPerSecond', row, against, atLeast}];
	return [
		...goal(oneByOneName, 'raw blocks', oneByOne),
		...goal(inBatchesName, 'raw blocks', inBatches),
		...goal(oneByOneName, 'sqlite', sqlite),
		...goal(oneByOneName, 'fs-capacitor', fsCapacitor),
	];
}
