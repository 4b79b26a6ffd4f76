import {createReadStream} from 'node:fs';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {parser} from 'stream-json';
import {streamArray} from 'stream-json/streamers/stream-array.js';
import {dataFile, dataOf} from '../helpers/data.ts';
import {makeSink} from '../helpers/sinks.ts';
import {queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

test('values of a JSON file that stream-json reads go through a queue', async t => {
	const sink = makeSink<{key: number; value: unknown}>({kind: 'async'});
	const queue = queueStream(t, temporaryDirectory(t), {highWaterMark: 100});
	await pipeline(
		createReadStream(dataFile('penguins.json')),
		parser.asStream(),
		streamArray.asStream(),
		queue,
		sink.writable,
	);
	const penguins = dataOf('penguins.json');
	t.is(penguins.length, 344);
	t.deepEqual(
		sink.confirmed.map(({value}) => value),
		penguins,
	);
});
