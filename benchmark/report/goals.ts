import type {CaseResult, RowResult} from '../results.ts';
import {type Spread, spreadOf} from '../statistics.ts';
import type {FigureName, Goal} from '../workload.ts';
import {formatFigure, formatFigureSpread, formatRatio, formatSpread, headingOf} from './figures.ts';

/** A goal and what came of it. */
export type Outcome = {
	goal: string;
	measured: string;
	/** Whether the median reaches the goal; undefined if it was not measured. */
	isMet: boolean | undefined;
	isStretch: boolean;
};

export function outcomesOf({goals, rows}: Pick<CaseResult, 'goals' | 'rows'>): Outcome[] {
	return goals.map(goal => {
		const values = valuesOf(goal, rows);
		const spread = values.length > 0 ? spreadOf(values) : undefined;
		return {
			goal: describeGoal(goal),
			measured: spread ? describeSpread(goal, spread) : 'not measured',
			isMet: spread && isReached(goal, spread),
			isStretch: goal.isStretch ?? false,
		};
	});
}

/** One value a round in which both rows were measured. */
function valuesOf(goal: Goal, rows: RowResult[]): number[] {
	const own = figuresOf(goal.row, goal.figure, rows);
	if (goal.against === undefined) {
		return own.filter(value => value !== undefined);
	}

	const others = figuresOf(goal.against, goal.againstFigure ?? goal.figure, rows);
	return own.flatMap((value, round) => {
		const other = others[round];
		if (value === undefined || other === undefined) {
			return [];
		}

		return goal.compared === 'difference' ? value - other : value / other;
	});
}

function figuresOf(name: string, figure: FigureName, rows: RowResult[]): Array<number | undefined> {
	const row = rows.find(candidate => candidate.name === name);
	return row?.measurements.map(({figures}) => figures[figure]) ?? [];
}

function isReached({atLeast, atMost}: Goal, {median}: Spread): boolean {
	return median >= (atLeast ?? Number.NEGATIVE_INFINITY) && median <= (atMost ?? Number.POSITIVE_INFINITY);
}

function describeGoal(goal: Goal): string {
	const {row, figure, against, againstFigure, compared, isStretch} = goal;
	const bound = formatValue(goal, (goal.atLeast ?? goal.atMost)!);
	const sign = goal.atLeast === undefined ? '≤' : '≥';
	const other = againstFigure ? `the ${headingOf(againstFigure)} of ${against}` : against;
	const limit = against === undefined ? bound : `${bound} ${compared === 'difference' ? 'more than' : '×'} ${other}`;
	return `${row}: ${headingOf(figure)} ${sign} ${limit}${isStretch ? ' (stretch)' : ''}`;
}

function describeSpread(goal: Goal, spread: Spread): string {
	return isRatio(goal) ? formatSpread(spread, formatRatio) : formatFigureSpread(goal.figure, spread);
}

function formatValue(goal: Goal, value: number): string {
	return isRatio(goal) ? formatRatio(value) : formatFigure(goal.figure, value);
}

function isRatio({against, compared}: Goal): boolean {
	return against !== undefined && compared !== 'difference';
}
