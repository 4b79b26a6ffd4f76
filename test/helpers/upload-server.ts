import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {performance} from 'node:perf_hooks';
import {gunzipSync} from 'node:zlib';
import type {ExecutionContext} from 'ava';
import {pEvent} from 'p-event';

/**
 * How a request is met. What is stored is stored before the answer: `cut` breaks the answer off in its middle, `silent`
 * gives none. `busy` and `unavailable` say when to come again, in seconds and as a date; `leave` stops the server.
 */
export type Manner = 'store' | 'slow' | 'busy' | 'unavailable' | 'fail' | 'hangUp' | 'cut' | 'silent' | 'leave';

export type Batch = {run: number; key: string; ids: string[]; isAnswered: boolean};

export type UploadServerOptions = {
	/** How the request of this number, from 0, is met. */
	meet(number: number): Manner;
	/** Told once it was met. */
	met(manner: Manner, number: number): void;
	/** Whether a line is one that this server does not take. */
	isWrong(line: Record<string, unknown>): boolean;
};

const retryAfterSeconds = 1;

/** An HTTP server for NDJSON that behaves as badly as it is told, and keeps what it was sent. */
export class UploadServer {
	/** What it has stored, batch by batch: what came twice is there twice. */
	readonly batches: Batch[] = [];
	readonly lines: Map<string, Record<string, unknown>> = new Map();
	/** The lines of a key, as they came first. */
	readonly bodies: Map<string, string> = new Map();
	readonly changedKeys: string[] = [];
	readonly counts: Partial<Record<Manner | 'refused', number>> = {};
	/** When it was that it asked for patience, and when requests came. */
	readonly askedAt: number[] = [];
	readonly cameAt: number[] = [];
	/** The run of the client, counted by the test. */
	run = 0;
	readonly #options: UploadServerOptions;
	readonly #server: Server;
	#port = 0;
	#requests = 0;

	private constructor(options: UploadServerOptions) {
		this.#options = options;
		this.#server = createServer((request, response) => {
			this.#take(request, response).catch(error => response.destroy(error));
		});
	}

	static async start(t: ExecutionContext, options: UploadServerOptions): Promise<UploadServer> {
		const server = new UploadServer(options);
		t.teardown(() => server.leave());
		await server.comeBack();
		return server;
	}

	get url(): string {
		return `http://127.0.0.1:${this.#port}/`;
	}

	/** Listens again, where it did before. */
	async comeBack(): Promise<void> {
		this.#server.listen(this.#port, '127.0.0.1');
		await pEvent(this.#server, 'listening');
		this.#port = (this.#server.address() as AddressInfo).port;
	}

	leave(): void {
		this.#server.close();
		this.#server.closeAllConnections();
	}

	async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
		this.cameAt.push(performance.now());
		const body = gunzipSync(Buffer.concat(await request.toArray())).toString();
		const number = this.#requests++;
		const manner = this.#options.meet(number);
		if (manner === 'store' && this.#refuse(body, response)) {
			this.#count('refused');
		} else {
			this.#count(manner);
			this.#meet(manner, this.#keep(manner, request.headers['idempotency-key'] as string, body), response);
		}

		this.#options.met(manner, number);
	}

	/** Keeps what is sent with a manner that stores it. */
	#keep(manner: Manner, key: string, body: string): Batch | undefined {
		this.changedKeys.push(...((this.bodies.get(key) ?? body) === body ? [] : [key]));
		this.bodies.set(key, this.bodies.get(key) ?? body);
		if (!['store', 'slow', 'cut', 'silent'].includes(manner)) {
			return undefined;
		}

		const lines = parse(body);
		for (const line of lines) {
			this.lines.set(String(line.id), line);
		}

		const batch = {run: this.run, key, ids: lines.map(({id}) => String(id)), isAnswered: false};
		this.batches.push(batch);
		return batch;
	}

	#meet(manner: Manner, batch: Batch | undefined, response: ServerResponse): void {
		if (manner === 'busy') {
			response.writeHead(429, {'retry-after': String(retryAfterSeconds)}).end('too many requests');
			this.askedAt.push(performance.now());
		} else if (manner === 'unavailable') {
			response.writeHead(503, {'retry-after': new Date(Date.now() + 1000).toUTCString()}).end('maintenance');
		} else if (manner === 'fail') {
			response.writeHead(500).end('a bug');
		} else if (manner === 'hangUp') {
			response.destroy();
		} else if (manner === 'cut') {
			response.writeHead(200, {'content-length': '100'}).write('stor', () => response.destroy());
		} else if (manner === 'leave') {
			this.leave();
		} else if (manner !== 'silent') {
			setTimeout(() => response.end('stored'), manner === 'slow' ? 200 : 0);
			batch!.isAnswered = true;
		}
	}

	#refuse(body: string, response: ServerResponse): boolean {
		const wrong = parse(body).find(this.#options.isWrong);
		if (wrong) {
			response.writeHead(422).end(`wrong: ${wrong.id}`);
		}

		return wrong !== undefined;
	}

	#count(what: Manner | 'refused'): void {
		this.counts[what] = (this.counts[what] ?? 0) + 1;
	}
}

function parse(body: string): Array<Record<string, unknown>> {
	return body
		.trim()
		.split('\n')
		.map(line => JSON.parse(line));
}
