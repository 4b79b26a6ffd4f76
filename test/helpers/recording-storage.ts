import {fileSystem, type Storage} from '../../source/storage.ts';

/** The file system, with a list of the files it created and the number of calls that write. */
export type RecordingStorage = {storage: Storage; created: string[]; writes: () => number};

export function recordStorage(): RecordingStorage {
	const created: string[] = [];
	let writes = 0;
	const storage: Storage = {
		...fileSystem,
		open(path, how) {
			if (how === 'create') {
				created.push(path);
			}

			return fileSystem.open(path, how);
		},
		write(descriptor, pieces, position) {
			writes++;
			return fileSystem.write(descriptor, pieces, position);
		},
	};
	return {storage, created, writes: () => writes};
}
