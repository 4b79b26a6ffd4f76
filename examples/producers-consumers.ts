// Two producers and two consumers on one queue: each record goes to exactly one consumer.
import {DiskQueue, QueueClosedError} from 'disq';

type Task = {producer: string; number: number};

const tasksEach = 50;
const queue = await DiskQueue.open<Task>(process.argv[2] ?? 'tasks-queue', {cacheSize: 10});
let done = 0;

async function produce(producer: string): Promise<void> {
	for (let number = 0; number < tasksEach; number++) {
		await queue.put({producer, number});
	}
}

async function consume(consumer: string): Promise<void> {
	try {
		while (true) {
			const {producer, number} = await queue.get();
			console.log(`${consumer} did task ${number} of ${producer}`);
			if (++done === 2 * tasksEach) {
				await queue.close();
			}
		}
	} catch (error) {
		if (!(error instanceof QueueClosedError)) {
			throw error;
		}
	}
}

await Promise.all([produce('first'), produce('second'), consume('left'), consume('right')]);
console.log(`${done} tasks done`);
