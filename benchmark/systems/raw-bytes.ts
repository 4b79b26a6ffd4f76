import {closeSync, openSync, readSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {Packr} from 'msgpackr';
import {batches, type System} from './system.ts';

export const rawBytes: System = {
	setup:
		'A limit, not a queue: one block, packed beforehand, is appended once for every batch and read back into one ' +
		'buffer. Nothing is packed, checked or unpacked meanwhile.',
	async openFifo(directory, {batchRecords}) {
		const file = openSync(join(directory, 'bytes'), 'wx+');
		let block: Buffer = Buffer.alloc(0);
		return {
			async fill(count, make) {
				block = new Packr().pack(batches(batchRecords, batchRecords, make).next().value);
				for (let written = 0; written < count; written += batchRecords) {
					writeSync(file, block);
				}
			},
			async drain(count) {
				const target = Buffer.allocUnsafeSlow(block.byteLength);
				for (let read = 0, position = 0; read < count; read += batchRecords) {
					position += readSync(file, target, 0, target.byteLength, position);
				}
			},
			close: () => closeSync(file),
		};
	},
};
