// What is marked as internal is not in the types of the package.
import {DiskQueue, type DiskQueueOptions} from 'disq';

const queue = await DiskQueue.open('./orders');
// @ts-expect-error: internal
queue.putRun([]);
// @ts-expect-error: internal
await queue.lease(1, () => true);
// @ts-expect-error: internal
export const options: DiskQueueOptions<number> = {storage: {}};
