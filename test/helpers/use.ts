import type {ExecutionContext} from 'ava';

/** What a search for the next whole block reads at once; no length in a small file makes anything larger. */
const allocationLimit = 1024 * 1024;
/** The longest that one case may take, in milliseconds of processor time. */
const timeLimit = 2000;

export type Use = {
	/** Runs a case. */
	timed<T>(run: () => Promise<T>): Promise<T>;
	/** Asserts that no case took too long, and that no buffer was too large. */
	check(t: ExecutionContext): void;
};

/** Watches, from now on, the buffers that this process allocates, and how long cases take. */
export function watchUse(): Use {
	let largest = 0;
	let slowest = 0;
	for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
		const allocate = Buffer[name].bind(Buffer);
		Buffer[name] = (size: number, ...fill: never[]) => {
			largest = Math.max(largest, size);
			return allocate(size, ...fill);
		};
	}

	return {
		async timed(run) {
			const before = process.cpuUsage();
			const result = await run();
			const {user, system} = process.cpuUsage(before);
			slowest = Math.max(slowest, (user + system) / 1000);
			return result;
		},
		check(t) {
			t.true(slowest < timeLimit, `a case took ${slowest} ms`);
			t.true(largest > 0 && largest <= allocationLimit, `a buffer of ${largest} bytes`);
		},
	};
}
