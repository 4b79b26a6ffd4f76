import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {pEvent} from 'p-event';
import {consume, type DiskQueueStream, diskQueue} from '../../source/index.ts';
import type {FaultRun, Numbered} from './fault-run.ts';
import type {Start} from './fault-starts.ts';
import type {NumberedRecord} from './numbered-record.ts';
import {makeSink, type SinkKind} from './sinks.ts';

/** A use of the library over a directory as it is at the start. */
export type Script = {name: string; start: Start; run(run: FaultRun): Promise<void>};

/** A script over an open queue. */
function withQueue(name: string, start: Start, use: (queue: Numbered, run: FaultRun) => Promise<void>): Script {
	return {
		name,
		start,
		async run(run) {
			const queue = await run.open();
			if (queue) {
				await use(queue, run);
			}
		},
	};
}

const queueScripts: Script[] = [
	withQueue('puts of every kind', 'missing', async (queue, run) => {
		await run.put(queue, 3);
		run.putNow(queue, 3);
		await run.putMany(queue, 30);
		run.putNow(queue, 2);
		await run.put(queue, 4);
	}),
	withQueue('many puts at once', 'empty', async (queue, run) => {
		await run.put(queue, 40);
		await run.take(queue, 5);
		await run.put(queue, 30);
		await run.drain(queue);
	}),
	withQueue('takes of every kind', 'clean', async (queue, run) => {
		await run.attempt('peek', () => queue.peek());
		await run.attempt('peek many', () => queue.peek(30));
		run.ledger.take((await run.attempt('getNowait', () => [queue.getNowait()])) ?? []);
		run.ledger.take((await run.attempt('get', async () => [await queue.get()])) ?? []);
		await run.take(queue, 20);
		run.ledger.take((await run.attempt('getNowait', () => [queue.getNowait()])) ?? []);
		await run.drain(queue);
	}),
	withQueue('deliveries', 'empty', async (queue, run) => {
		await run.put(queue, 20);
		const deliveries = await run.receive(queue, 6);
		for (const [index, delivery] of deliveries.entries()) {
			if (index % 2 === 0) {
				delivery.ack();
				run.ledger.finish(delivery.record);
			}
		}

		await run.sync(queue);
		const second = deliveries[1];
		second?.nack();
		if (second) {
			run.ledger.giveBack(second.record);
		}

		for (const delivery of await run.receive(queue, 4)) {
			delivery.ack();
			run.ledger.finish(delivery.record);
		}
	}),
	withQueue('a sync after each step', 'empty', async (queue, run) => {
		await run.put(queue, 12);
		await run.sync(queue);
		await run.take(queue, 3);
		await run.sync(queue);
		await run.putMany(queue, 20);
		await run.sync(queue);
		await run.drain(queue);
		await run.sync(queue);
		await run.put(queue, 2);
	}),
	withQueue('a clear', 'clean', async (queue, run) => {
		await run.putMany(queue, 5);
		if (await run.attempt('clear', () => queue.clear().then(() => true))) {
			run.ledger.clear();
		}

		await run.sync(queue);
		await run.putMany(queue, 10);
	}),
	withQueue('rolls and reclaims', 'empty', async (queue, run) => {
		for (let round = 0; round < 4; round++) {
			await run.putMany(queue, 16);
			await run.drain(queue);
		}
	}),
	withQueue('a start after a crash', 'crashed', async (queue, run) => {
		await run.take(queue, 10);
		await run.put(queue, 5);
		await run.drain(queue);
	}),
	withQueue('a start over damage', 'damaged', async (queue, run) => {
		await run.put(queue, 5);
		await run.attempt('shutdown', () => queue.shutdown());
		await run.drain(queue);
	}),
	withQueue('an iteration that is left', 'clean', async (queue, run) => {
		await run.attempt('iteration', async () => {
			let left = 15;
			for await (const record of queue) {
				run.ledger.take([record]);
				if (left-- === 0) {
					run.ledger.giveBack(record);
					break;
				}
			}
		});
	}),
	withQueue('a consumer', 'clean', async (queue, run) => {
		await run.put(queue, 3);
		await run.attempt('shutdown', () => queue.shutdown());
		await run.attempt('consume', () =>
			consume(
				queue,
				record => {
					run.ledger.take([record]);
				},
				{signal: run.givenUp},
			),
		);
	}),
];

/** Makes a stream over the directory of a run, and notes the records written to it, its callbacks and its errors. */
function openStream(run: FaultRun): {stream: DiskQueueStream<NumberedRecord>; check: () => void} {
	const stream = diskQueue<NumberedRecord>(run.directory, {...run.options, highWaterMark: 4});
	stream.once('ready', (queue: Numbered) => run.watch(queue, () => stream.destroy(new Error('given up'))));
	let errors = 0;
	stream.on('error', () => {
		errors++;
	});
	const callbacks = new Map<number, number>();
	const write = stream.write.bind(stream) as (record: unknown, callback: (error?: Error | null) => void) => boolean;
	stream.write = (record: NumberedRecord) => {
		callbacks.set(record.id, 0);
		return write(record, error => {
			callbacks.set(record.id, callbacks.get(record.id)! + 1);
			if (!error) {
				run.ledger.note([record], run.durability === 'spill' ? 'accepted' : 'safe');
			}
		});
	};
	const check = () => {
		if (errors > 1) {
			run.problems.push(`${errors} errors of a stream`);
		}

		for (const [id, count] of callbacks) {
			if (count !== 1) {
				run.problems.push(`${count} callbacks of the write of ${id}`);
			}
		}
	};
	return {stream, check};
}

/** Runs a pipeline from records through a stream into a sink that keeps the ledger. */
async function pipe(run: FaultRun, count: number, kind: SinkKind, isFailing = false): Promise<void> {
	const {stream, check} = openStream(run);
	const refusal = new Error('refused by the sink');
	let left = 10;
	const {writable} = makeSink<NumberedRecord>({
		kind,
		highWaterMark: 3,
		refuse(records) {
			if (isFailing && left-- === 0) {
				return refusal;
			}

			run.ledger.take(records);
			return undefined;
		},
	});
	const closed = pEvent(stream, 'close', {rejectionEvents: []});
	const vouched = run.ledger.vouch();
	run.pending.add('pipeline');
	try {
		await pipeline(Readable.from(run.ledger.next(count)), stream, writable);
	} catch (error) {
		if (error !== refusal && (error as Error).message !== 'given up') {
			run.checkError('pipeline', error);
		}
	}

	run.pending.delete('pipeline');
	run.pending.add('close of the stream');
	await closed;
	run.pending.delete('close of the stream');
	if (!stream.errored) {
		vouched();
	}

	check();
}

const streamScripts: Script[] = [
	{name: 'a pipeline', start: 'empty', run: run => pipe(run, 40, 'async')},
	{name: 'a pipeline over what was left', start: 'clean', run: run => pipe(run, 10, 'sync')},
	{name: 'a pipeline after a crash', start: 'crashed', run: run => pipe(run, 10, 'writev')},
	{name: 'a pipeline into a failing sink', start: 'empty', run: run => pipe(run, 30, 'async', true)},
];

export const scripts: readonly Script[] = [...queueScripts, ...streamScripts];
