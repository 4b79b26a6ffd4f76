import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {slotBytes} from '../../source/format/checkpoint.ts';
import {DiskQueue} from '../../source/index.ts';
import {Ledger} from './ledger.ts';
import {segmentNames} from './logs.ts';
import type {NumberedRecord} from './numbered-record.ts';
import {nextTurn} from './queues.ts';
import {copyDirectory, memoryDirectory} from './temporary-directory.ts';

/** What a directory is when a script opens it. */
export type Start = 'missing' | 'empty' | 'clean' | 'crashed' | 'damaged';

/** A directory to copy, undefined if there is none yet, and what was done with it. */
export type Template = {directory: string | undefined; ledger: Ledger};

/** Makes a directory of each kind. */
export async function makeTemplates(t: ExecutionContext): Promise<Record<Start, Template>> {
	return {
		missing: {directory: undefined, ledger: new Ledger()},
		empty: {directory: memoryDirectory(t), ledger: new Ledger()},
		clean: (await leaveRecords(t, 10)).closed,
		crashed: tear((await leaveRecords(t, 10)).killed),
		damaged: damage((await leaveRecords(t, 0)).closed),
	};
}

/** Leaves 50 records in several segments, the first ones done: as a close in order leaves them, and as a kill does. */
async function leaveRecords(t: ExecutionContext, done: number): Promise<Record<'closed' | 'killed', Template>> {
	const [directory, copy] = [memoryDirectory(t), memoryDirectory(t)];
	const ledger = new Ledger();
	const queue = await DiskQueue.open<NumberedRecord>(directory, {
		durability: 'write',
		cacheSize: 8,
		segmentBytes: 4096,
	});
	for (let run = 0; run < 5; run++) {
		const records = ledger.next(10);
		await queue.putMany(records);
		ledger.note(records, 'safe');
	}

	while (queue.stats().done < done) {
		ledger.take([await queue.get()]);
	}

	await nextTurn();
	const killed = {directory: copy, ledger: ledger.copy()};
	copyDirectory(directory, copy);
	const vouched = ledger.vouch();
	await queue.close();
	vouched();
	return {closed: {directory, ledger}, killed};
}

/** Adds the incomplete last write of a crash. */
function tear(template: Template): Template {
	const {directory} = template;
	writeFileSync(join(directory!, segmentNames(directory!).at(-1)!), 'an incomplete block', {flag: 'a'});
	return template;
}

/** Flips a byte of a block in a segment that is neither the first nor the last, and one of each slot of the checkpoint. */
function damage(template: Template): Template {
	const directory = template.directory!;
	flip(join(directory, segmentNames(directory)[1]!), 200);
	for (let slot = 0; slot < 3; slot++) {
		flip(join(directory, 'checkpoint'), slot * slotBytes + 40);
	}

	return template;
}

function flip(path: string, offset: number): void {
	const bytes = readFileSync(path);
	bytes[offset]! ^= 0xff;
	writeFileSync(path, bytes);
}
