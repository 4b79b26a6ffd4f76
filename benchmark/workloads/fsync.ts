import {type Cost, costOf, peakRssBytes, ratesOf, subdirectory, warmUp} from '../gauges.ts';
import {recordKinds} from '../records.ts';
import {loadSystem, type SystemName} from '../systems/index.ts';
import type {Setting} from '../systems/system.ts';
import type {Case, Row, Workload} from '../workload.ts';

export type FsyncParameters = {system: SystemName; producers: number; records: number};

const {make} = recordKinds.A;
const warmUpRecordsEach = 200;

export const fsync: Workload<FsyncParameters> = {
	title: 'Puts that survive a power cut',
	cases: sized => [fsyncCase(64, sized(64_000, 12_800), 1.1), fsyncCase(1, sized(4000, 400), 0.8)],
	async measure(parameters, directory) {
		const {producers, records} = parameters;
		await warmUp(directory, place => putAll({...parameters, records: producers * warmUpRecordsEach}, place));
		const cost = await putAll(parameters, subdirectory(directory, 'measured'));
		return {figures: {...ratesOf(records, [cost]), peakRssBytes: peakRssBytes()}};
	},
};

/** Puts records from so many producers, each awaiting its own, until they survive a power cut. */
export async function putAll({system, producers, records}: FsyncParameters, directory: string): Promise<Cost> {
	const {openPuts, openFifo} = await loadSystem(system);
	const setting: Setting = {kind: 'A', durability: 'fsync', batchRecords: producers};
	if (!openPuts) {
		const fifo = await openFifo!(directory, setting);
		const cost = await costOf(() => fifo.fill(records, make));
		await fifo.close();
		return cost;
	}

	const queue = await openPuts(directory, setting);
	const cost = await costOf(() =>
		Promise.all(Array.from({length: producers}, (_, number) => produce(queue.put.bind(queue), number))),
	);
	await queue.close();
	return cost;

	async function produce(put: (record: object) => Promise<void>, number: number): Promise<void> {
		for (let index = number; index < records; index += producers) {
			await put(make(index));
		}
	}
}

function fsyncCase(producers: number, records: number, ratio: number): Case<FsyncParameters> {
	const row = (role: Row<FsyncParameters>['role'], system: SystemName, name: string = system) => ({
		role,
		system,
		name,
		parameters: {system, producers, records},
	});
	const [loop, disq] = ['fdatasync loop', "put, 'fsync'"];
	return {
		name: `fsync-${producers}`,
		title: producers === 1 ? 'One producer' : `${producers} producers`,
		what:
			`${records.toLocaleString('en-US')} puts of record A, each producer awaiting its own. The fdatasync loop appends ` +
			`blocks of ${producers}, and forces each to the device.`,
		rows: [
			row('limit', 'raw blocks', loop),
			row('disq', 'disq', disq),
			row('peer', 'sqlite'),
			row('peer', 'lmdb'),
			row('peer', 'classic-level'),
			row('peer', 'disk-queue'),
		],
		columns: ['recordsPerSecond', 'cpuMicroseconds', 'peakRssBytes'],
		goals: [
			{row: disq, figure: 'recordsPerSecond', against: loop, atLeast: ratio},
			{row: disq, figure: 'recordsPerSecond', against: 'sqlite', atLeast: 1},
		],
	};
}
