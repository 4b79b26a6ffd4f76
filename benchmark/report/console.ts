import type {CaseResult, Results, RowResult} from '../results.ts';
import type {FigureName} from '../workload.ts';
import type {WorkloadName} from '../workloads/index.ts';
import {formatFigure, headingOf} from './figures.ts';
import {outcomesOf} from './goals.ts';

/** Prints one measurement, to see that something happens. */
export function printMeasurement(caseName: string, round: number, {name, measurements, problem}: RowResult): void {
	const figures = Object.entries(measurements.at(-1)?.figures ?? {}) as Array<[FigureName, number]>;
	const [figure] = figures.map(([figure, value]) => `${formatFigure(figure, value)} ${headingOf(figure)}`);
	console.log(`${caseName} ${round}  ${name}: ${problem ?? figure ?? ''}`);
}

/** Prints what came of the goals of a case. */
export function printOutcomes(result: CaseResult): void {
	for (const {goal, measured, isMet} of outcomesOf(result)) {
		console.log(`  ${isMet === undefined ? '?' : isMet ? 'met   ' : 'MISSED'}  ${goal}: ${measured}`);
	}
}

export function printSummary({cases}: Results, workloads: WorkloadName[]): void {
	console.log('\nGoals');
	for (const result of cases.filter(({workload}) => workloads.includes(workload))) {
		console.log(`${result.workloadTitle}. ${result.title}`);
		printOutcomes(result);
	}
}
