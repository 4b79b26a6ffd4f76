import {existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync} from 'node:fs';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {checkpointFileBytes} from '../../source/format/checkpoint.ts';
import {Mismatch} from '../../source/format/mismatch.ts';
import {decodeSegmentHeader, segmentHeaderBytes} from '../../source/format/segment-header.ts';
import {DiskQueue, type Durability} from '../../source/index.ts';
import {FaultRun} from '../helpers/fault-run.ts';
import {type Script, scripts} from '../helpers/fault-scripts.ts';
import {makeTemplates, type Start, type Template} from '../helpers/fault-starts.ts';
import type {Fault, FaultyMethod} from '../helpers/faulty-storage.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import type {Ledger} from '../helpers/ledger.ts';
import {openDescriptors} from '../helpers/logs.ts';
import type {NumberedRecord} from '../helpers/numbered-record.ts';
import {drain, nextTurn} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';
import {copyDirectory, memoryDirectory} from '../helpers/temporary-directory.ts';

const durabilities: readonly Durability[] = ['spill', 'write', 'fsync'];
const codes = ['ENOSPC', 'EIO', 'EMFILE', 'EACCES', 'EROFS', 'EDQUOT'] as const;
const concurrency = 24;

type Case = {script: Script; durability: Durability; kind: string; fault: Fault | undefined};

type Outcome = {problems: string[]; hasStruck: boolean; calls: Map<FaultyMethod, number>};

const takes: ReadonlyArray<[string, (bytes: number) => number]> = [
	['nothing', () => 0],
	['one byte', () => 1],
	['half', bytes => Math.ceil(bytes / 2)],
	['all but one byte', bytes => Math.max(1, bytes - 1)],
];

function describeCase({script, durability, kind, fault}: Case): string {
	return `${script.name}, '${durability}', ${fault?.method} ${fault?.nth}: ${kind}`;
}

const once = ['once', 1] as const;
const forGood = ['for good', Number.POSITIVE_INFINITY] as const;

/** Every way in which one call may fail. */
function faultsOf(method: FaultyMethod, nth: number): Array<{kind: string; fault: Fault}> {
	const found: Array<{kind: string; fault: Fault}> = [];
	const add = (kind: string, fault: Partial<Fault>) => {
		for (const [when, times] of [once, forGood]) {
			found.push({kind: `${kind} ${when}`, fault: {method, nth, times, ...fault}});
		}
	};
	for (const code of codes) {
		add(code, {code});
	}

	if (method === 'write' || method === 'read' || method === 'readSync') {
		for (const [name, take] of takes.slice(method === 'write' ? 0 : 2)) {
			add(`short of ${name}`, {take});
			add(`short of ${name}, then ${method === 'write' ? 'ENOSPC' : 'EIO'}`, {
				take,
				code: method === 'write' ? 'ENOSPC' : 'EIO',
			});
		}
	}

	return found;
}

async function runCase(home: string, template: Template, one: Case): Promise<Outcome> {
	const directory = join(home, 'queue');
	if (template.directory) {
		copyDirectory(template.directory, directory);
	}

	const run = new FaultRun({
		directory,
		durability: one.durability,
		ledger: template.ledger.copy([]),
		isForGood: one.fault?.times === Number.POSITIVE_INFINITY,
	});
	run.isDamaged = one.script.start === 'damaged';
	if (one.fault) {
		run.faulty.inject(one.fault);
	}

	const copy = join(home, 'killed');
	const killed = await watched(run, async () => {
		await one.script.run(run);
		return run.end(copy);
	});
	if (killed) {
		await checkEnd(run, one.fault?.method ?? '');
		await checkReopened(directory, run.ledger, run, 'closed');
		await checkReopened(copy, killed, run, 'killed');
	}

	return {problems: run.problems, hasStruck: run.faulty.pending() === 0, calls: run.faulty.calls};
}

/** Longer than any case can take, in milliseconds: only one that is stuck meets it. */
const patience = 60_000;

/** Waits for a case; one that is stuck is a problem. */
async function watched<R>(run: FaultRun, work: () => Promise<R>): Promise<R | undefined> {
	let timer: NodeJS.Timeout | undefined;
	const stuck = new Promise<undefined>(resolve => {
		timer = setTimeout(() => {
			run.problems.push(`stuck: ${[...run.pending].join(', ')} did not settle`);
			resolve(undefined);
		}, patience);
	});
	try {
		return await Promise.race([work(), stuck]);
	} finally {
		clearTimeout(timer);
	}
}

async function checkReopened(directory: string, ledger: Ledger, run: FaultRun, what: string): Promise<void> {
	const lost = [...run.lost];
	const queue = await DiskQueue.open<NumberedRecord>(directory, {segmentBytes: 4096});
	const note = ({lost: range}: {lost: {first: number; last: number} | undefined}) => {
		if (range) {
			lost.push(range);
		}
	};
	queue.recovery.corruptions.forEach(note);
	queue.on('corruption', note);
	const records = await drain(queue);
	ledger.check(records, what, id => lost.some(({first, last}) => first <= id && id <= last));
	await queue.close();
	if (!run.isDamaged && lost.length > 0) {
		run.problems.push(`${what}: damage where there is none: ${JSON.stringify(lost)}`);
	}

	const left = readdirSync(directory).filter(name => name !== 'checkpoint' && name !== 'quarantine');
	if (left.length > 0) {
		run.problems.push(`${what}: left behind: ${left.join(', ')}`);
	}
}

/** What is wrong with the calls of a run: a sync that failed and was tried again on the same bytes, appends behind one. */
function findRetries(operations: string[]): string[] {
	const failed = new Set<string>();
	const found: string[] = [];
	for (const operation of operations) {
		const [file, method, failure] = operation.split(' ').reverse() as [string, string, string | undefined];
		if (failed.has(file) && (method === 'sync' || (method === 'write' && file !== 'checkpoint'))) {
			found.push(`${method} of ${file} after a failed sync`);
		}

		if (method === 'sync' && failure) {
			failed.add(file);
		} else if (method === 'create' || method === 'write') {
			failed.delete(file);
		}

		if (operation === 'close ?') {
			found.push('a descriptor closed twice');
		}
	}

	return found;
}

/** What a run left half-made. */
function findLeftovers(directory: string): string[] {
	const found: string[] = [];
	for (const name of existsSync(directory) ? readdirSync(directory) : []) {
		const path = join(directory, name);
		if (name.startsWith('lock-')) {
			found.push(name);
		} else if (name.endsWith('.log')) {
			const header = readFileSync(path).subarray(0, segmentHeaderBytes);
			if (decodeSegmentHeader(header) instanceof Mismatch) {
				found.push(`${name}, without a header`);
			}
		} else if (name === 'checkpoint') {
			if (statSync(path).size !== checkpointFileBytes) {
				found.push(`${name}, of ${statSync(path).size} bytes`);
			}
		} else if (name !== 'quarantine') {
			found.push(name);
		}
	}

	return found;
}

async function checkEnd(run: FaultRun, method: string): Promise<void> {
	for (let turn = 0; turn < 2000 && run.faulty.openFiles().length > 0; turn++) {
		await nextTurn();
	}

	const open = run.faulty.openFiles();
	if (open.length > 0) {
		run.problems.push(`left open: ${open.join(', ')}`);
	}

	run.problems.push(...findRetries(run.faulty.operations));
	const left = method === 'unlink' ? [] : findLeftovers(run.directory);
	if (left.length > 0) {
		run.problems.push(`left behind: ${left.join(', ')}`);
	}
}

/** Every case there is: each call that each script makes without a fault, failing in every way. */
async function listCases(t: ExecutionContext, templates: Record<Start, Template>, root: string): Promise<Case[]> {
	const cases: Case[] = [];
	for (const script of scripts) {
		for (const durability of durabilities) {
			const whole = {script, durability, kind: 'none', fault: undefined};
			const {problems, calls} = await runAlone(root, templates, whole);
			t.deepEqual(problems, [], `${script.name}, '${durability}', without a fault`);
			for (const [method, count] of calls) {
				for (let nth = 1; nth <= count; nth++) {
					cases.push(...faultsOf(method, nth).map(each => ({script, durability, ...each})));
				}
			}
		}
	}

	return cases;
}

async function runAlone(root: string, templates: Record<Start, Template>, one: Case): Promise<Outcome> {
	const home = mkdtempSync(join(root, 'case-'));
	try {
		return await runCase(home, templates[one.script.start], one);
	} finally {
		rmSync(home, {recursive: true});
	}
}

/** So many of the cases, in an order of chance. */
function sample(cases: Case[], count: number): Case[] {
	const random = randomFrom(seed);
	return cases
		.map(one => ({one, place: random()}))
		.sort((a, b) => a.place - b.place)
		.slice(0, count)
		.map(({one}) => one);
}

test.serial(
	'whatever call fails, and however: nothing accepted is lost, all settles once, nothing is left behind',
	async t => {
		announce(t);
		const report = startFigures(t, 'T4', 'a call of the file system that fails, once or for good');
		const templates = await makeTemplates(t);
		const root = memoryDirectory(t);
		const all = await listCases(t, templates, root);
		const chosen = sample(all, sized(600, 8000));
		const unhandled: unknown[] = [];
		const note = (error: unknown) => unhandled.push(error);
		process.on('unhandledRejection', note);
		t.teardown(() => process.off('unhandledRejection', note));
		const before = openDescriptors();
		const counts = {struck: 0, bad: 0};
		const waiting = [...chosen];
		const work = async () => {
			for (let one = waiting.shift(); one; one = waiting.shift()) {
				const {problems, hasStruck} = await runAlone(root, templates, one);
				counts.struck += hasStruck ? 1 : 0;
				if (problems.length > 0) {
					counts.bad++;
					t.log([describeCase(one), ...problems].join('\n   '));
				}
			}
		};
		await Promise.all(Array.from({length: concurrency}, work));
		t.is(counts.bad, 0);
		t.deepEqual(unhandled, []);
		t.true(openDescriptors() <= before);
		t.true(counts.struck > 0.9 * chosen.length);
		report({'cases in all': all.length, 'cases run': chosen.length, 'faults that struck': counts.struck});
	},
);
