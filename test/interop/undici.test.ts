import {once} from 'node:events';
import {createServer, type RequestListener} from 'node:http';
import type {AddressInfo} from 'node:net';
import {PassThrough} from 'node:stream';
import {buffer} from 'node:stream/consumers';
import {pipeline} from 'node:stream/promises';
import test, {type ExecutionContext} from 'ava';
import split2 from 'split2';
import {Agent, request} from 'undici';
import {dataOf, linesOf} from '../helpers/data.ts';
import {openQueue} from '../helpers/queues.ts';
import {makeSink} from '../helpers/sinks.ts';
import {queueStream} from '../helpers/streams.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const movies = dataOf('movies.json').slice(0, 1000);

async function serve(t: ExecutionContext, listener: RequestListener): Promise<string> {
	const server = createServer(listener).listen(0, '127.0.0.1');
	t.teardown(() => server.close());
	await once(server, 'listening');
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

function agentOf(t: ExecutionContext): Agent {
	const agent = new Agent();
	t.teardown(() => agent.destroy());
	return agent;
}

test('the body of an answer goes through a queue', async t => {
	const url = await serve(t, (_request, response) => response.end(linesOf(movies)));
	const {body} = await request(url, {dispatcher: agentOf(t)});
	const sink = makeSink({kind: 'async'});
	await pipeline(body, split2(JSON.parse), queueStream(t, temporaryDirectory(t), {highWaterMark: 256}), sink.writable);
	t.deepEqual(sink.confirmed, movies);
});

test('a queue is the body of a request', async t => {
	const url = await serve(t, async (request, response) => response.end(await buffer(request)));
	const queue = await openQueue(t, {cacheSize: 16});
	await queue.putMany(movies);
	queue.shutdown();
	const body = new PassThrough();
	const [, answer] = await Promise.all([
		pipeline(
			queueStream(t, queue),
			async function* (records: AsyncIterable<unknown>) {
				for await (const record of records) {
					yield linesOf([record]);
				}
			},
			body,
		),
		request(url, {method: 'POST', body, dispatcher: agentOf(t)}),
	]);
	t.deepEqual(await buffer(answer.body), linesOf(movies));
	t.like(queue.stats(), {size: 0, done: movies.length});
});
