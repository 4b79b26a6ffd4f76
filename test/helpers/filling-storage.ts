import {basename} from 'node:path';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {systemError} from './faulty-storage.ts';

export type FillingStorage = {
	storage: Storage;
	/** Whether the device is full: nothing grows and nothing is created; what is there can be written over. */
	isFull: boolean;
};

/** The file system, on a device that fills and empties. Every other write that meets a full one takes half its bytes. */
export function fillingStorage(): FillingStorage {
	const lengths = new Map<number, number>();
	let refusals = 0;
	const state: FillingStorage = {
		isFull: false,
		storage: {
			...fileSystem,
			open(path, how) {
				if (state.isFull && how === 'create') {
					throw systemError('ENOSPC', `open ${basename(path)}`);
				}

				const descriptor = fileSystem.open(path, how);
				lengths.set(descriptor, fileSystem.size(descriptor));
				return descriptor;
			},
			write(descriptor, pieces, position) {
				const bytes = Buffer.concat(pieces);
				const end = position + bytes.byteLength;
				if (!state.isFull || end <= lengths.get(descriptor)!) {
					lengths.set(descriptor, Math.max(end, lengths.get(descriptor)!));
					return fileSystem.write(descriptor, pieces, position);
				}

				const taken = refusals++ % 2 === 0 ? bytes.byteLength >> 1 : 0;
				if (taken === 0) {
					throw systemError('ENOSPC', 'write');
				}

				return fileSystem.write(descriptor, [bytes.subarray(0, taken)], position);
			},
			truncate(descriptor, bytes) {
				fileSystem.truncate(descriptor, bytes);
				lengths.set(descriptor, bytes);
			},
		},
	};
	return state;
}
