import {Duplex, PassThrough, Readable, type Writable} from 'node:stream';
import type {ReadableStream} from 'node:stream/web';
import test from 'ava';
import {pEvent} from 'p-event';
import {type Case, type Lab, nameOf, runCases} from '../helpers/conformance.ts';
import {nextTurn, range} from '../helpers/queues.ts';

/** A stream that so many records are written to, and that is ended if told so. */
function filled(lab: Lab, count: number, {isEnded = true, highWaterMark = 16} = {}): Duplex {
	const stream = lab.stream({highWaterMark});
	lab.writeAll(stream, count);
	if (isEnded) {
		stream.end();
	}

	return stream;
}

/** A sink that confirms one record a turn. */
function slowSink(lab: Lab): Writable {
	return lab.sink({
		highWaterMark: 1,
		write(id, _encoding, callback) {
			lab.take(id);
			setImmediate(callback);
		},
	});
}

/** Numbers that tell a stream's state to its reader. */
function stateOf({readable, readableEnded, readableFlowing, readableAborted, readableDidRead, closed}: Duplex): object {
	return {readable, readableEnded, readableFlowing, readableAborted, readableDidRead, closed};
}

const iterating: Record<string, Case> = {
	'for await takes all, in order': {
		async run(lab) {
			for await (const id of filled(lab, 40)) {
				lab.take(id);
			}

			lab.note(lab.taken);
		},
	},
	'for await left by break destroys it, and keeps the rest': {
		async run(lab) {
			const stream = filled(lab, 40);
			for await (const id of stream) {
				lab.take(id);
				if (id === 11) {
					break;
				}
			}

			await lab.closed(stream);
			lab.note(lab.taken, stream.destroyed, stream.readableAborted, nameOf(stream.errored));
		},
	},
	'for await left by a throw rejects with it, and keeps the rest': {
		async run(lab) {
			const stream = filled(lab, 40);
			const loop = async () => {
				for await (const id of stream) {
					lab.take(id);
					if (id === 11) {
						throw new Error('consumer');
					}
				}
			};
			lab.note(await loop().catch(nameOf));
			await lab.closed(stream);
			lab.note(lab.taken, stream.destroyed);
		},
	},
	'iterator({destroyOnReturn: false}) leaves it to the next loop': {
		async run(lab) {
			const stream = filled(lab, 40, {highWaterMark: 64});
			for (const last of [5, 17, 39]) {
				for await (const id of stream.iterator({destroyOnReturn: false})) {
					lab.take(id);
					if (id === last) {
						break;
					}
				}

				lab.note(stream.destroyed, lab.taken.length);
			}

			lab.note(lab.taken);
		},
	},
	'next() of an iterator, called several times at once, gives each record once': {
		async run(lab) {
			const iterator = filled(lab, 10)[Symbol.asyncIterator]();
			const results = await Promise.all(range(0, 11).map(() => iterator.next()));
			for (const {value, done} of results) {
				done ? lab.note('done') : lab.take(value);
			}

			lab.note(lab.taken);
		},
	},
	'a function at the end of a pipeline that throws rejects it with that error': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 64});
			const run = lab.peers.pipeline(lab.source(30), stream, async (records: AsyncIterable<number>) => {
				for await (const id of records) {
					lab.take(id);
					if (id === 7) {
						throw new Error('consumer');
					}
				}
			});
			lab.note(await run.catch(nameOf));
			await lab.closed(stream);
			lab.note(lab.taken, nameOf(stream.errored));
		},
	},
	'map, filter, flatMap and drop give what they give of any stream': {
		async run(lab) {
			const stream = filled(lab, 60);
			const results = await stream
				.map(
					async (id: number) => {
						await nextTurn();
						lab.take(id);
						return id;
					},
					{concurrency: 4},
				)
				.filter((id: number) => id % 2 === 0)
				.flatMap((id: number) => [id, -id])
				.drop(2)
				.toArray();
			lab.note(results);
		},
	},
	'reduce, some, every, find and forEach give what they give of any stream': {
		async run(lab) {
			for (const operation of [
				(stream: Readable) => stream.reduce((sum: number, id: number) => sum + id, 0),
				(stream: Readable) => stream.some((id: number) => id < 0),
				(stream: Readable) => stream.every((id: number) => id >= 0),
				(stream: Readable) => stream.find((id: number) => id < 0),
				(stream: Readable) => stream.forEach(() => {}),
			]) {
				const stream = filled(lab, 20);
				stream.on('data', id => lab.take(id));
				lab.note(await operation(stream));
				await lab.closed(stream);
			}
		},
	},
	'take() ends early, and keeps the rest': {
		async run(lab) {
			const stream = filled(lab, 40);
			for (const id of await stream.take(13).toArray()) {
				lab.take(id);
			}

			await lab.closed(stream);
			lab.note(lab.taken, stream.destroyed);
		},
	},
};

const reading: Record<string, Case> = {
	...Object.fromEntries(
		[0, 1, 2, 10, 1000, undefined].map(size => [
			`read(${size}) gives one record, or null when none is there`,
			{
				async run(lab: Lab) {
					const stream = filled(lab, 20);
					stream.on('readable', () => {
						for (let id = stream.read(size || undefined); id !== null; id = stream.read(size || undefined)) {
							lab.take(id);
						}

						if (size === 0) {
							lab.t.is(stream.read(0), null);
						}
					});
					await lab.closed(stream);
					lab.note(lab.taken);
				},
			},
		]),
	),
	'pause() and resume() by whoever takes the records': {
		async run(lab) {
			const stream = filled(lab, 40);
			stream.on('data', id => {
				lab.take(id);
				stream.pause();
				setImmediate(() => stream.resume());
			});
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'paused, it gives nothing': {
		async run(lab) {
			const stream = filled(lab, 20);
			let isPaused = false;
			stream.on('data', id => {
				lab.t.false(isPaused);
				lab.take(id);
				if (id === 4) {
					stream.pause();
					isPaused = true;
				}
			});
			await pEvent(stream, 'pause');
			await nextTurn();
			lab.note(lab.taken, stream.isPaused(), stream.readableFlowing);
			isPaused = false;
			stream.resume();
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'the state of the readable side is told at each step': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 3});
			lab.note(stateOf(stream));
			stream.on('data', id => lab.take(id));
			lab.note(stateOf(stream));
			stream.pause();
			lab.note(stateOf(stream), stream.isPaused());
			stream.resume();
			lab.writeAll(stream, 2);
			stream.end();
			await pEvent(stream, 'end');
			lab.note({...stateOf(stream), closed: undefined});
			await lab.closed(stream);
			lab.note(stateOf(stream), lab.taken);
		},
	},
	'what is given back by unshift() comes again, and is not done': {
		async run(lab) {
			const stream = filled(lab, 20, {highWaterMark: 64});
			while (lab.taken.length < 5) {
				const id = stream.read();
				id === null ? await pEvent(stream, 'readable') : lab.take(id);
			}

			stream.unshift(lab.taken.pop());
			lab.note(stream.read());
			stream.unshift(4);
			stream.destroy();
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'highWaterMark 1: it gives all, record by record': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 1});
			stream.on('data', id => {
				lab.take(id);
				lab.t.true(stream.readableLength <= 1);
			});
			for (const _ of range(0, 30)) {
				const drained = pEvent(stream, 'drain');
				stream.write(lab.next()) ? drained.cancel() : await drained;
			}

			stream.end();
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'a read within a read gives the next record': {
		async run(lab) {
			const stream = filled(lab, 30);
			stream.on('readable', () => {
				while (stream.read() !== null) {
					// Whoever listens takes it.
				}
			});
			stream.on('data', id => {
				lab.take(id);
				stream.read();
			});
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'setEncoding(), before anything is there, makes strings of Buffers': {
		async run(lab) {
			const stream = lab.stream();
			stream.setEncoding('utf8');
			const texts: string[] = [];
			stream.on('data', text => texts.push(text));
			const bytes = Buffer.from('zwölf Boxkämpfer 漢字 🚀');
			for (let start = 0; start < bytes.length; start += 3) {
				stream.write(bytes.subarray(start, start + 3));
			}

			stream.end();
			await lab.closed(stream);
			lab.note(texts.join(''), texts.length);
			lab.callbacks.clear();
		},
	},
	'with allowHalfOpen, a queue that is shut down ends what is read, and refuses what is written': {
		isOwn: true,
		when: ({target}) => target === 'open queue',
		async run(lab) {
			const stream = lab.stream();
			lab.writeAll(stream, 3);
			await nextTurn();
			lab.queue!.shutdown();
			stream.on('data', id => lab.take(id));
			await pEvent(stream, 'end');
			lab.t.deepEqual(lab.taken, [0, 1, 2]);
			lab.t.true(stream.writable);
			stream.write(lab.next(), error => lab.note(nameOf(error)));
			await lab.closed(stream);
			lab.t.deepEqual(lab.notes, ['QUEUE_SHUT_DOWN']);
		},
	},
};

const piping: Record<string, Case> = {
	'taken from one destination and given to the next, over and over': {
		async run(lab) {
			const stream = filled(lab, 60, {highWaterMark: 4});
			for (const end of [1, 10, 25, 40]) {
				const sink = slowSink(lab);
				stream.pipe(sink);
				while (lab.taken.length < end) {
					await nextTurn();
				}

				stream.unpipe(sink);
				while (sink.writableLength > 0) {
					await nextTurn();
				}
			}

			stream.pipe(slowSink(lab));
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'unpipe() of all, and pipe() again': {
		async run(lab) {
			const stream = filled(lab, 50, {highWaterMark: 4});
			const sink = lab.sink({highWaterMark: 1});
			stream.pipe(sink);
			stream.unpipe();
			lab.note(stream.readableFlowing);
			stream.pipe(sink);
			await pEvent(sink, 'finish');
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'two destinations get everything': {
		async run(lab) {
			const stream = filled(lab, 50);
			const others: number[] = [];
			const second = new lab.peers.Writable({
				objectMode: true,
				highWaterMark: 2,
				write(id, _encoding, callback) {
					others.push(id);
					setImmediate(callback);
				},
			});
			stream.pipe(lab.sink());
			stream.pipe(second);
			await pEvent(second, 'finish');
			await lab.closed(stream);
			lab.note(lab.taken, others);
		},
	},
	'through transforms of the library, composed or not': {
		async run(lab) {
			const {Transform, pipeline} = lab.peers;
			const twice = () =>
				new Transform({objectMode: true, transform: (id, _encoding, callback) => callback(null, id * 2)});
			const half = () =>
				new Transform({objectMode: true, transform: (id, _encoding, callback) => callback(null, id / 2)});
			await pipeline(lab.source(50), twice(), half(), lab.stream(), twice(), half(), lab.sink());
			lab.note(lab.taken);
		},
	},
	'compose() of the library puts it in a chain': {
		async run(lab) {
			const {Transform, compose, pipeline} = lab.peers;
			const same = () => new Transform({objectMode: true, transform: (id, _encoding, callback) => callback(null, id)});
			await pipeline(lab.source(50), compose(same(), lab.stream(), same()), lab.sink());
			lab.note(lab.taken);
		},
	},
	'its own compose() puts a transform behind it': {
		async run(lab) {
			const stream = filled(lab, 50);
			const composed = (stream as unknown as {compose(stream: Duplex): Duplex}).compose(
				new PassThrough({objectMode: true}),
			);
			for await (const id of composed) {
				lab.take(id);
			}

			lab.note(lab.taken);
		},
	},
	'wrapped by a Readable': {
		// A PassThrough closes before all is read, and the wrapping fails.
		isOwn: true,
		async run(lab) {
			for await (const id of new lab.peers.Readable({objectMode: true}).wrap(filled(lab, 40))) {
				lab.take(id);
			}

			lab.t.deepEqual(lab.taken, range(0, 40));
		},
	},
	'given to Readable.from': {
		async run(lab) {
			for await (const id of lab.peers.Readable.from(filled(lab, 40))) {
				lab.take(id);
			}

			lab.note(lab.taken);
		},
	},
	'as a pair of web streams': {
		async run(lab) {
			const {readable, writable} = Duplex.toWeb(lab.stream()) as {
				readable: ReadableStream;
				writable: WritableStream;
			};
			const writer = writable.getWriter();
			const writing = (async () => {
				for (const _ of range(0, 30)) {
					await writer.write(lab.next());
				}

				await writer.close();
			})();
			for await (const id of readable) {
				lab.take(id);
			}

			await writing;
			lab.note(lab.taken);
		},
	},
	'a web reader that reads nothing ahead, and cancels, keeps the rest': {
		// A PassThrough goes on to give the web stream records, which throws in nobody's turn.
		isOwn: true,
		async run(lab) {
			const stream = filled(lab, 30);
			const strategy = new CountQueuingStrategy({highWaterMark: 0});
			const reader = (Readable.toWeb(stream, {strategy}) as ReadableStream<number>).getReader();
			for (const _ of range(0, 4)) {
				lab.take((await reader.read()).value);
			}

			await reader.cancel();
			await lab.closed(stream);
			lab.t.deepEqual(lab.taken, range(0, 4));
		},
	},
};

test.serial('iterating over a stream takes what it takes of any other, and no more', t =>
	runCases(t, 'iterating over a stream', iterating),
);
test.serial('reading from a stream gives what it gives of any other', t =>
	runCases(t, 'reading from a stream', reading),
);
test.serial('a stream goes into pipes, chains and web streams as any other does', t =>
	runCases(t, 'piping a stream', piping),
);
