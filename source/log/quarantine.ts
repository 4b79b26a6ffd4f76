import {basename, dirname, join} from 'node:path';
import type {Corruption} from '../errors.ts';
import {type BlockHeader, blockHeaderBytes, decodeBlockHeader, findBlockHeader} from '../format/block.ts';
import {quarantineDirectoryName} from '../format/file-name.ts';
import type {Storage} from '../storage.ts';
import {canHold, type Segment} from './segment.ts';
import {readUpTo, withFile, writeAll} from './transfer.ts';

const pieceBytes = 1024 * 1024;

/** A stretch of a file, and the sequences that a block must have to be found there. */
type Search = {from: number; to: number; sequence: number; nextSequence?: number};

/**
 * The first block header of a segment from an offset on that is not wholly before a sequence, nor behind the end of the
 * log; undefined if there is none.
 */
export function nextBlock(
	segment: Segment,
	{from, to, sequence, nextSequence = Number.POSITIVE_INFINITY}: Search,
	storage: Storage,
): {offset: number; header: BlockHeader} | undefined {
	let position = from;
	for (const piece of piecesOf(segment.path, from, to, storage)) {
		for (let at = findBlockHeader(piece, 0, segment.identity); at !== -1; ) {
			const header = decodeBlockHeader(piece, at, segment.identity) as BlockHeader;
			if (header.firstSequence + header.records > sequence && canHold(segment, header, nextSequence)) {
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
 * copy or no room for it. A copy that is there already, from before a restart, is not made again.
 */
export function quarantineBytes(
	segment: Pick<Segment, 'path'>,
	{from, to}: {from: number; to: number},
	storage: Storage,
): string | undefined {
	if (from >= to) {
		return undefined;
	}

	try {
		const directory = makeQuarantine(dirname(segment.path), storage);
		const name = `${copyPrefix(segment.path)}${from}`;
		let path = join(directory, `${name}.bad`);
		for (let attempt = 1; isOther(segment.path, path, {from, to}, storage); attempt++) {
			path = join(directory, `${name}-${attempt}.bad`);
		}

		if (!storage.stat(path)) {
			copyBytes(segment.path, path, {from, to}, storage);
		}

		return path;
	} catch {
		return undefined;
	}
}

/** Whether a name is taken by other bytes: of older damage there, or of a copy that a crash came in the way of. */
function isOther(source: string, path: string, range: {from: number; to: number}, storage: Storage): boolean {
	const stat = storage.stat(path);
	const isLike = stat?.kind === 'file' && stat.bytes === range.to - range.from;
	return stat !== undefined && !(isLike && isCopy(source, path, range, storage));
}

/** Makes a copy anew, if there is room for it: after a failed sync no later one can vouch for what is there. */
export function quarantineAgain({path, offset, bytes, quarantine}: Corruption, storage: Storage): void {
	storage.unlink(quarantine!);
	quarantineBytes({path}, {from: offset, to: offset + bytes}, storage);
}

/** Makes the directory for what no longer checks. A link in its place leads out of the queue, and is not followed. */
function makeQuarantine(directory: string, storage: Storage): string {
	const path = join(directory, quarantineDirectoryName);
	storage.makeDirectory(path);
	if (storage.kind(path) !== 'directory') {
		throw Object.assign(new Error(`ENOTDIR: not a directory, '${path}'`), {code: 'ENOTDIR', path});
	}

	return path;
}

/** The copies of a segment's bytes begin with it. */
function copyPrefix(path: string): string {
	return `${basename(path, '.log')}-`;
}

/** Whether a file holds the same bytes as a stretch of another one: after a power cut it may have its length, and zeros. */
function isCopy(source: string, copy: string, {from, to}: {from: number; to: number}, storage: Storage): boolean {
	return withFile(source, storage, original =>
		withFile(copy, storage, copied => {
			for (let position = from; position < to; position += pieceBytes) {
				const bytes = Math.min(pieceBytes, to - position);
				const piece = readUpTo(storage, original, position, bytes);
				if (!piece.equals(readUpTo(storage, copied, position - from, bytes))) {
					return false;
				}
			}

			return true;
		}),
	);
}

function copyBytes(source: string, target: string, {from, to}: {from: number; to: number}, storage: Storage): void {
	withFile(source, storage, input => {
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
	});
}

/** Moves a whole file of ours aside, under a name that is free. */
export function quarantineFile(path: string, storage: Storage): string {
	const directory = makeQuarantine(dirname(path), storage);
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

/** The copies in quarantine of bytes of some segments. */
export function copiesOf(segments: Segment[], directory: string, storage: Storage): string[] {
	const prefixes = new Set(segments.map(({path}) => copyPrefix(path)));
	return listQuarantine(directory, storage).filter(
		path => prefixes.has(basename(path).replace(/-.*$/, '-')) && storage.kind(path) === 'file',
	);
}

/** Bytes kept in quarantine. */
export function quarantineSize(directory: string, storage: Storage): number {
	return listQuarantine(directory, storage).reduce((sum, path) => sum + (storage.stat(path)?.bytes ?? 0), 0);
}

function listQuarantine(directory: string, storage: Storage): string[] {
	const path = join(directory, quarantineDirectoryName);
	return storage.stat(path)?.kind === 'directory' ? storage.list(path).map(name => join(path, name)) : [];
}
