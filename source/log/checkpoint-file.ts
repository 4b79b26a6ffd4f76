import {join} from 'node:path';
import type {Corruption} from '../errors.ts';
import {
	type Checkpoint,
	checkpointFileBytes,
	decodeCheckpoint,
	encodeCheckpoint,
	slotBytes,
} from '../format/checkpoint.ts';
import {checkpointFileName} from '../format/file-name.ts';
import {Mismatch} from '../format/mismatch.ts';
import {formatVersion} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import {quarantineFile} from './quarantine.ts';
import {readUpTo, writeAll} from './transfer.ts';

/** What a checkpoint says, without what the file adds to it. */
export type CheckpointState = Omit<Checkpoint, 'version' | 'generation'>;

/**
 * The checkpoint file: two slots, so that one durable checkpoint is whole at every moment.
 *
 * Writes go to the slot that is not the durable one, over and over, until a sync makes it durable and the other one
 * free. Both slots are allocated at creation: moving the checkpoint needs no free space.
 */
export class CheckpointFile {
	readonly #path: string;
	readonly #storage: Storage;
	#descriptor: number | undefined;
	#generation = 0;
	/** The slot that a power cut cannot take. */
	#durableSlot = 1;
	/** Counts of the states given to `write`, and of those that a power cut cannot take. */
	#written = 0;
	#synced = 0;
	/** The sync under way; a state given meanwhile is held until it ends. */
	#syncing: Promise<void> | undefined;
	#held: CheckpointState | undefined;
	#last: CheckpointState | undefined;
	/** The slot may not hold the last state, after a write or a sync that failed: it is written again before the next sync. */
	#isSpoiled = false;

	constructor(directory: string, storage: Storage) {
		this.#path = join(directory, checkpointFileName);
		this.#storage = storage;
	}

	get isCreated(): boolean {
		return this.#descriptor !== undefined;
	}

	/** Whether the last state written survives a power cut. */
	get isSynced(): boolean {
		return this.#synced === this.#written;
	}

	/** Opens the file if there is one and reads its newest whole checkpoint; a `Mismatch` if it holds none. */
	async open(): Promise<Checkpoint | Mismatch | undefined> {
		const stat = this.#storage.stat(this.#path);
		if (!stat) {
			return undefined;
		}

		this.#descriptor = this.#storage.open(this.#path, 'update');
		const slots = [this.#readSlot(0), this.#readSlot(1)] as const;
		const newest = newestOf(slots);
		if (newest === undefined) {
			return this.#withoutCheckpoint(slots as readonly [Mismatch, Mismatch]);
		}

		const {slot, checkpoint} = newest;
		this.#generation = checkpoint.generation;
		this.#durableSlot = slot;
		if (checkpoint.version <= formatVersion) {
			// A killed process may have left this slot in the system's cache only; from here on it is durable.
			await this.#storage.sync(this.#descriptor);
		}

		return checkpoint;
	}

	/** Zeros, or nothing, are a file that no state was ever written to: its creation may not have ended. */
	#withoutCheckpoint(slots: readonly [Mismatch, Mismatch]): Mismatch | undefined {
		const damaged = slots.find(({found}) => found !== 'zeros');
		if (!damaged) {
			this.close();
			this.#storage.unlink(this.#path);
		}

		return damaged;
	}

	/** Puts a file that holds no checkpoint of this queue aside; the next state written starts a new one. */
	setAside({expected, found}: Mismatch): Corruption {
		this.close();
		const bytes = this.#storage.stat(this.#path)?.bytes ?? 0;
		const quarantine = quarantineFile(this.#path, this.#storage);
		return {path: this.#path, offset: 0, bytes, lost: undefined, expected, found, quarantine};
	}

	/** Creates the file, with room for both slots, unless it is there. */
	create(): void {
		if (this.#descriptor !== undefined) {
			return;
		}

		const descriptor = this.#storage.open(this.#path, 'create');
		try {
			writeAll(this.#storage, descriptor, [Buffer.alloc(checkpointFileBytes)], 0);
		} catch (error) {
			this.#storage.close(descriptor);
			this.#storage.unlink(this.#path);
			throw error;
		}

		this.#descriptor = descriptor;
	}

	/** Hands a state to the operating system: from here on it survives the end of this process. */
	write(state: CheckpointState): void {
		this.create();
		this.#written++;
		if (this.#syncing) {
			this.#held = state;
		} else {
			this.#writeSlot(state);
		}
	}

	/** Forces the last state written to the device: from here on it survives a power cut. */
	async sync(): Promise<void> {
		const target = this.#written;
		while (this.#synced < target) {
			this.#syncing ??= this.#syncSlot();
			await this.#syncing;
		}
	}

	/** For an exit handler: writes at once, even beside a sync that will never end. */
	writeNow(state: CheckpointState): void {
		this.create();
		this.#writeSlot(state);
	}

	/** Gives the descriptor back, once no sync is using it. */
	close(): void {
		const descriptor = this.#descriptor;
		this.#descriptor = undefined;
		if (descriptor !== undefined) {
			const close = () => this.#storage.close(descriptor);
			this.#syncing ? this.#syncing.then(close, close) : close();
		}
	}

	async #syncSlot(): Promise<void> {
		const covered = this.#written;
		try {
			if (this.#isSpoiled) {
				this.#writeSlot(this.#last!);
			}

			// Until it succeeds: a failed sync may have cost the slot, and the system may not know.
			this.#isSpoiled = true;
			await this.#storage.sync(this.#descriptor!);
			this.#isSpoiled = false;
			this.#synced = covered;
			this.#durableSlot = 1 - this.#durableSlot;
		} finally {
			this.#syncing = undefined;
			this.#writeHeld();
		}
	}

	#writeHeld(): void {
		const held = this.#held;
		this.#held = undefined;
		if (held && this.#descriptor !== undefined) {
			this.#writeSlot(held);
		}
	}

	#writeSlot(state: CheckpointState): void {
		this.#last = state;
		this.#isSpoiled = true;
		const bytes = encodeCheckpoint({...state, generation: ++this.#generation});
		writeAll(this.#storage, this.#descriptor!, [bytes], (1 - this.#durableSlot) * slotBytes);
		this.#isSpoiled = false;
	}

	#readSlot(slot: number): Checkpoint | Mismatch {
		return decodeCheckpoint(readUpTo(this.#storage, this.#descriptor!, slot * slotBytes, slotBytes));
	}
}

function newestOf(slots: readonly [Checkpoint | Mismatch, Checkpoint | Mismatch]) {
	const [first, second] = slots;
	if (first instanceof Mismatch) {
		return second instanceof Mismatch ? undefined : {slot: 1, checkpoint: second};
	}

	const isFirst = second instanceof Mismatch || first.generation > second.generation;
	return isFirst ? {slot: 0, checkpoint: first} : {slot: 1, checkpoint: second};
}
