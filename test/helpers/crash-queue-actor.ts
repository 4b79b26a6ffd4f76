import {basename} from 'node:path';
import {type Delivery, DiskQueue, type DiskQueueOptions, type Durability} from '../../source/index.ts';
import {isClaimName} from '../../source/log/claim-name.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import type {Stage} from './crash-explorer.ts';
import type {CrashRecord} from './crash-journal.ts';
import {type DiskImage, firstDescriptor, type Life, SimulatedDisk} from './simulated-disk.ts';

export type CrashQueueOptions = DiskQueueOptions<CrashRecord>;

/** A whole queue in a script, which notes in the journal what it is told. Its lock is taken on the real file system. */
export class QueueActor {
	readonly #stage: Stage;
	readonly #accepted = new Set<number>();
	readonly #done = new Set<number>();
	#queue: DiskQueue<CrashRecord> | undefined;
	#life: Life | undefined;
	#durability: Durability = 'spill';
	#droppedBefore = 0;

	constructor(stage: Stage) {
		this.#stage = stage;
	}

	get queue(): DiskQueue<CrashRecord> {
		return this.#queue!;
	}

	async open(options: CrashQueueOptions): Promise<this> {
		this.#life = this.#stage.disk.live();
		this.#durability = options.durability ?? 'spill';
		this.#queue = await openQueueOn(this.#life.storage, this.#stage.directory, options);
		return this;
	}

	/** Puts records one by one, all in one turn. */
	async put(count = 1): Promise<void> {
		const records = this.#stage.journal.next(count);
		await Promise.all(records.map(record => this.queue.put(record).then(() => this.#accept([record]))));
	}

	async putMany(count: number): Promise<void> {
		const records = this.#stage.journal.next(count);
		await this.queue.putMany(records);
		this.#accept(records);
	}

	/** With 'fsync' this promises nothing yet. */
	putNowait(count = 1): void {
		for (const record of this.#stage.journal.next(count)) {
			this.queue.putNowait(record);
			this.#accept([record], this.#durability === 'write' ? 'write' : 'spill');
		}
	}

	async get(count = 1): Promise<void> {
		for (let taken = 0; taken < count; taken++) {
			const from = this.#stage.disk.operations.length;
			const {id} = await this.queue.get();
			this.#finish([id], from);
		}
	}

	async receive(count = 1): Promise<Array<Delivery<CrashRecord>>> {
		const deliveries: Array<Delivery<CrashRecord>> = [];
		while (deliveries.length < count) {
			const delivery = await this.queue.receive();
			this.#stage.journal.delivered(delivery.record.id);
			deliveries.push(delivery);
		}

		return deliveries;
	}

	ack(delivery: Delivery<CrashRecord>): void {
		this.#finish([delivery.record.id]);
		delivery.ack();
	}

	reject(delivery: Delivery<CrashRecord>): void {
		this.#stage.journal.moved(delivery.record.id);
		delivery.reject('unwanted');
	}

	async clear(): Promise<void> {
		this.#finish(this.#accepted);
		await this.queue.clear();
	}

	/** Notes that the records before one give way to others. */
	dropBefore(id: number): void {
		this.#droppedBefore = id;
		this.#finish([...this.#accepted].filter(each => each < id));
	}

	shutdown(): void {
		this.#finish(this.#accepted);
		this.queue.shutdown({immediate: true});
	}

	async sync(): Promise<void> {
		await this.#promise(() => this.queue.sync());
	}

	/** A sync that may fail; then it promises nothing. */
	async trySync(): Promise<void> {
		await this.sync().catch(() => {});
	}

	async close(): Promise<void> {
		await this.#promise(() => this.queue.close());
	}

	/** Ends the process: what it alone remembered is gone, and the real lock is let go. */
	async kill(): Promise<void> {
		this.#life!.kill();
		await this.queue.close().catch(() => {});
		for (const id of this.#accepted) {
			if (!this.#stage.journal.isPromised(id)) {
				this.#accepted.delete(id);
			}
		}
	}

	#accept(records: CrashRecord[], durability: Durability = this.#durability): void {
		const ids = records.map(({id}) => id);
		for (const id of ids) {
			this.#accepted.add(id);
		}

		this.#finish(ids.filter(id => id < this.#droppedBefore));
		if (durability !== 'spill') {
			this.#stage.journal.promise(ids, durability === 'write' ? 'kill' : 'powerCut');
		}
	}

	#finish(ids: Iterable<number>, from?: number): void {
		for (const id of ids) {
			this.#done.add(id);
			this.#stage.journal.done([id], from);
		}
	}

	async #promise(act: () => Promise<void>): Promise<void> {
		const [accepted, done] = [[...this.#accepted], [...this.#done]];
		await act();
		this.#stage.journal.promise(accepted, 'powerCut');
		this.#stage.journal.doneFor(done, 'powerCut');
	}
}

/** The ids of all that a whole queue over a disk delivers. */
export async function drainQueueOn(image: DiskImage, directory: string): Promise<number[]> {
	const {storage, kill} = new SimulatedDisk(image).live();
	const queue = await openQueueOn(storage, directory, {});
	queue.on('corruption', () => {});
	const records: CrashRecord[] = [];
	while (queue.size > 0) {
		records.push(await queue.get({timeout: 10_000}));
	}

	kill();
	await queue.close().catch(() => {});
	return records.map(({id}) => id);
}

async function openQueueOn(
	storage: Storage,
	directory: string,
	options: CrashQueueOptions,
): Promise<DiskQueue<CrashRecord>> {
	const internal = {storage: withRealLock(storage)} as CrashQueueOptions;
	const defaults = {cacheSize: 4, segmentBytes: 4096};
	const queue = await DiskQueue.open<CrashRecord>(directory, {...defaults, ...options, ...internal});
	queue.on('error', () => {});
	return queue;
}

/** Storage whose claims on a directory are real sockets, in the real directory of that path. */
function withRealLock(storage: Storage): Storage {
	const storageOf = (path: string) => (isClaimName(basename(path)) ? fileSystem : storage);
	const claimsIn = (path: string) => (fileSystem.stat(path) ? fileSystem.list(path).filter(isClaimName) : []);
	return {
		...storage,
		list: path => [...storage.list(path), ...claimsIn(path)],
		kind: path => storageOf(path).kind(path),
		stat: path => storageOf(path).stat(path),
		rename: (from, to) => storageOf(from).rename(from, to),
		unlink: path => storageOf(path).unlink(path),
		close: descriptor => (descriptor < firstDescriptor ? fileSystem : storage).close(descriptor),
	};
}
