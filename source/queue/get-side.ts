import {QueueEmptyError} from '../errors.ts';
import type {WaitOptions} from '../options.ts';
import {KeepAlive} from './keep-alive.ts';
import type {RecordStore} from './record-store.ts';
import {WaitingLine} from './waiting-line.ts';

/** Takes something; undefined if it must wait. Wrapped, since any value may be a record. */
type Request = () => {value: unknown} | undefined;

/** The consumers' side of a queue: who takes now, who waits, and when the disk is read. */
export class GetSide<T> {
	readonly #store: RecordStore<T>;
	readonly #line: WaitingLine<Request, unknown>;
	/** Called after records were taken. */
	readonly #onTaken: () => void;
	readonly #keepAlive = new KeepAlive();
	#isServingDue = false;
	#isLoading = false;

	constructor(directory: string, store: RecordStore<T>, onTaken: () => void) {
		this.#store = store;
		this.#onTaken = onTaken;
		this.#line = new WaitingLine(
			timeout => new QueueEmptyError(directory, timeout),
			() => this.#keepAlive.hold(this.#line.length > 0),
		);
	}

	/** Calls that wait. */
	get waiting(): number {
		return this.#line.length;
	}

	/** Takes what a request asks for, in turn. Throws what the request throws. */
	take<R>(request: () => {value: R} | undefined, options: WaitOptions | undefined): Promise<R> {
		if (this.#line.length === 0 && !options?.signal?.aborted) {
			const taken = request();
			if (taken) {
				this.#onTaken();
				return Promise.resolve(taken.value);
			}
		}

		const promise = this.#line.wait(request, options) as Promise<R>;
		this.#loadIfDue();
		return promise;
	}

	/** Takes something in this turn, unless others wait for it. */
	takeNow<R>(request: () => R | undefined): R | undefined {
		this.#serve();
		const taken = this.#line.length === 0 ? request() : undefined;
		if (taken !== undefined) {
			this.#onTaken();
		}

		return taken;
	}

	/** Serves who waits, at the end of this turn: what is added until then goes in one piece. */
	added(): void {
		if (this.#line.length > 0 && !this.#isServingDue) {
			this.#isServingDue = true;
			queueMicrotask(() => {
				this.#isServingDue = false;
				this.#serve();
			});
		}
	}

	/** Rejects who waits, for good. */
	close(error: unknown): void {
		this.#line.rejectAll(error);
		this.#keepAlive.close();
	}

	/** Whether a call that waits keeps the process alive. */
	keepProcessAlive(isWanted: boolean): void {
		this.#keepAlive.want(isWanted);
	}

	#serve(): void {
		for (let waiter = this.#line.first(); waiter; waiter = this.#line.first()) {
			try {
				const taken = waiter.request();
				if (!taken) {
					this.#loadIfDue();
					return;
				}

				this.#line.claimFirst()!.resolve(taken.value);
				this.#onTaken();
			} catch (error) {
				this.#line.claimFirst()!.reject(error);
			}
		}
	}

	#loadIfDue(): void {
		if (this.#line.length > 0 && this.#store.isLoadDue && !this.#isLoading) {
			this.#isLoading = true;
			void this.#load();
		}
	}

	/** A read that fails is the error of the one who waited longest; the next one reads again. */
	async #load(): Promise<void> {
		try {
			await this.#store.load();
		} catch (error) {
			this.#line.claimFirst()?.reject(error);
		}

		this.#isLoading = false;
		this.#serve();
	}
}
