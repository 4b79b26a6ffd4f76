import {join} from 'node:path';
import {loadPeer} from '../peers.ts';
import type {RecordKind} from '../records.ts';
import {type BatchCalls, fillAndDrain, type System} from './system.ts';

/** What is used of lmdb. */
type Store = {
	put(key: number, value: object): Promise<boolean>;
	putSync(key: number, value: object, options?: {append: boolean}): boolean;
	removeSync(key: number): boolean;
	transactionSync<Result>(work: () => Result): Result;
	getRange(options: {start: number; limit: number}): Iterable<{key: number; value: unknown}>;
	readonly flushed: Promise<unknown>;
	close(): Promise<void>;
};

export const lmdb: System = {
	peer: 'lmdb',
	setup:
		'A FIFO of ascending numbers as keys. The defaults, with which a transaction is synced in the background, and ' +
		"lmdb's own MessagePack with shared structures. A batch is put with `append`, or read and removed, in one " +
		'`transactionSync`, which was faster here than promises. With fsync each put is awaited, and `flushed` after it: ' +
		'lmdb gathers them by itself.',
	async openFifo(directory, setting) {
		const store = await openStore(directory, setting.kind);
		return {...fillAndDrain(batchCalls(store), setting.batchRecords), close: () => store.close()};
	},
	async openPuts(directory, setting) {
		const store = await openStore(directory, setting.kind);
		let tail = 1;
		return {
			async put(record) {
				await store.put(tail++, record);
				await store.flushed;
			},
			close: () => store.close(),
		};
	},
};

async function openStore(directory: string, kind: RecordKind): Promise<Store> {
	const {open} = await loadPeer<{open(options: object): Store}>('lmdb');
	const encoding = kind === 'C' ? {encoding: 'binary'} : {sharedStructuresKey: Symbol.for('structures')};
	return open({path: join(directory, 'queue'), ...encoding});
}

function batchCalls(store: Store): BatchCalls {
	let [head, tail] = [1, 1];
	return {
		putBatch(records) {
			store.transactionSync(() => {
				for (const record of records) {
					store.putSync(tail++, record, {append: true});
				}
			});
		},
		takeBatch: max =>
			store.transactionSync(() => {
				const entries = [...store.getRange({start: head, limit: max})];
				for (const {key} of entries) {
					store.removeSync(key);
				}

				head += entries.length;
				return entries.map(({value}) => value);
			}),
	};
}
