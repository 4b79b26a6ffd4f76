import {mkdirSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {faultsIn, momentOf, type Truth, truthOf} from './crash-check.ts';
import {Contents} from './crash-contents.ts';
import {type Crash, CrashJournal, firstLargeId} from './crash-journal.ts';
import {CrashModel, type CrashModelOptions, type CrashState} from './crash-model.ts';
import {describeOperation} from './crash-operations.ts';
import {describeQueues, keyOfImage, type Outcome, observe, observeAgain} from './crash-outcome.ts';
import {type DiskImage, SimulatedDisk} from './simulated-disk.ts';

/** What a script acts on. */
export type Stage = {disk: SimulatedDisk; journal: CrashJournal; directory: string; deadDirectory: string};

export type CrashScript = {
	name: string;
	/** Whether its records are large, so that few fill a segment. */
	hasLargeRecords?: boolean;
	/** Whether it has a dead-letter queue. */
	hasDeadLetters?: boolean;
	act(stage: Stage): Promise<void>;
};

/** Counts of crashes, of the states they may leave, and of those that differ. */
export type Counts = {crashes: number; states: number; distinct: number};

/** A state whose recovery may be crashed too. */
export type Candidate = {state: CrashState; outcome: Outcome};

/** The outcomes of the states that were met; equal states are opened once. */
export class Explorer {
	readonly contents: Contents = new Contents();
	readonly directories: string[];
	readonly #outcomes = new Map<string, Outcome>();
	/** What was wrong after an open, by what it left. */
	readonly #lives = new Map<string, string[]>();
	/** The outcomes that were offered, by the last write to a segment before the crash. */
	readonly #offered = new Map<number, Set<Outcome>>();
	readonly #met: (candidate: Candidate) => void;

	/** `met` is told of each state that was not met before, or not after the same segments, and of what opening it gave. */
	constructor(directories: string[], met: (candidate: Candidate) => void) {
		this.directories = directories;
		this.#met = met;
	}

	/** Checks every state that a crash at any operation may leave. Throws at the first that breaks an invariant. */
	async explore(truth: Truth): Promise<Counts> {
		const before = this.#outcomes.size;
		const {operations} = truth.model;
		let states = 0;
		for (let crash = 0; crash <= operations.length; crash++) {
			states += await this.#check(truth, crash, 'kill', [truth.model.afterKill(crash)]);
			states += await this.#check(truth, crash, 'powerCut', truth.model.afterPowerCut(crash));
		}

		return {crashes: 2 * (operations.length + 1), states, distinct: this.#outcomes.size - before};
	}

	async #check(truth: Truth, crash: number, how: Crash, states: Iterable<CrashState>): Promise<number> {
		const moment = momentOf(truth, crash, how);
		const checked = new Set<string>();
		const offered = this.#offeredAfter(truth.model.lastSegmentWrite(crash));
		let count = 0;
		for (const state of states) {
			count++;
			const key = `${state.key} ${state.hasStaleStart}`;
			if (checked.has(key)) {
				continue;
			}

			checked.add(key);
			const outcome = this.#outcomes.get(state.key) ?? (await this.#open(state));
			if (!offered.has(outcome)) {
				offered.add(outcome);
				this.#met({state, outcome});
			}

			const faults = faultsIn(outcome, moment, state);
			if (faults.length > 0) {
				throw new Error(describeFaults(faults, how, state, outcome, truth));
			}
		}

		return count;
	}

	async #open(state: CrashState): Promise<Outcome> {
		const image = state.image();
		const outcome = await observe(image, this.directories, this.contents);
		const key = keyOfImage(outcome.image);
		if (outcome.faults.length === 0) {
			const faults = this.#lives.get(key) ?? (await observeAgain(outcome, this.directories, this.contents));
			this.#lives.set(key, faults);
			outcome.faults.push(...faults);
		}

		this.#outcomes.set(state.key, outcome);
		return outcome;
	}

	#offeredAfter(write: number): Set<Outcome> {
		const offered = this.#offered.get(write) ?? new Set();
		this.#offered.set(write, offered);
		return offered;
	}
}

/** Runs a script on a disk that holds nothing; `parent` is a directory of the real file system, for locks. */
export async function record(
	script: CrashScript,
	parent: string,
	contents: Contents,
	options: CrashModelOptions,
): Promise<Truth> {
	const disk = new SimulatedDisk(emptyDisk(parent), latencyFrom(options.random));
	const journal = new CrashJournal(disk.operations, {firstId: script.hasLargeRecords ? firstLargeId : 0});
	const directories = directoriesOf(script, parent);
	for (const directory of directories) {
		mkdirSync(directory);
	}

	await script.act({disk, journal, directory: directories[0]!, deadDirectory: join(parent, 'dead')});
	return truthOf(journal, new CrashModel(disk, contents, options), directories);
}

export function directoriesOf({hasDeadLetters}: CrashScript, parent: string): string[] {
	return ['queue', ...(hasDeadLetters ? ['dead'] : [])].map(name => join(parent, name));
}

/** Syncs take some turns of the event loop, so that others go on meanwhile. */
export function latencyFrom(random: () => number): () => Promise<void> {
	return async () => {
		for (let turns = Math.floor(random() * 3); turns > 0; turns--) {
			await new Promise(setImmediate);
		}
	};
}

function emptyDisk(path: string): DiskImage {
	const image = new Map<string, 'directory'>();
	for (let each = path; each !== dirname(each); each = dirname(each)) {
		image.set(each, 'directory');
	}

	return image;
}

function describeFaults(faults: string[], how: Crash, state: CrashState, outcome: Outcome, {model}: Truth): string {
	return [
		`a ${how === 'kill' ? 'kill' : 'power cut'} leaves what breaks invariants:`,
		...faults,
		`It gives ${describeQueues(outcome.queues)}`,
		state.describe(),
		'All operations:',
		...model.operations.map((operation, index) => `  ${index} ${describeOperation(operation)}`),
	].join('\n');
}
