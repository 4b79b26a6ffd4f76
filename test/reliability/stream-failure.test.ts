import {createWriteStream} from 'node:fs';
import {Readable, Transform, Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {type DiskQueue, type DiskQueueStream, type Durability, diskQueue} from '../../source/index.ts';
import {startFigures} from '../helpers/figures.ts';
import {afterSteps, assertComplete as assertOutcome, type Outcome, pick, steps} from '../helpers/outcomes.ts';
import {onLinux} from '../helpers/platforms.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {makeSink, sinkKinds, type TestSink, writables} from '../helpers/sinks.ts';
import {countWrites, leftovers} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

/** The first places of a run that each failure is tried at. */
const places = 200;
const total = 400;
const durabilities: Durability[] = ['spill', 'write', 'fsync'];
const highWaterMarks = [1, 2, 7, 64, 1024];
const libraries = Object.values(writables);

/** Holds what came back against what became of the records, and counts them. */
function assertComplete(t: ExecutionContext, returned: number[], outcome: Outcome): number {
	counts.cases++;
	counts['records written'] += outcome.written;
	counts['records that came back'] += returned.length;
	return assertOutcome(t, returned, outcome);
}

/** Takes what is left of a directory in this turn's one of two ways: as a queue, or as a stream. */
async function takeBack(directory: string, place: number): Promise<number[]> {
	if (place % 2 === 0) {
		return leftovers<number>(directory);
	}

	const {writable, confirmed} = makeSink<number>();
	await pipeline(Readable.from([]), diskQueue(directory), writable);
	return confirmed;
}

let report: ReturnType<typeof startFigures>;
const counts = {cases: 0, 'records written': 0, 'records that came back': 0};
test.before(t => {
	report = startFigures(
		t,
		'T10',
		`failures and interruptions, at each of the first ${places} records, ticks and turns`,
	);
});
test.after(() => report(counts));

let combinations = 0;
for (const kind of sinkKinds) {
	for (const isDestroying of [false, true]) {
		combinations++;
		const how = isDestroying ? 'destroys itself' : 'fails a write';
		test(`a ${kind} sink that ${how}, at any record: all it had not confirmed comes back at once, in order`, async t => {
			let redelivered = 0;
			for (const place of range(0, places)) {
				const directory = temporaryDirectory(t);
				const failure = new Error(`at ${place}`);
				const sink = makeSink<number>({
					kind,
					isDestroying,
					Base: pick(libraries, place),
					refuse: records => (records.includes(place) ? failure : undefined),
				});
				const highWaterMark = pick(highWaterMarks, place);
				const stream = diskQueue<number>(directory, {durability: pick(durabilities, place), highWaterMark});
				const writes = countWrites(stream);
				const error = await t.throwsAsync(pipeline(Readable.from(range(0, total)), stream, sink.writable));
				const returned = await takeBack(directory, place);
				t.is(error, failure);
				t.deepEqual(sink.confirmed, range(0, sink.confirmed.length));
				const inVain = assertComplete(t, returned, {...writes, confirmed: sink.confirmed.length});
				t.true(inVain <= highWaterMark + sink.writable.writableHighWaterMark, `${inVain} came back in vain`);
				redelivered = Math.max(redelivered, inVain);
			}

			t.log(`${places} places, at most ${redelivered} confirmed records came back`);
		});
	}
}

test('a byte sink that fails, at any record: all it had not confirmed comes back', async t => {
	for (const place of range(0, places)) {
		const directory = temporaryDirectory(t);
		const failure = new Error(`at ${place}`);
		let confirmed = 0;
		const sink = new Writable({
			highWaterMark: pick([16, 1024], place),
			write(chunk, _encoding, callback) {
				setImmediate(() => {
					const error = Number(chunk) === place ? failure : null;
					confirmed += error ? 0 : 1;
					callback(error);
				});
			},
		});
		const stream = diskQueue<string>(directory, {durability: pick(durabilities, place)});
		const writes = countWrites(stream);
		const source = Readable.from(range(0, total).map(String));
		t.is(await t.throwsAsync(pipeline(source, stream, sink)), failure);
		const returned = await leftovers<string>(directory);
		assertComplete(t, returned.map(Number), {...writes, confirmed});
	}
});

onLinux('a file on a device without room: everything comes back', async t => {
	const directory = temporaryDirectory(t);
	const stream = diskQueue<string>(directory);
	const writes = countWrites(stream);
	const run = pipeline(Readable.from(range(0, total).map(String)), stream, createWriteStream('/dev/full'));
	await t.throwsAsync(run, {code: 'ENOSPC'});
	const returned = await leftovers<string>(directory);
	assertComplete(t, returned.map(Number), {...writes, confirmed: 0});
});

test('a sink that fails behind a transform: all the transform had not confirmed comes back', async t => {
	for (const place of range(0, places)) {
		const directory = temporaryDirectory(t);
		const failure = new Error(`at ${place}`);
		let transformed = 0;
		const transform = new Transform({
			objectMode: true,
			transform(record, _encoding, callback) {
				setImmediate(() => {
					transformed++;
					callback(null, record);
				});
			},
		});
		const {writable} = makeSink<number>({refuse: ([id]) => (id === place ? failure : undefined)});
		const stream = diskQueue<number>(directory, {durability: pick(durabilities, place)});
		const writes = countWrites(stream);
		const error = await t.throwsAsync(pipeline(Readable.from(range(0, total)), stream, transform, writable));
		const returned = await takeBack(directory, place);
		t.is(error, failure);
		assertComplete(t, returned, {...writes, confirmed: transformed});
	}
});

test('a source that fails, at any record: all that was accepted and not confirmed comes back, in order', async t => {
	for (const place of range(0, places)) {
		const directory = temporaryDirectory(t);
		const failure = new Error(`at ${place}`);
		const source = function* () {
			yield* range(0, place);
			throw failure;
		};
		const sink = makeSink<number>({kind: pick(sinkKinds, place), highWaterMark: pick([1, 16], place)});
		const stream = diskQueue<number>(directory, {durability: pick(durabilities, place)});
		const writes = countWrites(stream);
		const error = await t.throwsAsync(pipeline(Readable.from(source()), stream, sink.writable));
		const returned = await takeBack(directory, place);
		t.is(error, failure);
		assertComplete(t, returned, {...writes, confirmed: sink.confirmed.length});
	}
});

type Run = {controller: AbortController; stream: DiskQueueStream<number>};

/** How a run can be ended from outside. */
const interruptions: Record<string, (run: Run) => void> = {
	'the signal of the pipeline': ({controller}) => controller.abort(),
	'the signal of the stream': ({controller}) => controller.abort(),
	'destroy()': ({stream}) => stream.destroy(),
	'destroy(error)': ({stream}) => stream.destroy(new Error('enough')),
};

/** Runs a pipeline through a queue and interrupts it after some steps; resolves when it has failed or ended. */
async function interrupted(
	t: ExecutionContext,
	target: string | DiskQueue<number>,
	{way, unit, place, durability}: {way: string; unit: string; place: number; durability: Durability},
): Promise<{sink: TestSink<number>; writes: {written: number; accepted: number}; stream: DiskQueueStream<number>}> {
	const controller = new AbortController();
	const {signal} = controller;
	const sink = makeSink<number>({kind: pick(sinkKinds, place), Base: pick(libraries, place)});
	const stream = diskQueue<number>(target, {
		highWaterMark: pick(highWaterMarks, place),
		...(typeof target === 'string' && {durability}),
		...(way === 'the signal of the stream' && {signal}),
	});
	const writes = countWrites(stream);
	const run = pipeline(Readable.from(range(0, total)), stream, sink.writable, {
		...(way === 'the signal of the pipeline' && {signal}),
	}).catch(error => t.true(error instanceof Error));
	const interrupt = () => afterSteps(place, steps[unit]!, () => interruptions[way]!({controller, stream}));
	if (unit === 'turn of the event loop') {
		interrupt();
	} else {
		stream.once('ready', interrupt);
	}

	if (way === 'destroy()') {
		// No pipeline notices a stream that is destroyed without an error when all its records are in its buffer; of
		// Node 24 on, not even when its sink is destroyed too.
		await pEvent(stream, 'close', {rejectionEvents: []});
		sink.writable.destroy();
		await Promise.race([run, nextTurn()]);
	} else {
		await run;
	}

	t.deepEqual(sink.confirmed, range(0, sink.confirmed.length));
	return {sink, writes, stream};
}

/** The least share of the runs of a test that are interrupted before they end by themselves. */
const leastInterrupted = 0.25;

/** Counts the runs that an interruption met before all of their records were written and confirmed. */
function countInterrupted(t: ExecutionContext): {
	note(writes: {written: number}, returned: number[]): void;
	check(): void;
} {
	let interrupted = 0;
	return {
		note({written}, returned) {
			interrupted += written < total || returned.length > 0 ? 1 : 0;
		},
		check: () => t.true(interrupted >= leastInterrupted * places, `${interrupted} of ${places} runs were interrupted`),
	};
}

for (const way of Object.keys(interruptions)) {
	for (const unit of Object.keys(steps)) {
		combinations++;
		test(`${way}, after any ${unit}: all that was accepted and not confirmed comes back`, async t => {
			const runs = countInterrupted(t);
			for (const place of range(0, places)) {
				const directory = temporaryDirectory(t);
				const durability = pick(durabilities, place);
				const {sink, writes} = await interrupted(t, directory, {way, unit, place, durability});
				const returned = await takeBack(directory, place);
				runs.note(writes, returned);
				assertComplete(t, returned, {...writes, confirmed: sink.confirmed.length});
			}

			runs.check();
		});

		test(`with an open queue: ${way}, after any ${unit}: it holds all that was not confirmed`, async t => {
			const durability = pick(durabilities, way.length + unit.length);
			const queue = await openQueue<number>(t, {durability});
			const runs = countInterrupted(t);
			for (const place of range(0, places)) {
				const {sink, writes, stream} = await interrupted(t, queue, {way, unit, place, durability});
				if (!stream.closed) {
					await pEvent(stream, 'close', {rejectionEvents: []});
				}

				t.is(queue.stats().inFlight, 0);
				// The write under way at that moment was not called back: it may be put or not.
				while (queue.stats().waitingPuts > 0) {
					await nextTurn();
				}

				const returned = await drain(queue);
				runs.note(writes, returned);
				assertComplete(t, returned, {...writes, confirmed: sink.confirmed.length});
			}

			runs.check();
		});
	}
}

test(`every kind of failure and every way, by every unit of time, was tried at ${places} places`, t => {
	t.is(combinations, 3 * 2 + 4 * 3);
	t.is(range(0, places).length, 200);
});
