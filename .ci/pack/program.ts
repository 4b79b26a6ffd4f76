import {DiskQueue, type QueueStats} from 'disq';

type Order = {id: number};

const queue = await DiskQueue.open<Order>('./typed-orders', {durability: 'fsync'});
await queue.put({id: 1});
const delivery = await queue.receive();
delivery.ack();
const {done}: QueueStats = queue.stats();
if (delivery.record.id !== 1 || done !== 1) {
	throw new Error(`${delivery.record.id}, ${done} done`);
}

await queue.close();
console.log('a delivery, from TypeScript: ok');
