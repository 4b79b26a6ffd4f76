import type {Storage} from '../storage.ts';

/** A file system that knows which of its calls have not ended: each of them needs a descriptor until then. */
export class CallsUnderWay {
	readonly storage: Storage;
	readonly #calls = new Set<Promise<unknown>>();

	constructor(storage: Storage) {
		this.storage = {
			...storage,
			read: (descriptor, target, position) => this.#watch(storage.read(descriptor, target, position)),
			sync: (descriptor, where) => this.#watch(storage.sync(descriptor, where)),
			syncDirectory: path => this.#watch(storage.syncDirectory(path)),
		};
	}

	/** Resolves when none is left. Who waits for one to end, to close its descriptor, comes first. */
	async end(): Promise<void> {
		while (this.#calls.size > 0) {
			await Promise.allSettled(this.#calls);
		}
	}

	#watch<R>(call: Promise<R>): Promise<R> {
		this.#calls.add(call);
		const forget = () => this.#calls.delete(call);
		call.then(forget, forget);
		return call;
	}
}
