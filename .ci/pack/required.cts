import {DiskQueue} from 'disq';

export const open: (directory: string) => Promise<DiskQueue<number>> = directory => DiskQueue.open<number>(directory);
