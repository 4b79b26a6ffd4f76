import {randomInt} from 'node:crypto';
import {basename, dirname} from 'node:path';
import type {Corruption} from '../../source/errors.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import {parseSegmentFileName} from '../../source/format/file-name.ts';
import {SegmentLog, type SegmentLogOptions} from '../../source/log/segment-log.ts';
import type {Lease} from '../../source/queue/lease.ts';
import {RecordStore} from '../../source/queue/record-store.ts';
import type {Storage} from '../../source/storage.ts';
import type {Contents} from './crash-contents.ts';
import {type CrashRecord, unwrap} from './crash-journal.ts';
import {keyOfEntries} from './crash-model.ts';
import {type DiskImage, SimulatedDisk} from './simulated-disk.ts';

/** A record that was delivered; of a dead letter, the record in it. */
export type DeliveredRecord = {sequence: number; record: CrashRecord; attempts: number};

/** What opening one directory gave. */
export type QueueOutcome = {
	delivered: DeliveredRecord[];
	nextSequence: number;
	/** Damage told when opening, and when reading. */
	corruptions: Corruption[];
	/** How much of it was told when opening, and put aside for good. */
	setAside: number;
	/** It counted records as waiting where none came. */
	isMiscounted: boolean;
};

/** What opening the directories of a disk gave, and what that left. */
export type Outcome = {
	queues: QueueOutcome[];
	/** What is wrong with it, whatever was promised. */
	faults: string[];
	image: DiskImage;
};

export type OpenedStore = {log: SegmentLog<CrashRecord>; store: RecordStore<CrashRecord>; corruptions: Corruption[]};

const codec = msgpackCodec<CrashRecord>();

export function logOptions(storage: Storage): SegmentLogOptions<CrashRecord> {
	return {
		codec,
		salt: randomInt(1, 2 ** 32),
		segmentBytes: 1500,
		maxBytes: Number.POSITIVE_INFINITY,
		onCorruption: 'quarantine',
		storage,
		report() {},
		maxRedelivery: Number.POSITIVE_INFINITY,
		reclaimed() {},
	};
}

/** Opens the directories of a disk and takes everything in them; nothing is done with it. */
export async function observe(image: DiskImage, directories: string[], contents: Contents): Promise<Outcome> {
	const disk = new SimulatedDisk(image);
	const {storage} = disk.live();
	const queues: QueueOutcome[] = [];
	const faults: string[] = [];
	for (const directory of directories) {
		try {
			queues.push(await observeQueue(storage, directory));
		} catch (error) {
			faults.push(`I5 ${directory} cannot be opened or read: ${(error as Error).stack}`);
			queues.push({delivered: [], nextSequence: 0, corruptions: [], setAside: 0, isMiscounted: false});
		}
	}

	const after = disk.image(bytes => contents.keyOf(bytes));
	faults.push(...foreignFiles(after, directories).map(path => `I6 ${path} was left`));
	if (disk.openDescriptors > 0) {
		faults.push(`I6 ${disk.openDescriptors} descriptors are open`);
	}

	return {queues, faults, image: after};
}

/** What is wrong with opening what an open left: it gives the same, changes nothing, and the log works on. */
export async function observeAgain(first: Outcome, directories: string[], contents: Contents): Promise<string[]> {
	const second = await observe(first.image, directories, contents);
	const faults = [...second.faults];
	if (describeQueues(second.queues, first.queues) !== describeQueues(first.queues)) {
		faults.push(
			`I5 the second open gives ${describeQueues(second.queues)}, the first gave ${describeQueues(first.queues)}`,
		);
	}

	if (keyOfImage(second.image) !== keyOfImage(first.image)) {
		faults.push('I5 the second open changed something');
	}

	for (const index of directories.keys()) {
		faults.push(...(await liveOn(first, index, directories, contents)));
	}

	return faults;
}

/** Equal for equal disks. */
export function keyOfImage(image: DiskImage): string {
	return keyOfEntries([...image], content => content.key);
}

/** Opens the log of a directory, and the store over it. */
export async function openStore(storage: Storage, directory: string): Promise<OpenedStore> {
	if (storage.makeDirectory(directory)) {
		await storage.syncDirectory(dirname(directory));
	}

	const corruptions: Corruption[] = [];
	const options = {...logOptions(storage), report: (corruption: Corruption) => corruptions.push(corruption)};
	const log = await SegmentLog.open<CrashRecord>(directory, options);
	try {
		const store = new RecordStore<CrashRecord>(log, {
			cacheSize: 64,
			cacheBytes: 1 << 20,
			headShare: 0.5,
			blockBytes: 8192,
			missed() {},
			dropped(error) {
				throw error;
			},
		});
		await store.restore(log.delivered);
		return {log, store, corruptions};
	} catch (error) {
		log.closeFiles();
		throw error;
	}
}

/** Takes all that waits, and leaves it with the queue. `isMiscounted`: who went by the count would wait for nothing. */
export async function leaseAll(
	store: RecordStore<CrashRecord>,
): Promise<{leases: Array<Lease<CrashRecord>>; isMiscounted: boolean}> {
	const leases: Array<Lease<CrashRecord>> = [];
	let isMiscounted = false;
	while (store.size > 0 && !isMiscounted) {
		const lease = store.lease({records: 64, bytes: Number.POSITIVE_INFINITY});
		if (lease) {
			leases.push(lease);
		} else if (store.isLoadDue) {
			await store.load();
		} else {
			isMiscounted = true;
		}
	}

	return {leases, isMiscounted};
}

/** What was delivered and told. Where a file was put aside for good, the next sequence is that of the other opening. */
export function describeQueues(queues: QueueOutcome[], other: QueueOutcome[] = queues): string {
	return queues
		.map(({delivered, nextSequence, corruptions, setAside}, index) => {
			const told = corruptions.slice(setAside).map(({lost}) => (lost ? `${lost.first} to ${lost.last}` : 'nothing'));
			const next = other[index]!.setAside > 0 ? other[index]!.nextSequence : nextSequence;
			const records = delivered.map(({sequence, record}) => `${sequence}:${record.id}`);
			return `[${records.join(' ')}], next ${next}, told as lost: ${told.join(', ') || '-'}`;
		})
		.join('; ');
}

async function observeQueue(storage: Storage, directory: string): Promise<QueueOutcome> {
	const {log, store, corruptions} = await openStore(storage, directory);
	try {
		const {leases, isMiscounted} = await leaseAll(store);
		const delivered = leases.flatMap(({records, sequence, attempts}) =>
			records.map((record, index) => ({sequence: sequence! + index, record: unwrap(record), attempts})),
		);
		const setAside = log.recovery.corruptions;
		return {
			delivered,
			nextSequence: log.nextSequence,
			corruptions: [...setAside, ...corruptions],
			setAside: setAside.length,
			isMiscounted,
		};
	} finally {
		log.closeFiles();
	}
}

/** Puts a record behind what is there and closes; opens, puts another, is done with all but that, closes, and opens. */
async function liveOn(first: Outcome, index: number, directories: string[], contents: Contents): Promise<string[]> {
	const directory = directories[index]!;
	const {delivered, nextSequence, setAside} = first.queues[index]!;
	const disk = new SimulatedDisk(first.image);
	const sequencesAfter = async (act: (opened: OpenedStore) => void) => {
		const opened = await openStore(disk.live().storage, directory);
		act(opened);
		await opened.log.close();
		const left = await observe(
			disk.image(bytes => contents.keyOf(bytes)),
			directories,
			contents,
		);
		return describeQueues([{...left.queues[index]!, setAside: 0}]);
	};
	const sequences = delivered.map(({sequence, record}) => `${sequence}:${record.id}`);
	const told = first.queues[index]!.corruptions.slice(setAside);
	if (setAside > 0 || told.length > 0) {
		return [];
	}

	const one = await sequencesAfter(({store}) => store.append([{id: -1, text: 'one more'}]));
	const two = await sequencesAfter(({store, log}) => {
		store.append([{id: -2, text: 'the last'}]);
		log.markDone(nextSequence + 1);
		log.markDelivered(() => ({next: 0, runs: []}));
	});
	const wanted = [
		`[${[...sequences, `${nextSequence}:-1`].join(' ')}], next ${nextSequence + 1}, told as lost: -`,
		`[${nextSequence + 1}:-2], next ${nextSequence + 2}, told as lost: -`,
	];
	return [one, two].flatMap((found, step) =>
		found === wanted[step] ? [] : [`I5 living on gives ${found}, not ${wanted[step]}`],
	);
}

/** Files that are none of ours, and those of ours in a wrong place. */
function foreignFiles(image: DiskImage, directories: string[]): string[] {
	const isOurs = (path: string, content: unknown) => {
		const [parent, name] = [dirname(path), basename(path)];
		if (content === 'directory') {
			return name === 'quarantine' || directories.some(directory => `${directory}/`.startsWith(`${path}/`));
		}

		return directories.includes(parent)
			? name === 'checkpoint' || parseSegmentFileName(name) !== undefined
			: basename(parent) === 'quarantine' && name.endsWith('.bad');
	};

	return [...image].filter(([path, content]) => !isOurs(path, content)).map(([path]) => path);
}
