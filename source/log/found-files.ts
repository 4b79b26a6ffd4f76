import {join} from 'node:path';
import {QueueCodecError, QueueStorageError, QueueVersionError} from '../errors.ts';
import {blockHeaderBytes, decodeBlockHeader} from '../format/block.ts';
import {checkpointFileName, parseSegmentFileName, quarantineDirectoryName} from '../format/file-name.ts';
import {Mismatch} from '../format/mismatch.ts';
import {
	decodeSegmentHeader,
	formatVersion,
	type SegmentHeader,
	segmentHeaderBytes,
	segmentIdentity,
} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import {readUpTo, withFile} from './transfer.ts';

export type FoundSegment = {firstSequence: number; salt: number; path: string; bytes: number};

/**
 * The segments of a directory in order. Other names are not ours, and left alone. What has a name of ours and is not
 * ours to read and write, a link for one, is refused: its records would count as lost, or others' bytes be changed.
 *
 * @throws QueueStorageError naming it: before anything is changed.
 */
export function listSegments(directory: string, storage: Storage): FoundSegment[] {
	const found: FoundSegment[] = [];
	for (const name of storage.list(directory)) {
		const place = parseSegmentFileName(name);
		const path = join(directory, name);
		if (place) {
			found.push({...place, path, bytes: checkKind(path, 'file', storage).bytes});
		} else if (name === checkpointFileName) {
			checkLinks(path, storage);
		} else if (name === quarantineDirectoryName) {
			checkKind(path, 'directory', storage);
		}
	}

	found.sort((a, b) => a.firstSequence - b.firstSequence);
	checkSequences(found);
	const last = found.at(-1);
	if (last) {
		checkLinks(last.path, storage);
	}

	return found;
}

/** No two segments begin with the same sequence: which of them has its records cannot be told. */
function checkSequences(found: FoundSegment[]): void {
	for (const [index, {path, firstSequence}] of found.entries()) {
		if (firstSequence === found[index + 1]?.firstSequence) {
			const what = `one of two segments from sequence ${firstSequence}`;
			throw notOurs(path, 'EEXIST', what, 'Nothing was changed. Move the one away that was put there.');
		}
	}
}

/** Checks what a name is, and gives more of it. */
function checkKind(
	path: string,
	kind: 'file' | 'directory',
	storage: Storage,
): NonNullable<ReturnType<Storage['stat']>> {
	const stat = storage.stat(path);
	if (stat?.kind !== kind) {
		const what = kind === 'file' ? 'not a regular file' : 'not a directory';
		throw notOurs(path, 'ENOTSUP', what, 'Nothing was changed. Put there what the name says, or move it away.');
	}

	return stat;
}

/** A file that is written to in place must have no second name: it would be changed under that one too. */
export function checkLinks(path: string, storage: Storage): void {
	const {links} = checkKind(path, 'file', storage);
	if (links > 1) {
		const what = `a file with ${links} names (hard links)`;
		throw notOurs(path, 'EMLINK', what, 'It was not changed. Put a copy of its own in its place.');
	}
}

function notOurs(path: string, code: string, what: string, advice: string): QueueStorageError {
	const cause = Object.assign(new Error(`${code}: ${what}`), {code, path});
	return new QueueStorageError('use', path, cause, advice);
}

/** Reads the header of a segment. */
export function readHeader(path: string, storage: Storage): SegmentHeader | Mismatch {
	return decodeSegmentHeader(readHeaderBytes(path, storage));
}

/** Reads what stands where a segment has its header. */
export function readHeaderBytes(path: string, storage: Storage): Buffer {
	return withFile(path, storage, descriptor => readUpTo(storage, descriptor, 0, segmentHeaderBytes));
}

/**
 * The queue ids of the first segment that has one, and of the last: a crash may have taken the header of any, and left
 * another queue's in the last.
 *
 * @throws QueueVersionError, QueueCodecError if this disq cannot read them.
 */
export function readQueueIds(found: FoundSegment[], codecName: string, storage: Storage): Buffer[] {
	const ids: Buffer[] = [];
	const others = [...found];
	const last = others.length > 1 ? others.pop() : undefined;
	while (ids.length === 0 && others.length > 0) {
		ids.push(...readQueueId(others.shift()!, codecName, storage));
	}

	return last ? [...ids, ...readQueueId(last, codecName, storage)] : ids;
}

/** The queue id in a segment's header, if the header checks, and is not that of another segment. */
function readQueueId({path, firstSequence, salt}: FoundSegment, codecName: string, storage: Storage): Buffer[] {
	const header = readHeader(path, storage);
	refuseNewer(path, header);
	if (header instanceof Mismatch || header.firstSequence !== firstSequence || header.salt !== salt) {
		return [];
	}

	if (header.codecName !== codecName) {
		throw new QueueCodecError(path, header.codecName, codecName);
	}

	return [header.queueId];
}

/** Whether the first block of a segment says, by its checksum, that it is of a queue, whatever the header says. */
export function holdsBlockOf(queueId: Buffer, {path, ...place}: FoundSegment, storage: Storage): boolean {
	const bytes = withFile(path, storage, descriptor =>
		readUpTo(storage, descriptor, segmentHeaderBytes, blockHeaderBytes),
	);
	return !(decodeBlockHeader(bytes, 0, segmentIdentity({queueId, ...place})) instanceof Mismatch);
}

export function refuseNewer(path: string, read: {version: number} | Mismatch | undefined): void {
	if (read && 'version' in read && read.version > formatVersion) {
		throw new QueueVersionError(path, read.version, formatVersion);
	}
}
