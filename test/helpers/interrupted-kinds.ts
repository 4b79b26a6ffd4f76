import {join} from 'node:path';
import {
	type Corruption,
	type DeadLetter,
	type Delivery,
	DiskQueue,
	type DiskQueueOptions,
	type Durability,
	QueueShutDownError,
} from '../../source/index.ts';
import type {ConsumerJob} from '../fixtures/interrupted-consumer.ts';
import type {PipelineJob} from '../fixtures/interrupted-pipeline.ts';
import type {QueueJob} from '../fixtures/interrupted-queue.ts';
import {DeliveryModel, type FoundDeliveries} from './delivery-model.ts';
import {FifoModel} from './fifo-model.ts';
import type {Kind} from './interrupted-runs.ts';
import {checkedId, type NumberedRecord} from './numbered-record.ts';
import {nextTurn, takeRest} from './queues.ts';
import {pickFrom} from './random.ts';
import {sinkKinds} from './sinks.ts';

const cacheSize = 16;
const sinkHighWaterMark = 16;

/** Puts, gets and syncs. */
export function queueKind(durability: Durability): Kind<QueueJob, number[]> {
	return {
		...fifo,
		fixture: 'interrupted-queue',
		makeJob: (common, random) => ({
			job: {
				...common,
				durability,
				cacheSize,
				isSyncing: durability !== 'fsync' || random() < 0.5,
				isQuick: random() < 0.5,
			},
			bounds: {durability, inMemory: cacheSize},
		}),
	};
}

/** Puts and gets whose records nobody forces to the device, and that are judged as if somebody did. */
export function control(): Kind<QueueJob, number[]> {
	return {
		...queueKind('write'),
		makeJob: common => ({
			job: {...common, durability: 'write', cacheSize, isSyncing: false, isQuick: false},
			bounds: {durability: 'fsync'},
		}),
	};
}

/** Pipelines. */
export function pipelineKind(durability: Durability): Kind<PipelineJob, number[]> {
	return {
		...fifo,
		fixture: 'interrupted-pipeline',
		makeJob(common, random) {
			const highWaterMark = pickFrom([4, 64, 1024], random);
			const sink = pickFrom([...sinkKinds, 'stalling'] as const, random);
			return {
				job: {...common, durability, count: 600, highWaterMark, sinkHighWaterMark, sink},
				bounds: {
					durability,
					// The queue's memory, the stream's buffer, the sink's, and one that is on its way to it.
					inMemory: 2 * highWaterMark + sinkHighWaterMark + 1,
					// A sink is asked now and then what it has confirmed.
					maxRedelivered: Number.POSITIVE_INFINITY,
				},
			};
		},
	};
}

/** Puts, deliveries in all their ways, dead letters and syncs. */
export function consumerKind(durability: Durability): Kind<ConsumerJob, FoundDeliveries> {
	const maxAttempts = 4;
	return {
		fixture: 'interrupted-consumer',
		makeModel: () => new DeliveryModel(maxAttempts),
		makeJob(common, random) {
			const style = pickFrom(['receive', 'consume', 'batch'] as const, random);
			return {job: {...common, durability, maxAttempts, style}, bounds: {durability}};
		},
		find: async (directory, mayBeDamaged) => ({
			attempts: await deliverAll(join(directory, 'queue'), mayBeDamaged),
			dead: await findDead(join(directory, 'dead'), mayBeDamaged),
		}),
		async reopen(directory, opened) {
			const queue = await openQuietly(join(directory, 'queue'), {deadLetter: join(directory, 'dead')});
			opened();
			await queue.close();
		},
	};
}

const fifo = {
	makeModel: () => new FifoModel(),
	async find(directory: string, mayBeDamaged: boolean): Promise<number[]> {
		await using queue = await openQuietly<NumberedRecord>(directory);
		const check = watchDamage(queue, mayBeDamaged);
		const ids = (await takeRest(queue)).map(checkedId);
		await check();
		return ids;
	},
	async reopen(directory: string, opened: () => void): Promise<void> {
		const queue = await openQuietly(directory);
		opened();
		await queue.close();
	},
};

/** What a power cut leaves of records that were nowhere promised may be reported as damage. */
async function openQuietly<T>(directory: string, options?: DiskQueueOptions<T>): Promise<DiskQueue<T>> {
	return (await DiskQueue.open<T>(directory, options)).on('corruption', () => {});
}

/** Listens for damage; the function it returns throws if any was told, unless there may be some. */
function watchDamage<T>(queue: DiskQueue<T>, mayBeDamaged: boolean): () => Promise<void> {
	const told: Corruption[] = [];
	queue.on('corruption', corruption => told.push(corruption));
	return async () => {
		await nextTurn();
		if (told.length > 0 && !mayBeDamaged) {
			throw new Error(`damage where there is none: ${JSON.stringify(told)}`);
		}
	};
}

/** Delivers all that a directory holds: how often each record was, by its id. */
async function deliverAll(directory: string, mayBeDamaged: boolean): Promise<Map<number, number>> {
	await using queue = await openQuietly<NumberedRecord>(directory);
	const check = watchDamage(queue, mayBeDamaged);
	const attempts = new Map<number, number>();
	let last = -1;
	queue.shutdown();
	for (let delivery = await receiveNext(queue); delivery; delivery = await receiveNext(queue)) {
		const id = checkedId(delivery.record);
		if (id <= last) {
			throw new Error(`${id} comes after ${last}`);
		}

		attempts.set(id, delivery.attempts);
		last = id;
		delivery.ack();
	}

	await check();
	return attempts;
}

/** Receives from a queue that is shut down; undefined when nothing is left, whatever was damaged. */
async function receiveNext<T>(queue: DiskQueue<T>): Promise<Delivery<T> | undefined> {
	try {
		return await queue.receive();
	} catch (error) {
		if (error instanceof QueueShutDownError) {
			return undefined;
		}

		throw error;
	}
}

async function findDead(directory: string, mayBeDamaged: boolean): Promise<Set<number>> {
	await using queue = await openQuietly<DeadLetter<NumberedRecord>>(directory);
	const check = watchDamage(queue, mayBeDamaged);
	const letters = queue.size > 0 ? queue.peek(queue.size) : [];
	await check();
	return new Set(letters.map(({record}) => checkedId(record)));
}
