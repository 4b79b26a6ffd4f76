const {DiskQueue, QueueLockedError} = require('disq');

(async () => {
	const queue = await DiskQueue.open('./orders', {cacheSize: 2});
	await queue.putMany([1, 2, 3, 4]);
	const refusal = await DiskQueue.open('./orders').catch(error => error);
	if (!(refusal instanceof QueueLockedError)) {
		throw new Error('opened twice');
	}

	const taken = await queue.getMany(4);
	if (taken[0] !== 1 || queue.size !== 4 - taken.length) {
		throw new Error(`${taken} taken, ${queue.size} left`);
	}

	await queue.clear();
	await queue.close();
	console.log('a queue, by require: ok');
})();
