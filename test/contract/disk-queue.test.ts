import type {DiskQueue, Durability} from '../../source/index.ts';
import {openQueue} from '../helpers/queues.ts';
import {testContract} from './queue-contract.ts';

for (const durability of ['spill', 'write', 'fsync'] satisfies Durability[]) {
	for (const cacheSize of [1, 2, 7, 1024]) {
		testContract({
			name: `DiskQueue, ${durability}, cacheSize ${cacheSize}`,
			open: (t, options) => openQueue(t, {...options, durability, cacheSize}),
			async reopen(t, queue) {
				const {directory} = queue as DiskQueue;
				await queue.close();
				return openQueue(t, {durability, cacheSize}, directory);
			},
		});
	}
}
