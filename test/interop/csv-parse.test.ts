import {createReadStream, readFileSync} from 'node:fs';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import {parse} from 'csv-parse';
import {parse as parseSync} from 'csv-parse/sync';
import {dataFile} from '../helpers/data.ts';
import {makeSink} from '../helpers/sinks.ts';
import {queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

test('rows of a CSV file that csv-parse reads go through a queue', async t => {
	const file = dataFile('airports.csv');
	const sink = makeSink({kind: 'writev'});
	const queue = queueStream(t, temporaryDirectory(t), {highWaterMark: 100});
	await pipeline(createReadStream(file), parse({columns: true, cast: true}), queue, sink.writable);
	const rows = parseSync(readFileSync(file), {columns: true, cast: true});
	t.is(rows.length, 3376);
	t.deepEqual(sink.confirmed, rows);
});
