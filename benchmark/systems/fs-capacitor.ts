import {once} from 'node:events';
import type {Readable, Writable} from 'node:stream';
import {loadPeer} from '../peers.ts';
import type {System} from './system.ts';

/** What is used of fs-capacitor. */
type Capacitor = Writable & {createReadStream(options: {highWaterMark: number}): Readable; release(): void};
type CapacitorClass = new (options: {highWaterMark: number; tmpdir: () => string}) => Capacitor;

const writeBufferBytes = 1024 * 1024;
const recordBytes = 64 * 1024;

export const fsCapacitor: System = {
	peer: 'fs-capacitor',
	setup:
		'A stream of bytes, so measured with C only, whose records are written as they are, with regard to backpressure and ' +
		'a buffer of 1 MiB, and come back by a read stream whose chunks are just as long. The file is never reclaimed while ' +
		'it is read, and is gone with the process.',
	async openFifo(directory) {
		const {WriteStream} = await loadPeer<{WriteStream: CapacitorClass}>('fs-capacitor');
		const capacitor = new WriteStream({highWaterMark: writeBufferBytes, tmpdir: () => directory});
		return {
			async fill(count, make) {
				for (let index = 0; index < count; index++) {
					if (!capacitor.write(make(index))) {
						await once(capacitor, 'drain');
					}
				}

				capacitor.end();
				await once(capacitor, 'finish');
			},
			async drain(_count, take) {
				for await (const chunk of capacitor.createReadStream({highWaterMark: recordBytes})) {
					take(chunk);
				}
			},
			async close() {
				capacitor.release();
				await once(capacitor, 'close');
			},
		};
	},
};
