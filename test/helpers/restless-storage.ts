import {fileSystem, type Storage} from '../../source/storage.ts';
import {pickFrom} from './random.ts';

/** Waits for some microtasks, or some turns of the event loop. */
export async function pause(random: () => number): Promise<void> {
	const isTurn = random() < 0.4;
	for (let left = Math.floor(random() * (isTurn ? 4 : 9)); left > 0; left--) {
		await (isTurn ? new Promise(setImmediate) : undefined);
	}
}

/** The file system, but that its reads take their time, and now and then give a part of what was asked for. */
export function restlessStorage(random: () => number): Storage {
	return {
		...fileSystem,
		async read(descriptor, target, position) {
			await pause(random);
			const bytes = random() < 0.2 ? Math.ceil(random() * target.byteLength) : target.byteLength;
			const read = pickFrom([fileSystem.read, fileSystem.readSync], random);
			const bytesRead = await read(descriptor, target.subarray(0, bytes), position);
			await pause(random);
			return bytesRead;
		},
	};
}
