import {readdirSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import type {ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {
	createReadStream,
	DiskQueue,
	type DiskQueueOptions,
	QueueEmptyError,
	QueueFullError,
	QueueStorageError,
} from '../../source/index.ts';
import {checkedId, type NumberedRecord, numberedRecord} from './numbered-record.ts';
import {nextTurn, openQueue} from './queues.ts';
import {pickFrom} from './random.ts';
import type {SmallDisk} from './small-disk.ts';
import {onCopyOf} from './temporary-directory.ts';

/** Puts that wait at a time, when the disk is full. */
const producers = 8;
/** What a file may take of the device beyond its length: part of its last block, and a block that lists the others. */
const overheadBytes = 2 * 4096;
const tooFull: ReadonlySet<string> = new Set(['ENOSPC', 'EFBIG']);
/** What makes a claim to the directory: either may be the one that its last block of names has no room for. */
const naming: ReadonlySet<string> = new Set(['listen', 'rename']);

/** Less than it takes until a full disk is tried again. */
const atOnce = {timeout: 100};

type Numbered = DiskQueue<NumberedRecord>;

/** A way to take records, about `count` of them: they are done when it resolves. Gives their ids. */
type Take = (queue: Numbered, count: number) => Promise<number[]>;

/** A queue whose producers never end, from its open to its close, and what became of its records. */
export class FullDiskLife {
	readonly queue: Numbered;
	readonly directory: string;
	/** Ids of records whose put resolved, and of those that are done. */
	readonly accepted: number[] = [];
	readonly done: number[] = [];
	/** `full` and `resume`, as they came. */
	readonly events: string[] = [];
	readonly #t: ExecutionContext;
	readonly #options: DiskQueueOptions<NumberedRecord>;
	/** Ids of records whose put waits: they may be in the log. */
	readonly #putting = new Set<number>();
	#nextId = 0;
	#producing: Array<Promise<void>> = [];

	private constructor(
		t: ExecutionContext,
		{queue, directory, options}: {queue: Numbered; directory: string; options: DiskQueueOptions<NumberedRecord>},
	) {
		this.#t = t;
		this.queue = queue;
		this.directory = directory;
		this.#options = options;
		for (const event of ['full', 'resume'] as const) {
			queue.on(event, () => this.events.push(event));
		}
	}

	static async begin(
		t: ExecutionContext,
		directory: string,
		options: DiskQueueOptions<NumberedRecord>,
	): Promise<FullDiskLife> {
		const queue = await openQueue<NumberedRecord>(t, options, directory);
		return new FullDiskLife(t, {queue, directory, options});
	}

	/** How often the disk was full. */
	get episodes(): number {
		return this.events.filter(event => event === 'full').length;
	}

	/** Puts until the disk is full, and from then on whenever there is room. */
	async fill(): Promise<void> {
		const full = pEvent(this.queue, 'full' as never);
		this.#producing = Array.from({length: producers}, () => this.#produce());
		await full;
	}

	/** A full disk holds up every kind of put, and takes none of them. */
	async checkBackpressure(): Promise<void> {
		const {queue} = this;
		const t = this.#t;
		t.is(queue.stats().waitingPuts, producers);
		const late = await t.throwsAsync(queue.put(this.#nextRecord(), {timeout: 1}), {instanceOf: QueueFullError});
		const {code} = ((late.cause as Error).cause as NodeJS.ErrnoException) ?? {};
		t.true(tooFull.has(code!), `${code}`);
		t.throws(() => queue.putNowait(this.#nextRecord()), {instanceOf: QueueFullError, code: 'QUEUE_FULL'});
	}

	/** What the queue says of its files is so. */
	checkDiskBytes(): void {
		const files = readdirSync(this.directory)
			.map(name => statSync(join(this.directory, name)))
			.filter(stats => stats.isFile());
		const {diskBytes} = this.queue.stats();
		this.#t.is(
			files.reduce((sum, {size}) => sum + size, 0),
			diskBytes,
		);
		const allocated = files.reduce((sum, {blocks}) => sum + blocks * 512, 0);
		this.#t.true(Math.abs(allocated - diskBytes) <= files.length * overheadBytes, `${allocated}, not ${diskBytes}`);
	}

	/** Takes about so many records, of those that wait. */
	async take(count: number, take: Take): Promise<void> {
		const ids = await take(this.queue, Math.min(count, this.queue.size));
		this.#t.true(ids.length > 0);
		this.done.push(...ids);
	}

	/** A process that is killed now leaves what is not done, but for what is in memory only. */
	async checkKilled(): Promise<void> {
		await nextTurn();
		const {left} = this;
		const putting = new Set(this.#putting);
		const {memoryRecords} = this.queue.stats();
		const found = await onCopyOf(this.directory, async copy => {
			const queue = await DiskQueue.open<NumberedRecord>(copy);
			const ids = await takeAll(queue);
			await queue.close();
			return ids;
		});
		const accepted = found.filter(id => !putting.has(id));
		this.#checkFound(accepted, left, memoryRecords);
		const more = found.slice(accepted.length);
		this.#t.true(more.every(id => putting.has(id)));
		this.#t.is(new Set(more).size, more.length);
	}

	/** Takes until half of the segments are gone; another program takes what room that gives back. */
	async loseRoom(disk: SmallDisk, random: () => number): Promise<void> {
		const {segments} = this.queue.stats();
		while (this.queue.stats().segments > segments / 2 && this.queue.size > 0) {
			await this.take(20, pickFrom(takes, random));
			await nextTurn();
			// A queue that has nothing more to give back would wait for the other program.
			if (this.queue.stats().segments > 1) {
				disk.fill();
			}
		}
	}

	/** Takes until there is room again, for puts that wait and go on by themselves. */
	async drainUntilResumed(random: () => number): Promise<void> {
		const {episodes} = this;
		while (this.events.at(-1) === 'full' && this.episodes === episodes) {
			if (this.queue.size === 0) {
				await this.reach('resume');
			} else {
				await this.take(20, pickFrom(takes, random));
				await nextTurn();
			}
		}
	}

	/** Waits until the disk is full, or no longer. */
	async reach(event: 'full' | 'resume'): Promise<void> {
		if (this.events.at(-1) !== event) {
			await pEvent(this.queue, event as never);
		}
	}

	/** Closes the queue; gives the code of the error, if that failed. */
	async close(): Promise<string | undefined> {
		const outcome = await this.queue.close().then(
			() => undefined,
			(error: {code: string}) => error.code,
		);
		await Promise.all(this.#producing);
		return outcome;
	}

	/** Opens the directory again, which may take `relieve` if it has no room left for one more name. */
	async reopen(relieve: () => void): Promise<Numbered> {
		const open = () => openQueue<NumberedRecord>(this.#t, this.#options, this.directory);
		return open().catch(error => {
			const {code, syscall} = error.cause as NodeJS.ErrnoException;
			this.#t.deepEqual({code, isNaming: naming.has(syscall!)}, {code: 'ENOSPC', isNaming: true}, syscall);
			relieve();
			return open();
		});
	}

	/** What was accepted and is not done is there again: all of it, unless the close said otherwise. */
	async checkReopened(queue: Numbered, closeCode: string | undefined): Promise<void> {
		const {left} = this;
		const more = this.#putUntilRefused(queue);
		const found = await takeAll(queue);
		const end = found.length - more.length;
		this.#checkFound(found.slice(0, end), left, closeCode === undefined ? 0 : this.#options.cacheSize!);
		this.#t.deepEqual(found.slice(end), more);
		this.done.push(...found);
	}

	/** Ids that were accepted and are not done, in order. */
	get left(): number[] {
		const done = new Set(this.done);
		return this.accepted.filter(id => !done.has(id)).sort((one, other) => one - other);
	}

	/** With 'spill' the last records may be in memory only, up to a number; the others are there once, in order. */
	#checkFound(found: number[], expected: number[], inMemory: number): void {
		const missing = this.#options.durability === 'spill' ? inMemory : 0;
		this.#t.true(found.length >= expected.length - missing, `${found.length} of ${expected.length} records`);
		this.#t.deepEqual(found, expected.slice(0, found.length));
	}

	async #produce(): Promise<void> {
		try {
			for (;;) {
				const record = this.#nextRecord();
				this.#putting.add(record.id);
				await this.queue.put(record);
				this.#putting.delete(record.id);
				this.accepted.push(record.id);
			}
		} catch (error) {
			// The queue is closed, or could not save it.
			this.#t.regex((error as {code: string}).code, /^QUEUE_(CLOSED|STORAGE)$/);
		}
	}

	#putUntilRefused(queue: Numbered): number[] {
		const ids: number[] = [];
		const put = () => {
			for (;;) {
				const record = this.#nextRecord();
				queue.putNowait(record);
				ids.push(record.id);
			}
		};
		this.#t.throws(put, {instanceOf: QueueFullError, code: 'QUEUE_FULL'});
		return ids;
	}

	#nextRecord(): NumberedRecord {
		return numberedRecord(this.#nextId++);
	}
}

/** Takes all that waits. */
export async function takeAll(queue: Numbered): Promise<number[]> {
	const ids: number[] = [];
	while (queue.size > 0) {
		ids.push(...(await queue.getMany(100)).map(checkedId));
	}

	return ids;
}

/** Every way to take records. */
export const takes: readonly Take[] = [
	async queue => [checkedId(await queue.get())],
	takeMany,
	orTakeMany(async queue => {
		const delivery = await queue.receive(atOnce);
		delivery.ack();
		return [checkedId(delivery.record)];
	}),
	orTakeMany(async (queue, count) => {
		const deliveries = await queue.receiveMany(count, atOnce);
		deliveries.pop()!.nack();
		for (const delivery of deliveries.toReversed()) {
			delivery.ack();
		}

		const again = await queue.receive();
		again.ack();
		return [...deliveries, again].map(({record}) => checkedId(record));
	}),
	takeByPipeline,
];

async function takeMany(queue: Numbered, count: number): Promise<number[]> {
	return (await queue.getMany(count)).map(checkedId);
}

/** A record that is in memory only is delivered once there is room for it in the log: until then it can be got. */
function orTakeMany(take: Take): Take {
	return (queue, count) =>
		take(queue, count).catch(error => {
			if (!(error instanceof QueueEmptyError && error.cause instanceof QueueStorageError)) {
				throw error;
			}

			return takeMany(queue, count);
		});
}

async function takeByPipeline(queue: Numbered, count: number): Promise<number[]> {
	const ids: number[] = [];
	const controller = new AbortController();
	const sink = new Writable({
		objectMode: true,
		write(record: NumberedRecord, _encoding, callback) {
			ids.push(checkedId(record));
			callback();
			if (ids.length === count) {
				controller.abort();
			}
		},
	});
	const {signal} = controller;
	await pipeline(createReadStream(queue, {signal}), sink).catch((error: NodeJS.ErrnoException) => {
		if (error.code !== 'ABORT_ERR') {
			throw error;
		}
	});
	return ids;
}
