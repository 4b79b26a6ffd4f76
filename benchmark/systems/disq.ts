import {DiskQueue, diskQueue} from 'disq';
import {type Fifo, fillAndDrain, type Setting, type System} from './system.ts';

const openQueue = (directory: string, {durability}: Setting) => DiskQueue.open<object>(directory, {durability});

export const disq: System = {
	setup:
		'As a user has it: `DiskQueue.open(directory)`, or `diskQueue(directory)` in a pipeline, with the defaults but for ' +
		"the durability that a row names. 'put/get' awaits each put and each get; 'putMany/getMany' hands over batches of " +
		'the size that the other systems get.',
	async openFifo(directory, setting) {
		const queue = await openQueue(directory, setting);
		return {...(setting.isOneByOne ? oneByOne(queue) : inBatches(queue, setting)), close: () => queue.close()};
	},
	openDuplex: diskQueue,
	openPuts: openQueue,
	openQueue,
};

function inBatches(queue: DiskQueue<object>, {batchRecords}: Setting): Pick<Fifo, 'fill' | 'drain'> {
	return fillAndDrain(
		{putBatch: records => queue.putMany(records), takeBatch: max => queue.getMany(max)},
		batchRecords,
	);
}

function oneByOne(queue: DiskQueue<object>): Pick<Fifo, 'fill' | 'drain'> {
	return {
		async fill(count, make) {
			for (let index = 0; index < count; index++) {
				await queue.put(make(index));
			}
		},
		async drain(count, take) {
			for (let taken = 0; taken < count; taken++) {
				take(await queue.get());
			}
		},
	};
}
