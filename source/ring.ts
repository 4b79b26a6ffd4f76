const initialCapacity = 16;

/** A double-ended queue on one circular array: every operation at an end takes constant time. */
export class Ring<T> {
	#slots: Array<T | undefined> = new Array(initialCapacity);
	#mask = initialCapacity - 1;
	#head = 0;
	#length = 0;

	get length(): number {
		return this.#length;
	}

	/** The value at an index from the front, which must exist. */
	at(index: number): T {
		return this.#slots[(this.#head + index) & this.#mask] as T;
	}

	push(value: T): void {
		if (this.#length > this.#mask) {
			this.#resize(2 * this.#length);
		}

		this.#slots[(this.#head + this.#length++) & this.#mask] = value;
	}

	/** Takes the first value; the ring must not be empty. */
	shift(): T {
		const value = this.#slots[this.#head] as T;
		this.#slots[this.#head] = undefined;
		this.#head = (this.#head + 1) & this.#mask;
		this.#length--;
		return value;
	}

	/** Takes the first `count` values, which must exist, in order. */
	shiftMany(count: number): T[] {
		const values: T[] = new Array(count);
		for (let index = 0; index < count; index++) {
			values[index] = this.shift();
		}

		return values;
	}

	clear(): void {
		this.#slots = new Array(initialCapacity);
		this.#mask = initialCapacity - 1;
		this.#head = 0;
		this.#length = 0;
	}

	#resize(capacity: number): void {
		const slots: Array<T | undefined> = new Array(capacity);
		for (let index = 0; index < this.#length; index++) {
			slots[index] = this.at(index);
		}

		this.#slots = slots;
		this.#mask = capacity - 1;
		this.#head = 0;
	}
}
