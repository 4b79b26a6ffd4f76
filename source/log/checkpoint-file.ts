import {join} from 'node:path';
import type {Corruption} from '../errors.ts';
import {
	type Checkpoint,
	checkpointFileBytes,
	decodeCheckpoint,
	encodeCheckpoint,
	slotBytes,
	slotCount,
} from '../format/checkpoint.ts';
import {checkpointFileName} from '../format/file-name.ts';
import {Mismatch} from '../format/mismatch.ts';
import {formatVersion} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import {quarantineFile} from './quarantine.ts';
import {readUpTo, writeAll} from './transfer.ts';

const slotNumbers = Array.from({length: slotCount}, (_, slot) => slot);

/** What a checkpoint says, without what the file adds to it. */
export type CheckpointState = Omit<Checkpoint, 'version' | 'generation'>;

/**
 * The checkpoint file: four slots, so that one durable checkpoint is whole at every moment, and so is the newest that was
 * handed to the operating system, also while a sync is under way.
 *
 * One slot is durable, one may be under way to the device, one holds the newest state; a write goes to the fourth, since a
 * process that is killed may leave half of what it writes. All are allocated at creation: moving the checkpoint needs no
 * free space.
 */
export class CheckpointFile {
	readonly #path: string;
	readonly #storage: Storage;
	#descriptor: number | undefined;
	#generation = 0;
	/** The slot that a power cut cannot take. */
	#durableSlot = slotCount - 1;
	/** The slot with the newest whole state: the end of this process cannot take it. */
	#newestSlot = slotCount - 1;
	/** The slot that is under way to the device. */
	#syncingSlot: number | undefined;
	/** Whether the last state given is in the newest slot, and may get from there to the device. */
	#isNewestLast = false;
	/** Counts of the states given to `write`, and of those that a power cut cannot take. */
	#written = 0;
	#synced = 0;
	#syncing: Promise<void> | undefined;
	#last: CheckpointState | undefined;

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

	/** Opens the file if there is one and reads its newest whole checkpoint; a `Mismatch` if it holds none of this queue. */
	async open(isOwn: (queueId: Buffer) => boolean): Promise<Checkpoint | Mismatch | undefined> {
		const stat = this.#storage.stat(this.#path);
		if (!stat) {
			return undefined;
		}

		this.#descriptor = this.#storage.open(this.#path, 'update');
		const slots = slotNumbers.map(slot => this.#readSlot(slot));
		const checkpoint = newest(slots, isOwn);
		if (checkpoint instanceof Mismatch) {
			return checkpoint;
		}

		if (checkpoint === undefined) {
			return this.#withoutCheckpoint(slots as Mismatch[]);
		}

		this.#generation = Math.max(...slots.map(slot => (slot instanceof Mismatch ? 0 : slot.generation)));
		this.#durableSlot = slots.indexOf(checkpoint);
		this.#newestSlot = this.#durableSlot;
		if (checkpoint.version <= formatVersion) {
			// A killed process may have left this slot in the system's cache only; from here on it is durable.
			await this.#storage.sync(this.#descriptor);
		}

		return checkpoint;
	}

	/** Zeros, or nothing, are a file that no state was ever written to: its creation may not have ended. */
	#withoutCheckpoint(slots: Mismatch[]): Mismatch | undefined {
		const damaged = slots.find(({found}) => found !== 'zeros');
		if (!damaged) {
			this.close();
			this.#storage.unlink(this.#path);
		}

		return damaged;
	}

	/** What to tell of a file that holds no checkpoint of this queue. */
	describe({expected, found}: Mismatch): Corruption {
		const bytes = this.#storage.size(this.#descriptor!);
		return {path: this.#path, offset: 0, bytes, lost: undefined, expected, found, quarantine: undefined};
	}

	/** Puts such a file aside and gives its new path; the next state written starts a new one. */
	setAside(): string {
		this.close();
		return quarantineFile(this.#path, this.#storage);
	}

	/** Creates the file, with room for all slots and a first state. It must not be there. */
	create(state: CheckpointState): void {
		const descriptor = this.#storage.open(this.#path, 'create');
		const bytes = Buffer.alloc(checkpointFileBytes);
		const slot = this.#freeSlot();
		encodeCheckpoint({...state, generation: ++this.#generation}).copy(bytes, slot * slotBytes);
		try {
			writeAll(this.#storage, descriptor, [bytes], 0);
		} catch (error) {
			this.#storage.close(descriptor);
			this.#storage.unlink(this.#path);
			throw error;
		}

		this.#descriptor = descriptor;
		this.#written++;
		this.#last = state;
		this.#newestSlot = slot;
		this.#isNewestLast = true;
	}

	/** Hands a state to the operating system: from here on it survives the end of this process. */
	write(state: CheckpointState): void {
		if (this.#descriptor === undefined) {
			this.create(state);
			return;
		}

		this.#written++;
		this.#last = state;
		this.#writeSlot(state);
	}

	/** Forces the last state written to the device: from here on it survives a power cut. */
	async sync(): Promise<void> {
		const target = this.#written;
		while (this.#synced < target) {
			// Not in the call itself: it may have failed before it is known to be under way.
			this.#syncing ??= this.#syncSlot().finally(() => {
				this.#syncing = undefined;
			});
			await this.#syncing;
		}
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
			if (!this.#isNewestLast) {
				this.#writeSlot(this.#last!);
			}

			const slot = this.#newestSlot;
			this.#syncingSlot = slot;
			await this.#storage.sync(this.#descriptor!);
			this.#synced = covered;
			this.#durableSlot = slot;
		} catch (error) {
			// The system may count lost bytes as written: what is there is written again before the next sync.
			this.#isNewestLast = false;
			throw error;
		} finally {
			this.#syncingSlot = undefined;
		}
	}

	#writeSlot(state: CheckpointState): void {
		this.#isNewestLast = false;
		const slot = this.#freeSlot();
		const bytes = encodeCheckpoint({...state, generation: ++this.#generation});
		writeAll(this.#storage, this.#descriptor!, [bytes], slot * slotBytes);
		this.#newestSlot = slot;
		this.#isNewestLast = true;
	}

	#freeSlot(): number {
		const taken = [this.#durableSlot, this.#newestSlot, this.#syncingSlot];
		return slotNumbers.find(slot => !taken.includes(slot))!;
	}

	#readSlot(slot: number): Checkpoint | Mismatch {
		return decodeCheckpoint(readUpTo(this.#storage, this.#descriptor!, slot * slotBytes, slotBytes));
	}
}

/** The checkpoint that counts: one of a newer version, which is to be refused, or the last one written for this queue. */
function newest(
	slots: Array<Checkpoint | Mismatch>,
	isOwn: (queueId: Buffer) => boolean,
): Checkpoint | Mismatch | undefined {
	const whole = slots.filter((slot): slot is Checkpoint => !(slot instanceof Mismatch));
	const own = whole.filter(({queueId}) => isOwn(queueId)).sort((one, other) => other.generation - one.generation);
	const newer = whole.find(({version}) => version > formatVersion);
	if (newer ?? own[0]) {
		return newer ?? own[0];
	}

	return whole[0] && new Mismatch('the queue id of the segments', whole[0].queueId.toString('hex'));
}
