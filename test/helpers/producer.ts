import {setTimeout} from 'node:timers/promises';
import type {DiskQueue} from '../../source/index.ts';
import type {Note} from './journal.ts';
import {type NumberedRecord, numberedRecord} from './numbered-record.ts';
import {range} from './queues.ts';
import {pickFrom} from './random.ts';

/** A queue at work in a child, and where that is noted. */
export type QueueRun = {
	queue: DiskQueue<NumberedRecord>;
	note: (...note: Note) => void;
	random: () => number;
	/** The records to put: so many, or as many as can be. */
	firstId: number;
	count: number | undefined;
};

const maxBacklog = 200;
/** So many may be left when a run comes to its end. */
export const lastBacklog = 10;
/** The longest pause between two syncs, in milliseconds. */
const syncPause = 10;

/**
 * Puts numbered records in the order of their ids; ends when the last of them are put, and most are taken. Notes `p <id>`
 * before a put, `a <id>` when it has resolved.
 */
export async function produce(run: QueueRun): Promise<void> {
	const {queue, random, firstId, count} = run;
	const end = firstId + (count ?? Number.POSITIVE_INFINITY);
	for (let id = firstId; id < end; ) {
		const ids = range(id, Math.min(end, id + 1 + Math.floor(random() ** 2 * 40)));
		await pickFrom([putAtOnce, putMany, putNowait], random)(run, ids);
		id += ids.length;
		await untilLeft(queue, maxBacklog);
	}

	await untilLeft(queue, lastBacklog);
}

/** Syncs now and then. Notes `b` before, and `s` when it has ended. */
export async function syncOften({queue, note, random}: QueueRun): Promise<never> {
	for (;;) {
		await setTimeout(random() * syncPause);
		note('b');
		await queue.sync();
		note('s');
	}
}

/** Leaves it to the consumer. */
async function untilLeft(queue: QueueRun['queue'], records: number): Promise<void> {
	while (queue.size > records) {
		await setTimeout(1);
	}
}

async function putAtOnce({queue, note}: QueueRun, ids: number[]): Promise<void> {
	const put = async (id: number) => {
		note('p', id);
		await queue.put(numberedRecord(id));
		note('a', id);
	};
	await Promise.all(ids.map(put));
}

async function putMany({queue, note}: QueueRun, ids: number[]): Promise<void> {
	for (const id of ids) {
		note('p', id);
	}

	await queue.putMany(ids.map(numberedRecord));
	for (const id of ids) {
		note('a', id);
	}
}

/** Accepted only with the next record that is. */
async function putNowait({queue, note}: QueueRun, ids: number[]): Promise<void> {
	for (const id of ids) {
		note('p', id);
		queue.putNowait(numberedRecord(id));
	}
}
