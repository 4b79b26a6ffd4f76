import type {EventEmitter} from 'node:events';
import {performance} from 'node:perf_hooks';
import * as nodeStream from 'node:stream';
import {promisify} from 'node:util';
import type {ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import * as readableStream from 'readable-stream';
import {DiskQueue, type Durability, diskQueue} from '../../source/index.ts';
import {startFigures} from './figures.ts';
import {announce, isLong} from './form.ts';
import {drain, nextTurn, range} from './queues.ts';
import {leftovers} from './streams.ts';
import {memoryDirectory} from './temporary-directory.ts';

/** What of a library of streams stands beside the stream under test. */
export type Peers = Pick<
	typeof nodeStream,
	'Readable' | 'Writable' | 'Transform' | 'PassThrough' | 'addAbortSignal'
> & {
	compose(...streams: unknown[]): nodeStream.Duplex;
	pipeline(...streams: unknown[]): Promise<void>;
	finished(stream: unknown, options?: object): Promise<void>;
};

/** How long a callback is waited for, in milliseconds, before it is missed. */
const patience = 10_000;

type Library = typeof nodeStream & Pick<Peers, 'compose'>;

const libraries: Record<'node:stream' | 'readable-stream', Library> = {
	'node:stream': nodeStream as Library,
	'readable-stream': readableStream as unknown as Library,
};

export type Setting = {
	library: 'node:stream' | 'readable-stream';
	target: 'directory' | 'open queue';
	durability: Durability;
};

const settings: Setting[] = (['node:stream', 'readable-stream'] as const).flatMap(library =>
	(['directory', 'open queue'] as const).flatMap(target =>
		(['spill', 'write', 'fsync'] as const).map(durability => ({library, target, durability})),
	),
);

/** One use of a stream, and what must come of it. */
export type Case = {
	run(lab: Lab): Promise<void> | void;
	/** It is compared with a PassThrough: what it notes must be the same. Otherwise it checks for itself. */
	isOwn?: boolean;
	/** Records that came out may come again: a sink that did not confirm them. */
	isRepeating?: boolean;
	/** Only where it is so. */
	when?: (setting: Setting) => boolean;
};

/** What a lab found when all was over. */
type Findings = {
	streams: Array<{closes: number; errors: string[]}>;
	/** The listeners that are left on the sinks. */
	sinks: Array<Record<string, number>>;
	notCalledOnce: Array<[number, string[]]>;
};

export type CaseStreamOptions = {highWaterMark?: number; signal?: AbortSignal};

/**
 * Where one case runs, on a `diskQueue` or, as the reference, on a PassThrough: it numbers the records, and keeps what
 * was written, called back, and came out.
 */
export class Lab {
	readonly t: ExecutionContext;
	readonly setting: Setting;
	readonly isReference: boolean;
	/** What the case has seen, in order. */
	readonly notes: unknown[] = [];
	/** Ids that came out and are done, in order. */
	readonly taken: number[] = [];
	/** How each write was called back, by id: `ok`, or the code or message of its error. */
	readonly callbacks: Map<number, string[]> = new Map();
	readonly queue: DiskQueue<unknown> | undefined;
	readonly directory: string;
	readonly #streams: Array<{stream: nodeStream.Duplex; closes: number; errors: unknown[]}> = [];
	readonly #sinks: EventEmitter[] = [];
	#made = 0;

	constructor(t: ExecutionContext, setting: Setting, directory: string, queue: DiskQueue<unknown> | undefined) {
		this.t = t;
		this.setting = setting;
		this.directory = directory;
		this.queue = queue;
		this.isReference = directory === '';
	}

	get peers(): Peers {
		const library = libraries[this.setting.library];
		return {
			...library,
			pipeline: promisify(library.pipeline) as unknown as Peers['pipeline'],
			finished: promisify(library.finished) as unknown as Peers['finished'],
		};
	}

	note(...values: unknown[]): void {
		this.notes.push(values.length === 1 ? values[0] : values);
	}

	/** The stream under test. */
	stream({highWaterMark = 16, signal}: CaseStreamOptions = {}): nodeStream.Duplex {
		const stream = this.isReference
			? new nodeStream.PassThrough({objectMode: true, highWaterMark, ...(signal && {signal})})
			: diskQueue<unknown>(this.queue ?? this.directory, {
					highWaterMark,
					signal,
					...(!this.queue && {durability: this.setting.durability}),
				});
		this.#watchWrites(stream);
		const seen = {stream, closes: 0, errors: [] as unknown[]};
		stream.on('close', () => seen.closes++);
		stream.on('error', error => seen.errors.push(error));
		this.#streams.push(seen);
		return stream;
	}

	/** The id of the next record. */
	next(): number {
		return this.#made++;
	}

	/** Writes so many of the next records. */
	writeAll(stream: nodeStream.Writable, count: number): void {
		for (const _ of range(0, count)) {
			stream.write(this.next());
		}
	}

	/** A source of so many of the next records. */
	source(count: number, error?: Error): nodeStream.Readable {
		const self = this;
		return this.peers.Readable.from(
			(function* () {
				for (const _ of range(0, count)) {
					yield self.next();
				}

				if (error) {
					throw error;
				}
			})(),
		);
	}

	/** A sink that takes what it confirms. */
	sink(options: nodeStream.WritableOptions & {refuse?: (id: number) => Error | undefined} = {}): nodeStream.Writable {
		const {refuse, ...others} = options;
		const sink = new this.peers.Writable({
			objectMode: true,
			highWaterMark: 4,
			write: (id: number, _encoding, callback) => {
				const error = refuse?.(id);
				if (!error) {
					this.take(id);
				}

				callback(error);
			},
			...others,
		});
		this.#sinks.push(sink);
		return sink;
	}

	take(id: unknown): void {
		this.taken.push(id as number);
	}

	/** Takes what comes until the stream has ended or failed, and closed. */
	async takeAll(stream: nodeStream.Readable): Promise<void> {
		stream.on('data', id => this.take(id));
		await this.closed(stream);
	}

	async closed(stream: nodeStream.Stream & {closed: boolean}): Promise<void> {
		if (!stream.closed) {
			await pEvent(stream, 'close', {rejectionEvents: []});
		}
	}

	/** Notes an event whenever it comes. */
	noteEvents(emitter: EventEmitter, ...names: string[]): void {
		for (const name of names) {
			emitter.on(name, () => this.note(name));
		}
	}

	/** Lets everything go; gives what was found about streams and peers. */
	async settle(): Promise<Findings> {
		for (const {stream} of this.#streams) {
			stream.destroy();
			await this.closed(stream);
		}

		// The write under way when an open queue was left is called back when it is put.
		const uncalled = () => !this.isReference && [...this.callbacks.values()].some(calls => calls.length === 0);
		for (const end = performance.now() + patience; uncalled() && performance.now() < end; ) {
			await nextTurn();
		}

		await nextTurn();
		return {
			streams: this.#streams.map(({closes, errors}) => ({closes, errors: errors.map(nameOf)})),
			sinks: this.#sinks.map(listenersOf),
			notCalledOnce: [...this.callbacks].filter(([, calls]) => calls.length !== 1),
		};
	}

	#watchWrites(stream: nodeStream.Writable): void {
		const write = stream.write.bind(stream) as (
			id: number,
			encoding: unknown,
			callback: (error?: Error | null) => void,
		) => boolean;
		stream.write = (id: number, ...rest: unknown[]) => {
			const called = rest.find(each => typeof each === 'function') as ((error?: Error | null) => void) | undefined;
			const calls: string[] = [];
			if (id !== null) {
				this.callbacks.set(id, calls);
			}

			return write(id, rest[0] === called ? undefined : rest[0], error => {
				calls.push(nameOf(error));
				called?.(error);
			});
		};
	}
}

/** Runs cases in all settings, in the short form in some of them; reports how many. */
export async function runCases(t: ExecutionContext, what: string, cases: Record<string, Case>): Promise<void> {
	announce(t);
	const report = startFigures(t, 'T10', what);
	const counts = {cases: 0, compared: 0, written: 0};
	for (const [index, [name, each]] of Object.entries(cases).entries()) {
		for (const setting of settingsOf(index).filter(setting => each.when?.(setting) ?? true)) {
			const what = `${name} (${Object.values(setting).join(', ')})`;
			const lab = await runCase(t, what, each, setting);
			counts.cases++;
			counts.compared += each.isOwn ? 0 : 1;
			counts.written += lab.callbacks.size;
		}
	}

	t.true(counts.cases >= Object.keys(cases).length);
	report({
		cases: counts.cases,
		...(counts.compared > 0 && {'compared with a PassThrough': counts.compared}),
		'records written': counts.written,
	});
}

/** All, or four of the twelve, others for the next case, in which all durabilities, targets and libraries are. */
function settingsOf(index: number): Setting[] {
	return isLong ? settings : [0, 4, 7, 11].map(step => settings[(index + step) % settings.length]!);
}

async function runCase(t: ExecutionContext, what: string, each: Case, setting: Setting): Promise<Lab> {
	const directory = memoryDirectory(t);
	const {durability} = setting;
	const queue = setting.target === 'directory' ? undefined : await DiskQueue.open(directory, {durability});
	const before = usage();
	const lab = new Lab(t, setting, directory, queue);
	await each.run(lab);
	const found = await lab.settle();
	t.deepEqual(found.notCalledOnce, [], `${what}: each write is called back once`);
	if (!each.isOwn) {
		const reference = new Lab(t, setting, '', undefined);
		await each.run(reference);
		// A PassThrough that is destroyed forgets the callbacks that it holds back.
		const expected = {...(await reference.settle()), notCalledOnce: []};
		t.deepEqual({notes: lab.notes, ...found}, {notes: reference.notes, ...expected}, what);
	}

	if (queue) {
		t.deepEqual(queue.eventNames(), [], what);
		t.like(queue.stats(), {inFlight: 0, waitingGets: 0}, what);
		while (queue.stats().waitingPuts > 0) {
			await nextTurn();
		}
	}

	const left = queue ? await drain(queue) : await leftovers(directory);
	assertConserved(lab, left as number[], {what, isRepeating: each.isRepeating === true});
	await queue?.close();
	t.deepEqual(usage().processListeners, queue ? before.processListeners - 1 : before.processListeners, what);
	return lab;
}

/** Nothing accepted is lost, nothing comes twice in a run, and all is in order. */
function assertConserved(
	{t, taken, callbacks}: Lab,
	left: number[],
	{what, isRepeating}: {what: string; isRepeating: boolean},
): void {
	const accepted = [...callbacks].filter(([, [outcome]]) => outcome === 'ok').map(([id]) => id);
	const story = `${what}: took ${taken}; left are ${left}; of ${accepted} accepted`;
	t.true(isAscending(taken) && isAscending(left), story);
	const all = new Set([...taken, ...left]);
	t.true(accepted.every(id => all.has(id)) && [...all].every(id => callbacks.has(id)), story);
	t.true(isRepeating || (left[0] ?? Number.POSITIVE_INFINITY) > (taken.at(-1) ?? -1), story);
}

function isAscending(ids: number[]): boolean {
	return ids.every((id, index) => index === 0 || id > ids[index - 1]!);
}

function usage(): {processListeners: number} {
	return {processListeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)};
}

/** How many listeners an emitter has, by event. */
export function listenersOf(emitter: EventEmitter): Record<string, number> {
	return Object.fromEntries(emitter.eventNames().map(name => [String(name), emitter.listenerCount(name)]));
}

export function nameOf(error: unknown): string {
	if (!error) {
		return 'ok';
	}

	const {code, message} = error as NodeJS.ErrnoException;
	return code ?? message;
}
