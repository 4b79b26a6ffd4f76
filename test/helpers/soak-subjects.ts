import {Readable, Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {pEvent} from 'p-event';
import {type Delivery, DiskQueue, type DiskQueueOptions, diskQueue} from '../../source/index.ts';
import {nextTurn} from './queues.ts';
import type {SoakPlan, SoakRecord, SoakVariant} from './soak.ts';

/** What is soaked. */
export type SoakSubject = {
	queue(): DiskQueue<SoakRecord>;
	/** Passes the records of a round from end to end. */
	pass(records: Iterable<SoakRecord>): Promise<void>;
	/** After a round. */
	rest(): Promise<void>;
	close(): Promise<void>;
};

/** What a subject is given. */
export type SoakParts = {
	plan: SoakPlan;
	options: DiskQueueOptions<SoakRecord>;
	random: () => number;
	/** Told of every record that comes out. */
	check(record: SoakRecord): void;
	/** Whether the consumer is to be slower than the producer, and whether the round is over. */
	isSlow(): boolean;
	isOver(): boolean;
};

const recordsPerTurn = 4;

/** Opens the subject of a plan. */
export const openSubject: Record<SoakVariant['through'], (parts: SoakParts) => Promise<SoakSubject>> = {
	queue: parts => soakQueue(parts, {isReopened: false}),
	reopened: parts => soakQueue(parts, {isReopened: true}),
	deliveries: soakDeliveries,
	pipeline: soakPipeline,
};

async function soakQueue(parts: SoakParts, {isReopened}: {isReopened: boolean}): Promise<SoakSubject> {
	const {plan, options, check} = parts;
	const open = () => DiskQueue.open<SoakRecord>(plan.directory, options);
	let queue = await open();
	const take = async (max: number) => {
		for (const record of await queue.getMany(max)) {
			check(record);
		}
	};
	return {
		queue: () => queue,
		async pass(records) {
			await Promise.all([produce(queue, records), consume(parts, take)]);
		},
		async rest() {
			if (isReopened) {
				await queue.close();
				queue = await open();
			}
		},
		close: () => queue.close(),
	};
}

async function soakDeliveries(parts: SoakParts): Promise<SoakSubject> {
	const {plan, options, check, random} = parts;
	const queue = await DiskQueue.open<SoakRecord>(plan.directory, options);
	const held: Array<Delivery<SoakRecord>> = [];
	const settle = () => {
		const [delivery] = held.splice(Math.floor(random() * held.length), 1);
		if (random() < 0.1) {
			delivery!.nack({delay: random() < 0.5 ? 0 : 1});
		} else {
			check(delivery!.record);
			delivery!.ack();
		}
	};
	const take = async (max: number) => {
		held.push(...(await queue.receiveMany(max, {timeout: 20}).catch(ignoreEmpty)));
		const kept = queue.size > 0 ? 40 * random() : 0;
		while (held.length > kept) {
			settle();
		}
	};
	return {
		queue: () => queue,
		async pass(records) {
			await Promise.all([produce(queue, records), consume(parts, take)]);
		},
		async rest() {},
		close: () => queue.close(),
	};
}

/** What is held back, delayed or not yet put may leave a receive without a record. */
function ignoreEmpty(error: {code?: string}): [] {
	if (error.code !== 'QUEUE_EMPTY') {
		throw error;
	}

	return [];
}

async function soakPipeline({plan, options, check, isSlow, isOver}: SoakParts): Promise<SoakSubject> {
	const {cacheSize: highWaterMark, ...streamOptions} = options;
	const stream = diskQueue<SoakRecord>(plan.directory, {...streamOptions, highWaterMark});
	let left: Iterator<SoakRecord>;
	const feed = () => {
		const next = left.next();
		if (!next.done) {
			source.push(next.value);
		}
	};
	const source = new Readable({objectMode: true, read: () => left && feed()});
	const sink = new Writable({
		objectMode: true,
		write(record: SoakRecord, _encoding, callback) {
			check(record);
			isSlow() ? void nextTurn().then(() => callback()) : callback();
		},
	});
	const run = pipeline(source, stream, sink);
	await Promise.race([pEvent(stream, 'ready'), run]);
	return {
		queue: () => stream.queue!,
		async pass(records) {
			left = records[Symbol.iterator]();
			feed();
			// A pipeline that fails ends the process, as a rejection that nobody handles yet.
			while (!isOver() || stream.writableLength > 0) {
				await nextTurn();
			}
		},
		async rest() {},
		async close() {
			source.push(null);
			const closed = pEvent(stream, 'close');
			await run;
			await closed;
		},
	};
}

/** Puts some records each turn of the event loop. */
async function produce(queue: DiskQueue<SoakRecord>, records: Iterable<SoakRecord>): Promise<void> {
	let run: SoakRecord[] = [];
	for (const record of records) {
		run.push(record);
		if (run.length === recordsPerTurn) {
			await queue.putMany(run);
			run = [];
			await nextTurn();
		}
	}

	await queue.putMany(run);
}

/** Takes one record a turn while it is to be slow, and all there are when not. */
async function consume({isSlow, isOver}: SoakParts, take: (max: number) => Promise<void>): Promise<void> {
	while (!isOver()) {
		await take(isSlow() ? 1 : 64);
		await nextTurn();
	}
}
