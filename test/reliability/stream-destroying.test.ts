import {addAbortSignal, type Duplex, type Readable} from 'node:stream';
import test from 'ava';
import {type Case, type Lab, nameOf, runCases} from '../helpers/conformance.ts';
import {nextTurn, range} from '../helpers/queues.ts';

/** Every moment that a stream tells of, or is told of by those beside it. */
const hooks = ['drain', 'finish', 'readable', 'data', 'end', 'pipe', 'unpipe', 'pause', 'resume', 'error', 'close'];

/** Ways to end a stream. */
const ends: Record<string, (stream: Duplex) => void> = {
	'destroy()': stream => stream.destroy(),
	'destroy(error)': stream => stream.destroy(new Error('enough')),
	'an aborted signal': stream => addAbortSignal(AbortSignal.abort(), stream),
};

/** Ways to take records from a stream while it lasts. */
const consumers: Record<string, (lab: Lab, stream: Duplex) => void> = {
	'a pipe': (lab, stream) => void stream.pipe(lab.sink()),
	'a slow pipe': (lab, stream) =>
		void stream.pipe(
			lab.sink({
				write(id, _encoding, callback) {
					setImmediate(() => {
						lab.take(id);
						callback();
					});
				},
			}),
		),
	'a data listener': (lab, stream) => void stream.on('data', id => lab.take(id)),
};

/** What makes an event happen that would not by itself. */
const provoke: Record<string, (stream: Duplex, source: Readable) => void> = {
	unpipe: (stream, source) => source.unpipe(stream),
	error: stream => stream.destroy(new Error('first')),
	pause: stream => stream.pause(),
};
const hooksMet = new Set<string>();

const inHooks: Record<string, Case> = {};
for (const hook of hooks) {
	for (const [how, end] of Object.entries(ends)) {
		for (const [consumer, consume] of Object.entries(consumers)) {
			inHooks[`${how} in ${hook}, with ${consumer}`] = {
				isOwn: true,
				isRepeating: true,
				async run(lab) {
					const stream = lab.stream({highWaterMark: 4});
					stream.once(hook, () => {
						hooksMet.add(hook);
						end(stream);
					});
					consume(lab, stream);
					const source = lab.source(20);
					source.pipe(stream);
					setImmediate(() => provoke[hook]?.(stream, source));
					await lab.closed(stream);
				},
			};
		}
	}
}

const inCallbacks: Record<string, Case> = {};
for (const [how, end] of Object.entries(ends)) {
	for (const place of [0, 1, 7, 19]) {
		inCallbacks[`${how} in the callback of write ${place}`] = {
			isOwn: true,
			isRepeating: true,
			async run(lab) {
				const stream = lab.stream({highWaterMark: 4});
				stream.on('data', id => lab.take(id));
				for (const index of range(0, 20)) {
					stream.write(lab.next(), () => index === place && end(stream));
				}

				stream.end();
				await lab.closed(stream);
			},
		};
	}

	inCallbacks[`${how} in the callback of end()`] = {
		isOwn: true,
		isRepeating: true,
		async run(lab) {
			const stream = lab.stream();
			stream.on('data', id => lab.take(id));
			lab.writeAll(stream, 10);
			stream.end(() => end(stream));
			await lab.closed(stream);
		},
	};
	inCallbacks[`${how} before it is open, with writes that wait`] = {
		isOwn: true,
		async run(lab) {
			const stream = lab.stream();
			lab.writeAll(stream, 10);
			end(stream);
			await lab.closed(stream);
			lab.t.deepEqual(lab.taken, []);
		},
	};
	inCallbacks[`${how} corked`] = {
		isOwn: true,
		async run(lab) {
			const stream = lab.stream();
			await nextTurn();
			stream.cork();
			lab.writeAll(stream, 10);
			end(stream);
			await lab.closed(stream);
			lab.t.true([...lab.callbacks.values()].every(([outcome]) => outcome !== 'ok'));
		},
	};
}

const told: Record<string, Case> = {
	...Object.fromEntries(
		Object.entries(ends).map(([how, end]): [string, Case] => [
			`${how}: its state, its events, and what finished() says of each side`,
			{
				async run(lab) {
					const stream = lab.stream();
					const outcomes = [{}, {readable: false}, {writable: false}].map(options =>
						lab.peers.finished(stream, options).then(() => 'ok', nameOf),
					);
					await nextTurn();
					end(stream);
					await lab.closed(stream);
					const {destroyed, closed, errored, readable, writable, readableAborted, writableAborted} =
						stream as Duplex & {
							writableAborted?: boolean;
						};
					lab.note({destroyed, closed, errored: nameOf(errored), readable, writable, readableAborted, writableAborted});
					lab.note(await Promise.all(outcomes));
					lab.note(await lab.peers.finished(stream).then(() => 'ok', nameOf));
				},
			},
		]),
	),
	'finished() of each side, and of both, after a regular end': {
		async run(lab) {
			const stream = lab.stream();
			const note = (what: string) => () => lab.note(what);
			const writable = lab.peers.finished(stream, {readable: false}).then(note('writable'));
			const both = lab.peers.finished(stream).then(note('both'));
			lab.writeAll(stream, 5);
			stream.end();
			await writable;
			await nextTurn();
			lab.note(stream.readableEnded);
			stream.on('data', id => lab.take(id));
			await both;
			await lab.peers.finished(stream, {writable: false}).then(note('readable'));
			lab.note(lab.taken, stream.destroyed);
		},
	},
	'destroyed twice, it has the first error': {
		async run(lab) {
			const stream = lab.stream();
			stream.destroy(new Error('first'));
			stream.destroy(new Error('second'));
			await lab.closed(stream);
			stream.destroy(new Error('third'));
			await nextTurn();
			lab.note(nameOf(stream.errored));
		},
	},
	'it destroys itself when both sides have ended': {
		async run(lab) {
			const stream = lab.stream();
			lab.writeAll(stream, 3);
			stream.on('data', id => lab.take(id));
			stream.end();
			await lab.closed(stream);
			lab.note(stream.destroyed, nameOf(stream.errored), lab.taken);
		},
	},
	'a signal of the stream, aborted at once or later, is an AbortError': {
		async run(lab) {
			const controller = new AbortController();
			const streams = [lab.stream({signal: AbortSignal.abort()}), lab.stream({signal: controller.signal})];
			await nextTurn();
			controller.abort();
			for (const stream of streams) {
				await lab.closed(stream);
				lab.note(nameOf(stream.errored));
			}
		},
		when: ({target}) => target === 'open queue',
	},
	'addAbortSignal() of the library does as well': {
		async run(lab) {
			const controller = new AbortController();
			const stream = lab.stream();
			lab.peers.addAbortSignal(controller.signal, stream);
			lab.writeAll(stream, 5);
			await nextTurn();
			controller.abort(new Error('reason'));
			await lab.closed(stream);
			lab.note(nameOf(stream.errored), nameOf(stream.errored?.cause));
		},
	},
	'a pipeline whose stream is destroyed ends prematurely': {
		async run(lab) {
			const stream = lab.stream();
			const source = new lab.peers.PassThrough({objectMode: true});
			const run = lab.peers.pipeline(source, stream, lab.sink()).catch(nameOf);
			await nextTurn();
			stream.destroy();
			lab.note(await run);
			await lab.closed(stream);
		},
	},
	'a pipeline whose source or sink is destroyed ends prematurely, and destroys it': {
		async run(lab) {
			for (const side of ['source', 'sink'] as const) {
				const stream = lab.stream();
				const ends = {source: new lab.peers.PassThrough({objectMode: true}), sink: lab.sink()};
				const run = lab.peers.pipeline(ends.source, stream, ends.sink).catch(nameOf);
				await nextTurn();
				ends[side].destroy();
				lab.note(await run);
				await lab.closed(stream);
				lab.note(stream.destroyed);
			}
		},
	},
	'a sink that fails destroys it with that error': {
		isRepeating: true,
		async run(lab) {
			const stream = lab.stream();
			const sink = lab.sink({refuse: id => (id === 3 ? new Error('sink') : undefined)});
			lab.note(await lab.peers.pipeline(lab.source(30), stream, sink).catch(nameOf));
			await lab.closed(stream);
			lab.note(lab.taken, nameOf(stream.errored));
		},
	},
	'disposed of, it is destroyed, and nobody hears of an error': {
		isOwn: true,
		async run(lab) {
			const stream = lab.stream();
			lab.writeAll(stream, 5);
			await nextTurn();
			const dispose = (stream as unknown as AsyncDisposable)[Symbol.asyncDispose]();
			lab.note(await dispose.then(() => 'ok', nameOf));
			await lab.closed(stream);
		},
	},
	'destroyed while it waits for a record, it waits no more': {
		async run(lab) {
			const stream = lab.stream();
			stream.on('data', id => lab.take(id));
			await nextTurn();
			stream.destroy();
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
};

test.serial('destroyed in any event of its own, a stream loses nothing accepted', async t => {
	await runCases(t, 'destroying a stream in its events', inHooks);
	t.deepEqual([...hooksMet].sort(), hooks.toSorted());
});
test.serial(
	'destroyed in any callback of its own, a stream loses nothing accepted, and calls back each write once',
	t => runCases(t, 'destroying a stream in its callbacks', inCallbacks),
);
test.serial('a stream that is destroyed, aborted or left tells of it as any other does', t =>
	runCases(t, 'destroying a stream, and being told', told),
);
