import {Readable, type Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import test from 'ava';
import busboy from 'busboy';
import split2 from 'split2';
import {dataOf, linesOf} from '../helpers/data.ts';
import {drain, openQueue} from '../helpers/queues.ts';
import {queueStream} from '../helpers/streams.ts';
import {formOf} from '../helpers/uploads.ts';

test('files of a form that busboy reads go into one queue, each in its order', async t => {
	const files = ['cars.json', 'movies.json'].map(name =>
		dataOf(name)
			.slice(0, 400)
			.map(record => ({name, ...record})),
	);
	const {headers, content} = formOf(files.map((records, index) => ({name: `${index}`, content: linesOf(records)})));
	const queue = await openQueue<{name: string}>(t, {cacheSize: 16});
	const form = busboy({headers});
	const taken: Array<Promise<void>> = [];
	form.on('file', (_field, file) => {
		// Each file has a stream of its own in front of the queue, which stays open.
		taken.push(pipeline(file, split2(JSON.parse), queueStream(t, queue, {highWaterMark: 64})));
	});
	await pipeline(Readable.from([content]), form as Writable);
	await Promise.all(taken);
	t.is(taken.length, 2);
	const records = await drain(queue);
	t.is(records.length, files.flat().length);
	for (const file of files) {
		t.deepEqual(
			records.filter(({name}) => name === file[0]!.name),
			file,
		);
	}
});
