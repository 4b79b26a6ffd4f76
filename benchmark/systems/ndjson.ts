import {once} from 'node:events';
import {closeSync, createReadStream, openSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {batches, type System} from './system.ts';

export const ndjson: System = {
	setup:
		'What many start with, not a queue: a batch of JSON lines is appended in one call; `readline` over a read stream of ' +
		'256 KiB gives them back by its `line` event, which is faster than its iterator. Nothing is removed, and how far it ' +
		'was read is known to nobody after a crash. Not measured with C, which JSON cannot carry.',
	async openFifo(directory, {batchRecords}) {
		const path = join(directory, 'records.ndjson');
		const file = openSync(path, 'wx');
		return {
			async fill(count, make) {
				for (const batch of batches(count, batchRecords, make)) {
					writeSync(file, batch.map(record => `${JSON.stringify(record)}\n`).join(''));
				}
			},
			async drain(_count, take) {
				const lines = createInterface({input: createReadStream(path, {highWaterMark: 256 * 1024})});
				lines.on('line', line => take(JSON.parse(line)));
				await once(lines, 'close');
			},
			close: () => closeSync(file),
		};
	},
};
