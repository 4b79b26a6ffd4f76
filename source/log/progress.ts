import {isDeepStrictEqual} from 'node:util';
import {QueueStorageError} from '../errors.ts';
import {checkpointFileBytes, type Delivered} from '../format/checkpoint.ts';
import type {CheckpointFile, CheckpointState} from './checkpoint-file.ts';

export type ProgressParts = {
	directory: string;
	file: CheckpointFile;
	/** Every record before it was done at the open. */
	sequence: number;
	/** The last sequence up to a given one that a checkpoint may name: what lies before it may be removed. */
	passable(sequence: number): number;
	/** What a checkpoint says besides what is done, for the sequence before which all is. */
	describe(sequence: number): Pick<CheckpointState, 'queueId' | 'blockOffset' | 'end' | 'doubtful'>;
	/** Told that the checkpoint's file was created. */
	created(): void;
};

/** What of a log is done: in memory, in the checkpoint that was written last, and in the one that is durable. */
export class Progress {
	readonly #parts: ProgressParts;
	readonly #file: CheckpointFile;
	/** Every record before it is done. */
	#sequence: number;
	/** Up to where the end of this process, and a power cut, leave done what is done. */
	#written: number;
	#durable: number;
	#isDue = false;
	/** The durable end of the log that the last checkpoint written names. */
	#end: CheckpointState['end'] | undefined;
	/** Says what is delivered out of order. */
	#describeDelivered: () => Delivered = () => ({next: 0, runs: []});

	constructor(parts: ProgressParts) {
		this.#parts = parts;
		this.#file = parts.file;
		this.#sequence = parts.sequence;
		this.#written = parts.sequence;
		this.#durable = parts.sequence;
	}

	get sequence(): number {
		return this.#sequence;
	}

	get written(): number {
		return this.#written;
	}

	get durable(): number {
		return this.#durable;
	}

	/** Whether there is more to say than the last checkpoint does. */
	get isDue(): boolean {
		return this.#isDue;
	}

	/** Whether the checkpoint on the device says all there is to say. */
	get isSaved(): boolean {
		const {end} = this.#parts.describe(this.#sequence);
		return !this.#isDue && this.#file.isSynced && isDeepStrictEqual(end, this.#end);
	}

	get isCreated(): boolean {
		return this.#file.isCreated;
	}

	get bytes(): number {
		return this.isCreated ? checkpointFileBytes : 0;
	}

	/** Says that every record before a sequence is done. */
	markDone(sequence: number): void {
		if (sequence > this.#sequence) {
			this.#sequence = sequence;
			this.#isDue = true;
		}
	}

	/** Says that what is delivered out of order has changed. */
	markDelivered(describe: () => Delivered): void {
		this.#describeDelivered = describe;
		this.#isDue = true;
	}

	/** Says that a checkpoint is due though no more is done. */
	markDue(): void {
		this.#isDue = true;
	}

	/** Creates the file, in full: a checkpoint can then be written when the disk is full. It names the queue. */
	create(): void {
		if (!this.isCreated) {
			this.#attempt(() => this.#file.create(this.#state(false)));
			this.#parts.created();
		}
	}

	/** Hands a checkpoint to the operating system: from here on it survives the end of this process. */
	write(isClosed = false): void {
		this.create();
		const state = this.#state(isClosed);
		this.#attempt(() => this.#file.write(state));
		this.#written = state.sequence;
		this.#end = state.end;
		this.#isDue = false;
	}

	/** Forces the last checkpoint written to the device: from here on it survives a power cut. */
	async sync(): Promise<void> {
		const written = this.#written;
		await this.#file.sync();
		this.#durable = Math.max(this.#durable, written);
	}

	#attempt(write: () => void): void {
		try {
			write();
		} catch (error) {
			throw new QueueStorageError('write the checkpoint of', this.#parts.directory, error, 'It stays due.');
		}
	}

	#state(isClosed: boolean): CheckpointState {
		const sequence = this.#parts.passable(this.#sequence);
		const {next, runs} = this.#describeDelivered();
		const delivered = {next: Math.max(next, this.#sequence), runs};
		return {...this.#parts.describe(sequence), sequence, isClosed, delivered};
	}
}
