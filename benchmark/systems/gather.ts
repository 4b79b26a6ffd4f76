import {setImmediate as nextTurn} from 'node:timers/promises';

/**
 * Makes batches of puts: those of one turn of the event loop, and those that come while a batch is being written. This is
 * how a careful user makes one sync serve many producers.
 */
export function gather(write: (batch: object[]) => unknown): (record: object) => Promise<void> {
	let batch: object[] = [];
	let batchWritten: Promise<void> | undefined;
	let lastWritten = Promise.resolve();

	async function writeBatch(previous: Promise<void>): Promise<void> {
		await previous;
		await nextTurn();
		const records = batch;
		batch = [];
		batchWritten = undefined;
		await write(records);
	}

	return record => {
		batch.push(record);
		if (!batchWritten) {
			batchWritten = writeBatch(lastWritten);
			lastWritten = batchWritten;
		}

		return batchWritten;
	};
}
