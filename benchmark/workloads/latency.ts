import {performance} from 'node:perf_hooks';
import {setImmediate as nextTurn} from 'node:timers/promises';
import type {Durability} from 'disq';
import {peakRssBytes} from '../gauges.ts';
import {histogramOf} from '../histogram.ts';
import {recordKinds} from '../records.ts';
import {percentile} from '../statistics.ts';
import {loadSystem, type SystemName} from '../systems/index.ts';
import type {SharedQueue} from '../systems/system.ts';
import type {Row, Workload} from '../workload.ts';

export type LatencyParameters = {system: SystemName; durability: Durability; records: number};

const {make, check} = recordKinds.A;
const warmUpRecords = 10_000;

export const latency: Workload<LatencyParameters> = {
	title: 'Latency of a queue that is nearly empty',
	cases(sized) {
		const records = sized(50_000, 10_000);
		const row = (role: Row<LatencyParameters>['role'], name: string, system: SystemName, durability: Durability) => ({
			role,
			name,
			system,
			parameters: {system, durability, records},
		});
		const [memory, spill, write, sqlite] = ['promises in memory', "disq, 'spill'", "disq, 'write'", 'sqlite'];
		return [
			{
				name: 'latency',
				title: 'From put to get',
				what:
					`A consumer waits in \`get\`, then a producer puts record A: the time until the consumer has it, ` +
					`${records.toLocaleString('en-US')} times, a turn of the event loop in between.`,
				rows: [
					row('limit', memory, 'promise queue', 'spill'),
					row('disq', spill, 'disq', 'spill'),
					row('disq', write, 'disq', 'write'),
					row('peer', sqlite, 'sqlite', 'write'),
				],
				columns: ['p50Microseconds', 'p99Microseconds', 'peakRssBytes'],
				goals: [
					{row: spill, figure: 'p50Microseconds', against: memory, atMost: 4},
					{row: write, figure: 'p50Microseconds', against: sqlite, atMost: 1},
				],
			},
		];
	},
	async measure({system, durability, records}, directory) {
		const {openQueue} = await loadSystem(system);
		const queue = await openQueue!(directory, {kind: 'A', durability, batchRecords: 1});
		await latencies(queue, warmUpRecords);
		const microseconds = await latencies(queue, records);
		await queue.close();
		return {
			figures: {
				p50Microseconds: percentile(microseconds, 0.5),
				p99Microseconds: percentile(microseconds, 0.99),
				peakRssBytes: peakRssBytes(),
			},
			histogram: histogramOf(microseconds),
		};
	},
};

async function latencies(queue: SharedQueue, records: number): Promise<Float64Array> {
	const microseconds = new Float64Array(records);
	for (let index = 0; index < records; index++) {
		const record = make(index);
		const got = queue.get().then(taken => {
			microseconds[index] = (performance.now() - start) * 1000;
			check(taken, index);
		});
		const start = performance.now();
		await Promise.all([queue.put(record), got]);
		await nextTurn();
	}

	return microseconds;
}
