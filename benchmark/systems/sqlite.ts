import {join} from 'node:path';
import {loadPeer} from '../peers.ts';
import {gather} from './gather.ts';
import {type RowPacker, rowPacker, type ShapeStore} from './row-packer.ts';
import {fillAndDrain, type Setting, type SharedQueue, type System} from './system.ts';
import {waitingGets} from './waiting-gets.ts';

/** What is used of better-sqlite3. */
type Statement = {run(...values: unknown[]): unknown; all(...values: unknown[]): unknown[]; raw(): Statement};
type Database = {
	pragma(text: string): unknown;
	exec(text: string): unknown;
	prepare(text: string): Statement;
	transaction<Value, Result>(work: (value: Value) => Result): (value: Value) => Result;
	close(): void;
};
type Row = [id: number, record: Uint8Array];

export const sqlite: System = {
	peer: 'better-sqlite3',
	setup:
		'A FIFO table with an integer primary key and a blob of MessagePack a row. WAL; `synchronous` is NORMAL, which ' +
		'is consistent after a power cut, and FULL for fsync. Statements are prepared once; a batch is put, or selected ' +
		'and deleted up to its last key, in one transaction. With fsync what is put in one turn of the event loop is one ' +
		'transaction. For latency each record is one, and a waiting get is woken by the put.',
	async load() {
		(await openDatabase(':memory:')).close();
	},
	async openFifo(directory, setting) {
		const table = await openTable(directory, setting);
		return {...fillAndDrain(table, setting.batchRecords), close: table.close};
	},
	openPuts: openQueue,
	openQueue,
};

async function openQueue(directory: string, setting: Setting): Promise<SharedQueue> {
	const {putBatch, takeBatch, close} = await openTable(directory, setting);
	const putNow = async (record: object) => putBatch([record]);
	return {...waitingGets(setting.durability === 'fsync' ? gather(putBatch) : putNow, () => takeBatch(1)), close};
}

type Table = {putBatch(records: object[]): void; takeBatch(max: number): unknown[]; close(): void};

async function openTable(directory: string, {kind, durability}: Setting): Promise<Table> {
	const database = await openDatabase(join(directory, 'queue.db'));
	database.pragma('journal_mode = WAL');
	database.pragma(`synchronous = ${durability === 'fsync' ? 'FULL' : 'NORMAL'}`);
	database.exec('CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, record BLOB NOT NULL)');
	database.exec('CREATE TABLE IF NOT EXISTS shapes (id INTEGER PRIMARY KEY, shapes BLOB NOT NULL)');
	return {...batchCalls(database, rowPacker(kind, shapeTable(database))), close: () => database.close()};
}

async function openDatabase(path: string): Promise<Database> {
	const {default: Database} = await loadPeer<{default: new (path: string) => Database}>('better-sqlite3');
	return new Database(path);
}

function batchCalls(database: Database, packer: RowPacker): Omit<Table, 'close'> {
	const insert = database.prepare('INSERT INTO queue (record) VALUES (?)');
	const select = database.prepare('SELECT id, record FROM queue ORDER BY id LIMIT ?').raw();
	const remove = database.prepare('DELETE FROM queue WHERE id <= ?');
	const takeRows = database.transaction((max: number) => {
		const rows = select.all(max) as Row[];
		if (rows.length > 0) {
			remove.run(rows.at(-1)![0]);
		}

		return rows;
	});
	return {
		putBatch: database.transaction((records: object[]) => {
			for (const record of records) {
				insert.run(packer.pack(record));
			}
		}),
		takeBatch: max => takeRows(max).map(([, record]) => packer.unpack(record)),
	};
}

function shapeTable(database: Database): ShapeStore {
	const insert = database.prepare('INSERT OR REPLACE INTO shapes (id, shapes) VALUES (1, ?)');
	const select = database.prepare('SELECT shapes FROM shapes').raw();
	return {
		load: () => (select.all() as Array<[Uint8Array]>)[0]?.[0],
		save: shapes => void insert.run(shapes),
	};
}
