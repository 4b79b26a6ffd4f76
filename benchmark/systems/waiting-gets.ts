import type {SharedQueue} from './system.ts';

/** Lets `get` wait for a put of the same process, over a store that cannot wait. */
export function waitingGets(
	put: (record: object) => Promise<void>,
	take: () => unknown[],
): Pick<SharedQueue, 'put' | 'get'> {
	const waiting: Array<(record: unknown) => void> = [];
	return {
		async put(record) {
			await put(record);
			if (waiting.length > 0) {
				waiting.shift()!(take()[0]);
			}
		},
		async get() {
			const [record] = take();
			return record ?? new Promise(resolve => waiting.push(resolve));
		},
	};
}
