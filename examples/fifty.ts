// Fifty puts, then fifty gets, through a cache of ten: what does not fit in memory waits on disk, in order.
import {DiskQueue} from 'disq';

const queue = await DiskQueue.open<{number: number}>(process.argv[2] ?? 'fifty-queue', {cacheSize: 10});

for (let number = 0; number < 50; number++) {
	await queue.put({number});
}

const {size, memoryRecords, diskRecords} = queue.stats();
console.log(`${size} records wait: ${memoryRecords} in memory, ${diskRecords} on disk`);

for (let count = 0; count < 50; count++) {
	const {number} = await queue.get();
	console.log(number);
}

await queue.close();
