import {join} from 'node:path';
import {performance} from 'node:perf_hooks';
import type {ExecutionContext} from 'ava';
import type {Durability} from '../../source/index.ts';
import type {Worker} from './jobs.ts';
import {isEnded, type Note, notePowerCut, readJournal} from './journal.ts';
import type {KillPoint} from './kill-points.ts';
import {memoryDirectory, onCopyOf} from './temporary-directory.ts';

export type Crash = 'SIGKILL' | 'power cut';

/** What interrupted a run, and what bounds the damage. */
export type Interruption = {
	crash: Crash;
	durability: Durability;
	/** Accepted records that may be in memory only, with `'spill'`. */
	inMemory?: number;
	/** Records that may come back after SIGKILL although they were done. */
	maxRedelivered?: number;
};

/** What every job says. */
export type CommonJob = {
	directory: string;
	journal: string;
	firstId: number;
	seed: number;
	/** So many records are put, then all is closed and the process kills itself. Without it, the run goes on. */
	count?: number;
	/** Where the process kills itself before. Segments are small then, so that calls of all kinds are made. */
	killPoint?: KillPoint;
};

/** A program of test/fixtures, with what it leaves when it is interrupted. */
export type Kind<Job extends CommonJob, Found> = {
	fixture: string;
	makeModel(): Model<Found>;
	/** Completes a job, and says what it may lose. */
	makeJob(common: CommonJob, random: () => number): {job: Job; bounds: Omit<Interruption, 'crash'>};
	/** Reads a directory, which is not used any more. Rejects if damage is told, unless there may be some. */
	find(directory: string, mayBeDamaged: boolean): Promise<Found>;
	/** Opens a directory, and calls back, and closes it. */
	reopen(directory: string, opened: () => void): Promise<void>;
};

/** What is known of a directory by what its runs have noted. */
export type Model<Found> = {
	nextId: number;
	/** Counts so far; of those named `... at most` the largest counts. */
	readonly figures: Record<string, number>;
	/** Gives what is wrong with what a run has left that was interrupted. */
	compare(notes: Note[], found: Found, interruption: Interruption): string[];
	/** Goes on from what a run has left. */
	goOn(notes: Note[], found: Found, interruption: Interruption): void;
	/** Says that the directory was closed in order. */
	closed(): void;
};

/** Runs of a kind over one directory, each interrupted, and compared with what it must leave. */
export class InterruptedRuns<Job extends CommonJob, Found> {
	readonly directory: string;
	readonly #kind: Kind<Job, Found>;
	readonly #model: Model<Found>;
	readonly #random: () => number;
	readonly #journals: string;
	#count = 0;
	#job: Job | undefined;
	#bounds: Omit<Interruption, 'crash'> = {durability: 'spill'};
	/** What a power cut leaves of records that were nowhere promised may be reported as damage; SIGKILL leaves none. */
	#mayBeDamaged = false;
	/** The longest that opening took, in milliseconds. */
	longestOpen = 0;

	constructor(
		t: ExecutionContext,
		kind: Kind<Job, Found>,
		{directory, random}: {directory: string; random: () => number},
	) {
		this.directory = directory;
		this.#kind = kind;
		this.#model = kind.makeModel();
		this.#random = random;
		this.#journals = memoryDirectory(t);
	}

	get figures(): Readonly<Record<string, number>> {
		return this.#model.figures;
	}

	/** Starts the next run. */
	async begin(worker: Worker<Job>, addition: Partial<Job> = {}): Promise<void> {
		const common = {
			directory: this.directory,
			journal: join(this.#journals, `journal-${this.#count++}`),
			firstId: this.#model.nextId,
			seed: Math.floor(this.#random() * 2 ** 32),
		};
		const {job, bounds} = this.#kind.makeJob(common, this.#random);
		this.#job = {...job, ...addition};
		this.#bounds = bounds;
		await worker.begin(this.#job);
	}

	/** Whether the last run came to its end before anything interrupted it. */
	get isEnded(): boolean {
		return isEnded(this.#job!.journal);
	}

	/** Says that the power is about to be cut. */
	notePowerCut(): void {
		notePowerCut(this.#job!.journal);
	}

	/** Gives what is wrong with what the run has left that was interrupted, and goes on from there. */
	async interrupted(crash: Crash): Promise<string[]> {
		const notes = readJournal(this.#job!.journal);
		this.#mayBeDamaged ||= crash === 'power cut';
		const found = await onCopyOf(this.directory, copy => this.#kind.find(copy, this.#mayBeDamaged));
		const problems = this.#compare(notes, found, crash);
		this.#model.goOn(notes, found, {crash, ...this.#bounds});
		return problems;
	}

	/** Gives what is wrong with a directory as a power cut now would leave it; the run must not be running. */
	async compareImage(directory: string): Promise<string[]> {
		return this.#compare(readJournal(this.#job!.journal), await this.#kind.find(directory, true), 'power cut');
	}

	/** Opens the directory and closes it in order; otherwise the next run finds it as the last one left it. */
	async reopen(): Promise<void> {
		const start = performance.now();
		await this.#kind.reopen(this.directory, () => {
			this.longestOpen = Math.max(this.longestOpen, performance.now() - start);
		});
		this.#model.closed();
	}

	/** With all that is needed to repeat the run. */
	#compare(notes: Note[], found: Found, crash: Crash): string[] {
		const problems = this.#model.compare(notes, found, {crash, ...this.#bounds});
		return problems.map(problem => `${problem}; run ${this.#count}, ${crash}, ${JSON.stringify(this.#job)}`);
	}
}

/** The figures of several runs as one. */
export function sumFigures(all: Array<Readonly<Record<string, number>>>): Record<string, number> {
	const sums: Record<string, number> = {};
	for (const [name, count] of all.flatMap(figures => Object.entries(figures))) {
		const sum = sums[name] ?? 0;
		sums[name] = name.endsWith(' at most') ? Math.max(sum, count) : sum + count;
	}

	return sums;
}
