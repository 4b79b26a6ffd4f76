import type {System} from './system.ts';

export const promiseQueue: System = {
	setup: 'A limit: an array of records and an array of waiting gets, in memory. Nothing survives.',
	async openQueue() {
		const records: object[] = [];
		const waiting: Array<(record: object) => void> = [];
		return {
			async put(record) {
				const resolve = waiting.shift();
				if (resolve) {
					resolve(record);
				} else {
					records.push(record);
				}
			},
			async get() {
				return records.shift() ?? new Promise<object>(resolve => waiting.push(resolve));
			},
			close() {},
		};
	},
};
