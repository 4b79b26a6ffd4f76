import {readdirSync, unlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {benchmarkFolder} from '../peers.ts';
import type {CaseResult, Results} from '../results.ts';
import {loadSystem, systemNames} from '../systems/index.ts';
import {chartOf} from './charts.ts';
import {outcomesOf} from './goals.ts';
import {figuresTable, goalsTable, table} from './tables.ts';

const docs = join(benchmarkFolder, '..', 'docs');

/** Writes docs/benchmarks.md and its charts. */
export async function writeDocument(results: Results): Promise<void> {
	for (const name of readdirSync(docs).filter(isChart)) {
		unlinkSync(join(docs, name));
	}

	for (const result of results.cases) {
		const chart = chartOf(result);
		if (chart) {
			writeFileSync(join(docs, chartName(result)), chart);
		}
	}

	writeFileSync(join(docs, 'benchmarks.md'), await documentOf(results));
}

function chartName({name}: Pick<CaseResult, 'name'>): string {
	return `benchmarks-${name}.svg`;
}

function isChart(file: string): boolean {
	return file.startsWith('benchmarks-') && file.endsWith('.svg');
}

async function documentOf(results: Results): Promise<string> {
	const sections = results.cases.map((result, index) => sectionOf(result, results.cases[index - 1]));
	return `${[introduction(results), summaryOf(results), ...sections, await setupsOf(results)].join('\n\n')}\n`;
}

function introduction({form, environment}: Results): string {
	const {machine, fileSystem, node, disq} = environment;
	return `# Benchmarks

<!-- Written by \`npm run benchmark -- --write\`. -->

${form === 'quick' ? '**Of the quick form: few records, one round. Not to be relied on.**\n\n' : ''}\
Each measurement is a process of its own, in an empty directory; the rows of a table take turns, so that whatever else
the machine does meets all of them. Figures are medians, with the least and the most in brackets; ratios are taken within
a round. Every record that comes out is checked to be the next one. Throughputs are taken once the code is warm, from a run
in another directory; CPU is that of all threads. Memory is the most that the process has had resident, the harness included.

disq ${disq}, Node ${node}, ${fileSystem} on
${machine}.
What the rows are is told [below](#set-up); \`npm run benchmark\` repeats it all.`;
}

function summaryOf({cases}: Results): string {
	const outcomes = cases.flatMap(result => outcomesOf(result).map(outcome => ({...outcome, of: result})));
	const goals = outcomes.filter(({isStretch}) => !isStretch);
	const missed = outcomes.filter(({isMet}) => isMet === false);
	const met = `${goals.filter(({isMet}) => isMet).length} of ${goals.length} goals are met.`;
	if (missed.length === 0) {
		return met;
	}

	const rows = missed.map(({goal, measured, of}) => [`${of.workloadTitle}. ${of.title}`, goal, measured]);
	return `${met} Not met:\n\n${table(['where', 'goal', 'measured'], rows)}`;
}

function sectionOf(result: CaseResult, previous: CaseResult | undefined): string {
	const heading = result.workload === previous?.workload ? '' : `## ${result.workloadTitle}\n\n`;
	const chart = chartOf(result) ? `![${result.title}](${chartName(result)})\n\n` : '';
	const goals = result.goals.length > 0 ? `\n\n${goalsTable(result)}` : '';
	return `${heading}### ${result.title}

${result.what} ${countRounds(result)} rounds, ${result.date}.

${chart}${figuresTable(result)}${goals}`;
}

function countRounds({rows}: CaseResult): number {
	return Math.max(...rows.map(({measurements}) => measurements.length));
}

async function setupsOf({environment}: Results): Promise<string> {
	const rows = await Promise.all(
		systemNames.map(async name => {
			const {peer, setup} = await loadSystem(name);
			const version = peer && (environment.peers[peer] ?? 'not installed');
			return [peer ? `${peer} ${version}` : name, setup];
		}),
	);
	return `## Set-up

${table(['row', 'what it does'], rows)}

Left out: pydisq, the Python queue that disq succeeds, of which no package can be installed.`;
}
