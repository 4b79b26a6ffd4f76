import {QueueSettledError} from '../errors.ts';
import {checkMilliseconds, checkNames} from '../option-checks.ts';
import type {Lease} from './lease.ts';
import type {Delivery, NackOptions} from './queue.ts';

/** What a delivery asks of its queue. */
export type DeliveryOwner<T> = {
	acknowledge(lease: Lease<T>): void;
	nack(lease: Lease<T>, delay: number, error: unknown): void;
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

	nack(options?: NackOptions): void {
		if (options !== undefined) {
			checkNames('options', options, ['delay', 'error']);
		}

		const {delay = 0, error} = options ?? {};
		checkMilliseconds('delay', delay);
		this.#settle('give back', 'given back');
		this.#owner.nack(this.#lease, delay, error);
	}

	reject(reason = 'rejected'): void {
		this.#settle('reject', 'rejected');
		this.#owner.reject(this.#lease, String(reason));
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
