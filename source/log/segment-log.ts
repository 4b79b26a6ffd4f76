import {performance} from 'node:perf_hooks';
import {type Corruption, QueueError, QueueStorageError, refusedRecord} from '../errors.ts';
import {blockHeaderBytes, encodeBlockHeader} from '../format/block.ts';
import {checkpointFileBytes, type Delivered} from '../format/checkpoint.ts';
import type {Codec} from '../options.ts';
import type {Storage} from '../storage.ts';
import {CallsUnderWay} from './calls-under-way.ts';
import {CheckpointFile, type CheckpointState} from './checkpoint-file.ts';
import {quarantineAgain, quarantineSize, syncQuarantine} from './quarantine.ts';
import {endOf, type Recovered, type RecoveryReport, recover} from './recovery.ts';
import {type Segment, segmentAt} from './segment.ts';
import {type AppendedBlock, type ReadableLog, SegmentReader} from './segment-reader.ts';
import {SegmentWriter} from './segment-writer.ts';

export type SegmentLogOptions<T> = {
	codec: Codec<T>;
	/** Roll after this many bytes. */
	segmentBytes: number;
	onCorruption: 'quarantine' | 'throw';
	storage: Storage;
	/** Told of damage that was set aside. */
	report(corruption: Corruption): void;
	/** The checkpoint is forced to the device whenever this many more records are done. */
	maxRedelivery: number;
	/** Told of segments that were removed. */
	reclaimed(segments: number, bytes: number): void;
};

/** What the log has written, and how long that took, in milliseconds. */
export type LogFigures = {
	writes: number;
	writeTime: number;
	syncs: number;
	syncTime: number;
	slowestSync: number;
};

/**
 * The ordered segments of one directory, its checkpoint, and one reader: append at the end, read at the head, mark as
 * done, reclaim. The directory's lock must be held.
 */
export class SegmentLog<T> implements ReadableLog<T> {
	readonly directory: string;
	readonly queueId: Buffer;
	readonly codec: Codec<T>;
	readonly storage: Storage;
	readonly onCorruption: 'quarantine' | 'throw';
	readonly report: (corruption: Corruption) => void;
	/** What opening found and did. */
	readonly recovery: RecoveryReport;
	/** What an earlier run had delivered out of order. */
	readonly delivered: Delivered;
	readonly reader: SegmentReader<T>;
	readonly #calls: CallsUnderWay;
	readonly #segments: Segment[];
	readonly #segmentBytes: number;
	readonly #checkpoint: CheckpointFile;
	#writer: SegmentWriter | undefined;
	#nextSequence: number;
	/** Every record before it is done. */
	#doneSequence: number;
	/** The durable end of the log: what a power cut cannot take. */
	#end: CheckpointState['end'];
	/** Whether the last segment may be gone on with: not after a crash, and not once another was begun. */
	#isLastUsable: boolean;
	/** Counts the files created, and those of them whose directory entries a power cut cannot take. */
	#created = 0;
	#createdDurably = 0;
	/** The count with the checkpoint in it. */
	#createdCheckpoint = 0;
	#isCheckpointDue = false;
	/** Says what is delivered out of order, for a checkpoint. */
	#describeDelivered: () => Delivered = () => ({next: 0, runs: []});
	/** The reclaim under way. It never rejects. */
	#reclaiming: Promise<void> | undefined;
	readonly #figures: LogFigures = {writes: 0, writeTime: 0, syncs: 0, syncTime: 0, slowestSync: 0};
	readonly #maxRedelivery: number;
	readonly #reclaimed: (segments: number, bytes: number) => void;
	#quarantineBytes: number;
	/** Damage whose copy, in quarantine under this path, a power cut could take. */
	readonly #quarantined = new Map<string, Corruption>();
	/** Up to where the end of this process, and a power cut, leave done what is done. */
	#writtenDone: number;
	#durablyDone: number;
	/** Records whose sync failed, and that are nowhere else: no later sync can vouch for them while they are not done. */
	#unsyncable: {error: QueueStorageError; from: number; to: number} | undefined;
	/** The sync under way. One at a time: of two syncs of a file only one is told of an error that both must know. */
	#syncing: Promise<void> | undefined;

	private constructor(
		directory: string,
		options: SegmentLogOptions<T>,
		{calls, checkpoint, recovered}: {calls: CallsUnderWay; checkpoint: CheckpointFile; recovered: Recovered},
	) {
		this.directory = directory;
		this.queueId = recovered.queueId;
		this.codec = options.codec;
		this.#calls = calls;
		this.storage = calls.storage;
		this.onCorruption = options.onCorruption;
		this.report = corruption => {
			if (corruption.quarantine) {
				this.#quarantineBytes = quarantineSize(directory, options.storage);
				this.#quarantined.set(corruption.quarantine, corruption);
			}

			options.report(corruption);
		};
		this.#maxRedelivery = options.maxRedelivery;
		this.#reclaimed = options.reclaimed;
		this.#quarantineBytes = quarantineSize(directory, options.storage);
		this.#writtenDone = recovered.sequence;
		this.#durablyDone = recovered.sequence;
		this.recovery = recovered.report;
		this.delivered = recovered.delivered;
		this.#segmentBytes = options.segmentBytes;
		this.#checkpoint = checkpoint;
		this.#segments = recovered.segments;
		this.#nextSequence = recovered.nextSequence;
		this.#doneSequence = recovered.sequence;
		this.#isLastUsable = recovered.report.isClean;
		this.#end = recovered.end;
		this.reader = new SegmentReader<T>(this, recovered.sequence, recovered.blockOffset);
	}

	/** Recovers the log of a directory. */
	static async open<T>(directory: string, options: SegmentLogOptions<T>): Promise<SegmentLog<T>> {
		const calls = new CallsUnderWay(options.storage);
		const checkpoint = new CheckpointFile(directory, calls.storage);
		try {
			const {codec, onCorruption} = options;
			const {storage} = calls;
			const recovered = await recover(directory, checkpoint, {codecName: codec.name, onCorruption, storage});
			return new SegmentLog(directory, options, {calls, checkpoint, recovered});
		} catch (error) {
			checkpoint.close();
			await calls.end();
			throw error instanceof QueueError
				? error
				: new QueueStorageError('open the queue in', directory, error, 'Nothing was deleted.');
		}
	}

	get segments(): readonly Segment[] {
		return this.#segments;
	}

	get nextSequence(): number {
		return this.#nextSequence;
	}

	get doneSequence(): number {
		return this.#doneSequence;
	}

	/** Every record before it is on the device. */
	get durableSequence(): number {
		return this.#end.nextSequence;
	}

	/** Whether more is done than the checkpoint says. */
	get isCheckpointDue(): boolean {
		return this.#isCheckpointDue;
	}

	/** How many more records are done than the checkpoint says. */
	get unwrittenDone(): number {
		return this.#doneSequence - this.#writtenDone;
	}

	/** What was written so far, and how long it took. */
	get figures(): LogFigures {
		return {...this.#figures};
	}

	/** Bytes of all files: segments, checkpoint and quarantine. */
	get diskBytes(): number {
		const checkpoint = this.#checkpoint.isCreated ? checkpointFileBytes : 0;
		return this.bytes + checkpoint + this.#quarantineBytes;
	}

	/** Bytes of all segments. */
	get bytes(): number {
		return this.#segments.reduce((sum, {end}) => sum + end, 0);
	}

	/**
	 * Appends records as one block and hands it to the operating system: from here on it survives the end of this
	 * process. All or nothing.
	 *
	 * @throws QueueRecordError if the codec refuses the records; QueueStorageError if the file system refuses the bytes.
	 */
	append(records: T[]): AppendedBlock {
		const payload = this.#encode(records);
		const bytes = blockHeaderBytes + payload.byteLength;
		try {
			const writer = this.#writerFor(bytes);
			const {segment} = writer;
			const place = {records: records.length, firstSequence: this.#nextSequence, appendedAt: Date.now()};
			const offset = segment.end;
			const start = performance.now();
			writer.append([encodeBlockHeader(payload, place, segment.identity), payload]);
			this.#figures.writes++;
			this.#figures.writeTime += performance.now() - start;
			this.#nextSequence += records.length;
			return {segment, ...place, offset, bytes};
		} catch (error) {
			const advice = 'The records stay in memory.';
			throw new QueueStorageError('append to the log in', this.directory, error, advice);
		}
	}

	/** Says that every record before a sequence is done, in memory: `writeCheckpoint` and `sync` make it last. */
	markDone(sequence: number): void {
		if (sequence > this.#doneSequence) {
			this.#doneSequence = sequence;
			this.#isCheckpointDue = true;
		}
	}

	/** Says that what is delivered out of order has changed; `describe` is asked for it when a checkpoint is written. */
	markDelivered(describe: () => Delivered): void {
		this.#describeDelivered = describe;
		this.#isCheckpointDue = true;
	}

	/** Hands the checkpoint to the operating system: what is done stays done if this process ends. Then reclaims. */
	writeCheckpoint(): void {
		if (!this.#isCheckpointDue) {
			return;
		}

		this.#write(this.#state(false));
		this.#isCheckpointDue = false;
		this.#reclaimIfDue();
	}

	/** Frees the space of a log whose records are all done, though its last segment is not full. */
	freeDone(): void {
		if (this.#doneSequence === this.#nextSequence && this.#writer?.hasBlocks) {
			this.#sealActive();
			this.#isCheckpointDue = true;
		}

		this.writeCheckpoint();
		this.#reclaimIfDue();
	}

	/**
	 * Forces all appended records to the device: from here on they survive a power cut. After a failure `appendAgain` may
	 * rewind the log and append again what was lost, which is forced in its place.
	 */
	async syncRecords(appendAgain?: () => void): Promise<void> {
		while (this.#syncing) {
			await this.#syncing.catch(() => {});
		}

		this.#syncing = this.#syncOrElse(appendAgain).finally(() => {
			this.#syncing = undefined;
		});
		await this.#syncing;
	}

	/** Forces the records, and what is done of them, to the device. Then reclaims. */
	async sync(): Promise<void> {
		this.#createDueCheckpoint();
		await this.syncRecords();
		if (this.#checkpoint.isCreated) {
			this.#write(this.#state(false));
			this.#isCheckpointDue = false;
			await this.#syncCheckpoint();
			this.#reclaimIfDue();
			await this.#reclaiming;
		}
	}

	/**
	 * Starts the log anew from a sequence on, in a fresh segment, after a sync of what follows it has failed: the
	 * caller has those records, and appends them again. It is never below `durableSequence`.
	 */
	rewindTo(sequence: number): void {
		this.#sealActive();
		this.#nextSequence = sequence;
		this.#removeFrom(sequence);
		if (this.#unsyncable) {
			const {error, from, to} = this.#unsyncable;
			this.#unsyncable = from < sequence ? {error, from, to: Math.min(to, sequence)} : undefined;
		}
	}

	/** Closes the log in order: all of it durable, and the next open has nothing to scan. */
	async close(): Promise<void> {
		try {
			while (this.#reclaiming) {
				await this.#reclaiming;
			}

			this.#createDueCheckpoint();
			await this.syncRecords();
			if (this.#checkpoint.isCreated) {
				await this.#closeCheckpoint();
			}
		} finally {
			await this.closeFiles();
		}
	}

	/** For an exit handler: leaves the checkpoint to the operating system, without a sync. */
	closeNow(): void {
		if (this.#isCheckpointDue) {
			this.#checkpoint.write(this.#state(false));
		}
	}

	/** Gives the descriptors back, the last of them when no call needs it; what was not written stays unwritten. */
	async closeFiles(): Promise<void> {
		this.reader.close();
		this.#sealActive();
		this.#checkpoint.close();
		await this.#calls.end();
	}

	#encode(records: T[]): Uint8Array {
		let payload: Uint8Array;
		try {
			payload = this.codec.encode(records);
		} catch (error) {
			throw refusedRecord('cannot be encoded', {cause: error});
		}

		if (payload.byteLength === 0) {
			throw refusedRecord('is encoded as nothing, which no block can hold');
		}

		return payload;
	}

	/** The active segment's writer, after a roll if the block would not fit; the first block of a segment always does. */
	#writerFor(bytes: number): SegmentWriter {
		const writer = this.#writer ?? this.#reopenLast();
		const isFull = writer?.hasBlocks && writer.segment.end + bytes > this.#segmentBytes;
		return !writer || writer.isSpoiled || isFull ? this.#roll() : writer;
	}

	#reopenLast(): SegmentWriter | undefined {
		const last = this.#segments.at(-1);
		if (last && this.#isLastUsable) {
			this.#writer = SegmentWriter.reopen(last, this.storage);
			last.syncedSequence = this.#nextSequence;
		}

		return this.#writer;
	}

	#roll(): SegmentWriter {
		// The checkpoint is allocated before any segment, so that it can move when the disk is full, and whose a segment is
		// can be told although its header is damaged.
		this.#createCheckpoint();
		const segment = segmentAt(this.directory, this.queueId, this.#nextSequence, 0);
		const header = {queueId: this.queueId, firstSequence: segment.firstSequence, codecName: this.codec.name};
		this.#removeFrom(segment.firstSequence);
		const writer = SegmentWriter.create(segment, header, this.storage);
		this.#sealActive();
		this.#writer = writer;
		this.#created++;
		const last = this.#segments.at(-1);
		if (last) {
			last.next = segment;
		}

		this.#segments.push(segment);
		return writer;
	}

	/** Removes the segments from a sequence on: nothing in them counts, and what comes next needs their names. */
	#removeFrom(sequence: number): void {
		for (let last = this.#segments.at(-1); last && last.firstSequence >= sequence; last = this.#segments.at(-1)) {
			this.#sealActive();
			this.reader.leave(last);
			this.storage.unlink(last.path);
			this.#segments.pop();
			const newLast = this.#segments.at(-1);
			if (newLast) {
				newLast.next = undefined;
			}
		}
	}

	#sealActive(): void {
		this.#writer?.close();
		this.#writer = undefined;
		this.#isLastUsable = false;
	}

	async #syncOrElse(appendAgain: (() => void) | undefined): Promise<void> {
		try {
			await this.#syncDirty();
		} catch (error) {
			if (!appendAgain) {
				throw error;
			}

			appendAgain();
			await this.#syncDirty();
		}
	}

	async #syncDirty(): Promise<void> {
		const end = this.#endNow();
		for (const segment of this.#segments.filter(({isDirty}) => isDirty)) {
			await this.#syncSegment(segment);
		}

		if (this.#createdDurably < this.#created) {
			await this.#syncDirectory();
		}

		if (this.#unsyncable && this.#unsyncable.to > this.#doneSequence) {
			throw this.#unsyncable.error;
		}

		this.#end = end;
	}

	async #syncSegment(segment: Segment): Promise<void> {
		if (this.#writer?.segment === segment) {
			await this.#syncActive(this.#writer);
		} else if (this.#segments.includes(segment)) {
			await this.#syncSealed(segment);
		}
	}

	async #syncActive(writer: SegmentWriter): Promise<void> {
		const end = this.#nextSequence;
		await this.#syncOnce(writer.segment, () => writer.sync());
		writer.segment.syncedSequence = end;
	}

	/** A segment that cannot be opened was not synced: it is tried again the next time. */
	async #syncSealed(segment: Segment): Promise<void> {
		let descriptor: number;
		try {
			descriptor = this.storage.open(segment.path, 'update');
		} catch (error) {
			throw this.#cannotSync(error);
		}

		try {
			await this.#syncOnce(segment, () => this.storage.sync(descriptor));
			segment.isDirty = false;
		} finally {
			this.storage.close(descriptor);
		}
	}

	/** A failed sync is never retried: the system may count the lost pages as written from here on. */
	async #syncOnce(segment: Segment, sync: () => Promise<void>): Promise<void> {
		try {
			await this.#timed(sync);
		} catch (cause) {
			segment.isDirty = false;
			if (this.#writer?.segment === segment) {
				this.#sealActive();
			}

			const error = this.#cannotSync(cause);
			const from = Math.min(segment.syncedSequence, this.#unsyncable?.from ?? segment.syncedSequence);
			this.#unsyncable = {error, from, to: this.#nextSequence};
			throw error;
		}
	}

	async #syncDirectory(): Promise<void> {
		const created = this.#created;
		try {
			await this.storage.syncDirectory(this.directory);
			this.#createdDurably = Math.max(created, this.#createdDurably);
		} catch (error) {
			throw this.#cannotSync(error);
		}
	}

	#createCheckpoint(): void {
		if (!this.#checkpoint.isCreated) {
			this.#checkpoint.create(this.#state(false));
			this.#createdCheckpoint = ++this.#created;
		}
	}

	/** Before the directory is synced, so that the file that a sync writes is in it. */
	#createDueCheckpoint(): void {
		if (this.#isCheckpointDue || this.#segments.length > 0) {
			this.#tryCheckpoint(() => this.#createCheckpoint());
		}
	}

	#write(state: CheckpointState): void {
		this.#tryCheckpoint(() => {
			this.#createCheckpoint();
			this.#checkpoint.write(state);
		});
		this.#writtenDone = state.sequence;
	}

	#tryCheckpoint(write: () => void): void {
		try {
			write();
		} catch (error) {
			throw new QueueStorageError('write the checkpoint of', this.directory, error, 'It stays due.');
		}
	}

	/** Once it is durable recovery may remove what is done, and with it what was damaged: the copies are durable before. */
	async #syncCheckpoint(): Promise<void> {
		const done = this.#writtenDone;
		try {
			await this.#syncQuarantine();
			await this.#timed(() => this.#checkpoint.sync());
		} catch (error) {
			throw this.#cannotSync(error);
		}

		this.#durablyDone = Math.max(this.#durablyDone, done);
	}

	#cannotSync(cause: unknown): QueueStorageError {
		const advice = 'What was not synced before may be lost in a power cut. Check the device.';
		return new QueueStorageError('force to the device the queue in', this.directory, cause, advice);
	}

	/** The first segment, if all its records are before a sequence, and no more can come. */
	#firstBefore(sequence: number): Segment | undefined {
		const [first] = this.#segments;
		const end = first?.next?.firstSequence ?? (this.#writer || this.#isLastUsable ? undefined : this.#nextSequence);
		return end !== undefined && end <= sequence ? first : undefined;
	}

	/** Starts a reclaim, if one is worth its sync; and another one after it, for what was done meanwhile. */
	#reclaimIfDue(): void {
		const isDue = this.#firstBefore(this.#writtenDone) || this.#writtenDone - this.#durablyDone >= this.#maxRedelivery;
		if (!isDue || this.#reclaiming) {
			return;
		}

		this.#reclaiming = this.#reclaim().then(
			() => {
				this.#reclaiming = undefined;
				this.#reclaimIfDue();
			},
			() => {
				// Tried again with the next checkpoint; close() and sync() tell what is wrong.
				this.#reclaiming = undefined;
			},
		);
	}

	/** Checkpoint durable, then unlink, then the directory: a crash in between leaves files that recovery removes. */
	async #reclaim(): Promise<void> {
		await this.#syncCheckpoint();
		if (this.#createdDurably < this.#createdCheckpoint) {
			await this.#syncDirectory();
		}

		const done = this.#durablyDone;
		let segments = 0;
		let bytes = 0;
		for (let first = this.#firstBefore(done); first; first = this.#firstBefore(done)) {
			this.#removeFirst();
			segments++;
			bytes += first.end;
		}

		if (segments > 0) {
			this.#reclaimed(segments, bytes);
			await this.storage.syncDirectory(this.directory);
		}
	}

	async #syncQuarantine(): Promise<void> {
		const copies = [...this.#quarantined.entries()];
		const paths = copies.map(([path]) => path);
		try {
			await syncQuarantine(this.directory, paths, this.storage);
		} catch (error) {
			for (const [, corruption] of copies) {
				quarantineAgain(corruption, this.storage);
			}

			throw error;
		}

		for (const path of paths) {
			this.#quarantined.delete(path);
		}
	}

	#removeFirst(): void {
		const [first] = this.#segments;
		this.reader.leave(first!);
		this.storage.unlink(first!.path);
		this.#segments.shift();
	}

	/** Counts a wait for the device. */
	async #timed(sync: () => Promise<void>): Promise<void> {
		const start = performance.now();
		await sync();
		const time = performance.now() - start;
		this.#figures.syncs++;
		this.#figures.syncTime += time;
		this.#figures.slowestSync = Math.max(this.#figures.slowestSync, time);
	}

	#endNow(): CheckpointState['end'] {
		return endOf(this.#segments, this.#nextSequence);
	}

	#state(isClosed: boolean): CheckpointState {
		const sequence = this.#doneSequence;
		const blockOffset = this.reader.offsetOf(sequence);
		const delivered = this.#describeDelivered();
		return {queueId: this.queueId, sequence, blockOffset, end: this.#end, isClosed, delivered};
	}

	/** Writes that the log ends here in order; a log whose records are all done goes but for the checkpoint. */
	async #closeCheckpoint(): Promise<void> {
		const isDrained = this.#doneSequence === this.#nextSequence;
		this.#end = isDrained ? {nextSequence: this.#nextSequence, segment: this.#nextSequence, offset: 0} : this.#endNow();
		this.#write(this.#state(true));
		await this.#syncCheckpoint();
		if (isDrained && this.#segments.length > 0) {
			this.#sealActive();
			while (this.#segments.length > 0) {
				this.#removeFirst();
			}

			await this.storage.syncDirectory(this.directory);
		}
	}
}
