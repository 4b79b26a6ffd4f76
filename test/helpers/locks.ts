import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {createInterface, type Interface} from 'node:readline';
import {setTimeout} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {fileSystem} from '../../source/storage.ts';

export type ChildOptions = {
	/** A command that runs the child, such as `unshare` with its options. */
	under?: string[];
	execArgv?: string[];
	cwd?: string;
	env?: NodeJS.ProcessEnv;
};

export type StartedChild = {process: ChildProcess; pid: number; lines: Interface; ended: Promise<unknown[]>};

/** Starts a fixture, to be talked to line by line; it is killed if it still runs when the test ends. */
export function startLines(
	t: ExecutionContext,
	[fixture, ...parameters]: [string, ...string[]],
	{under = [], execArgv = [], cwd, env}: ChildOptions = {},
): StartedChild {
	const path = join(import.meta.dirname, '..', 'fixtures', `${fixture}.js`);
	const [command, ...rest] = [...under, process.execPath, ...execArgv, path, ...parameters];
	const child = spawn(command!, rest, {
		stdio: ['pipe', 'pipe', 'pipe'],
		env: {...process.env, ...env},
		...(cwd !== undefined && {cwd}),
	});
	t.teardown(() => child.kill('SIGKILL'));
	// Not inherited: the runner waits for whoever has the stderr of this process, also for a child that outlives it.
	child.stderr!.pipe(process.stderr);
	return {process: child, pid: child.pid!, lines: createInterface({input: child.stdout!}), ended: once(child, 'close')};
}

export type JsonChild = StartedChild & {next(): Promise<Record<string, unknown>>};

/** The same for a fixture whose lines are JSON. */
export function startJson(t: ExecutionContext, call: [string, ...string[]], options?: ChildOptions): JsonChild {
	const started = startLines(t, call, options);
	const iterator = started.lines[Symbol.asyncIterator]();
	return {...started, next: async () => JSON.parse((await iterator.next()).value ?? 'null')};
}

/** Locks a directory in a child, which holds it until it is told to release it by a line, or killed. */
export async function holdInChild(t: ExecutionContext, directory: string, options?: ChildOptions): Promise<JsonChild> {
	const child = startJson(t, ['lock-holder', directory, 'hold'], options);
	const {pid, ...refusal} = await child.next();
	t.deepEqual(refusal, {});
	// A child under another command, or in a namespace of its own, has a pid that is not ours to compare.
	t.true(options?.under !== undefined || pid === child.pid);
	return child;
}

export async function killChild(child: ChildProcess): Promise<void> {
	child.kill('SIGKILL');
	await once(child, 'close');
}

/** Leaves a socket that nobody listens on: a server removes only the name that it was bound to. */
export async function leaveDeadSocket(path: string): Promise<void> {
	const server = createServer().listen(`${path}.bound`);
	await once(server, 'listening');
	fileSystem.rename(`${path}.bound`, path);
	server.close();
	await once(server, 'close');
}

/** When a contender owned the directory, in nanoseconds of the clock that all processes of a system share. */
export type Hold = {start: bigint; end: bigint; isKilled: boolean};

export type Contention = {holds: Hold[]; kills: number; stops: number};

export type ContentionOptions = {
	directory: string;
	contenders: number;
	/** It goes on for so long, and until the directory was taken so often. */
	seconds: number;
	acquisitions: number;
	random: () => number;
	/** Chance that an owner is killed. */
	killRate: number;
	/** Also stops contenders at any moment and lets them go on, and kills some. */
	isDisturbed?: boolean;
	/** What the contender of a number runs under. */
	under?: (index: number) => string[] | undefined;
};

/** Lets processes take turns, kills some owners and replaces them; tells who owned the directory when. */
export async function contend(t: ExecutionContext, options: ContentionOptions): Promise<Contention> {
	const {directory, contenders, seconds, acquisitions, random, killRate, isDisturbed, under} = options;
	const end = process.hrtime.bigint() + BigInt(seconds * 1e9);
	const found: Contention = {holds: [], kills: 0, stops: 0};
	const running = new Map<number, {child: ChildProcess; kill(): void}>();
	const endAll = () => {
		for (const {child} of running.values()) {
			child.stdin!.end();
		}
	};
	const isOver = () => process.hrtime.bigint() >= end && found.holds.length >= acquisitions;

	async function contender(index: number): Promise<void> {
		const prefix = under?.(index);
		const {process: child, lines, ended} = startLines(t, ['lock-contender', directory], prefix && {under: prefix});
		let current: Hold | undefined;
		let killedAt: bigint | undefined;
		const kill = () => {
			// If it prints no more, then it was the owner until it died, that is until now at least.
			killedAt ??= process.hrtime.bigint();
			child.kill('SIGKILL');
		};
		running.set(index, {child, kill});
		// A child that was killed takes no end.
		child.stdin!.on('error', () => {});
		for await (const line of lines) {
			const [event, time] = line.split(' ') as [string, string];
			if (event === 'giving') {
				current!.end = BigInt(time);
			} else {
				current = {start: BigInt(time), end: 0n, isKilled: false};
				found.holds.push(current);
				if (random() < killRate) {
					kill();
				}
			}

			if (isOver()) {
				endAll();
			}
		}

		const [code] = await ended;
		t.true(killedAt !== undefined || code === 0, `a contender ended with ${code}`);
		found.kills += killedAt === undefined ? 0 : 1;
		if (current?.end === 0n) {
			current.end = killedAt!;
			current.isKilled = true;
		}

		if (!isOver()) {
			await contender(index);
		}
	}

	async function disturb(): Promise<void> {
		while (!isOver()) {
			await setTimeout(40 * random());
			const {child, kill} = running.get(Math.floor(random() * contenders))!;
			if (random() < 0.3) {
				kill();
			} else if (child.kill('SIGSTOP')) {
				await setTimeout(60 * random());
				child.kill('SIGCONT');
				found.stops++;
			}
		}
	}

	const all = Array.from({length: contenders}, (_, index) => contender(index));
	await Promise.all(isDisturbed ? [...all, disturb()] : all);
	return found;
}

/** How many holds began before another had ended. */
export function countOverlaps(holds: Hold[]): number {
	let end = 0n;
	let overlaps = 0;
	for (const hold of inOrder(holds)) {
		overlaps += hold.start < end ? 1 : 0;
		end = hold.end > end ? hold.end : end;
	}

	return overlaps;
}

/** The longest time from the kill of an owner to the next hold, in milliseconds. */
export function longestTakeover(holds: Hold[]): number {
	const sorted = inOrder(holds);
	const times = sorted.slice(0, -1).flatMap(({end, isKilled}, index) => {
		return isKilled ? [Number(sorted[index + 1]!.start - end) / 1e6] : [];
	});
	return Math.max(0, ...times);
}

function inOrder(holds: Hold[]): Hold[] {
	return holds.toSorted((a, b) => (a.start < b.start ? -1 : 1));
}
