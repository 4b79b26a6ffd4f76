import type {Corruption} from '../errors.ts';
import type {Storage} from '../storage.ts';
import {quarantineAgain, quarantineSize, syncQuarantine} from './quarantine.ts';

/** The copies of damaged bytes that a log has made: what they take, and which of them a power cut could take. */
export class QuarantinedCopies {
	readonly #directory: string;
	readonly #storage: Storage;
	#bytes: number;
	/** Damage, by the path of its copy. */
	readonly #unsynced = new Map<string, Corruption>();

	constructor(directory: string, storage: Storage) {
		this.#directory = directory;
		this.#storage = storage;
		this.#bytes = quarantineSize(directory, storage);
	}

	/** Bytes of all that is in quarantine. */
	get bytes(): number {
		return this.#bytes;
	}

	/** Counts the copy of some damage, if there is one; that it cannot be measured must not keep the damage from being told. */
	add(corruption: Corruption): void {
		if (corruption.quarantine) {
			this.#unsynced.set(corruption.quarantine, corruption);
			try {
				this.#bytes = quarantineSize(this.#directory, this.#storage);
			} catch {
				this.#bytes += corruption.bytes;
			}
		}
	}

	/** Whether a power cut could take some of the copies. */
	get isDirty(): boolean {
		return this.#unsynced.size > 0;
	}

	/** Paths of the segments that have damage of which a power cut could take the copy. */
	get dirtySegments(): string[] {
		return [...this.#unsynced.values()].map(({path}) => path);
	}

	/** Forces the copies to the device. After a failure they are made anew: no later sync could vouch for them. */
	async sync(): Promise<void> {
		const copies = [...this.#unsynced.entries()];
		const paths = copies.map(([path]) => path);
		try {
			await syncQuarantine(this.#directory, paths, this.#storage);
		} catch (error) {
			for (const [, corruption] of copies) {
				quarantineAgain(corruption, this.#storage);
			}

			throw error;
		}

		for (const path of paths) {
			this.#unsynced.delete(path);
		}
	}
}
