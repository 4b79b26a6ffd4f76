import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import through2, {objectTransform} from 'through2';
import {dataOf} from '../helpers/data.ts';
import {openQueue} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {queueStream} from '../helpers/streams.ts';

type Flight = {delay: number; distance: number};

test('records go through transformations of through2 before and behind a queue, and are done', async t => {
	const flights = dataOf<Flight>('flights-2k.json');
	const queue = await openQueue<Flight>(t, {cacheSize: 16});
	const isLate = objectTransform(async (flight: Flight) => (flight.delay > 0 ? flight : undefined));
	const inKilometres = through2({objectMode: true}, (flight: Flight, _encoding, callback) => {
		callback(null, {...flight, distance: flight.distance * 1.609});
	});
	const sink = makeSink<Flight>({kind: 'async'});
	await pipeline(
		Readable.from(flights),
		isLate,
		queueStream(t, queue, {highWaterMark: 64}),
		inKilometres,
		sink.writable,
	);
	const late = flights.filter(({delay}) => delay > 0);
	t.true(late.length > 500);
	t.deepEqual(
		sink.confirmed,
		late.map(flight => ({...flight, distance: flight.distance * 1.609})),
	);
	t.like(queue.stats(), {size: 0, put: late.length, done: late.length, inFlight: 0});
});
