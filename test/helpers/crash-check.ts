import {dirname} from 'node:path';
import {type Checkpoint, decodeCheckpoint, slotBytes, slotCount} from '../../source/format/checkpoint.ts';
import {Mismatch} from '../../source/format/mismatch.ts';
import {
	type Crash,
	type CrashJournal,
	crashRecord,
	type Expected,
	type WrittenRecord,
	writtenRecords,
} from './crash-journal.ts';
import type {CrashModel, CrashState} from './crash-model.ts';
import type {Outcome, QueueOutcome} from './crash-outcome.ts';

/** What crash states are held against. */
export type Truth = {
	journal: CrashJournal;
	model: CrashModel;
	/** The directories of the queue and of its dead letters. */
	directories: string[];
	written: WrittenRecord[];
	/** The sequences that durable checkpoints said to be done, by the operation from which on they did. */
	checkpoints: Array<{operation: number; directory: string; sequence: number}>;
};

/** All that held at one crash, worked out once for its many states. */
export type Moment = {
	crash: number;
	how: Crash;
	expected: Expected[];
	/** Bytes that no longer check, and are never lost. */
	kept: Buffer[];
	/** No next sequence of the queue is lower. */
	leastNext: number;
	queues: Array<{
		/** No record that comes back has a lower sequence. */
		leastDelivered: number;
		/** The records that were written at a sequence. */
		written: Map<number, Set<number>>;
	}>;
};

/** `found`: the records that the disk held at the start. */
export function truthOf(
	journal: CrashJournal,
	model: CrashModel,
	directories: string[],
	found: WrittenRecord[] = [],
): Truth {
	const written = [...found, ...writtenRecords(model.operations)];
	return {journal, model, directories, written, checkpoints: durableCheckpoints(model)};
}

export function momentOf({journal, directories, ...truth}: Truth, crash: number, how: Crash): Moment {
	const promised = journal.promisedAt(crash, how);
	const written = truth.written.filter(({operation}) => operation < crash);
	const checkpoints = truth.checkpoints.filter(({operation}) => operation < crash);
	const isOfQueue = (each: {directory: string}) => each.directory === directories[0];
	return {
		crash,
		how,
		expected: journal.expectedAt(crash, how),
		kept: journal.kept.filter(({from}) => from <= crash).map(({bytes}) => bytes),
		leastNext: behindLast(written.filter(each => isOfQueue(each) && promised.has(each.id))),
		queues: directories.map(directory => ({
			leastDelivered: Math.max(0, ...of(checkpoints, directory).map(({sequence}) => sequence)),
			written: bySequence(of(written, directory)),
		})),
	};
}

/** What is wrong with the outcome of a state that a crash left. */
export function faultsIn(
	outcome: Outcome,
	moment: Moment,
	{hasStaleStart}: Pick<CrashState, 'hasStaleStart'>,
): string[] {
	const isDamaged = moment.expected.some(each => each.isDamaged);
	return [
		...outcome.faults,
		...moment.expected.flatMap(each => recordFaults(each, outcome, moment)),
		...moment.kept.filter(bytes => !isKept(bytes, outcome)).map(bytes => `I7 the damaged bytes '${bytes}' are gone`),
		...outcome.queues.flatMap((queue, index) => [
			...orderFaults(queue, moment.queues[index]!),
			...numberFaults(queue, index === 0 ? moment.leastNext : 0),
			...(isDamaged ? [] : toldFaults(queue, hasStaleStart)),
		]),
	];
}

/** I1, I2, I4 and I7, of one record. */
function recordFaults(expected: Expected, {queues}: Outcome, moment: Moment): string[] {
	const {id, isPut, isDue, isDone, isMoved, isDamaged, attempts} = expected;
	const [here, there] = queues.map(({delivered}) => delivered.find(({record}) => record.id === id));
	const faults: string[] = [];
	if (isDue && !here && !(isMoved && there) && !(isDamaged && isTold(id, queues[0]!, moment))) {
		faults.push(isDamaged ? `I7 record ${id} is lost to damage, which is not told` : `I1 record ${id} is lost`);
	}

	if ((here || there) && !isPut) {
		faults.push(`I2 record ${id} was not put`);
	}

	if (isDone && here) {
		faults.push(`I4 record ${id} was done, and comes back`);
	}

	if (here && here.attempts < attempts) {
		faults.push(`I4 record ${id} was delivered ${attempts} times, and says ${here.attempts}`);
	}

	return faults;
}

/** I2, I3 and I4: what comes is what was written there, each once, in order, not before the durable checkpoint. */
function orderFaults({delivered}: QueueOutcome, {leastDelivered, written}: Moment['queues'][number]): string[] {
	const faults: string[] = [];
	let last = {sequence: -1, id: -1};
	for (const {sequence, record} of delivered) {
		const {id, text} = record;
		if (text !== crashRecord(id).text || !written.get(sequence)?.has(id)) {
			faults.push(`I2 at ${sequence} comes ${JSON.stringify(record)}`);
		}

		if (sequence <= last.sequence || id <= last.id) {
			faults.push(`I3 record ${id} at ${sequence} comes after ${last.id} at ${last.sequence}`);
		}

		if (sequence < leastDelivered) {
			faults.push(`I4 record ${id} at ${sequence} comes, before the durable checkpoint ${leastDelivered}`);
		}

		last = {sequence, id};
	}

	return faults;
}

/** I3: no sequence is used for another record. */
function numberFaults({delivered, nextSequence}: QueueOutcome, leastNext: number): string[] {
	const least = Math.max(leastNext, (delivered.at(-1)?.sequence ?? -1) + 1);
	return nextSequence < least ? [`I3 the next sequence is ${nextSequence}, and must be ${least} at least`] : [];
}

/** I7: no damage is told where there is none. */
function toldFaults({corruptions, isMiscounted}: QueueOutcome, hasStaleStart: boolean): string[] {
	const wrong = corruptions.filter(({lost}) => lost || !hasStaleStart);
	return [
		...wrong.map(corruption => `I7 damage is told where there is none: ${JSON.stringify(corruption)}`),
		...(isMiscounted ? ['I5 records are counted that do not come'] : []),
	];
}

function isTold(id: number, {corruptions}: QueueOutcome, {queues}: Moment): boolean {
	const sequences = [...queues[0]!.written].filter(([, ids]) => ids.has(id)).map(([sequence]) => sequence);
	return corruptions.some(({lost}) => lost && sequences.some(each => lost.first <= each && each <= lost.last));
}

function isKept(bytes: Buffer, {image}: Outcome): boolean {
	return [...image.values()].some(content => content !== 'directory' && content.bytes.includes(bytes));
}

function of<T extends {directory: string}>(all: T[], directory: string): T[] {
	return all.filter(each => each.directory === directory);
}

function behindLast(written: WrittenRecord[]): number {
	return Math.max(0, ...written.map(({sequence}) => sequence + 1));
}

function bySequence(written: WrittenRecord[]): Map<number, Set<number>> {
	const ids = new Map<number, Set<number>>();
	for (const {sequence, id} of written) {
		ids.set(sequence, (ids.get(sequence) ?? new Set()).add(id));
	}

	return ids;
}

/** The checkpoints on the device after each sync of their file, if its name is there too. */
function durableCheckpoints(model: CrashModel): Truth['checkpoints'] {
	return model.operations.flatMap((operation, index) => {
		if (operation.kind !== 'sync' || !operation.path.endsWith('/checkpoint')) {
			return [];
		}

		const content = model.durableContent(operation.inode, index + 1);
		const slots = Array.from({length: slotCount}, (_, slot) =>
			decodeCheckpoint(content.subarray(slot * slotBytes, (slot + 1) * slotBytes)),
		);
		const whole = slots.filter((slot): slot is Checkpoint => !(slot instanceof Mismatch));
		const newest = whole.sort((a, b) => b.generation - a.generation)[0];
		const from = Math.max(index, model.namedBy(operation.inode));
		return newest ? [{operation: from, directory: dirname(operation.path), sequence: newest.sequence}] : [];
	});
}
