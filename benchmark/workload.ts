import type {SystemName} from './systems/index.ts';

/** What is measured, by name: the name ends in the unit. */
export type FigureName =
	| 'recordsPerSecond'
	| 'fillPerSecond'
	| 'drainPerSecond'
	| 'cpuMicroseconds'
	| 'peakRssBytes'
	| 'diskBytes'
	| 'payloadBytes'
	| 'recordsWritten'
	| 'p50Microseconds'
	| 'p99Microseconds'
	| 'openMilliseconds'
	| 'p50Milliseconds'
	| 'p99Milliseconds'
	| 'maxMilliseconds';

export type Figures = {[Name in FigureName]?: number};

/** What one process measured. */
export type Measurement = {
	figures: Figures;
	/** Counts of latencies, by the buckets of `histogram.ts`. */
	histogram?: number[];
};

/** One system in one setting: a row of a table. Each of its measurements is a process of its own. */
export type Row<Parameters> = {
	name: string;
	system: SystemName;
	/** disq, what bounds it, or what it is compared with. */
	role: 'disq' | 'limit' | 'peer';
	parameters: Parameters;
	/** Of rows that measure a queue prepared beforehand: rows with the same name share one directory, kept over all rounds. */
	directory?: string;
	/** Measured once in that directory before the first round, and in every round before the measurement that counts. */
	prepare?: Parameters;
	before?: Parameters;
};

/** What a row should reach: its figure, or that figure compared with another row's in the same round. */
export type Goal = {
	row: string;
	figure: FigureName;
	against?: string;
	/** Figure of the other row. @default `figure` */
	againstFigure?: FigureName;
	/** @default 'ratio' */
	compared?: 'ratio' | 'difference';
	atLeast?: number;
	atMost?: number;
	/** One that would be good to reach, and is not a fault to miss. */
	isStretch?: boolean;
};

/** Rows that are measured in turn, A B C A B C, and compared with each other: one table. */
export type Case<Parameters> = {
	name: string;
	title: string;
	/** What happens, in a sentence or two. */
	what: string;
	rows: Array<Row<Parameters>>;
	columns: FigureName[];
	goals: Goal[];
};

/** Scales a count to the form of the run. */
export type Sized = (full: number, quick: number) => number;

export type Workload<Parameters> = {
	title: string;
	cases(sized: Sized): Array<Case<Parameters>>;
	/** Runs in the process that is measured, in an empty directory unless the row has another. */
	measure(parameters: Parameters, directory: string): Promise<Measurement>;
};
