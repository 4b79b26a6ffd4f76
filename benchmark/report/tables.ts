import type {CaseResult, RowResult} from '../results.ts';
import {spreadOf} from '../statistics.ts';
import type {FigureName} from '../workload.ts';
import {formatFigureSpread, headingOf} from './figures.ts';
import {type Outcome, outcomesOf} from './goals.ts';

/** What a case measured, as Markdown: a line a row, medians with the least and the most. */
export function figuresTable({rows, columns}: CaseResult): string {
	return table(
		['', ...columns.map(headingOf)],
		rows.map(row => [row.role === 'disq' ? `**${row.name}**` : row.name, ...cellsOf(row, columns)]),
		1,
	);
}

function cellsOf({measurements, problem}: RowResult, columns: FigureName[]): string[] {
	return columns.map((figure, column) => {
		const values = measurements.flatMap(({figures}) => figures[figure] ?? []);
		if (values.length === 0) {
			return column === 0 && problem ? `left out: ${problem}` : '';
		}

		return formatFigureSpread(figure, spreadOf(values));
	});
}

/** The goals of a case, and whether they were met. */
export function goalsTable(result: CaseResult): string {
	return table(
		['goal', 'measured', 'met'],
		outcomesOf(result).map(({goal, measured, isMet}) => [goal, measured, verdict(isMet)]),
	);
}

export function verdict(isMet: Outcome['isMet']): string {
	return isMet === undefined ? '–' : isMet ? 'yes' : '**no**';
}

/** A table whose last columns, from a place on, are figures. */
export function table(headings: string[], rows: string[][], firstFigure: number = headings.length): string {
	const escaped = rows.map(cells => cells.map(cell => cell.replaceAll('|', '\\|')));
	const lines = [headings, headings.map((_, column) => (column < firstFigure ? '---' : '---:')), ...escaped];
	return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n');
}
