import type {QueueDelivery} from '../queue/delivery.ts';
import type {DiskQueue} from '../queue/disk-queue.ts';
import type {IsOver} from '../queue/engine.ts';
import {Ring} from '../ring.ts';
import type {Intake} from './intake.ts';

/** Takes deliveries: who reads the stream settles them. Those that nobody has read were never delivered. */
export class DeliveryIntake<T> implements Intake<T, Array<QueueDelivery<T>>> {
	readonly #unread = new Ring<QueueDelivery<T>>();
	#read = 0;
	#queue!: DiskQueue<T>;

	get isHolding(): boolean {
		return this.#unread.length > 0;
	}

	start(queue: DiskQueue<T>): void {
		this.#queue = queue;
	}

	/** Any record in flight may be given back and come again, so that the stream is not over before. */
	take(room: number, isOver: IsOver, signal: AbortSignal): Promise<Array<QueueDelivery<T>> | undefined> {
		return this.#queue.deliver(room, activity => activity.inFlight === 0 && isOver(activity), signal);
	}

	refuse(deliveries: Array<QueueDelivery<T>>): void {
		for (const delivery of deliveries) {
			delivery.undo();
		}
	}

	accept(deliveries: Array<QueueDelivery<T>>): unknown[] {
		for (const delivery of deliveries) {
			this.#unread.push(delivery);
		}

		return deliveries;
	}

	confirm(given: number): void {
		while (this.#read < given) {
			this.#unread.shift();
			this.#read++;
		}
	}

	addSink(): void {
		// Who settles the deliveries is behind it.
	}

	endSinks(): void {
		// As if there were none.
	}

	async awaitSinks(): Promise<void> {
		// As if there were none.
	}

	close(given: number): void {
		this.confirm(given);
		this.refuse(this.#unread.shiftMany(this.#unread.length));
	}
}
