import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import split2 from 'split2';
import {dataOf, linesOf} from '../helpers/data.ts';
import {range} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {leftovers, queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

type Flight = {id: number};

const flights: Flight[] = dataOf('flights-2k.json').map((flight, id) => ({id, ...flight}));

/** A text in pieces that end anywhere. */
function* piecesOf(text: Buffer): Generator<Buffer> {
	for (let start = 0; start < text.byteLength; start += 999) {
		yield text.subarray(start, start + 999);
	}
}

test('lines that split2 parses go through a queue', async t => {
	const sink = makeSink({kind: 'async'});
	const queue = queueStream(t, temporaryDirectory(t), {highWaterMark: 64});
	await pipeline(Readable.from(piecesOf(linesOf(flights))), split2(JSON.parse), queue, sink.writable);
	t.deepEqual(sink.confirmed, flights);
});

test('a line that split2 cannot parse fails the pipeline, and the records before it are confirmed or in the queue', async t => {
	const directory = temporaryDirectory(t);
	const text = Buffer.concat([linesOf(flights.slice(0, 500)), Buffer.from('{"delay"}\n')]);
	const sink = makeSink<Flight>({kind: 'async'});
	const queue = queueStream(t, directory, {highWaterMark: 64});
	const source = Readable.from(piecesOf(text));
	await t.throwsAsync(pipeline(source, split2(JSON.parse), queue, sink.writable), {instanceOf: SyntaxError});
	const left = await leftovers<Flight>(directory);
	const ids = [...sink.confirmed, ...left].map(({id}) => id);
	t.true(sink.confirmed.length > 0 && left.length > 0, `${sink.confirmed.length} confirmed, ${left.length} left`);
	// What the sink had confirmed last may be there a second time.
	t.deepEqual([...new Set(ids)], range(0, ids.at(-1)! + 1));
});
