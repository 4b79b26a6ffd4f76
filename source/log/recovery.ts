import {randomBytes} from 'node:crypto';
import {join} from 'node:path';
import type {Corruption} from '../errors.ts';
import type {Checkpoint, Delivered} from '../format/checkpoint.ts';
import {checkpointFileName} from '../format/file-name.ts';
import {Mismatch} from '../format/mismatch.ts';
import {checkSegmentPlace, queueIdBytes, segmentHeaderBytes} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import type {CheckpointFile} from './checkpoint-file.ts';
import {listSegments, readHeader, readQueueIds, refuseNewer} from './found-files.ts';
import {copiesOf, quarantineFile, syncQuarantine} from './quarantine.ts';
import {type Segment, segmentAt} from './segment.ts';
import {type ScannedEnd, scanSegment} from './segment-scan.ts';

/** What opening a directory found and did. */
export type RecoveryReport = {
	/** Whether the last owner closed the queue in order, so that nothing had to be scanned. */
	isClean: boolean;
	/** Records waiting on disk. */
	records: number;
	/** Segments that hold them, and their length in bytes. */
	segments: number;
	bytes: number;
	/** Bytes of a last write that a crash had left incomplete, cut off. */
	truncatedBytes: number;
	/** Segments removed because all their records were done, where a crash had come first. */
	reclaimedSegments: number;
	/** Damage found while opening. Damage elsewhere is found, and reported, when it is read. */
	corruptions: Corruption[];
};

/** The state of a log to go on from. */
export type Recovered = {
	queueId: Buffer;
	segments: Segment[];
	/** First record that is not done. */
	sequence: number;
	/** Where the block that holds it may start in its segment; 0 if not known. */
	blockOffset: number;
	nextSequence: number;
	/** The end up to which the log is on the device for certain. */
	end: Checkpoint['end'];
	/** What was delivered out of order. */
	delivered: Delivered;
	report: RecoveryReport;
};

type Recovery = Recovered & {directory: string; storage: Storage; checkpoint: Checkpoint | undefined};

/**
 * Reads what a directory holds and makes it fit to go on: finishes an interrupted reclaim and cuts a torn tail, both
 * durably. Interrupted at any moment, it does the same again. The lock must be held.
 *
 * @throws QueueVersionError, QueueCodecError: before anything is changed.
 */
export async function recover(
	directory: string,
	codecName: string,
	file: CheckpointFile,
	storage: Storage,
): Promise<Recovered> {
	const found = listSegments(directory, storage);
	const ids = readQueueIds(found, codecName, storage);
	const saved = await file.open();
	refuseNewer(join(directory, checkpointFileName), saved);
	const report = emptyReport();
	const checkpoint = usable(saved, ids, damage => {
		report.corruptions.push(file.setAside(damage));
	});
	const queueId = checkpoint?.queueId ?? ids[0] ?? randomBytes(queueIdBytes);
	const segments = found.map(({firstSequence, bytes}) => segmentAt(directory, queueId, firstSequence, bytes));
	const recovery: Recovery = {
		directory,
		storage,
		checkpoint,
		queueId,
		segments,
		sequence: checkpoint?.sequence ?? segments[0]?.firstSequence ?? 0,
		blockOffset: checkpoint?.blockOffset ?? 0,
		nextSequence: 0,
		end: checkpoint?.end ?? endOf([], 0),
		delivered: checkpoint?.delivered ?? {next: 0, runs: []},
		report,
	};
	await settleEnd(recovery);
	await finishReclaim(recovery);
	await keepAside(recovery);
	complete(recovery);
	return recovery;
}

/** The end of a log as a checkpoint names it. */
export function endOf(segments: Segment[], nextSequence: number): Checkpoint['end'] {
	const last = segments.at(-1);
	return {nextSequence, segment: last?.firstSequence ?? nextSequence, offset: last?.end ?? 0};
}

function emptyReport(): RecoveryReport {
	return {
		isClean: true,
		records: 0,
		segments: 0,
		bytes: 0,
		truncatedBytes: 0,
		reclaimedSegments: 0,
		corruptions: [],
	};
}

/** The saved checkpoint if it is whole and of the same queue as the segments. */
function usable(
	saved: Checkpoint | Mismatch | undefined,
	ids: Buffer[],
	setAside: (damage: Mismatch) => void,
): Checkpoint | undefined {
	if (saved instanceof Mismatch) {
		setAside(saved);
		return undefined;
	}

	if (saved && ids.length > 0 && !ids.some(id => id.equals(saved.queueId))) {
		setAside(new Mismatch(`queue id ${ids[0]!.toString('hex')}`, saved.queueId.toString('hex')));
		return undefined;
	}

	return saved;
}

/** Finds where the log ends, and makes it end there. */
async function settleEnd(recovery: Recovery): Promise<void> {
	const {directory, segments, checkpoint, report, storage} = recovery;
	const last = segments.at(-1);
	if (checkpoint?.isClosed && isAtEnd(checkpoint.end, last)) {
		recovery.nextSequence = checkpoint.end.nextSequence;
		return;
	}

	report.isClean = !checkpoint && !last;
	recovery.nextSequence = Math.max(
		checkpoint?.sequence ?? 0,
		checkpoint?.delivered.next ?? 0,
		checkpoint?.end.nextSequence ?? 0,
		segments[0]?.firstSequence ?? 0,
	);
	for (const segment of segments) {
		segment.isDirty = true;
	}

	if (!report.isClean) {
		// A killed process may have left names in the system's cache only: from here on a power cut leaves them too.
		await storage.syncDirectory(directory);
	}

	while (segments.length > 0 && !(await settleLast(recovery))) {
		segments.pop();
	}
}

/** Whether a log ends where a checkpoint says. Offset 0 says that there is no segment: not even one without a byte. */
function isAtEnd({segment, offset}: Checkpoint['end'], last: Segment | undefined): boolean {
	return last ? offset > 0 && segment === last.firstSequence && offset === last.end : offset === 0;
}

/** Cuts the last segment behind its last whole block; removes it and gives false if it has none. */
async function settleLast(recovery: Recovery): Promise<boolean> {
	const {segments, checkpoint, report, storage} = recovery;
	const last = segments.at(-1)!;
	const durable = durableEnd(last, checkpoint);
	const end = await scanSegment(last, durable, storage);
	end.offset = Math.max(end.offset, Math.min(durable.offset, last.end));
	if (end.offset <= segmentHeaderBytes) {
		await removeEmpty(last, recovery);
		return false;
	}

	recovery.nextSequence = Math.max(recovery.nextSequence, end.nextSequence);

	report.truncatedBytes += last.end - end.offset;
	await cut(last, end.offset, storage);
	return true;
}

/** Up to where nothing in a segment can be torn: all of it, if the durable end of the log is in a later one. */
function durableEnd({firstSequence}: Segment, checkpoint: Checkpoint | undefined): ScannedEnd {
	if (!checkpoint || checkpoint.end.segment < firstSequence) {
		return {offset: 0, nextSequence: firstSequence};
	}

	const {segment, offset, nextSequence} = checkpoint.end;
	return {offset: segment === firstSequence ? offset : Number.POSITIVE_INFINITY, nextSequence};
}

/** From here on a second crash finds no torn tail, and what is about to be delivered is on the device. */
async function cut(segment: Segment, end: number, storage: Storage): Promise<void> {
	const descriptor = storage.open(segment.path, 'update');
	try {
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
async function removeEmpty(segment: Segment, {directory, queueId, report, storage}: Recovery): Promise<void> {
	const header = readHeader(segment.path, storage);
	const {firstSequence} = segment;
	const mismatch = header instanceof Mismatch ? header : checkSegmentPlace(header, {queueId, firstSequence});
	if (mismatch && mismatch.found !== 'zeros' && segment.end >= segmentHeaderBytes) {
		const {expected, found} = mismatch;
		const quarantine = quarantineFile(segment.path, storage);
		report.corruptions.push({
			path: segment.path,
			offset: 0,
			bytes: segment.end,
			lost: undefined,
			expected,
			found,
			quarantine,
		});
	} else {
		report.truncatedBytes += segment.end;
		storage.unlink(segment.path);
	}

	await storage.syncDirectory(directory);
}

/** Removes the segments that lie wholly before the checkpoint, which is durable. One of another queue stays, unused. */
async function finishReclaim({
	directory,
	queueId,
	segments,
	sequence,
	nextSequence,
	report,
	storage,
}: Recovery): Promise<void> {
	const count = segments.findIndex((_, index) => (segments[index + 1]?.firstSequence ?? nextSequence) > sequence);
	const done = segments.splice(0, count === -1 ? segments.length : count).filter(({path}) => {
		const header = readHeader(path, storage);
		return header instanceof Mismatch || header.queueId.equals(queueId);
	});
	if (done.length === 0) {
		return;
	}

	// What was damaged goes with its segment: its copy is durable before.
	const copies = done.flatMap(({path}) => copiesOf(path, storage));
	if (copies.length > 0) {
		await syncQuarantine(directory, copies, storage);
	}

	for (const {path} of done) {
		storage.unlink(path);
		report.reclaimedSegments++;
	}

	await storage.syncDirectory(directory);
}

/** From here on a power cut leaves in quarantine what was put there. */
async function keepAside({directory, report, storage}: Recovery): Promise<void> {
	const paths = report.corruptions.flatMap(({quarantine}) => quarantine ?? []);
	if (paths.length > 0) {
		await syncQuarantine(directory, paths, storage);
	}
}

function complete({segments, sequence, nextSequence, delivered, report}: Recovery): void {
	for (const [index, segment] of segments.entries()) {
		segment.next = segments[index + 1];
	}

	report.records = nextSequence - sequence - doneOutOfOrder(sequence, delivered);
	report.segments = segments.length;
	report.bytes = segments.reduce((sum, {end}) => sum + end, 0);
}

function doneOutOfOrder(sequence: number, {next, runs}: Delivered): number {
	const pending = runs.reduce((sum, {records}) => sum + records, 0);
	return Math.max(0, next - sequence - pending);
}
