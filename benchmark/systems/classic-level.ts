import {join} from 'node:path';
import {loadPeer} from '../peers.ts';
import {gather} from './gather.ts';
import {rowPacker} from './row-packer.ts';
import {type BatchCalls, fillAndDrain, type Setting, type System} from './system.ts';

/** What is used of classic-level. */
type Chain = {
	put(key: Buffer, value: Uint8Array): Chain;
	del(key: Buffer): Chain;
	write(options?: object): Promise<void>;
};
type Level = {
	open(): Promise<void>;
	batch(): Chain;
	iterator(options: {gt: Buffer; limit: number}): {all(): Promise<Array<[key: Buffer, value: Buffer]>>};
	close(): Promise<void>;
};

// Before all keys of records.
const shapesKey = Buffer.alloc(1);
const keyBytes = 6;

export const classicLevel: System = {
	peer: 'classic-level',
	setup:
		'A FIFO of ascending six-byte keys. The defaults, and MessagePack with structures that are saved beside the records. A ' +
		'batch is put in one chained batch, which was faster here than an array of operations; or read with one iterator ' +
		'that starts after the last key taken, and removed in one chained batch. With fsync what is put in one turn of the ' +
		'event loop, or during a write, is one batch with `sync: true`.',
	async openFifo(directory, setting) {
		const level = await openLevel(directory);
		return {...fillAndDrain(batchCalls(level, setting), setting.batchRecords), close: () => level.close()};
	},
	async openPuts(directory, setting) {
		const level = await openLevel(directory);
		return {put: gather(batchCalls(level, setting).putBatch), close: () => level.close()};
	},
};

async function openLevel(directory: string): Promise<Level> {
	const {ClassicLevel} = await loadPeer<{ClassicLevel: new (path: string, options: object) => Level}>('classic-level');
	const level = new ClassicLevel(join(directory, 'queue'), {keyEncoding: 'buffer', valueEncoding: 'buffer'});
	await level.open();
	return level;
}

function batchCalls(level: Level, {kind, durability}: Setting): BatchCalls {
	let [head, tail] = [0, 1];
	let chain = level.batch();
	const packer = rowPacker(kind, {load: () => undefined, save: shapes => chain.put(shapesKey, shapes)});
	return {
		async putBatch(records) {
			chain = level.batch();
			for (const record of records) {
				chain.put(keyOf(tail++), packer.pack(record));
			}

			await chain.write({sync: durability === 'fsync'});
		},
		async takeBatch(max) {
			const entries = await level.iterator({gt: keyOf(head), limit: max}).all();
			const removal = level.batch();
			for (const [key] of entries) {
				removal.del(key);
			}

			await removal.write();
			head += entries.length;
			return entries.map(([, value]) => packer.unpack(value));
		},
	};
}

function keyOf(number: number): Buffer {
	const key = Buffer.allocUnsafe(keyBytes);
	key.writeUIntBE(number, 0, keyBytes);
	return key;
}
