/** A call that serves all who asked before it began: whoever asks while one is under way shares the next. */
export class SharedCall {
	readonly #call: () => Promise<void>;
	#running: Promise<void> | undefined;
	#next: Promise<void> | undefined;

	constructor(call: () => Promise<void>) {
		this.#call = call;
	}

	/** Resolves, or rejects, as a call does that begins now or later. */
	run(): Promise<void> {
		this.#next ??= this.#running?.then(
			() => this.#start(),
			() => this.#start(),
		);
		return this.#next ?? this.#start();
	}

	/** Waits until no call is under way, nor to come. */
	async settle(): Promise<void> {
		for (let last = this.#last; last; last = this.#last) {
			await last.catch(() => {});
		}
	}

	/** Between two calls there is none under way, and one to come. */
	get #last(): Promise<void> | undefined {
		return this.#next ?? this.#running;
	}

	#start(): Promise<void> {
		this.#next = undefined;
		this.#running = this.#call().finally(() => {
			this.#running = undefined;
		});
		return this.#running;
	}
}
