import {type Corruption, QueueCorruptError} from '../errors.ts';
import type {Checkpoint, SequenceRange} from '../format/checkpoint.ts';
import {Mismatch} from '../format/mismatch.ts';
import {
	checkSegmentPlace,
	decodeSegmentHeader,
	encodeSegmentHeader,
	isBegunSegmentHeader,
	segmentHeaderBytes,
} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import {checkLinks, readHeader, readHeaderBytes} from './found-files.ts';
import {copiesOf, quarantineFile, syncQuarantine} from './quarantine.ts';
import type {Recovery} from './recovery.ts';
import type {Segment} from './segment.ts';
import {type PlaceInSegment, type ScannedEnd, scanSegment} from './segment-scan.ts';
import {joinRanges} from './sequence-ranges.ts';
import {writeAll} from './transfer.ts';

/** Finds where the log ends, and makes it end there. */
export async function settleEnd(recovery: Recovery): Promise<void> {
	const {directory, segments, checkpoint, report, storage} = recovery;
	recovery.nextSequence = Math.max(
		checkpoint?.sequence ?? 0,
		checkpoint?.delivered.next ?? 0,
		checkpoint?.end.nextSequence ?? 0,
		// A checkpoint that was damaged may have gone as far, whatever becomes of that segment.
		report.corruptions.length > 0 ? (segments.at(-1)?.firstSequence ?? 0) : 0,
	);
	recovery.recordsEnd = recovery.nextSequence;
	if (endsAsClosed(recovery)) {
		// A name that a killed run removed, for one, whose sequence is about to be used again.
		await storage.syncDirectory(directory);
		return;
	}

	report.isClean = !checkpoint && segments.length === 0;
	for (const segment of segments) {
		segment.isDirty = true;
	}

	if (!report.isClean) {
		// A killed process may have left names in the system's cache only: from here on a power cut leaves them too.
		await syncQuarantine(directory, copiesOf(segments, directory, storage), storage);
	}

	const empty: Segment[] = [];
	let scanned = await settleLast(recovery);
	while (segments.length > 0 && !scanned) {
		empty.push(segments.pop()!);
		scanned = await settleLast(recovery);
	}

	// Only now: one of them may be the last to tell the queue id.
	for (const segment of empty) {
		await removeEmpty(segment, recovery);
	}

	recovery.doubtful = joinRanges(recovery.doubtful, doubtOf(recovery, scanned));
	recovery.recordsEnd = recordsEndOf(recovery, scanned);
}

/** Behind the last record, if what may have followed it is no damage; behind what is missing and must be told, if not. */
function recordsEndOf({doubtful, nextSequence}: Recovery, scanned: ScannedEnd | undefined): number {
	const last = doubtful.at(-1);
	return last?.next === nextSequence ? Math.max(last.first, scanned?.nextSequence ?? 0) : nextSequence;
}

/** The sequences not known to be on the device, but for those that were found whole just now. */
function doubtOf({checkpoint, segments, nextSequence}: Recovery, scanned: ScannedEnd | undefined): SequenceRange[] {
	const durable = checkpoint?.end.nextSequence ?? 0;
	const end = scanned?.nextSequence ?? 0;
	return [
		{first: durable, next: scanned?.isWhole ? segments.at(-1)!.firstSequence : end},
		{first: Math.max(durable, end), next: nextSequence},
	];
}

/** Whether the log was closed in order and ends where it did then. */
function endsAsClosed({segments, checkpoint, queueId, nextSequence, storage}: Recovery): boolean {
	if (!checkpoint?.isClosed || checkpoint.end.nextSequence !== nextSequence) {
		return false;
	}

	const {segment, offset} = checkpoint.end;
	const last = segments.at(-1);
	if (!last) {
		return offset === 0;
	}

	const isWhole = segment === last.firstSequence && offset === last.end && offset > segmentHeaderBytes;
	return isWhole && findMisplaced(last, queueId, storage) === undefined;
}

/** Why a segment is not one of this queue and under its name; undefined if it is. */
function findMisplaced({path, firstSequence, salt}: Segment, queueId: Buffer, storage: Storage): Mismatch | undefined {
	const header = readHeader(path, storage);
	return header instanceof Mismatch ? header : checkSegmentPlace(header, {queueId, firstSequence, salt});
}

/** Cuts the last segment behind its last whole block, which it gives; undefined if it has none, and had none. */
async function settleLast(recovery: Recovery): Promise<ScannedEnd | undefined> {
	const {segments, checkpoint, report, storage} = recovery;
	const last = segments.at(-1);
	if (!last) {
		return undefined;
	}

	const durable = durableEnd(last, checkpoint);
	const scanned = await scanSegment(last, durable, storage);
	const end = Math.max(scanned.offset, durable.offset);
	if (end <= segmentHeaderBytes) {
		return undefined;
	}

	recovery.nextSequence = Math.max(recovery.nextSequence, scanned.nextSequence);
	report.truncatedBytes += Math.max(0, last.end - end);
	const header = readHeader(last.path, storage);
	const isHeaderLost = durable.offset === 0 && header instanceof Mismatch && header.found === 'zeros';
	scanned.isWhole &&= isHeaderLost || !(header instanceof Mismatch);
	const {queueId, codecName} = recovery;
	const own = encodeSegmentHeader({...last, queueId, codecName});
	await cut(last, {end, header: isHeaderLost ? own : undefined}, storage);
	return scanned;
}

/** Up to where nothing in a segment can be torn: all of it, if the durable end of the log is in a later one. */
function durableEnd({firstSequence}: Segment, checkpoint: Checkpoint | undefined): PlaceInSegment {
	if (!checkpoint || checkpoint.end.segment < firstSequence) {
		return {offset: 0, nextSequence: firstSequence};
	}

	const {segment, offset, nextSequence} = checkpoint.end;
	return {offset: segment === firstSequence ? offset : Number.POSITIVE_INFINITY, nextSequence};
}

/**
 * Makes a segment end at an offset, and gives it a header if a power cut has taken its own: its blocks tell where they
 * belong. From here on a second crash finds no torn tail, and what is about to be delivered is on the device.
 */
async function cut(
	segment: Segment,
	{end, header}: {end: number; header: Buffer | undefined},
	storage: Storage,
): Promise<void> {
	if (header || end < segment.end) {
		checkLinks(segment.path, storage);
	}

	const descriptor = storage.open(segment.path, 'update');
	try {
		if (header) {
			writeAll(storage, descriptor, [header], 0);
		}

		if (end < segment.end) {
			storage.truncate(descriptor, end);
			segment.end = end;
		}

		await storage.sync(descriptor);
		segment.isDirty = false;
	} finally {
		storage.close(descriptor);
	}
}

/** A segment without a block was being created; bytes in it that are not its own are kept aside. */
export async function removeEmpty(segment: Segment, recovery: Recovery): Promise<void> {
	const {directory, queueId, report, storage} = recovery;
	const {path, end} = segment;
	const mismatch = isBegun(segment, recovery) ? undefined : findMisplaced(segment, queueId, storage);
	if (mismatch && end >= segmentHeaderBytes) {
		const {expected, found} = mismatch;
		const corruption = {path, offset: 0, bytes: end, lost: undefined, expected, found, quarantine: undefined};
		setAside(recovery, corruption, () => quarantineFile(path, storage));
	} else {
		report.truncatedBytes += end;
		storage.unlink(path);
	}

	await storage.syncDirectory(directory);
}

/**
 * Whether a segment's header was being written, and did not come to its end: the device has the beginning of it, or that of
 * a segment from the same sequence that was lost.
 */
function isBegun({path, firstSequence, salt}: Segment, {queueId, codecName, storage}: Recovery): boolean {
	const bytes = readHeaderBytes(path, storage);
	const header = decodeSegmentHeader(bytes);
	return header instanceof Mismatch
		? isBegunSegmentHeader(bytes, {firstSequence, salt, codecName})
		: header.salt !== salt && !checkSegmentPlace(header, {queueId, firstSequence, salt: header.salt});
}

/** Moves a damaged file aside and tells of it; with `'throw'` nothing is changed. */
export function setAside(
	{onCorruption, report}: Pick<Recovery, 'onCorruption' | 'report'>,
	corruption: Corruption,
	move: () => string,
): void {
	if (onCorruption === 'throw') {
		throw new QueueCorruptError(corruption);
	}

	report.corruptions.push({...corruption, quarantine: move()});
}
