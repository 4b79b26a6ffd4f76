import {AbortError} from '../errors.ts';
import type {WaitOptions} from '../options.ts';
import {Ring} from '../ring.ts';

/** The longest delay of a timer, in milliseconds. */
export const maxDelay: number = 2 ** 31 - 1;
const minCompaction = 64;

/** A call that waits. It leaves the line when it is settled, from either side. */
export class Waiter<Request, Result> {
	readonly request: Request;
	readonly promise: Promise<Result>;
	isWaiting = true;
	#resolve!: (result: Result | PromiseLike<Result>) => void;
	#reject!: (error: unknown) => void;
	#timer: NodeJS.Timeout | undefined;
	#last: NodeJS.Immediate | undefined;
	#signal: AbortSignal | undefined;
	#onAbort: (() => void) | undefined;

	constructor(request: Request) {
		this.request = request;
		this.promise = new Promise<Result>((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
	}

	/** Lets the wait end early; `leave` is called then. */
	arm({timeout, signal}: WaitOptions, late: (timeout: number) => Error, leave: () => void): void {
		const giveUp = (error: Error) => {
			this.reject(error);
			leave();
		};
		if (timeout !== undefined && timeout <= maxDelay) {
			// What was due before it comes first, as in a turn that was held up for longer than the call may wait.
			this.#timer = setTimeout(() => {
				this.#last = setImmediate(() => giveUp(late(timeout)));
			}, timeout);
		}

		if (signal) {
			this.#signal = signal;
			this.#onAbort = () => giveUp(new AbortError(signal));
			signal.addEventListener('abort', this.#onAbort, {once: true});
		}
	}

	/** Takes the call out of the wait: from here on it cannot be given up, only settled. */
	claim(): void {
		this.isWaiting = false;
		clearTimeout(this.#timer);
		clearImmediate(this.#last);
		if (this.#onAbort) {
			this.#signal!.removeEventListener('abort', this.#onAbort);
			this.#onAbort = undefined;
		}
	}

	resolve(result: Result): void {
		this.claim();
		this.#resolve(result);
	}

	reject(error: unknown): void {
		this.claim();
		this.#reject(error);
	}
}

/** Calls that wait for one thing, first come first served. Each may have a timeout and a signal. */
export class WaitingLine<Request, Result> {
	readonly #line = new Ring<Waiter<Request, Result>>();
	readonly #late: (timeout: number) => Error;
	/** Called whenever the line becomes empty or stops being so. */
	readonly #onChange: () => void;
	#length = 0;

	constructor(late: (timeout: number) => Error, onChange: () => void = () => {}) {
		this.#late = late;
		this.#onChange = onChange;
	}

	get length(): number {
		return this.#length;
	}

	/** Joins the line. An aborted signal is settled at once. */
	wait(request: Request, options: WaitOptions | undefined): Promise<Result> {
		return this.join(request, options).promise;
	}

	/** The same, for who may have to be taken out of turn. */
	join(request: Request, options: WaitOptions | undefined): Waiter<Request, Result> {
		const waiter = new Waiter<Request, Result>(request);
		if (options?.signal?.aborted) {
			waiter.reject(new AbortError(options.signal));
			return waiter;
		}

		if (options) {
			waiter.arm(options, this.#late, () => this.#removed());
		}

		this.#line.push(waiter);
		if (++this.#length === 1) {
			this.#onChange();
		}

		return waiter;
	}

	/** Who waits, in order. */
	*waiting(): Generator<Waiter<Request, Result>> {
		for (let index = 0; index < this.#line.length; index++) {
			const waiter = this.#line.at(index);
			if (waiter.isWaiting) {
				yield waiter;
			}
		}
	}

	/** Who has waited longest. */
	first(): Waiter<Request, Result> | undefined {
		while (this.#line.length > 0) {
			const waiter = this.#line.at(0);
			if (waiter.isWaiting) {
				return waiter;
			}

			this.#line.shift();
		}

		return undefined;
	}

	/** Takes the first out of the line, to be settled by the caller. */
	claimFirst(): Waiter<Request, Result> | undefined {
		const waiter = this.first();
		if (waiter) {
			this.#line.shift();
			waiter.claim();
			this.#left();
		}

		return waiter;
	}

	/** Takes one out of turn, to be settled by the caller. */
	claim(waiter: Waiter<Request, Result>): void {
		waiter.claim();
		this.#removed();
	}

	/** Takes all out of the line, to be settled by the caller. */
	claimAll(): Array<Waiter<Request, Result>> {
		const waiters: Array<Waiter<Request, Result>> = [];
		for (let waiter = this.claimFirst(); waiter; waiter = this.claimFirst()) {
			waiters.push(waiter);
		}

		return waiters;
	}

	rejectAll(error: unknown): void {
		for (const waiter of this.claimAll()) {
			waiter.reject(error);
		}
	}

	#removed(): void {
		this.#left();
		if (this.#line.length > minCompaction && this.#length < this.#line.length / 2) {
			this.#compact();
		}
	}

	#left(): void {
		if (--this.#length === 0) {
			this.#onChange();
		}
	}

	#compact(): void {
		for (const waiter of this.#line.shiftMany(this.#line.length)) {
			if (waiter.isWaiting) {
				this.#line.push(waiter);
			}
		}
	}
}
