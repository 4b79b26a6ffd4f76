import {type Corruption, QueueError, QueueStorageError} from '../errors.ts';
import type {Delivered, SequenceRange} from '../format/checkpoint.ts';
import type {Codec} from '../options.ts';
import type {Storage} from '../storage.ts';
import {BlockAppender} from './block-appender.ts';
import {CallsUnderWay} from './calls-under-way.ts';
import {CheckpointFile} from './checkpoint-file.ts';
import {LogFigures} from './log-figures.ts';
import {Progress} from './progress.ts';
import {QuarantinedCopies} from './quarantined-copies.ts';
import {Reclaim} from './reclaim.ts';
import {cannotSync, RecordSync} from './record-sync.ts';
import {type Recovered, type RecoveryReport, recover} from './recovery.ts';
import {endOf, type Segment} from './segment.ts';
import {SegmentList} from './segment-list.ts';
import {type AppendedBlock, type ReadableLog, SegmentReader} from './segment-reader.ts';

export type SegmentLogOptions<T> = {
	codec: Codec<T>;
	/** Of the segments to come: another one at each open. See segment-header.ts. */
	salt: number;
	/** Roll after this many bytes. */
	segmentBytes: number;
	/** Bound of all files, which zeros written ahead keep too. */
	maxBytes: number;
	onCorruption: 'quarantine' | 'throw';
	storage: Storage;
	/** Told of damage that was set aside. */
	report(corruption: Corruption): void;
	/** The checkpoint is forced to the device whenever this many more records are done. */
	maxRedelivery: number;
	/** Told of segments that were removed. */
	reclaimed(segments: number, bytes: number): void;
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
	/** What opening found and did. */
	readonly recovery: RecoveryReport;
	/** What an earlier run had delivered out of order. */
	readonly delivered: Delivered;
	readonly doubtful: SequenceRange[];
	readonly reader: SegmentReader<T>;
	readonly #tell: (corruption: Corruption) => void;
	readonly #calls: CallsUnderWay;
	readonly #figures = new LogFigures();
	readonly #segments: SegmentList;
	readonly #appender: BlockAppender<T>;
	readonly #recordSync: RecordSync;
	readonly #checkpoint: CheckpointFile;
	readonly #progress: Progress;
	/** The number of the checkpoint among the files created. */
	#checkpointNumber = 0;
	readonly #copies: QuarantinedCopies;
	readonly #reclaim: Reclaim;

	private constructor(
		directory: string,
		options: SegmentLogOptions<T>,
		{calls, checkpoint, recovered}: {calls: CallsUnderWay; checkpoint: CheckpointFile; recovered: Recovered},
	) {
		const {queueId, sequence, end, report, delivered, doubtful, blockOffset} = recovered;
		const {storage} = calls;
		this.directory = directory;
		this.queueId = queueId;
		this.codec = options.codec;
		this.storage = storage;
		this.onCorruption = options.onCorruption;
		this.recovery = report;
		this.delivered = delivered;
		this.doubtful = doubtful;
		this.#tell = options.report;
		this.#calls = calls;
		this.#checkpoint = checkpoint;
		this.#segments = new SegmentList(
			{directory, queueId, salt: options.salt, codecName: options.codec.name, storage},
			recovered,
			segment => this.reader.leave(segment),
		);
		this.#appender = new BlockAppender({
			directory,
			segments: this.#segments,
			codec: options.codec,
			figures: this.#figures,
			segmentBytes: options.segmentBytes,
			spareBytes: () => options.maxBytes - this.contentBytes,
			roll: () => this.#roll(),
			gaveUp: () => this.#gaveUpActive(),
		});
		this.#progress = new Progress({
			directory,
			file: checkpoint,
			sequence,
			passable: done => this.#passable(done),
			describe: done => ({
				queueId,
				blockOffset: this.reader.offsetOf(done),
				end: this.#recordSync.end,
				doubtful: doubtful.filter(({next}) => next > Math.min(done, this.segments[0]?.firstSequence ?? done)),
			}),
			created: () => {
				this.#checkpointNumber = this.#recordSync.created();
			},
		});
		this.#recordSync = new RecordSync({
			directory,
			storage,
			segments: this.#segments,
			figures: this.#figures,
			end,
			doneSequence: () => this.#progress.sequence,
		});
		this.#copies = new QuarantinedCopies(directory, storage);
		this.#reclaim = new Reclaim({
			directory,
			storage,
			segments: this.#segments,
			progress: this.#progress,
			isMorePassable: () => this.#copies.isDirty,
			syncCheckpoint: async () => {
				await this.#syncCheckpoint();
				await this.#recordSync.syncNames(this.#checkpointNumber);
			},
			maxRedelivery: options.maxRedelivery,
			reclaimed: options.reclaimed,
		});
		this.reader = new SegmentReader<T>(this, sequence, blockOffset);
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
		return this.#segments.all;
	}

	get nextSequence(): number {
		return this.#segments.nextSequence;
	}

	/** The sequence behind the last record: lower than the next one after a power cut that took what was between. */
	get recordsEnd(): number {
		return this.#segments.recordsEnd;
	}

	get doneSequence(): number {
		return this.#progress.sequence;
	}

	/** Every record before it is on the device. */
	get durableSequence(): number {
		return this.#recordSync.end.nextSequence;
	}

	/** Whether more is done than the checkpoint says. */
	get isCheckpointDue(): boolean {
		return this.#progress.isDue;
	}

	/** Whether files are to be removed, by a reclaim under way or the next one. */
	get isMakingRoom(): boolean {
		return this.#segments.firstBefore(this.doneSequence) !== undefined;
	}

	/** How many more records are done than the checkpoint says. */
	get unwrittenDone(): number {
		return this.#progress.sequence - this.#progress.written;
	}

	/** What was written so far, and how long it took. */
	get figures(): LogFigures {
		return this.#figures;
	}

	/** Bytes of all segments. */
	get bytes(): number {
		return this.#segments.bytes;
	}

	/** Bytes of all files, segments, checkpoint and quarantine, but for those written ahead. */
	get contentBytes(): number {
		return this.#segments.bytes + this.#progress.bytes + this.#copies.bytes;
	}

	/** Bytes of all files. */
	get diskBytes(): number {
		return this.contentBytes + this.#segments.reservedBytes;
	}

	/** Takes note of damage that was set aside, and tells of it. */
	report(corruption: Corruption): void {
		this.#copies.add(corruption);
		this.#tell(corruption);
	}

	/**
	 * Appends records as one block and hands it to the operating system: from here on it survives the end of this
	 * process. All or nothing.
	 *
	 * @throws QueueRecordError if the codec refuses the records; QueueStorageError if the file system refuses the bytes.
	 */
	append(records: T[]): AppendedBlock {
		return this.#appender.append(records);
	}

	/** Says that every record before a sequence is done, in memory: `writeCheckpoint` and `sync` make it last. */
	markDone(sequence: number): void {
		// Behind the last record is also behind what a power cut took there.
		this.#progress.markDone(sequence === this.recordsEnd ? this.nextSequence : sequence);
	}

	/** Says that what is delivered out of order has changed; `describe` is asked for it when a checkpoint is written. */
	markDelivered(describe: () => Delivered): void {
		this.#progress.markDelivered(describe);
	}

	/** Hands the checkpoint to the operating system: what is done stays done if this process ends. Then reclaims. */
	writeCheckpoint(): void {
		if (this.#progress.isDue) {
			this.#progress.write();
			this.#reclaim.startIfDue();
		}
	}

	/** Frees the space of a log whose records are all done, though its last segment is not full. */
	freeDone(): void {
		if (this.doneSequence === this.nextSequence && this.#segments.isSealable) {
			this.#segments.seal();
			this.#progress.markDue();
		}

		this.writeCheckpoint();
		this.#reclaim.startIfDue();
	}

	/**
	 * Forces all appended records to the device: from here on they survive a power cut. After a failure `appendAgain` may
	 * rewind the log and append again what was lost, which is forced in its place; not where the sync was only put off.
	 */
	async syncRecords(appendAgain?: () => void): Promise<void> {
		await this.#recordSync.syncRecords(appendAgain);
	}

	/** Forces the records, and what is done of them, to the device. Then reclaims. */
	async sync(): Promise<void> {
		this.#createDueCheckpoint();
		await this.syncRecords();
		if (this.#progress.isCreated) {
			await this.#saveCheckpoint();
			this.#reclaim.startIfDue();
			await this.#reclaim.round;
		}
	}

	/**
	 * Starts the log anew from a sequence on, in a fresh segment, after a sync of what follows it has failed: the
	 * caller has those records, and appends them again. It is never below `durableSequence`.
	 */
	rewindTo(sequence: number): void {
		this.#segments.rewindTo(sequence);
		this.#recordSync.rewound(sequence);
	}

	/** Closes the log in order: all of it durable, and the next open has nothing to scan. */
	async close(): Promise<void> {
		try {
			while (this.#reclaim.round) {
				await this.#reclaim.round;
			}

			this.#createDueCheckpoint();
			this.#writeInAdvance();
			this.#segments.trim();
			await this.syncRecords();
			if (this.#progress.isCreated) {
				await this.#closeCheckpoint();
			}
		} finally {
			await this.closeFiles();
		}
	}

	/** For an exit handler: leaves the checkpoint to the operating system, without a sync. */
	closeNow(): void {
		if (this.#progress.isDue) {
			this.#progress.write();
		}
	}

	/** Gives the descriptors back, the last of them when no call needs it; what was not written stays unwritten. */
	async closeFiles(): Promise<void> {
		this.reader.close();
		this.#segments.seal();
		this.#checkpoint.close();
		await this.#calls.end();
	}

	/** With a checkpoint there is something to reclaim, or will be. */
	#gaveUpActive(): void {
		if (this.#progress.isCreated) {
			this.#progress.markDue();
		}
	}

	/** The checkpoint comes before any segment: it can then move on a full disk, and tell whose a damaged segment is. */
	#roll(): void {
		this.#progress.create();
		this.#segments.roll();
		this.#recordSync.created();
	}

	/** Before the directory is synced, so that the file that a sync writes is in it. */
	#createDueCheckpoint(): void {
		if (this.#progress.isDue || this.segments.length > 0) {
			this.#progress.create();
		}
	}

	/** A checkpoint that says nothing new is not written again. */
	async #saveCheckpoint(): Promise<void> {
		if (!this.#progress.isSaved || this.#copies.isDirty) {
			this.#progress.write();
			await this.#syncCheckpoint();
		}
	}

	/** What is done survives the end of this process from here on, also if the records cannot be forced to the device. */
	#writeInAdvance(): void {
		try {
			this.closeNow();
		} catch {
			// It is written again when the records are on the device, and tells why it cannot be.
		}
	}

	/** The copies of damaged bytes are durable before a checkpoint that passes the damage. */
	async #syncCheckpoint({isClosed} = {isClosed: false}): Promise<void> {
		try {
			if (this.#copies.isDirty) {
				await this.#copies.sync();
				this.#progress.write(isClosed);
			}

			await this.#figures.timeSync(() => this.#progress.sync());
		} catch (error) {
			throw cannotSync(this.directory, error);
		}
	}

	/**
	 * The sequence a checkpoint may name: with it recovery removes the segments that lie before it, and with them what is
	 * damaged there, of which a power cut could take the copy.
	 */
	#passable(done: number): number {
		const paths = this.#copies.dirtySegments;
		const segments = this.segments.filter(({path}) => paths.includes(path));
		return Math.min(done, ...segments.map(({next}) => (next?.firstSequence ?? this.nextSequence) - 1));
	}

	/** Writes that the log ends here in order; a log whose records are all done goes but for the checkpoint. */
	async #closeCheckpoint(): Promise<void> {
		const isDrained = this.doneSequence === this.nextSequence;
		this.#recordSync.closeAt(isDrained ? endOf([], this.nextSequence) : this.#segments.end);
		// Only a scan finds where the records of a log end that a power cut took some from.
		const isClosed = isDrained || this.recordsEnd === this.nextSequence;
		this.#progress.write(isClosed);
		await this.#syncCheckpoint({isClosed});
		if (isDrained && this.segments.length > 0) {
			this.#segments.removeAll();
			await this.storage.syncDirectory(this.directory);
		}
	}
}
