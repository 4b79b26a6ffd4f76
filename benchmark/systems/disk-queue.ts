import {join} from 'node:path';
import {loadPeer} from '../peers.ts';
import {gather} from './gather.ts';
import {type BatchCalls, fillAndDrain, type System} from './system.ts';

/** What is used of disk-queue. */
type LineQueue = {push(...records: object[]): void; shift(): unknown; close(): void};

export const diskQueue: System = {
	peer: 'disk-queue',
	setup:
		'Its defaults: JSON lines, `fdatasync` in every push. So a batch is one push; what is put in one turn of the event loop ' +
		'likewise. Records are shifted one by one, there being no other call. It starts empty and ends empty: nothing is ' +
		'kept over a restart. Not measured with C, which JSON cannot carry.',
	async openFifo(directory, {batchRecords}) {
		const {calls, close} = await open(directory);
		return {...fillAndDrain(calls, batchRecords), close};
	},
	async openPuts(directory) {
		const {calls, close} = await open(directory);
		return {put: gather(calls.putBatch), close};
	},
};

async function open(directory: string): Promise<{calls: BatchCalls; close: () => void}> {
	const {DiskQueue} = await loadPeer<{DiskQueue: new (options: {filePath: string}) => LineQueue}>('disk-queue');
	const queue = new DiskQueue({filePath: join(directory, 'queue')});
	const calls: BatchCalls = {
		putBatch: records => queue.push(...records),
		takeBatch: max => Array.from({length: max}, () => queue.shift()),
	};
	return {calls, close: () => queue.close()};
}
