import {dirname} from 'node:path';
import {SegmentLog, type SegmentLogOptions} from '../../source/log/segment-log.ts';
import type {WriteOperation} from './crash-contents.ts';
import type {Stage} from './crash-explorer.ts';
import {type CrashRecord, crashRecord, writtenRecords} from './crash-journal.ts';
import {logOptions} from './crash-outcome.ts';
import type {Life} from './simulated-disk.ts';

/** A segment log in a script, which notes in the journal what it is told. */
export class LogActor {
	readonly #stage: Stage;
	readonly #isSyncing: boolean;
	/** Ids by sequence. */
	readonly #ids: number[] = [];
	#log: SegmentLog<CrashRecord> | undefined;
	#life: Life | undefined;
	#done = 0;

	/** `isSyncing`: an append promises nothing before it is synced, as a put of an 'fsync' queue. */
	constructor(stage: Stage, {isSyncing = false}: {isSyncing?: boolean} = {}) {
		this.#stage = stage;
		this.#isSyncing = isSyncing;
	}

	get log(): SegmentLog<CrashRecord> {
		return this.#log!;
	}

	async open(options: Partial<SegmentLogOptions<CrashRecord>> = {}): Promise<this> {
		const {disk, directory} = this.#stage;
		this.#life = disk.live();
		const {storage} = this.#life;
		if (storage.makeDirectory(directory)) {
			await storage.syncDirectory(dirname(directory));
		}

		this.#log = await SegmentLog.open<CrashRecord>(directory, {...logOptions(storage), ...options});
		return this;
	}

	/** Appends blocks of so many records each. */
	append(...counts: number[]): void {
		for (const count of counts) {
			const records = this.#stage.journal.next(count);
			this.log.append(records);
			const ids = records.map(({id}) => id);
			this.#ids.push(...ids);
			this.#stage.journal.promise(this.#isSyncing ? [] : ids, 'kill');
		}
	}

	/** An append that the file system refuses: its records are nowhere. */
	failingAppend(count: number): void {
		try {
			this.log.append(this.#stage.journal.next(count));
		} catch {
			return;
		}

		throw new Error('Expected the append to fail');
	}

	/** Appends again, from a sequence on, blocks of so many records that a failed sync may have lost. */
	appendAgain(sequence: number, ...counts: number[]): void {
		this.log.rewindTo(sequence);
		let next = sequence;
		for (const count of counts) {
			this.log.append(this.#ids.slice(next, next + count).map(crashRecord));
			next += count;
		}
	}

	/** Reads blocks, as a consumer does. */
	read(blocks: number): void {
		for (let block = 0; block < blocks; block++) {
			this.log.reader.nextSync();
		}
	}

	/** Marks all records before a sequence as done. */
	done(sequence: number): void {
		this.#stage.journal.done(this.#ids.slice(0, sequence));
		this.#done = Math.max(this.#done, sequence);
		this.log.markDone(sequence);
	}

	checkpoint(): void {
		this.log.writeCheckpoint();
		this.#noteDone();
	}

	/** The checkpoint, and the space of all that is done. */
	free(): void {
		this.log.freeDone();
		this.#noteDone();
	}

	/** Damages the payload of the block with a sequence, which is on the device. */
	damage(sequence: number): void {
		const {disk, journal} = this.#stage;
		const written = writtenRecords(disk.operations);
		const {operation} = written.find(each => each.sequence === sequence)!;
		journal.damaged(written.filter(each => each.operation === operation).map(({id}) => id));
		const {path, position} = disk.operations[operation] as WriteOperation;
		const bytes = Buffer.from(`damage of ${sequence}`);
		disk.damage(path, position + 44, bytes);
		journal.keeps(bytes);
	}

	async sync(): Promise<void> {
		await this.#promise(() => this.log.sync());
	}

	async syncRecords(): Promise<void> {
		const ids = [...this.#ids];
		await this.log.syncRecords();
		this.#stage.journal.promise(ids, 'powerCut');
	}

	/** A sync that fails promises nothing. */
	async failingSync(): Promise<void> {
		const error = await this.log.sync().catch((error: unknown) => error);
		if (!error) {
			throw new Error('Expected the sync to fail');
		}
	}

	async close(): Promise<void> {
		await this.#promise(() => this.log.close());
	}

	/** What an exit handler does, and the end of the process. */
	exit(): void {
		this.log.closeNow();
		this.#noteDone();
		this.kill();
	}

	kill(): void {
		this.#life!.kill();
		this.log.closeFiles();
	}

	#noteDone(): void {
		this.#stage.journal.doneFor(this.#ids.slice(0, this.#done), 'kill');
	}

	async #promise(act: () => Promise<void>): Promise<void> {
		const [ids, done] = [[...this.#ids], this.#ids.slice(0, this.#done)];
		await act();
		this.#stage.journal.promise(ids, 'powerCut');
		this.#stage.journal.doneFor(done, 'powerCut');
	}
}
