import {randomBytes} from 'node:crypto';
import {join} from 'node:path';
import type {Corruption} from '../errors.ts';
import type {Checkpoint, Delivered, SequenceRange} from '../format/checkpoint.ts';
import {checkpointFileName} from '../format/file-name.ts';
import {Mismatch} from '../format/mismatch.ts';
import {queueIdBytes} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import type {CheckpointFile} from './checkpoint-file.ts';
import {holdsBlockOf, listSegments, readHeader, readQueueIds, refuseNewer} from './found-files.ts';
import {removeEmpty, setAside, settleEnd} from './log-end.ts';
import {nextBlock, syncQuarantine} from './quarantine.ts';
import {endOf, type Segment, segmentAt} from './segment.ts';

/** What opening a directory found and did. */
export type RecoveryReport = {
	/** Whether the last owner closed the queue in order, so that nothing had to be scanned. */
	isClean: boolean;
	/** Records waiting on disk. */
	records: number;
	/** Segments that hold them, and their length in bytes. */
	segments: number;
	bytes: number;
	/** Bytes behind the last block that a crash had left: of an incomplete write, or zeros written ahead. They were cut off. */
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
	/** The sequence behind the last record: lower than the next one if a power cut took what was between. */
	recordsEnd: number;
	/** The end up to which the log is on the device for certain. */
	end: Checkpoint['end'];
	/** Sequences of which a power cut may have taken some. */
	doubtful: SequenceRange[];
	/** What was delivered out of order. */
	delivered: Delivered;
	report: RecoveryReport;
};

export type RecoveryOptions = {codecName: string; onCorruption: 'quarantine' | 'throw'; storage: Storage};

/** A recovery under way. */
export type Recovery = Recovered & RecoveryOptions & {directory: string; checkpoint: Checkpoint | undefined};

/**
 * Reads what a directory holds and makes it fit to go on: finishes an interrupted reclaim and cuts a torn tail, both
 * durably. Interrupted at any moment, it does the same again. The lock must be held.
 *
 * @throws QueueVersionError, QueueCodecError: before anything is changed. QueueCorruptError with `onCorruption: 'throw'`.
 */
export async function recover(
	directory: string,
	file: CheckpointFile,
	{codecName, onCorruption, storage}: RecoveryOptions,
): Promise<Recovered> {
	const found = listSegments(directory, storage);
	const ids = readQueueIds(found, codecName, storage);
	const saved = await file.open(
		queueId =>
			ids.length === 0 ||
			ids.some(id => id.equals(queueId)) ||
			found.some(segment => holdsBlockOf(queueId, segment, storage)),
	);
	refuseNewer(join(directory, checkpointFileName), saved);
	const report = emptyReport();
	if (saved instanceof Mismatch) {
		setAside({onCorruption, report}, file.describe(saved), () => file.setAside());
	}

	const checkpoint = saved instanceof Mismatch ? undefined : saved;
	const queueId = checkpoint?.queueId ?? ids[0] ?? randomBytes(queueIdBytes);
	const segments = found.map(({bytes, ...place}) => segmentAt(directory, {queueId, ...place}, bytes));
	const recovery: Recovery = {
		directory,
		onCorruption,
		storage,
		checkpoint,
		codecName,
		queueId,
		segments,
		sequence: checkpoint?.sequence ?? 0,
		blockOffset: checkpoint?.blockOffset ?? 0,
		nextSequence: 0,
		recordsEnd: 0,
		end: checkpoint?.end ?? endOf([], 0),
		doubtful: checkpoint?.doubtful ?? [],
		delivered: checkpoint?.delivered ?? {next: 0, runs: []},
		report,
	};
	await settleEnd(recovery);
	recovery.sequence = checkpoint?.sequence ?? segments[0]?.firstSequence ?? recovery.nextSequence;
	await finishReclaim(recovery);
	await keepAside(recovery);
	complete(recovery);
	return recovery;
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

/** Removes the segments that lie wholly before the checkpoint, which is durable. One of another queue stays, unused. */
async function finishReclaim(recovery: Recovery): Promise<void> {
	const {directory, segments, sequence, nextSequence, report, storage} = recovery;
	const count = segments.findIndex((_, index) => (segments[index + 1]?.firstSequence ?? nextSequence) > sequence);
	const done = segments.splice(0, count === -1 ? segments.length : count);
	for (const segment of done) {
		await reclaim(segment, recovery);
	}

	if (report.reclaimedSegments > 0) {
		await storage.syncDirectory(directory);
	}
}

/** From here on a power cut leaves in quarantine what was put there. */
async function keepAside({directory, report, storage}: Recovery): Promise<void> {
	const paths = report.corruptions.map(({quarantine}) => quarantine!);
	if (paths.length > 0) {
		await syncQuarantine(directory, paths, storage);
	}
}

/** Removes a segment whose records are all done. What has its name and neither its header nor a block of it is not it. */
async function reclaim(segment: Segment, recovery: Recovery): Promise<void> {
	const {queueId, report, storage} = recovery;
	const {path, end} = segment;
	const header = readHeader(path, storage);
	const isOther = header instanceof Mismatch && !nextBlock(segment, {from: 0, to: end, sequence: 0}, storage);
	if (isOther) {
		await removeEmpty(segment, recovery);
	} else if (header instanceof Mismatch || header.queueId.equals(queueId)) {
		storage.unlink(path);
		report.reclaimedSegments++;
	}
}

function complete(recovery: Recovery): void {
	const {segments, sequence, recordsEnd, report} = recovery;
	for (const [index, segment] of segments.entries()) {
		segment.next = segments[index + 1];
	}

	const {next, runs} = recovery.delivered;
	const pending = runs.flatMap(({first, records, attempts}) =>
		first < recordsEnd ? {first, records: Math.min(records, recordsEnd - first), attempts} : [],
	);
	const inFlight = pending.reduce((sum, {records}) => sum + records, 0);
	recovery.delivered = {next, runs: pending};
	recovery.sequence = pending[0]?.first ?? Math.max(sequence, next);
	report.records = inFlight + Math.max(0, recordsEnd - Math.max(sequence, next));
	report.segments = segments.length;
	report.bytes = segments.reduce((sum, {end}) => sum + end, 0);
}
