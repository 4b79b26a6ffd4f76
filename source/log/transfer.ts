import type {Storage} from '../storage.ts';

/**
 * Writes pieces until all are taken. A short count is no error: the next call goes on, or tells why it cannot. One that
 * takes nothing, twice in a row, counts as a full disk, as in SQLite. Gives the position behind them.
 */
export function writeAll(storage: Storage, descriptor: number, pieces: Uint8Array[], start: number): number {
	let position = start;
	let rest = pieces;
	let isStalled = false;
	while (rest.length > 0) {
		const written = storage.write(descriptor, rest, position);
		if (written === 0 && isStalled) {
			throw Object.assign(new Error('ENOSPC: the file system took nothing, write'), {code: 'ENOSPC', syscall: 'write'});
		}

		isStalled = written === 0;
		position += written;
		rest = withoutFirst(rest, written);
	}

	return position;
}

function withoutFirst(pieces: Uint8Array[], bytes: number): Uint8Array[] {
	let skipped = 0;
	let index = 0;
	while (index < pieces.length && skipped + pieces[index]!.byteLength <= bytes) {
		skipped += pieces[index++]!.byteLength;
	}

	const rest = pieces.slice(index);
	if (rest.length > 0 && bytes > skipped) {
		rest[0] = rest[0]!.subarray(bytes - skipped);
	}

	return rest;
}

/** Reads up to `bytes` at a position; fewer only at the end of the file. */
export function readUpTo(storage: Storage, descriptor: number, position: number, bytes: number): Buffer {
	const target = Buffer.alloc(bytes);
	let length = 0;
	while (length < bytes) {
		const bytesRead = storage.readSync(descriptor, target.subarray(length), position + length);
		if (bytesRead === 0) {
			break;
		}

		length += bytesRead;
	}

	return target.subarray(0, length);
}

/** Opens a file to read for as long as `use` runs. */
export function withFile<R>(path: string, storage: Storage, use: (descriptor: number) => R): R {
	const descriptor = storage.open(path, 'read');
	try {
		return use(descriptor);
	} finally {
		storage.close(descriptor);
	}
}
