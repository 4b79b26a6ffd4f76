import {createHash} from 'node:crypto';
import {lstatSync, readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {join, relative} from 'node:path';
import type {ExecutionContext} from 'ava';
import type {Corruption} from '../../source/errors.ts';
import {msgpackCodec} from '../../source/format/codec.ts';
import {parseSegmentFileName} from '../../source/format/file-name.ts';
import {SegmentLog, type SegmentLogOptions} from '../../source/log/segment-log.ts';
import {fileSystem} from '../../source/storage.ts';

export type TestRecord = {id: number; text: string};

export type OpenedLog = {log: SegmentLog<TestRecord>; corruptions: Corruption[]};

/** The record that these tests write at a sequence: of different lengths, the first eight longer than the others. */
export function recordAt(sequence: number): TestRecord {
	return {id: sequence, text: `record ${sequence} `.repeat(sequence < 8 ? 4 : 1 + (sequence % 3))};
}

/** The records from a sequence to another, without that one. */
export function recordsAt(from: number, to: number): TestRecord[] {
	return Array.from({length: to - from}, (_, index) => recordAt(from + index));
}

/** Opens a log, without a lock; its descriptors are given back when the test ends. */
export async function openLog(
	t: ExecutionContext,
	directory: string,
	options: Partial<SegmentLogOptions<TestRecord>> = {},
): Promise<OpenedLog> {
	const corruptions: Corruption[] = [];
	const log = await SegmentLog.open<TestRecord>(directory, {
		codec: msgpackCodec(),
		salt: 0,
		segmentBytes: 4096,
		maxBytes: Number.POSITIVE_INFINITY,
		onCorruption: 'quarantine',
		storage: fileSystem,
		report: corruption => corruptions.push(corruption),
		maxRedelivery: Number.POSITIVE_INFINITY,
		reclaimed() {},
		...options,
	});
	t.teardown(() => log.closeFiles());
	return {log, corruptions};
}

/** Appends blocks of `records` records each, numbered by sequence. */
export function appendBlocks(log: SegmentLog<TestRecord>, blocks: number, records = 2): void {
	for (let block = 0; block < blocks; block++) {
		log.append(recordsAt(log.nextSequence, log.nextSequence + records));
	}
}

/** Reads everything in this turn: the records by sequence, in order. */
export function readAllSync<T>(log: SegmentLog<T>): Array<[number, T]> {
	const found: Array<[number, T]> = [];
	for (let block = log.reader.nextSync(); block; block = log.reader.nextSync()) {
		const first = log.reader.sequence - block.records.length;
		found.push(...block.records.map((record, index): [number, T] => [first + index, record]));
	}

	return found;
}

/** The same through `next` and `load`. */
export async function readAll<T>(log: SegmentLog<T>): Promise<Array<[number, T]>> {
	const found: Array<[number, T]> = [];
	while (!log.reader.isAtEnd) {
		const block = log.reader.next();
		if (!block) {
			await log.reader.load();
			continue;
		}

		const first = log.reader.sequence - block.records.length;
		found.push(...block.records.map((record, index): [number, T] => [first + index, record]));
	}

	return found;
}

/** The numbered records from a sequence to another, as the two functions above give them. */
export function numbered(from: number, to: number): Array<[number, TestRecord]> {
	return recordsAt(from, to).map((record, index) => [from + index, record]);
}

/** The names of the segments, in order. */
export function segmentNames(directory: string): string[] {
	return readdirSync(directory)
		.filter(name => name.endsWith('.log'))
		.sort();
}

/** The sequences that the segments begin with, in order. */
export function firstSequences(directory: string): number[] {
	return segmentNames(directory).map(name => parseSegmentFileName(name)!.firstSequence);
}

/** Where the segment from a sequence is, whatever its salt. */
export function segmentPath(directory: string, firstSequence: number): string {
	const name = segmentNames(directory).find(each => parseSegmentFileName(each)?.firstSequence === firstSequence);
	return join(directory, name!);
}

/** Every path below a directory with its kind and a hash of its content: equal before and after means untouched. */
export function fingerprint(directory: string): Record<string, string> {
	const found: Record<string, string> = {};
	for (const entry of readdirSync(directory, {recursive: true, encoding: 'utf8'}).sort()) {
		const path = join(directory, entry);
		const stats = lstatSync(path);
		const content = stats.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
		found[relative(directory, path)] = `${stats.mode} ${stats.size} ${content}`;
	}

	return found;
}

/** How many descriptors this process has open; 0 where the system does not tell. */
export function openDescriptors(): number {
	return process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;
}

/** What they are open for, but for the one that this call needs. */
export function descriptorTargets(): string[] {
	return readdirSync('/proc/self/fd').flatMap(name => {
		try {
			return [readlinkSync(join('/proc/self/fd', name))];
		} catch {
			return [];
		}
	});
}
