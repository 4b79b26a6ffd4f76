import {createReadStream, createWriteStream} from 'node:fs';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {PackrStream, UnpackrStream} from 'msgpackr';
import {dataOf} from '../helpers/data.ts';
import {makeSink} from '../helpers/sinks.ts';
import {queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

test('records go from a queue to a file by the streams of msgpackr, and back', async t => {
	const movies = dataOf('movies.json').slice(0, 1000);
	const file = join(temporaryDirectory(t), 'movies');
	await pipeline(
		Readable.from(movies),
		queueStream(t, temporaryDirectory(t), {highWaterMark: 64}),
		new PackrStream(),
		createWriteStream(file),
	);
	const sink = makeSink({kind: 'async'});
	await pipeline(
		createReadStream(file),
		new UnpackrStream(),
		queueStream(t, temporaryDirectory(t), {highWaterMark: 64}),
		sink.writable,
	);
	t.deepEqual(sink.confirmed, movies);
});
