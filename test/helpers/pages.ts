import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';

export const root: string = join(import.meta.dirname, '../../..');

/** A part of a page under one heading, without those under the next ones. */
export type Section = {title: string; anchor: string; text: string};

/** A fenced block of code, named by its page, the heading above it and, if there are several, its number there. */
export type Block = {id: string; language: string; text: string};

const readmeAndDocs: string[] = [
	'README.md',
	...readdirSync(join(root, 'docs'))
		.filter(name => name.endsWith('.md'))
		.map(name => `docs/${name}`),
];

/** The pages that a person reads, by their paths from the root. */
export const pages: readonly string[] = readmeAndDocs;

export function readPage(page: string): string {
	return readFileSync(join(root, page), 'utf8');
}

/** The sections of a page in order; what stands above the first heading is none. */
export function sectionsOf(page: string): Section[] {
	const sections: Section[] = [];
	let isCode = false;
	for (const line of readPage(page).split('\n')) {
		isCode = line.startsWith('```') ? !isCode : isCode;
		const title = isCode ? undefined : /^#+ (.*)$/.exec(line)?.[1];
		if (title !== undefined) {
			sections.push({title, anchor: anchorOf(title), text: ''});
		} else if (sections.length > 0) {
			sections.at(-1)!.text += `${line}\n`;
		}
	}

	return sections;
}

/** The anchor that GitHub gives a heading. */
export function anchorOf(title: string): string {
	return title
		.toLowerCase()
		.replace(/[^\p{L}\p{N}\s_-]/gu, '')
		.replaceAll(' ', '-');
}

/** The rows of the tables in a text, as their cells, without the heads. */
export function rowsOf(text: string): string[][] {
	const lines = text.split('\n').filter(line => line.startsWith('|'));
	return lines
		.filter((line, index) => !isRule(line) && !isRule(lines[index + 1] ?? ''))
		.map(line =>
			line
				.slice(1, -1)
				.split('|')
				.map(cell => cell.trim()),
		);
}

function isRule(line: string): boolean {
	return /^\|(-+\|)+$/.test(line);
}

/** What stands in code in a text: `put` and `get` of "`put`, `get`". */
export function codeIn(text: string): string[] {
	return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
}

export function blocksOf(page: string): Block[] {
	return sectionsOf(page).flatMap(({anchor, text}) => {
		const found = [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
		return found.map(([, language, block], index) => ({
			id: `${page}#${anchor}${found.length > 1 ? `:${index + 1}` : ''}`,
			language: language!,
			text: block!,
		}));
	});
}
