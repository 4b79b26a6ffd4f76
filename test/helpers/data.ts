import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

/** Path of a file of vega-datasets. */
export function dataFile(name: string): string {
	return fileURLToPath(new URL(`../data/${name}`, import.meta.resolve('vega-datasets')));
}

/** Records of a JSON file of vega-datasets. */
export function dataOf<T = Record<string, unknown>>(name: string): T[] {
	return JSON.parse(readFileSync(dataFile(name), 'utf8')) as T[];
}

/** Records as NDJSON. */
export function linesOf(records: unknown[]): Buffer {
	return Buffer.from(records.map(record => `${JSON.stringify(record)}\n`).join(''));
}
