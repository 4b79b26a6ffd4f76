import {QueueSettledError} from '../errors.ts';
import {checkMilliseconds, checkNames} from '../options.ts';
import type {Lease} from './lease.ts';
import type {Delivery} from './queue.ts';

/** What a delivery asks of its queue. */
export type DeliveryOwner<T> = {
	acknowledge(lease: Lease<T>): void;
	nack(lease: Lease<T>, delay: number): void;
	reject(lease: Lease<T>, reason: string): void;
	undo(lease: Lease<T>): void;
};

/** A record handed out by `receive`: settled once, by `ack`, `nack` or `reject`, in any order with others. */
export class QueueDelivery<T> implements Delivery<T> {
	readonly record: T;
	readonly sequence: number;
	readonly attempts: number;
	readonly #lease: Lease<T>;
	readonly #owner: DeliveryOwner<T>;
	/** What was done with it. */
	#settled: string | undefined;

	constructor(lease: Lease<T>, owner: DeliveryOwner<T>) {
		this.record = lease.records[lease.done]!;
		this.sequence = lease.first!;
		this.attempts = lease.attempts;
		this.#lease = lease;
		this.#owner = owner;
	}

	ack(): void {
		this.#settle('acknowledge', 'acknowledged');
		this.#owner.acknowledge(this.#lease);
	}

	nack(options?: {delay?: number | undefined}): void {
		if (options !== undefined) {
			checkNames('options', options, ['delay']);
		}

		const {delay = 0} = options ?? {};
		checkMilliseconds('delay', delay);
		this.#settle('give back', 'given back');
		this.#owner.nack(this.#lease, delay);
	}

	reject(reason = 'rejected'): void {
		this.#settle('reject', 'rejected');
		// A lone surrogate, as in a message that was cut, no dead-letter queue would take.
		this.#owner.reject(this.#lease, String(reason).toWellFormed());
	}

	/** Gives it back as if it had not been delivered: nobody has seen it. @internal */
	undo(): void {
		this.#settle('give back', 'given back');
		this.#owner.undo(this.#lease);
	}

	#settle(operation: string, how: string): void {
		if (this.#settled) {
			throw new QueueSettledError(operation, this.sequence, this.#settled);
		}

		this.#settled = how;
	}
}
