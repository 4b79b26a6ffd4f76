import {basename, dirname, join} from 'node:path';
import {type BlockHeader, blockHeaderBytes, decodeBlockHeader, findBlockHeader} from '../format/block.ts';
import {quarantineDirectoryName} from '../format/file-name.ts';
import type {Storage} from '../storage.ts';
import type {Segment} from './segment.ts';
import {readUpTo, writeAll} from './transfer.ts';

const pieceBytes = 1024 * 1024;

/** The first block header of a segment from an offset on that is not wholly before a sequence; undefined if there is none. */
export function nextBlock(
	segment: Segment,
	{from, to, sequence}: {from: number; to: number; sequence: number},
	storage: Storage,
): {offset: number; header: BlockHeader} | undefined {
	let position = from;
	for (const piece of piecesOf(segment.path, from, to, storage)) {
		for (let at = findBlockHeader(piece, 0, segment.identity); at !== -1; ) {
			const header = decodeBlockHeader(piece, at, segment.identity) as BlockHeader;
			if (header.firstSequence + header.records > sequence) {
				return {offset: position + at, header};
			}

			at = findBlockHeader(piece, at + 1, segment.identity);
		}

		position += piece.byteLength - overlapBytes;
	}

	return undefined;
}

/** Pieces overlap by this much, so that a header across a border is whole in one of them. */
const overlapBytes = blockHeaderBytes - 1;

/** Reads a stretch of a file in pieces that overlap. */
function* piecesOf(path: string, from: number, to: number, storage: Storage): Generator<Buffer> {
	const descriptor = storage.open(path, 'read');
	try {
		let position = from;
		while (to - position > overlapBytes) {
			const piece = readUpTo(storage, descriptor, position, Math.min(pieceBytes, to - position));
			if (piece.byteLength <= overlapBytes) {
				return;
			}

			yield piece;
			position += piece.byteLength - overlapBytes;
		}
	} finally {
		storage.close(descriptor);
	}
}

/**
 * Copies damaged bytes of a segment to the quarantine and gives the copy's path; undefined if there was nothing to
 * copy or no room for it. A copy that is there already, from before a restart, is left as it is.
 */
export function quarantineBytes(
	segment: Segment,
	{from, to}: {from: number; to: number},
	storage: Storage,
): string | undefined {
	if (from >= to) {
		return undefined;
	}

	const directory = join(dirname(segment.path), quarantineDirectoryName);
	const path = join(directory, `${basename(segment.path, '.log')}-${from}.bad`);
	const copied = storage.stat(path)?.bytes;
	if (copied === to - from) {
		return path;
	}

	try {
		storage.makeDirectory(directory);
		if (copied !== undefined) {
			// A crash came while it was copied.
			storage.unlink(path);
		}

		copyBytes(segment.path, path, {from, to}, storage);
		return path;
	} catch {
		return undefined;
	}
}

function copyBytes(source: string, target: string, {from, to}: {from: number; to: number}, storage: Storage): void {
	const input = storage.open(source, 'read');
	try {
		const output = storage.open(target, 'create');
		try {
			for (let position = from; position < to; position += pieceBytes) {
				const piece = readUpTo(storage, input, position, Math.min(pieceBytes, to - position));
				writeAll(storage, output, [piece], position - from);
			}
		} catch (error) {
			storage.unlink(target);
			throw error;
		} finally {
			storage.close(output);
		}
	} finally {
		storage.close(input);
	}
}

/** Moves a whole file of ours aside, under a name that is free. */
export function quarantineFile(path: string, storage: Storage): string {
	const directory = join(dirname(path), quarantineDirectoryName);
	storage.makeDirectory(directory);
	const targetOf = (attempt: number) => join(directory, `${basename(path)}-${attempt}.bad`);
	let attempt = 0;
	while (storage.stat(targetOf(attempt))) {
		attempt++;
	}

	storage.rename(path, targetOf(attempt));
	return targetOf(attempt);
}

/** Forces copies to the device: from here on a power cut leaves them, and the damaged originals may go. */
export async function syncQuarantine(directory: string, paths: string[], storage: Storage): Promise<void> {
	// One that was looked at and deleted meanwhile needs nothing more.
	for (const path of paths.filter(each => storage.stat(each))) {
		const descriptor = storage.open(path, 'update');
		try {
			await storage.sync(descriptor);
		} finally {
			storage.close(descriptor);
		}
	}

	const quarantine = join(directory, quarantineDirectoryName);
	if (storage.stat(quarantine)) {
		await storage.syncDirectory(quarantine);
	}

	await storage.syncDirectory(directory);
}

/** Bytes kept in quarantine. */
export function quarantineSize(directory: string, storage: Storage): number {
	const path = join(directory, quarantineDirectoryName);
	const names = storage.stat(path)?.kind === 'directory' ? storage.list(path) : [];
	return names.reduce((sum, name) => sum + (storage.stat(join(path, name))?.bytes ?? 0), 0);
}
