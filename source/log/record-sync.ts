import {QueueStorageError} from '../errors.ts';
import type {Checkpoint} from '../format/checkpoint.ts';
import type {Storage} from '../storage.ts';
import type {LogFigures} from './log-figures.ts';
import {isSyncPutOff} from './passing-failure.ts';
import type {Segment} from './segment.ts';
import type {SegmentList} from './segment-list.ts';
import type {SegmentWriter} from './segment-writer.ts';

export type RecordSyncParts = {
	directory: string;
	storage: Storage;
	segments: SegmentList;
	figures: LogFigures;
	/** Up to where the log is on the device already. */
	end: Checkpoint['end'];
	/** Every record before it is done. */
	doneSequence(): number;
};

/** Forces the records of a log to the device: its segments, and their names in the directory. */
export class RecordSync {
	readonly #parts: RecordSyncParts;
	/** The durable end of the log: what a power cut cannot take. */
	#end: Checkpoint['end'];
	/** Counts the files created, and those of them whose directory entries a power cut cannot take. */
	#created = 0;
	#createdDurably = 0;
	/** Records whose sync failed, and that are nowhere else: no later sync can vouch for them while they are not done. */
	#unsyncable: {error: unknown; from: number; to: number} | undefined;
	/** The sync under way. One at a time: of two syncs of a file only one is told of an error that both must know. */
	#syncing: Promise<void> | undefined;

	constructor(parts: RecordSyncParts) {
		this.#parts = parts;
		this.#end = parts.end;
	}

	get end(): Checkpoint['end'] {
		return this.#end;
	}

	/** Counts a file that was created; gives its number, for `syncNames`. */
	created(): number {
		return ++this.#created;
	}

	/**
	 * Forces all appended records to the device: from here on they survive a power cut. After a failure `appendAgain` may
	 * rewind the log and append again what was lost, which is forced in its place; not where the sync was only put off.
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

	/** Forces the names of the first `count` files created to the device. */
	async syncNames(count: number = this.#created): Promise<void> {
		if (this.#createdDurably >= count) {
			return;
		}

		const {directory, storage} = this.#parts;
		const created = this.#created;
		try {
			await storage.syncDirectory(directory);
			this.#createdDurably = Math.max(created, this.#createdDurably);
		} catch (error) {
			throw cannotSync(directory, error);
		}
	}

	/** The log was rewound: what failed from there on will be appended again. */
	rewound(sequence: number): void {
		if (this.#unsyncable) {
			const {error, from, to} = this.#unsyncable;
			this.#unsyncable = from < sequence ? {error, from, to: Math.min(to, sequence)} : undefined;
		}
	}

	/** The log is closed, all of it on the device: it ends here from now on. */
	closeAt(end: Checkpoint['end']): void {
		this.#end = end;
	}

	async #syncOrElse(appendAgain: (() => void) | undefined): Promise<void> {
		try {
			await this.#syncDirty();
		} catch (error) {
			if (!appendAgain || isSyncPutOff(error)) {
				throw error;
			}

			this.#appendAgain(appendAgain, error);
			await this.#syncDirty();
		}
	}

	/**
	 * Where it fails, what was rewound may be in the files still, and nothing may follow it there: while those records are
	 * not done, no sync says that the log ends before them.
	 */
	#appendAgain(appendAgain: () => void, error: unknown): void {
		const {segments} = this.#parts;
		const {from = segments.nextSequence, to = 0} = this.#unsyncable ?? {};
		const end = Math.max(segments.nextSequence, to);
		try {
			appendAgain();
		} catch (cause) {
			this.#unsyncable = {error, from: Math.min(segments.nextSequence, from), to: end};
			throw cause;
		}
	}

	async #syncDirty(): Promise<void> {
		const {segments, doneSequence} = this.#parts;
		const {end} = segments;
		for (const segment of segments.all.filter(({isDirty}) => isDirty)) {
			await this.#syncSegment(segment);
		}

		await this.syncNames();
		if (this.#unsyncable && this.#unsyncable.to > doneSequence()) {
			throw this.#unsyncable.error;
		}

		this.#end = end;
	}

	async #syncSegment(segment: Segment): Promise<void> {
		const {writer, all} = this.#parts.segments;
		if (writer?.segment === segment) {
			await this.#syncActive(writer);
		} else if (all.includes(segment)) {
			await this.#syncSealed(segment);
		}
	}

	async #syncActive(writer: SegmentWriter): Promise<void> {
		const end = this.#parts.segments.nextSequence;
		await this.#syncOnce(writer.segment, () => writer.sync());
		writer.segment.syncedSequence = end;
	}

	/** A segment that cannot be opened was not synced: it is tried again the next time. */
	async #syncSealed(segment: Segment): Promise<void> {
		const {directory, storage} = this.#parts;
		let descriptor: number;
		try {
			descriptor = storage.open(segment.path, 'update');
		} catch (error) {
			throw cannotSync(directory, error);
		}

		try {
			await this.#syncOnce(segment, () => storage.sync(descriptor));
			segment.isDirty = false;
		} finally {
			storage.close(descriptor);
		}
	}

	/** A failed sync is never retried: the system may count the lost pages as written from here on. */
	async #syncOnce(segment: Segment, sync: () => Promise<void>): Promise<void> {
		const {directory, segments, figures} = this.#parts;
		try {
			await figures.timeSync(sync);
		} catch (cause) {
			segment.isDirty = false;
			if (segments.writer?.segment === segment) {
				segments.seal();
			}

			const error = cannotSync(directory, cause);
			const {from = segment.syncedSequence, to = 0} = this.#unsyncable ?? {};
			this.#unsyncable = {
				error,
				from: Math.min(segment.syncedSequence, from),
				to: Math.max(segments.nextSequence, to),
			};
			throw error;
		}
	}
}

export function cannotSync(directory: string, cause: unknown): QueueStorageError {
	const advice = 'What was not synced before may be lost in a power cut. Check the device.';
	return new QueueStorageError('force to the device the queue in', directory, cause, advice);
}
