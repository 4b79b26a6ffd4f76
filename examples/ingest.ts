// Takes uploads of NDJSON over HTTP, from many clients at once however slow they are, into a queue; a worker stores them.
//
//     node ingest.js --port 8080      (or INGEST_PORT=…)
//     curl --data-binary @flights.ndjson -H 'content-type: application/x-ndjson' http://127.0.0.1:8080/
//     curl -F 'file=@flights.ndjson' http://127.0.0.1:8080/
//
// Stop it with Ctrl-C, SIGTERM or kill -9 whenever you like and start it again: what was answered 202 gets stored.
//
// - An upload is one record of the queue, so it is taken whole or not at all: not with a bad line (400, with its number),
//   not if the client hangs up before its end.
// - 202 is answered when the record has been forced to the device, together with all that came meanwhile. A client that
//   got no answer does not know; it sends the upload again under the same `Idempotency-Key`, and that is stored once.
// - Without room the answer is 503 and when to come again: when too many uploads are open, which bounds the memory they
//   take, or when the queue is full. A client that says `Expect: 100-continue` hears so before it sends anything.
import {randomUUID} from 'node:crypto';
import {once} from 'node:events';
import {mkdir, rename, writeFile} from 'node:fs/promises';
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {join} from 'node:path';
import type {Readable} from 'node:stream';
import {setTimeout as pause} from 'node:timers/promises';
import {parseArgs} from 'node:util';
import {createGunzip} from 'node:zlib';
import busboy from 'busboy';
import {consume, DiskQueue, QueueFullError, QueueRecordError} from 'disq';
import {checkNumbers} from './helpers/numbers.ts';
import {count, showProgress} from './helpers/progress.ts';

type File = {name: string; records: unknown[]};
type Upload = {id: string; received: Date; files: File[]};

const {values} = parseArgs({
	options: {
		host: option('host', '127.0.0.1'),
		/** 0 for any that is free. */
		port: option('port', '8080'),
		/** Where the queue is kept, and what the worker stores. */
		directory: option('directory', 'ingest'),
		/** Uploads that may be open at once, and the bytes of each, unzipped: together they bound the memory. */
		'max-uploads': option('max-uploads', '200'),
		'max-upload-bytes': option('max-upload-bytes', '1048576'),
		/** Bytes the queue may take on disk, and how long an upload waits for room, in milliseconds. */
		'max-bytes': option('max-bytes', '268435456'),
		patience: option('patience', '1000'),
		/** When a client without luck is to come again, in seconds. */
		'retry-after': option('retry-after', '5'),
		/** How long a client may take for an upload, and one under way when it is stopped, in milliseconds. */
		timeout: option('timeout', '600000'),
		grace: option('grace', '5000'),
		/** How long the worker takes for an upload, besides its work, in milliseconds. */
		pause: option('pause', '0'),
		/** How often progress is shown where there is no terminal, in milliseconds. */
		interval: option('interval', '1000'),
	},
});

const sizes = {'max-uploads': 1, 'max-upload-bytes': 1, 'max-bytes': 262_144};
const times = {patience: 0, 'retry-after': 0, timeout: 0, grace: 0, pause: 0, interval: 1};
checkNumbers(values, {port: 0, ...sizes, ...times});

const newline = 0x0a;
const utf8 = new TextDecoder('utf-8', {fatal: true});

/** An option that may also be set in the environment: `--max-bytes` is `INGEST_MAX_BYTES`. */
function option(name: string, otherwise: string): {type: 'string'; default: string} {
	const variable = `INGEST_${name.toUpperCase().replaceAll('-', '_')}`;
	return {type: 'string', default: process.env[variable] ?? otherwise};
}

/** What a client did wrong: the status and the body of the answer. */
class BadUpload extends Error {
	readonly status: number;
	readonly details: Record<string, unknown>;

	constructor(status: number, message: string, details: Record<string, unknown> = {}) {
		super(message);
		this.status = status;
		this.details = details;
	}
}

/** Answers one request. */
async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
	open++;
	try {
		if (open > maxUploads || queue.stats().diskBytes >= maxBytes || stopping.signal.aborted) {
			throw new BadUpload(503, 'No room for more uploads now');
		}

		if (request.headers.expect === '100-continue') {
			response.writeContinue();
		}

		const upload = await readUpload(request);
		await queue.put(upload, {timeout: Number(values.patience)});
		counts.accepted++;
		answer(response, 202, {id: upload.id, records: upload.files.reduce((sum, {records}) => sum + records.length, 0)});
	} catch (error) {
		refuse(error, request, response);
	} finally {
		open--;
	}
}

function refuse(error: unknown, request: IncomingMessage, response: ServerResponse): void {
	if (request.destroyed && !request.complete) {
		counts.hungUp++;
		progress.note('A client hung up: nothing of its upload is taken');
		return;
	}

	const {status, message, details} = faultOf(error);
	counts[status === 503 ? 'turnedAway' : 'refused']++;
	answer(response, status, {error: message, ...details});

	// What is still on its way is of no interest, but a client may not listen before it has sent it.
	request.unpipe();
	request.resume();
}

function faultOf(error: unknown): BadUpload {
	if (error instanceof BadUpload) {
		return error;
	}

	if (error instanceof QueueFullError) {
		return new BadUpload(503, 'No room for more uploads now');
	}

	const {message, code} = error as NodeJS.ErrnoException;
	if (error instanceof QueueRecordError || code?.startsWith('Z_')) {
		return new BadUpload(400, message);
	}

	progress.note(`Failed: ${message}`);
	return new BadUpload(500, 'Nothing of the upload is taken');
}

function answer(response: ServerResponse, status: number, body: Record<string, unknown>): void {
	const headers = status === 503 ? {'retry-after': values['retry-after']} : {};
	response.writeHead(status, {'content-type': 'application/json', ...headers}).end(`${JSON.stringify(body)}\n`);
}

async function readUpload(request: IncomingMessage): Promise<Upload> {
	if (request.method !== 'POST') {
		throw new BadUpload(405, 'POST an upload');
	}

	const id = String(request.headers['idempotency-key'] ?? randomUUID());
	if (!/^[\w.:,-]{1,150}$/.test(id)) {
		throw new BadUpload(400, 'Idempotency-Key is to be 1 to 150 of the characters A-Z a-z 0-9 _ . : , -');
	}

	const content = unzip(request);
	const budget = {bytes: Number(values['max-upload-bytes'])};
	const isForm = /^multipart\/form-data/i.test(request.headers['content-type'] ?? '');
	const files = isForm ? await readForm(request, content, budget) : [await readFile('body', content, budget)];
	if (files.every(({records}) => records.length === 0)) {
		throw new BadUpload(400, 'No records');
	}

	return {id, received: new Date(), files};
}

/** The content of a request. It is read without `pipeline`, which would destroy the request before it is answered. */
function unzip(request: IncomingMessage): Readable {
	const encoding = request.headers['content-encoding'] ?? 'identity';
	if (encoding === 'identity') {
		return request;
	}

	if (encoding !== 'gzip') {
		throw new BadUpload(415, `Content-Encoding ${encoding} is not gzip`);
	}

	const gunzip = createGunzip();
	request.once('error', error => gunzip.destroy(error));
	return request.pipe(gunzip);
}

/** Reads the files of a form, one after another, as they come. The first that is wrong ends it. */
async function readForm(request: IncomingMessage, content: Readable, budget: {bytes: number}): Promise<File[]> {
	const files: Array<Promise<File>> = [];
	const form = openForm(request);
	try {
		await new Promise((resolve, reject) => {
			form.on('file', (_field, stream, {filename}) => {
				const file = readFile(filename ?? 'file', stream, budget);
				file.catch(reject);
				files.push(file);
			});
			form.once('error', error => reject(new BadUpload(400, String(error))));
			form.once('close', resolve);
			content.once('error', reject);
			content.pipe(form);
		});
		return await Promise.all(files);
	} finally {
		content.unpipe(form);
		form.destroy();
	}
}

function openForm({headers}: IncomingMessage): busboy.Busboy {
	try {
		return busboy({headers});
	} catch (error) {
		throw new BadUpload(400, String(error));
	}
}

async function readFile(name: string, content: Readable, budget: {bytes: number}): Promise<File> {
	const records: unknown[] = [];
	let number = 0;
	for await (const line of linesOf(content, budget)) {
		number++;
		if (line.byteLength > 0) {
			records.push(parseLine(line, name, number));
		}
	}

	return {name, records};
}

function parseLine(line: Buffer, file: string, number: number): unknown {
	try {
		return JSON.parse(utf8.decode(line));
	} catch (error) {
		throw new BadUpload(400, (error as Error).message, {file, line: number});
	}
}

/** The lines of a text that comes in pieces, without their ends. */
async function* linesOf(content: Readable, budget: {bytes: number}): AsyncGenerator<Buffer> {
	let pieces: Buffer[] = [];
	for await (const chunk of content.iterator({destroyOnReturn: false}) as AsyncIterable<Buffer>) {
		budget.bytes -= chunk.byteLength;
		if (budget.bytes < 0) {
			throw new BadUpload(413, `More than ${values['max-upload-bytes']} bytes`);
		}

		let start = 0;
		for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
			yield Buffer.concat([...pieces, chunk.subarray(start, end)]);
			pieces = [];
			start = end + 1;
		}

		pieces.push(chunk.subarray(start));
	}

	yield Buffer.concat(pieces);
}

/** The worker; put your own in its place. An upload that comes again replaces itself. */
async function store({id, received, files}: Upload): Promise<void> {
	await pause(Number(values.pause), undefined, {signal: stopping.signal});
	const path = join(stored, `${encodeURIComponent(id)}.json`);
	await writeFile(`${path}.new`, JSON.stringify({id, received, files}));
	await rename(`${path}.new`, path);
	counts.stored++;
}

/** At first uploads under way may end; then they are cut off. */
function stop(): void {
	if (stopping.signal.aborted) {
		server.closeAllConnections();
	}

	stopping.abort();
}

const stopping = new AbortController();
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

const maxUploads = Number(values['max-uploads']);
const maxBytes = Number(values['max-bytes']);
const stored = join(values.directory, 'stored');
await mkdir(stored, {recursive: true});
const queue = await DiskQueue.open<Upload>(join(values.directory, 'queue'), {durability: 'fsync', maxBytes});
let open = 0;
const counts = {accepted: 0, refused: 0, turnedAway: 0, hungUp: 0, stored: 0};

const server = createServer();
server.requestTimeout = Number(values.timeout);
server.on('request', take).on('checkContinue', take);
server.listen(Number(values.port), values.host);
await once(server, 'listening');

const progress = showProgress(() => {
	const {size, inFlight, diskBytes} = queue.stats();
	const {accepted, refused, turnedAway, hungUp} = counts;
	return `open ${count(open)} | accepted ${count(accepted)}, refused ${count(refused)}, turned away ${count(turnedAway)}, hung up ${count(hungUp)} | waiting ${count(size + inFlight)} (${count(diskBytes)} bytes on disk) | stored ${count(counts.stored)}`;
}, Number(values.interval));
const {port} = server.address() as AddressInfo;
progress.note(
	`Listening on http://${values.host}:${port}/, ${count(queue.size)} uploads of earlier runs are to be stored`,
);

// Ends when it is stopped; or fails, and the program with it.
await consume(queue, store, {signal: stopping.signal});
server.close();
server.closeIdleConnections();
setTimeout(() => server.closeAllConnections(), Number(values.grace)).unref();
await once(server, 'close');
progress.stop();
await queue.close();
console.log('Stopped. Start again to go on.');
