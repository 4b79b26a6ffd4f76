import {Readable, type Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test, {type ExecutionContext} from 'ava';
import {createReadStream, createWriteStream, DiskQueue, type Durability} from '../../source/index.ts';
import {afterSteps, assertComplete, pick, steps} from '../helpers/outcomes.ts';
import {drain, nextTurn, openQueue, range} from '../helpers/queues.ts';
import {makeSink, sinkKinds, type TestSink, writables} from '../helpers/sinks.ts';
import {closed, countWrites, leftovers} from '../helpers/streams.ts';
import {memoryDirectory} from '../helpers/temporary-directory.ts';

/** The first places of a run that each failure is tried at. */
const places = 60;
const total = 100;
const durabilities: Durability[] = ['spill', 'write'];
const highWaterMarks = [1, 2, 7, 16, 1024];
const libraries = Object.values(writables);

/** Opens a queue that outlives all the views of a test; small enough that records wait on disk too. */
function queueOf(t: ExecutionContext, durability: Durability): Promise<DiskQueue<number>> {
	return openQueue<number>(t, {durability, cacheSize: 32}, memoryDirectory(t));
}

/** Fills a queue, reads it by a view that ends amid, and holds what is left against what was confirmed. */
async function assertRest(t: ExecutionContext, queue: DiskQueue<number>, read: () => Promise<number>): Promise<number> {
	await queue.putMany(range(0, total));
	const confirmed = await read();
	t.is(queue.stats().inFlight, 0);
	return assertComplete(t, await drain(queue), {written: total, accepted: total, confirmed});
}

let combinations = 0;
for (const kind of sinkKinds) {
	for (const isDestroying of [false, true]) {
		combinations++;
		const how = isDestroying ? 'destroys itself' : 'fails a write';
		test(`a ${kind} sink of a view that ${how}, at any record: the queue has all it had not confirmed, in order`, async t => {
			const queues = await Promise.all(durabilities.map(durability => queueOf(t, durability)));
			let redelivered = 0;
			for (const place of range(0, places)) {
				const failure = new Error(`at ${place}`);
				const highWaterMark = pick(highWaterMarks, place);
				const sink = makeSink<number>({
					kind,
					isDestroying,
					Base: pick(libraries, place),
					refuse: records => (records.includes(place) ? failure : undefined),
				});
				const queue = pick(queues, place);
				const inVain = await assertRest(t, queue, async () => {
					const view = createReadStream(queue, {highWaterMark});
					t.is(await t.throwsAsync(pipeline(view, sink.writable)), failure);
					await closed(view);
					t.deepEqual(sink.confirmed, range(0, sink.confirmed.length));
					return sink.confirmed.length;
				});
				t.true(inVain <= highWaterMark + sink.writable.writableHighWaterMark, `${inVain} came back in vain`);
				redelivered = Math.max(redelivered, inVain);
			}

			t.log(`${places} places, at most ${redelivered} confirmed records came back`);
		});
	}
}

type Run = {controller: AbortController; stream: Readable | Writable};

/** How a view can be ended from outside. */
const interruptions: Record<string, (run: Run) => void> = {
	'the signal of the pipeline': ({controller}) => controller.abort(),
	'the signal of the view': ({controller}) => controller.abort(),
	'destroy()': ({stream}) => stream.destroy(),
	'destroy(error)': ({stream}) => stream.destroy(new Error('enough')),
};

/** Runs a pipeline with a view at one end, and interrupts it after so many steps; resolves when the view is closed. */
async function interrupted(
	t: ExecutionContext,
	makeView: (signal: AbortSignal | undefined) => Readable | Writable,
	join: (view: never) => [Readable, Writable],
	{way, unit, place}: {way: string; unit: string; place: number},
): Promise<void> {
	const controller = new AbortController();
	const {signal} = controller;
	const stream = makeView(way === 'the signal of the view' ? signal : undefined);
	const [source, sink] = join(stream as never);
	const run = pipeline(source, sink, {
		...(way === 'the signal of the pipeline' && {signal}),
	}).catch(error => t.true(error instanceof Error));
	afterSteps(place, steps[unit]!, () => interruptions[way]!({controller, stream}));
	await closed(stream);
	for (const other of [source, sink]) {
		other.destroy();
	}

	await Promise.race([run, nextTurn()]);
}

for (const way of Object.keys(interruptions)) {
	for (const unit of Object.keys(steps)) {
		combinations += 2;
		test(`${way}, after any ${unit} of a read view: the queue has all that was not confirmed`, async t => {
			const queues = await Promise.all(durabilities.map(durability => queueOf(t, durability)));
			for (const place of range(0, places)) {
				const queue = pick(queues, place);
				const highWaterMark = pick(highWaterMarks, place);
				await assertRest(t, queue, async () => {
					const sink: TestSink<number> = makeSink<number>({kind: pick(sinkKinds, place), Base: pick(libraries, place)});
					const makeView = (signal: AbortSignal | undefined) => createReadStream(queue, {highWaterMark, signal});
					await interrupted(t, makeView, (view: Readable) => [view, sink.writable], {way, unit, place});
					t.deepEqual(sink.confirmed, range(0, sink.confirmed.length));
					return sink.confirmed.length;
				});
			}
		});

		test(`${way}, after any ${unit} of a write view: the queue has all that was accepted, and no more once it is closed`, async t => {
			const queues = await Promise.all(durabilities.map(durability => queueOf(t, durability)));
			for (const place of range(0, places)) {
				const queue = pick(queues, place);
				const highWaterMark = pick(highWaterMarks, place);
				let writes = {written: 0, accepted: 0};
				const makeView = (signal: AbortSignal | undefined) => {
					const view = createWriteStream(queue, {highWaterMark, signal});
					writes = countWrites(view);
					return view;
				};
				const join = (view: Writable): [Readable, Writable] => [Readable.from(range(0, total)), view];
				await interrupted(t, makeView, join, {way, unit, place});
				t.is(queue.stats().waitingPuts, 0);
				assertComplete(t, await drain(queue), {...writes, confirmed: 0});
			}
		});
	}
}

test('a source of a write view that fails, at any record: the queue has all that was accepted', async t => {
	const queues = await Promise.all(durabilities.map(durability => queueOf(t, durability)));
	for (const place of range(0, places)) {
		const queue = pick(queues, place);
		const failure = new Error(`at ${place}`);
		const source = function* () {
			yield* range(0, place);
			throw failure;
		};
		const view = createWriteStream(queue, {highWaterMark: pick(highWaterMarks, place)});
		const writes = countWrites(view);
		t.is(await t.throwsAsync(pipeline(Readable.from(source()), view)), failure);
		await closed(view);
		t.is(queue.stats().waitingPuts, 0);
		assertComplete(t, await drain(queue), {...writes, confirmed: 0});
	}
});

test('of three views, one after the other fails, at any record: together their sinks confirm everything, in the order of the queue', async t => {
	for (const durability of durabilities) {
		const queue = await queueOf(t, durability);
		for (const place of range(0, places / 2)) {
			await queue.putMany(range(0, total));
			const confirmed: number[] = [];
			for (const limit of [place, place + 20, Number.POSITIVE_INFINITY]) {
				let count = 0;
				const {writable} = makeSink<number>({
					kind: pick(sinkKinds, place),
					highWaterMark: pick([1, 16], place),
					refuse(records) {
						count += records.length;
						if (count > limit) {
							return new Error('refused');
						}

						confirmed.push(...records);
						return undefined;
					},
				});
				const view = createReadStream(queue, {until: 'drained', highWaterMark: pick(highWaterMarks, place)});
				await pipeline(view, writable).catch(error => t.is(error.message, 'refused'));
				await closed(view);
			}

			t.is(queue.size, 0);
			t.is(queue.stats().inFlight, 0);
			// What comes again, after a failure, is directly before what was not confirmed.
			t.deepEqual([...new Set(confirmed)], range(0, total));
		}
	}
});

test('a queue that is closed under its views, after any turn of the event loop: what was not confirmed comes back', async t => {
	for (const place of range(0, places)) {
		const directory = memoryDirectory(t);
		const queue = await DiskQueue.open<number>(directory, {durability: pick(durabilities, place), cacheSize: 32});
		await queue.putMany(range(0, total));
		const sink = makeSink<number>({kind: pick(sinkKinds, place), Base: pick(libraries, place)});
		const view = createReadStream(queue, {highWaterMark: pick(highWaterMarks, place)});
		const run = pipeline(view, sink.writable).then(
			() => undefined,
			error => error.code,
		);
		await new Promise<void>(resolve => afterSteps(place, setImmediate, resolve));
		await queue.close();
		const rest = await leftovers<number>(directory);
		t.is(await run, rest.length === 0 ? undefined : 'QUEUE_CLOSED');
		assertComplete(t, rest, {written: total, accepted: total, confirmed: sink.confirmed.length});
	}
});

test(`every kind of failure, and every way by every unit of time, was tried at ${places} places`, t => {
	t.is(combinations, 3 * 2 + 4 * 3 * 2);
	t.is(range(0, places).length, 60);
});
