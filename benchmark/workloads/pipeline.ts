import {once} from 'node:events';
import {Readable, Writable} from 'node:stream';
import {pipeline as runStreams} from 'node:stream/promises';
import type {DiskQueueStream, Durability} from 'disq';
import {type Cost, costOf, diskBytes, peakRssBytes, ratesOf, subdirectory, warmUp} from '../gauges.ts';
import {batchSizes, type RecordKind, type Records, recordKinds, warmUpRecords} from '../records.ts';
import {loadSystem, type SystemName} from '../systems/index.ts';
import type {Case, Figures, Goal, Row, Workload} from '../workload.ts';

export type PipelineParameters = {
	kind: RecordKind;
	records: number;
	/** Run one after the other; records/s are those of all together. */
	systems: SystemName[];
	/** Whether the sink takes nothing before the source has ended. */
	isSinkLate: boolean;
	durability: Durability;
};

/** Of source, queue and sink: the default of disq, and that of Node for large records. */
const highWaterMarks: Readonly<Record<RecordKind, number>> = {A: 1024, B: 1024, C: 16};

export const pipeline: Workload<PipelineParameters> = {
	title: 'pipeline(source, diskQueue, sink)',
	cases: sized => [
		throughDisk('A', sized(300_000, 30_000), [{against: both, atLeast: 0.95}]),
		throughDisk('B', sized(60_000, 6000), [{against: both, atLeast: 0.9}]),
		throughDisk('C', sized(4000, 600), [{against: 'raw blocks', atLeast: 1}]),
		keepingUp(sized(500_000, 50_000)),
		keepingUpWritten(sized(300_000, 30_000)),
	],
	async measure(parameters, directory) {
		const records = warmUpRecords[parameters.kind];
		await warmUp(directory, place => runAll({...parameters, records}, place));
		const figures = await runAll(parameters, subdirectory(directory, 'measured'));
		return {figures: {...figures, peakRssBytes: peakRssBytes()}};
	},
};

async function runAll(parameters: PipelineParameters, directory: string): Promise<Figures> {
	const costs: Cost[] = [];
	let figures: Figures = {};
	for (const name of parameters.systems) {
		const run = await (name === 'raw blocks' ? runRawBlocks : runPipeline)(name, parameters, directory);
		costs.push(run.cost);
		figures = {...figures, ...run.figures};
	}

	return {...figures, ...ratesOf(parameters.records, costs)};
}

type Run = {cost: Cost; figures: Figures};

async function runRawBlocks(name: SystemName, {kind, records}: PipelineParameters, directory: string): Promise<Run> {
	const {make, check} = recordKinds[kind];
	const {openFifo} = await loadSystem(name);
	const fifo = await openFifo!(directory, {kind, batchRecords: batchSizes[kind].block});
	let taken = 0;
	const cost = await costOf(async () => {
		await fifo.fill(records, make);
		await fifo.drain(records, record => check(record, taken++));
	});
	await fifo.close();
	return {cost, figures: {}};
}

/** Runs a stream of a system between a source and a sink that do as little as they can. */
export async function runPipeline(
	name: SystemName,
	{kind, records, isSinkLate, durability}: Omit<PipelineParameters, 'systems'>,
	directory: string,
): Promise<Run> {
	const {openDuplex} = await loadSystem(name);
	const highWaterMark = highWaterMarks[kind];
	const duplex = openDuplex!(directory, {highWaterMark, durability});
	const source = sourceOf(recordKinds[kind], {records, highWaterMark});
	const sink = sinkOf(recordKinds[kind], {start: isSinkLate ? once(source, 'end') : undefined, highWaterMark});
	const cost = await costOf(() => runStreams(source, duplex, sink));
	const stats = (duplex as Partial<DiskQueueStream<unknown>>).queue?.stats();
	const figures = {recordsWritten: stats?.nextSequence ?? 0, diskBytes: diskBytes(directory)};
	if (!duplex.closed) {
		await once(duplex, 'close');
	}

	return {cost, figures};
}

function sourceOf({make}: Records, {records, highWaterMark}: {records: number; highWaterMark: number}): Readable {
	let index = 0;
	return new Readable({
		objectMode: true,
		highWaterMark,
		read() {
			while (index < records && this.push(make(index++))) {}
			if (index === records) {
				this.push(null);
			}
		},
	});
}

function sinkOf(
	{check}: Records,
	{start, highWaterMark}: {start: Promise<unknown> | undefined; highWaterMark: number},
): Writable {
	let index = 0;
	let isWaiting = start !== undefined;
	return new Writable({
		objectMode: true,
		highWaterMark,
		write(record, _encoding, callback) {
			check(record, index++);
			if (isWaiting) {
				isWaiting = false;
				start!.then(() => callback(), callback);
			} else {
				callback();
			}
		},
	});
}

const both = 'raw blocks, then PassThrough';

function throughDisk(
	kind: RecordKind,
	records: number,
	goals: Array<Pick<Goal, 'against' | 'atLeast'>>,
): Case<PipelineParameters> {
	const row = rowMaker({kind, records, durability: 'spill', isSinkLate: true});
	return {
		name: `pipeline-${kind}`,
		title: `Everything through the disk, record ${kind}`,
		what:
			`The sink of disq takes nothing before the source has ended, after ${records.toLocaleString('en-US')} records. ` +
			`\`highWaterMark\` is ${highWaterMarks[kind]} everywhere.`,
		rows: [
			row('limit', 'PassThrough', ['PassThrough']),
			row('limit', 'raw blocks', ['raw blocks']),
			row('limit', both, ['raw blocks', 'PassThrough']),
			row('disq', "diskQueue, 'spill'", ['disq']),
		],
		columns: ['recordsPerSecond', 'cpuMicroseconds', 'peakRssBytes', 'recordsWritten'],
		goals: goals.map(goal => ({...goal, row: "diskQueue, 'spill'", figure: 'recordsPerSecond'})),
	};
}

function keepingUp(records: number): Case<PipelineParameters> {
	const row = rowMaker({kind: 'A', records, durability: 'spill', isSinkLate: false});
	const goal = {row: "diskQueue, 'spill'", figure: 'recordsPerSecond', against: 'PassThrough'} as const;
	return {
		name: 'keep-up-spill',
		title: "A sink that keeps up, 'spill', record A",
		what: `${records.toLocaleString('en-US')} records; nothing should be written. \`highWaterMark\` is ${highWaterMarks.A} everywhere.`,
		rows: [row('limit', 'PassThrough', ['PassThrough']), row('disq', "diskQueue, 'spill'", ['disq'])],
		columns: ['recordsPerSecond', 'cpuMicroseconds', 'peakRssBytes', 'recordsWritten', 'diskBytes'],
		goals: [
			{...goal, atLeast: 0.85},
			{...goal, atLeast: 0.95, isStretch: true},
			{row: "diskQueue, 'spill'", figure: 'recordsWritten', atMost: 0},
			{row: "diskQueue, 'spill'", figure: 'diskBytes', atMost: 0},
		],
	};
}

function keepingUpWritten(records: number): Case<PipelineParameters> {
	const row = rowMaker({kind: 'A', records, durability: 'write', isSinkLate: false});
	return {
		name: 'keep-up-write',
		title: "A sink that keeps up, 'write', record A",
		what: `${records.toLocaleString('en-US')} records, each of which survives a SIGKILL before its write is called back.`,
		rows: [row('limit', both, ['raw blocks', 'PassThrough']), row('disq', "diskQueue, 'write'", ['disq'])],
		columns: ['recordsPerSecond', 'cpuMicroseconds', 'peakRssBytes', 'recordsWritten'],
		goals: [{row: "diskQueue, 'write'", figure: 'recordsPerSecond', against: both, atLeast: 0.9}],
	};
}

function rowMaker(common: Omit<PipelineParameters, 'systems'>) {
	return (
		role: Row<PipelineParameters>['role'],
		name: string,
		systems: [SystemName, ...SystemName[]],
	): Row<PipelineParameters> => {
		// Nothing but a queue can wait for a sink that starts when all is over.
		const isSinkLate = common.isSinkLate && role === 'disq';
		return {role, name, system: systems[0], parameters: {...common, systems, isSinkLate}};
	};
}
