import {once} from 'node:events';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {setTimeout} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {startFixture} from './children.ts';
import {noteEnd, noteFailure} from './journal.ts';
import {nextTurn} from './queues.ts';

/*
 * A program of test/fixtures that does jobs reads them from its stdin, a line of JSON each, and answers `begun`. The line
 * `stop` ends a job, answered by `stopped`. Its end, or that of its stdin, ends the program.
 */

/** Does jobs one after the other. A job ends after its signal is aborted; one that fails ends the program. */
export async function doJobs<Job>(work: (job: Job, stop: AbortSignal) => Promise<void>): Promise<void> {
	let stop = new AbortController();
	let working = Promise.resolve();
	for await (const line of createInterface({input: process.stdin})) {
		if (line === 'stop') {
			stop.abort();
			await working;
			process.stdout.write('stopped\n');
		} else {
			stop = new AbortController();
			process.stdout.write('begun\n');
			working = work(JSON.parse(line) as Job, stop.signal);
		}
	}

	process.exit();
}

/** The parts of a job. */
export type Work<Run> = {open(): Promise<Run>; work(run: Run): Promise<void>; close(run: Run): Promise<void>};

/**
 * Works until the job is stopped, or fails: a device without power ends it so. Work that is done before ends by SIGKILL.
 */
export async function untilStopped<Run>(
	{journal}: {journal: string},
	stop: AbortSignal,
	{open, work, close}: Work<Run>,
): Promise<void> {
	const stopped = stop.aborted ? Promise.resolve() : once(stop, 'abort');
	const fail = (error: unknown) => noteFailure(journal, error as Error);
	let run: Run | undefined;
	try {
		run = await open();
		await Promise.race([work(run), stopped]);
	} catch (error) {
		fail(error);
		await stopped;
	}

	await (run && close(run).catch(fail));
	if (!stop.aborted) {
		noteEnd(journal);
		process.kill(process.pid, 'SIGKILL');
	}
}

/** A child that does jobs. */
export type Worker<Job> = {
	begin(job: Job): Promise<void>;
	stop(): Promise<void>;
	/** Keeps it from running until the promise that `work` gives is settled; no call to the system is under way then. */
	whileFrozen<R>(work: () => Promise<R>): Promise<R>;
	/** Kills it so many milliseconds from now, wherever it is then. */
	killAfter(time: number): Promise<void>;
	/** Resolves when it was killed, or has killed itself; rejects if it ended otherwise. */
	killed: Promise<void>;
	processId: number;
};

export function startWorker<Job>(t: ExecutionContext, fixture: string): Worker<Job> {
	const {child, result} = startFixture(t, fixture);
	const killed = result.then(({signal, code, stderr}) => {
		if (signal !== 'SIGKILL') {
			throw new Error(`${fixture} ended by itself, with ${code}: ${stderr}`);
		}
	});
	killed.catch(() => {});
	const ask = async (line: string) => {
		const answer = pEvent(child.stdout!, 'data');
		child.stdin!.write(`${line}\n`);
		await Promise.race([answer, killed]);
	};
	return {
		begin: job => ask(JSON.stringify(job)),
		stop: () => ask('stop'),
		async whileFrozen(work) {
			child.kill('SIGSTOP');
			while (!isFrozen(child.pid!)) {
				await nextTurn();
			}

			try {
				return await work();
			} finally {
				child.kill('SIGCONT');
			}
		},
		async killAfter(time) {
			await setTimeout(time);
			child.kill('SIGKILL');
			await killed;
		},
		killed,
		processId: child.pid!,
	};
}

/** Whether all threads of a process are stopped. There is no event for that. */
function isFrozen(processId: number): boolean {
	const tasks = join('/proc', String(processId), 'task');
	return readdirSync(tasks).every(task => / T /.test(readFileSync(join(tasks, task, 'stat'), 'utf8')));
}
