import {PassThrough} from 'node:stream';
import {finished, pipeline} from 'node:stream/promises';
import test from 'ava';
import {pEvent} from 'p-event';
import pino from 'pino';
import {diskQueue} from '../../source/index.ts';
import {range} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const options = {base: null, timestamp: false};
const expected = range(0, 500).map(number => ({level: 30, number, msg: `line ${number}`}));

function parse(lines: string[]): unknown[] {
	return lines.map(line => JSON.parse(line));
}

test('pino writes its lines to a queue, and the next run ships them', async t => {
	const directory = temporaryDirectory(t);
	const spool = queueStream<string>(t, directory, {durability: 'write', highWaterMark: 64});
	const log = pino(options, spool);
	for (const number of range(0, 500)) {
		log.info({number}, `line ${number}`);
	}

	spool.end();
	await finished(spool, {readable: false});
	spool.destroy();
	await pEvent(spool, 'close');

	const shipped = makeSink<string>({kind: 'writev'});
	const next = queueStream<string>(t, directory);
	next.end();
	await pipeline(next, shipped.writable);
	t.deepEqual(parse(shipped.confirmed), expected);
});

test('pino writes its lines to a stream of strings in front of a queue', async t => {
	const text = new PassThrough({objectMode: true, encoding: 'utf8'});
	const shipped = makeSink<string>({kind: 'async'});
	const shipping = pipeline(text, diskQueue<string>(temporaryDirectory(t), {highWaterMark: 64}), shipped.writable);
	const log = pino(options, text);
	for (const number of range(0, 500)) {
		log.info({number}, `line ${number}`);
	}

	text.end();
	await shipping;
	t.deepEqual(parse(shipped.confirmed), expected);
});
