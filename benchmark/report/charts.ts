import {bucketStart} from '../histogram.ts';
import type {CaseResult, RowResult} from '../results.ts';
import {spreadOf} from '../statistics.ts';
import {barChart} from './bar-chart.ts';
import {formatFigure} from './figures.ts';
import {type Line, lineChart} from './line-chart.ts';
import type {Svg} from './svg.ts';

/** Draws what a case measured, if a picture says more than its table. */
export function chartOf(result: CaseResult): Svg | undefined {
	if (result.rows.some(({measurements}) => measurements.some(({histogram}) => histogram))) {
		return latencyChart(result);
	}

	if (result.name === 'backlog') {
		return memoryChart(result);
	}

	return result.columns[0] === 'recordsPerSecond' && result.rows.length > 2 ? throughputChart(result) : undefined;
}

/** Bars of all rows but that of raw bytes, beside which the others would be too short to compare. */
function throughputChart({title, workloadTitle, rows}: CaseResult): Svg {
	const shown = rows.filter(({system}) => system !== 'raw bytes');
	const bars = shown.flatMap(row => {
		const values = valuesOf(row, 'recordsPerSecond');
		if (values.length === 0) {
			return [];
		}

		const spread = spreadOf(values);
		const label = formatFigure('recordsPerSecond', spread.median);
		return {...spread, name: row.name, role: row.role, label};
	});
	return barChart(`${workloadTitle}. ${title}: records/s`, bars);
}

// Of all records in a bucket of the latency chart, for it to be shown.
const leastShare = 0.002;

const colours = ['limit', 'disq', 'other', 'peer'] as const;

/** How many of all latencies fall into each bucket, over all rounds. */
function latencyChart({title, rows}: CaseResult): Svg {
	const shares = rows.map(({measurements}) =>
		sharesOf(measurements.flatMap(({histogram}) => (histogram ? [histogram] : []))),
	);
	const buckets = shares.flatMap(share => share.flatMap((value, bucket) => (value > leastShare ? bucket : [])));
	const [first, last] = [Math.max(0, Math.min(...buckets) - 1), Math.max(...buckets) + 2];
	const lines = rows.map(({name}, index): Line => {
		const places = shares[index]!.map((share, bucket): [number, number] => [bucketStart(bucket + 0.5), share]);
		return {name, ...lookOf(index), places: places.slice(first, last)};
	});
	const highest = Math.max(...shares.flat());
	return lineChart(`${title}: share of records by latency`, {
		x: {
			from: bucketStart(first),
			to: bucketStart(last),
			isLogarithmic: true,
			ticks: [0.1, 1, 10, 100, 1000, 10_000, 100_000].filter(
				tick => tick >= bucketStart(first) * 0.99 && tick <= bucketStart(last) * 1.01,
			),
			label: value => `${value.toLocaleString('en-US')} µs`,
		},
		y: {from: 0, to: highest, ticks: ticksTo(highest), label: value => `${Math.round(value * 100)} %`},
		lines,
	});
}

/** Colours go with the rows of a case: a limit, disq, and what it is compared with. Dashes tell lines apart without them. */
function lookOf(index: number): Pick<Line, 'colour' | 'isDashed'> {
	return {colour: colours[index % colours.length]!, isDashed: index % 2 === 0};
}

function sharesOf(histograms: number[][]): number[] {
	const counts = (histograms[0] ?? []).map((_, bucket) => histograms.reduce((sum, counts) => sum + counts[bucket]!, 0));
	const all = counts.reduce((sum, count) => sum + count, 0);
	return counts.map(count => count / all);
}

/** Peak memory over the backlog. Rows are named `system, backlog`. */
function memoryChart({rows}: CaseResult): Svg {
	const systems = [...new Set(rows.map(({system}) => system))];
	const lines = systems.map((name, index): Line => {
		const places = rows.flatMap((row): Array<[number, number]> => {
			const values = row.system === name ? valuesOf(row, 'peakRssBytes') : [];
			return values.length > 0 ? [[backlogOf(row), spreadOf(values).median / 1e6]] : [];
		});
		return {name, ...lookOf(index), places};
	});
	const largest = Math.max(...rows.map(backlogOf));
	const highest = Math.max(...lines.flatMap(({places}) => places.map(([, megabytes]) => megabytes)));
	return lineChart('Peak memory over the backlog', {
		x: {from: 0, to: largest, ticks: [...new Set(rows.map(backlogOf))], label: value => value.toLocaleString('en-US')},
		y: {from: 0, to: highest * 1.1, ticks: ticksTo(highest * 1.1), label: value => `${Math.round(value)} MB`},
		lines,
	});
}

function backlogOf({name}: RowResult): number {
	return Number(name.split(', ')[1]!.replaceAll(',', ''));
}

function valuesOf({measurements}: RowResult, figure: 'recordsPerSecond' | 'peakRssBytes'): number[] {
	return measurements.flatMap(({figures}) => figures[figure] ?? []);
}

/** Round numbers from 0 up, four to ten of them. */
function ticksTo(highest: number): number[] {
	const decade = 10 ** Math.floor(Math.log10(highest));
	const step = highest / decade < 2 ? decade / 5 : highest / decade < 5 ? decade / 2 : decade;
	return Array.from({length: Math.floor(highest / step) + 1}, (_, index) => index * step);
}
