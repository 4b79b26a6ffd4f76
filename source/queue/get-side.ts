import {QueueEmptyError} from '../errors.ts';
import type {WaitOptions} from '../options.ts';
import {KeepAlive} from './keep-alive.ts';
import type {RecordStore} from './record-store.ts';
import type {Shortage} from './shortage.ts';
import {type Waiter, WaitingLine} from './waiting-line.ts';

type Request = {
	/** Takes something; undefined, which no record is, if it must wait. */
	take(): unknown;
	/** Whether it has nothing to wait for. */
	isOver?: (() => boolean) | undefined;
};

/** The consumers' side of a queue: who takes now, who waits, and when the disk is read. */
export class GetSide<T> {
	readonly #store: RecordStore<T>;
	readonly #line: WaitingLine<Request, unknown>;
	/** Called after records were taken. */
	readonly #onTaken: () => void;
	readonly #keepAlive = new KeepAlive();
	/** Those in line that may be over before it is their turn. */
	readonly #ending = new Set<Waiter<Request, unknown>>();
	/** Why nothing is taken any more. */
	#closed: {error: unknown} | undefined;
	#isServingDue = false;
	#isLoading = false;

	constructor(store: RecordStore<T>, shortage: Shortage, onTaken: () => void) {
		this.#store = store;
		this.#onTaken = onTaken;
		this.#line = new WaitingLine(
			timeout =>
				new QueueEmptyError(
					store.directory,
					timeout,
					store.size > 0 && shortage.cause ? {cause: shortage.cause} : undefined,
				),
			() => this.#keepAlive.hold(this.#line.length > 0),
		);
	}

	/** Calls that wait. */
	get waiting(): number {
		return this.#line.length;
	}

	/** Takes something, in turn. Throws what `take` throws. */
	take<R>(take: () => R | undefined, options: WaitOptions | undefined): Promise<R> {
		const taken = this.#takeAtOnce(take, options);
		return taken === undefined ? (this.#wait({take}, options).promise as Promise<R>) : Promise.resolve(taken);
	}

	/** The same, until `isOver`: then it resolves to undefined, whoever else waits. */
	async takeUntil<R>(
		isOver: () => boolean,
		take: () => R | undefined,
		options: WaitOptions | undefined,
	): Promise<R | undefined> {
		const taken = this.#takeAtOnce(take, options);
		if (taken !== undefined) {
			return taken;
		}

		const waiter = this.#wait({take, isOver}, options);
		const forget = () => this.#ending.delete(waiter);
		this.#ending.add(waiter);
		waiter.promise.then(forget, forget);
		this.#letGo();
		return waiter.promise as Promise<R | undefined>;
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

	/** Rejects who waits, and whoever comes. */
	close(error: unknown): void {
		this.#closed = {error};
		this.#line.rejectAll(error);
		this.#keepAlive.close();
	}

	/** Whether a call that waits keeps the process alive. */
	keepProcessAlive(isWanted: boolean): void {
		this.#keepAlive.want(isWanted);
	}

	#takeAtOnce<R>(take: () => R | undefined, options: WaitOptions | undefined): R | undefined {
		if (this.#closed) {
			throw this.#closed.error;
		}

		const taken = this.#line.length === 0 && !options?.signal?.aborted ? take() : undefined;
		if (taken !== undefined) {
			this.#onTaken();
		}

		return taken;
	}

	#wait(request: Request, options: WaitOptions | undefined): Waiter<Request, unknown> {
		const waiter = this.#line.join(request, options);
		this.#loadIfDue();
		return waiter;
	}

	#serve(): void {
		this.#serveInTurn();
		this.#letGo();
	}

	#serveInTurn(): void {
		for (let waiter = this.#line.first(); waiter; waiter = this.#line.first()) {
			try {
				const taken = waiter.request.take();
				if (taken === undefined) {
					this.#loadIfDue();
					return;
				}

				this.#line.claimFirst()!.resolve(taken);
				this.#onTaken();
			} catch (error) {
				this.#line.claimFirst()!.reject(error);
			}
		}
	}

	/** Whoever has nothing to wait for leaves the line: those before it may wait for long. */
	#letGo(): void {
		for (const waiter of this.#ending) {
			if (waiter.isWaiting && waiter.request.isOver!()) {
				this.#line.claim(waiter);
				waiter.resolve(undefined);
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
