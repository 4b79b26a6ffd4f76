// Posts flights to an HTTP server, in gzipped batches of NDJSON, through a queue: whoever makes them is not held up by a
// server that is slow, busy or away, and every flight gets there, whichever side is killed meanwhile.
//
//     node upload.js --url http://127.0.0.1:8080/ --concurrency 4      (or UPLOAD_URL=… UPLOAD_CONCURRENCY=…)
//
// Stop it with Ctrl-C, SIGTERM or kill -9 whenever you like and start it again: it goes on where it was.
//
// An answer may be lost after the server has stored a batch; then those flights are posted again. What tells the server
// so must not be a number of the batch, nor its first record: batches are formed anew after a failure or a restart, and
// a server that took two batches for one would throw away what only the second one holds. So
//
// - each line has an `id` of queue and sequence, the same whenever it comes: make it unique where the lines are stored;
// - `Idempotency-Key` names exactly the lines of the request, as ranges of sequences. For a server that compares keys
//   of requests, one key is always the same lines; a flight that comes in another batch is seen by its `id` only;
// - the sequences are forced to the device before the server sees them: a power cut gives none to another flight.
import {createReadStream} from 'node:fs';
import {join} from 'node:path';
import {pipeline} from 'node:stream/promises';
import {setTimeout as pause} from 'node:timers/promises';
import {parseArgs, promisify} from 'node:util';
import {gzip} from 'node:zlib';
import {JSONParser} from '@streamparser/json-node';
import {consume, type Delivery, DiskQueue, diskQueue, type Handling} from 'disq';
import {Agent, request} from 'undici';
import {checkNumbers} from './helpers/numbers.ts';
import {count, showProgress} from './helpers/progress.ts';

type Flight = {delay: number; distance: number; time: number};
type Refused = {flight: Flight; id: string; reason: string};

const {values} = parseArgs({
	options: {
		url: option('url', 'http://127.0.0.1:8080/'),
		/** Where the queue is kept, and what the server would not take. */
		directory: option('directory', 'flights-upload'),
		/** Flights in a request, and requests at once. */
		batch: option('batch', '500'),
		concurrency: option('concurrency', '2'),
		/** How long the server may take for an answer, in milliseconds. */
		timeout: option('timeout', '30000'),
		/** The first and the longest wait after a failure, in milliseconds, where the server does not say how long. */
		'min-delay': option('min-delay', '1000'),
		'max-delay': option('max-delay', '60000'),
		/** How long requests under way may still take when it is stopped, in milliseconds. */
		grace: option('grace', '5000'),
		/** How often progress is shown where there is no terminal, in milliseconds. */
		interval: option('interval', '1000'),
	},
});
const times = {timeout: 0, 'min-delay': 0, 'max-delay': 0, grace: 0, interval: 1};
checkNumbers(values, {batch: 1, concurrency: 1, ...times});
const data = new URL('../data/flights-20k.json', import.meta.resolve('vega-datasets'));

/** An option that may also be set in the environment: `--min-delay` is `UPLOAD_MIN_DELAY`. */
function option(name: string, otherwise: string): {type: 'string'; default: string} {
	const variable = `UPLOAD_${name.toUpperCase().replaceAll('-', '_')}`;
	return {type: 'string', default: process.env[variable] ?? otherwise};
}

/** An answer that says no. */
class Refusal extends Error {
	readonly status: number;
	/** How long the server wants to be left alone, in milliseconds, if it says so. */
	readonly retryAfter: number | undefined;

	constructor(status: number, retryAfter: string | undefined, answer: string) {
		super(`the server answered ${status} ${answer.slice(0, 200)}`.trim());
		this.status = status;
		this.retryAfter = parseRetryAfter(retryAfter);
	}

	/** Some of the lines are wrong, or there are too many: they would be refused again. */
	get isOfLines(): boolean {
		return [400, 413, 422].includes(this.status);
	}

	/** The server failed at this request; it may do well at another one. */
	get isOfRequest(): boolean {
		return this.status === 500;
	}
}

/** Seconds, or a date. */
function parseRetryAfter(value: string | undefined): number | undefined {
	const delay = /^\d+$/.test(value ?? '') ? Number(value) * 1000 : Date.parse(value ?? '') - Date.now();
	return Number.isNaN(delay) ? undefined : Math.max(0, delay);
}

/** How long to wait after so many failures: as long as the server says, or twice as long each time. */
function delayAfter(error: unknown, failures: number): number {
	const said = error instanceof Refusal ? error.retryAfter : undefined;
	const longest = Number(values['max-delay']);
	return Math.min(longest, said ?? Number(values['min-delay']) * 2 ** Math.min(failures - 1, 30));
}

/** The producer; put your own in its place. What was read in earlier runs is passed over. */
async function read(): Promise<void> {
	const skipped = queue.stats().nextSequence;
	const input = diskQueue<Flight>(queue);
	try {
		await pipeline(
			createReadStream(data),
			new JSONParser({paths: ['$.*'], keepStack: false}),
			async function* (parsed: AsyncIterable<{value: unknown}>) {
				let number = 0;
				for await (const {value} of parsed) {
					if (number++ >= skipped) {
						yield value;
					}
				}
			},
			input,
			{signal: stopping.signal},
		);
		queue.shutdown();
	} catch (error) {
		stop();
		throw error;
	} finally {
		input.destroy();
	}
}

/**
 * Handles a batch. It stays in hand while the server is busy or away: nothing more is taken, and the same lines are sent
 * again under the same key. If the server fails at this very batch, it is given back, and another one has its turn.
 */
async function upload(flights: Flight[], {deliveries}: Handling<Flight>): Promise<void> {
	await queue.sync();
	for (let isDone = false; !isDone; ) {
		await serverIsReady();
		isDone = await post(flights, deliveries).then(
			() => true,
			error => leaveServerAlone(error),
		);
		failures = isDone ? 0 : failures;
	}
}

/** Lets no request begin for a while; throws what is no matter of the server but of one batch, or of a stop. */
function leaveServerAlone(error: unknown): false {
	if (stopping.signal.aborted || (error instanceof Refusal && error.isOfRequest)) {
		progress.note(`${describe(error)}: the batch is given back`);
		throw error;
	}

	const delay = delayAfter(error, ++failures);
	readyAt = Math.max(readyAt, performance.now() + delay);
	progress.note(`${describe(error)}: the server is left alone for ${count(delay)} ms`);
	return false;
}

async function serverIsReady(): Promise<void> {
	for (let wait = readyAt - performance.now(); wait > 0; wait = readyAt - performance.now()) {
		await pause(wait, undefined, {signal: stopping.signal});
	}
}

/** Posts flights. Those that the server finds fault with are found by halves, and kept aside. */
async function post(flights: Flight[], deliveries: ReadonlyArray<Delivery<Flight>>): Promise<void> {
	try {
		await send(flights, deliveries);
		uploaded += flights.length;
	} catch (error) {
		if (!(error instanceof Refusal && error.isOfLines)) {
			throw error;
		}

		const half = Math.ceil(flights.length / 2);
		if (flights.length === 1) {
			await refused.put({flight: flights[0]!, id: idOf(deliveries[0]!), reason: error.message});
		} else {
			await post(flights.slice(0, half), deliveries.slice(0, half));
			await post(flights.slice(half), deliveries.slice(half));
		}
	}
}

async function send(flights: Flight[], deliveries: ReadonlyArray<Delivery<Flight>>): Promise<void> {
	const lines = flights.map((flight, index) => `${JSON.stringify({id: idOf(deliveries[index]!), ...flight})}\n`);
	const response = await request(values.url, {
		method: 'POST',
		headers: {
			'content-type': 'application/x-ndjson',
			'content-encoding': 'gzip',
			'idempotency-key': `${queue.id}:${rangesOf(deliveries)}`,
		},
		body: await promisify(gzip)(lines.join('')),
		signal: cutting.signal,
		dispatcher: agent,
	});
	requests++;
	// Read to its end: an answer that breaks off is none.
	const answer = await response.body.text();
	if (response.statusCode >= 300) {
		throw new Refusal(response.statusCode, response.headers['retry-after']?.toString(), answer);
	}
}

function idOf({sequence}: Delivery<Flight>): string {
	return `${queue.id}-${sequence}`;
}

/** The sequences of a batch, which may have gaps: `0-499,512`. */
function rangesOf(deliveries: ReadonlyArray<Delivery<Flight>>): string {
	const ranges: Array<{first: number; last: number}> = [];
	for (const {sequence} of deliveries) {
		const range = ranges.at(-1);
		if (range && sequence === range.last + 1) {
			range.last = sequence;
		} else {
			ranges.push({first: sequence, last: sequence});
		}
	}

	return ranges.map(({first, last}) => (first === last ? `${first}` : `${first}-${last}`)).join();
}

function describe(error: unknown): string {
	const {message, code} = error as NodeJS.ErrnoException;
	return message || code || 'failed';
}

/** At first what is under way may end; then it is cut off, and comes again in the next run. */
function stop(): void {
	if (stopping.signal.aborted) {
		cutting.abort();
	}

	stopping.abort();
	setTimeout(() => cutting.abort(), Number(values.grace)).unref();
}

let uploaded = 0;
let requests = 0;
/** Failures in a row, and when the server may be asked again. */
let failures = 0;
let readyAt = 0;
const stopping = new AbortController();
const cutting = new AbortController();
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

const concurrency = Number(values.concurrency);
const timeout = Number(values.timeout);
const agent = new Agent({connections: concurrency, headersTimeout: timeout, bodyTimeout: timeout, connect: {timeout}});
const queue = await DiskQueue.open<Flight>(join(values.directory, 'queue'), {durability: 'write'});
const refused = await DiskQueue.open<Refused>(join(values.directory, 'refused'), {durability: 'write'});

const progress = showProgress(() => {
	const {nextSequence, size, inFlight, diskBytes} = queue.stats();
	return `read ${count(nextSequence)} | waiting ${count(size)}, in hand ${count(inFlight)} (${count(diskBytes)} bytes on disk) | uploaded ${count(uploaded)} in ${count(requests)} requests | refused ${count(refused.size)}`;
}, Number(values.interval));
if (queue.stats().nextSequence > 0) {
	progress.note(`Going on: ${count(queue.size)} flights of earlier runs are to be uploaded.`);
}

const ends = await Promise.allSettled([
	read(),
	consume(queue, upload, {
		concurrency,
		batch: {maxRecords: Number(values.batch), maxWait: 100},
		retry: (error, {attempts}) => delayAfter(error, attempts),
		signal: stopping.signal,
	}),
]);
progress.stop();
await queue.close();
await refused.close();
await agent.close();
const failure = ends.find(end => end.status === 'rejected' && end.reason.name !== 'AbortError') as
	| PromiseRejectedResult
	| undefined;
if (failure) {
	throw failure.reason;
}

if (stopping.signal.aborted) {
	console.log('Stopped. Start again to go on.');
} else {
	console.log(`All ${count(queue.stats().nextSequence)} flights are uploaded.`);
}
