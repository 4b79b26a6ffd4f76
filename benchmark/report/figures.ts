import type {Spread} from '../statistics.ts';
import type {FigureName} from '../workload.ts';

type Style = {heading: string; unit: string; format(value: number): string};

const whole = (value: number) => Math.round(value).toLocaleString('en-US');
const rate = (value: number) =>
	value >= 1e6 ? `${three(value / 1e6)} M` : value >= 1e4 ? `${three(value / 1e3)} k` : whole(value);
const three = (value: number) => (value >= 100 ? whole(value) : value.toPrecision(3));
const precise = (value: number) => (value >= 100 ? whole(value) : String(Number(value.toPrecision(2))));
const megabytes = (value: number) => precise(value / 1e6);

const styles: Readonly<Record<FigureName, Style>> = {
	recordsPerSecond: {heading: 'records/s', unit: '', format: rate},
	fillPerSecond: {heading: 'put/s', unit: '', format: rate},
	drainPerSecond: {heading: 'taken/s', unit: '', format: rate},
	cpuMicroseconds: {heading: 'CPU each', unit: ' µs', format: precise},
	peakRssBytes: {heading: 'peak memory', unit: ' MB', format: megabytes},
	diskBytes: {heading: 'on disk', unit: ' MB', format: megabytes},
	payloadBytes: {heading: 'payload', unit: ' MB', format: megabytes},
	recordsWritten: {heading: 'records to disk', unit: '', format: whole},
	p50Microseconds: {heading: 'p50', unit: ' µs', format: precise},
	p99Microseconds: {heading: 'p99', unit: ' µs', format: precise},
	openMilliseconds: {heading: 'first record after', unit: ' ms', format: precise},
	p50Milliseconds: {heading: 'p50', unit: ' ms', format: precise},
	p99Milliseconds: {heading: 'p99', unit: ' ms', format: precise},
	maxMilliseconds: {heading: 'longest', unit: ' ms', format: precise},
};

export function headingOf(figure: FigureName): string {
	return styles[figure].heading;
}

export function formatFigure(figure: FigureName, value: number): string {
	const {unit, format} = styles[figure];
	return `${format(value)}${unit}`;
}

/** Median, with the least and the most in brackets. */
export function formatSpread({median, min, max}: Spread, format: (value: number) => string, unit = ''): string {
	return `${format(median)}${unit} (${format(min)}–${format(max)})`;
}

export function formatFigureSpread(figure: FigureName, spread: Spread): string {
	const {unit, format} = styles[figure];
	return formatSpread(spread, format, unit);
}

export function formatRatio(value: number): string {
	return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
