import type {Delivered} from '../format/checkpoint.ts';
import type {LoadedBlock, SegmentReader} from '../log/segment-reader.ts';
import type {Held} from './held.ts';
import {Lease} from './lease.ts';

/** Brings back what an earlier run had delivered and not acknowledged: those records are the next. */
export async function restoreDelivered<T>(held: Held<T>, {next, runs}: Delivered): Promise<void> {
	const {reader} = held.log;
	for (let run = runs.shift(); run; run = runs.shift()) {
		if (run.first + run.records > reader.sequence) {
			reader.skipTo(run.first);
		}

		const block = await readBlock(reader);
		if (!block) {
			break;
		}

		runs.unshift(run);
		restoreBlock(held, block, {next, runs});
	}

	reader.skipTo(next);
}

async function readBlock<T>(reader: SegmentReader<T>): Promise<LoadedBlock<T> | undefined> {
	let block = reader.next();
	while (!block && !reader.isAtEnd) {
		await reader.load();
		block = reader.next();
	}

	return block;
}

/** Sorts the records of a block into those of the runs, which come back, those behind `next`, and those done. */
function restoreBlock<T>(
	{log, memory, pending}: Held<T>,
	{records, bytes, appendedAt}: LoadedBlock<T>,
	{next, runs}: Delivered,
): void {
	const end = log.reader.sequence;
	const start = end - records.length;
	for (let run = runs.shift(); run; run = runs.shift()) {
		const from = Math.max(run.first, start);
		const to = Math.min(run.first + run.records, end);
		if (from < to) {
			const lease = new Lease(records.slice(from - start, to - start), from, run.attempts);
			lease.state = 'ready';
			pending.add(lease);
		}

		if (run.first + run.records > end) {
			const first = Math.max(run.first, end);
			runs.unshift({...run, first, records: run.first + run.records - first});
			break;
		}
	}

	const waiting = records.slice(Math.max(0, next - start));
	if (waiting.length > 0) {
		memory.head.push(waiting, bytes * (waiting.length / records.length), appendedAt);
	}
}
