import test from 'ava';
import {pEvent} from 'p-event';
import {type Case, nameOf, runCases} from '../helpers/conformance.ts';
import {nextTurn, range} from '../helpers/queues.ts';

/** What is written to a stream, and how its writable side ends. */
const cases: Record<string, Case> = {
	'writes that were corked go when it is uncorked': {
		async run(lab) {
			const stream = lab.stream();
			stream.cork();
			lab.writeAll(stream, 5);
			await nextTurn();
			lab.note(stream.writableLength, stream.writableCorked);
			stream.uncork();
			stream.end();
			await lab.takeAll(stream);
			lab.note(lab.taken);
		},
	},
	'corked twice, it goes when uncorked twice': {
		async run(lab) {
			const stream = lab.stream();
			stream.cork();
			stream.cork();
			lab.writeAll(stream, 5);
			stream.uncork();
			await nextTurn();
			lab.note(stream.writableLength, stream.writableCorked);
			stream.uncork();
			stream.uncork();
			stream.end();
			await lab.takeAll(stream);
			lab.note(lab.taken, stream.writableCorked);
		},
	},
	'end() uncorks': {
		async run(lab) {
			const stream = lab.stream();
			stream.cork();
			lab.writeAll(stream, 30);
			stream.end();
			await lab.takeAll(stream);
			lab.note(lab.taken, stream.writableCorked);
		},
	},
	'end() before it is open, after writes: callbacks, then finish, then end, then close': {
		async run(lab) {
			const stream = lab.stream();
			lab.noteEvents(stream, 'finish', 'end', 'close');
			for (const _ of range(0, 3)) {
				stream.write(lab.next(), () => lab.note('written'));
			}

			stream.end(() => lab.note('called back'));
			await lab.takeAll(stream);
		},
	},
	'end() with a record and nothing before it': {
		async run(lab) {
			const stream = lab.stream();
			const id = lab.next();
			lab.callbacks.set(id, []);
			stream.end(id, () => lab.callbacks.get(id)!.push('ok'));
			await lab.takeAll(stream);
			lab.note(lab.taken);
		},
	},
	'end() of nothing': {
		async run(lab) {
			const stream = lab.stream();
			stream.end();
			lab.noteEvents(stream, 'finish', 'end', 'close');
			await lab.takeAll(stream);
		},
	},
	'a write after the end is an error of its callback and of the stream, and the writes before it stand': {
		async run(lab) {
			const stream = lab.stream();
			lab.writeAll(stream, 3);
			stream.end();
			let outcome: string | undefined;
			stream.write(lab.next(), error => {
				outcome = nameOf(error);
			});
			await lab.closed(stream);
			await nextTurn();
			lab.note(outcome, nameOf(stream.errored), stream.destroyed);
		},
		isRepeating: true,
	},
	'end() twice, and once more when it is finished': {
		async run(lab) {
			const stream = lab.stream();
			stream.end(() => lab.note('first'));
			stream.end(((error: Error) => lab.note('second', nameOf(error))) as () => void);
			await pEvent(stream, 'finish');
			stream.end(((error: Error) => lab.note('third', nameOf(error))) as () => void);
			await lab.takeAll(stream);
		},
	},
	'write(null) throws, and the stream goes on': {
		async run(lab) {
			const stream = lab.stream();
			try {
				stream.write(null);
			} catch (error) {
				lab.note(nameOf(error));
			}

			lab.writeAll(stream, 2);
			stream.end();
			await lab.takeAll(stream);
			lab.note(lab.taken);
		},
	},
	'a write to a stream that was destroyed is an error of its callback only': {
		async run(lab) {
			const stream = lab.stream();
			stream.destroy();
			stream.write(lab.next(), error => lab.note(nameOf(error)));
			await lab.closed(stream);
			stream.write(lab.next(), error => lab.note(nameOf(error)));
			await nextTurn();
		},
	},
	'highWaterMark 1: a write that asks for patience is followed by drain': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 1});
			stream.on('data', id => lab.take(id));
			for (const _ of range(0, 20)) {
				const drained = pEvent(stream, 'drain');
				const isPatient = !stream.write(lab.next());
				lab.t.is(isPatient, stream.writableNeedDrain);
				isPatient ? await drained : drained.cancel();
			}

			stream.end();
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'the state of the writable side is told at each step': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 3});
			const state = () => {
				const {writable, writableEnded, writableFinished, writableLength, writableNeedDrain} = stream;
				lab.note({writable, writableEnded, writableFinished, writableLength, writableNeedDrain});
			};
			const {writableObjectMode, readableObjectMode, writableHighWaterMark, readableHighWaterMark} = stream;
			lab.note({writableObjectMode, readableObjectMode, writableHighWaterMark, readableHighWaterMark});
			state();
			stream.on('data', id => lab.take(id));
			stream.end();
			state();
			await pEvent(stream, 'finish');
			state();
			await lab.closed(stream);
			state();
			lab.note(stream.destroyed, stream.closed, stream.errored);
		},
	},
	'encodings are taken for nothing': {
		async run(lab) {
			const stream = lab.stream();
			stream.setDefaultEncoding('latin1');
			stream.write(lab.next(), 'utf8' as never);
			stream.write(lab.next(), 'hex' as never, () => lab.note('written'));
			stream.end();
			await lab.takeAll(stream);
			lab.note(lab.taken);
		},
	},
	'sources in turn, piped with end: false': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 4});
			stream.on('data', id => lab.take(id));
			for (const _ of range(0, 5)) {
				const source = lab.source(7);
				source.pipe(stream, {end: false});
				await pEvent(source, 'end');
			}

			lab.note(stream.writableEnded);
			stream.end();
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'a pipeline that only fills it resolves when it is finished': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 64});
			await lab.peers.pipeline(lab.source(40), stream);
			lab.note(stream.writableFinished, stream.readableEnded, stream.destroyed);
		},
		isRepeating: true,
	},
	'a consumer that writes what it takes to the stream again': {
		async run(lab) {
			const stream = lab.stream({highWaterMark: 2});
			stream.write(lab.next());
			stream.on('data', (id: number) => {
				lab.take(id);
				id < 50 ? stream.write(lab.next()) : stream.end();
			});
			await lab.closed(stream);
			lab.note(lab.taken);
		},
	},
	'a source that fails destroys it with that error': {
		async run(lab) {
			const stream = lab.stream();
			const run = lab.peers.pipeline(lab.source(10, new Error('source')), stream, lab.sink());
			lab.note(await run.catch(nameOf));
			await lab.closed(stream);
			lab.note(nameOf(stream.errored));
		},
		isRepeating: true,
		isOwn: true,
	},
};

test.serial('what is written to a stream, and how it is ended, does what it does to any other', t =>
	runCases(t, 'writing to a stream', cases),
);
