import type {ChildProcess} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type ExampleOptions, type ExampleResult, startExample} from './examples.ts';

export type StoredUpload = {id: string; files: Array<{name: string; records: unknown[]}>};

/** The example `ingest`, running. */
export type Ingest = {
	child: ChildProcess;
	url: string;
	/** Resolves when a line comes that matches. */
	line(pattern: RegExp): Promise<void>;
	result: Promise<ExampleResult>;
};

/** Starts the example on a port that is free. */
export async function startIngest(
	t: ExecutionContext,
	directory: string,
	parameters: string[] = [],
	options: Pick<ExampleOptions, 'imports'> = {},
): Promise<Ingest> {
	const waiting = new Set<{pattern: RegExp; resolve: () => void}>();
	let url = '';
	const {child, result} = startExample(
		t,
		'ingest',
		['--port', '0', '--interval', '20', '--directory', directory, ...parameters],
		{
			...options,
			onLine(line) {
				url ||= /http:\S+\//.exec(line)?.[0] ?? '';
				for (const waiter of waiting) {
					if (waiter.pattern.test(line)) {
						waiting.delete(waiter);
						waiter.resolve();
					}
				}
			},
		},
	);
	const line = async (pattern: RegExp) => {
		const seen = new Promise<void>(resolve => waiting.add({pattern, resolve}));
		const ended = result.then(({errors, lines}) => {
			throw new Error(`Ended without ${pattern}: ${errors} ${lines.slice(-3).join('\n')}`);
		});
		await Promise.race([seen, ended]);
	};
	await line(/^Listening/);
	return {child, url, line, result};
}

/** What its worker has stored, by id. */
export function storedUploads(directory: string): Map<string, StoredUpload> {
	const stored = join(directory, 'stored');
	const uploads = readdirSync(stored)
		.filter(name => name.endsWith('.json'))
		.map(name => JSON.parse(readFileSync(join(stored, name), 'utf8')) as StoredUpload);
	return new Map(uploads.map(upload => [upload.id, upload]));
}
