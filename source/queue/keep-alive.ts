/** The longest interval of a timer; it never has work to do. */
const idleInterval = 2 ** 31 - 1;

/** Keeps the process alive while somebody waits, as an open socket does. */
export class KeepAlive {
	#timer: NodeJS.Timeout | undefined;
	#isHeld = false;
	#isWanted = true;

	/** Says whether somebody waits. */
	hold(isHeld: boolean): void {
		this.#isHeld = isHeld;
		this.#update();
	}

	/** Says whether that should count. */
	want(isWanted: boolean): void {
		this.#isWanted = isWanted;
		this.#update();
	}

	close(): void {
		clearInterval(this.#timer);
		this.#timer = undefined;
	}

	#update(): void {
		if (this.#isHeld && this.#isWanted) {
			this.#timer ??= setInterval(() => {}, idleInterval);
			this.#timer.ref();
		} else {
			this.#timer?.unref();
		}
	}
}
