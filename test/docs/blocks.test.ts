import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {type ClientRequest, createServer, type IncomingMessage, request} from 'node:http';
import type {AddressInfo} from 'node:net';
import {join} from 'node:path';
import {json} from 'node:stream/consumers';
import test, {type ExecutionContext} from 'ava';
import {pEvent} from 'p-event';
import {compileBlocks, startBlock} from '../helpers/block-programs.ts';
import {deferred} from '../helpers/deferred.ts';
import {type Block, blocksOf, pages, root} from '../helpers/pages.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const blocks = pages.flatMap(page => blocksOf(page));
const programs = blocks.filter(({language}) => ['js', 'ts'].includes(language));

/** What a program prints that ends by itself. */
const outputs: Record<string, string> = {
	'README.md#disq:2': '100 readings uploaded\n',
	'README.md#a-queue-without-streams': '{ id: 1 } [ { id: 2 }, { id: 3 } ]\n',
	'docs/api.md#createreadstreamqueue-options': '3 orders done\n',
	'docs/api.md#bytes': '',
	'docs/api.md#diskqueue': '{ id: 1 } [ { id: 2 }, { id: 3 } ]\n',
	'docs/api.md#codec': '',
	'docs/errors.md#errors': 'QUEUE_FULL\nQUEUE_LOCKED true\n',
	'docs/guide.md#acknowledgement:1': '2 readings stored\n',
	'docs/guide.md#acknowledgement:2': '8 characters\n',
	'docs/migrating.md#better-queue:2': '1\n',
	'docs/migrating.md#pydisq:2': '{ id: 1 } []\n',
	'docs/migrating.md#a-redis-list:2': '{ id: 1 }\n',
	'docs/operating.md#what-to-watch:1': '',
	'docs/operating.md#what-to-watch:2': 'closed: 1 records were put\n',
	'docs/operating.md#backups': '',
};
/** Run by tests of their own below. */
const jobs = ['README.md#fast-producers-slow-uploads', 'README.md#slow-uploads-in', 'README.md#resumable-etl'];
/** Compiled only: the packages are not here, and a server that is asked for nothing does nothing. */
const compiledOnly = [
	'docs/migrating.md#fs-capacitor:1',
	'docs/migrating.md#fs-capacitor:2',
	'docs/migrating.md#better-queue:1',
	'docs/migrating.md#a-redis-list:1',
];

function blockOf(id: string): Block {
	return blocks.find(block => block.id === id)!;
}

let errors = '';
test.before(async () => {
	errors = await compileBlocks(programs);
});

test('every block is in a language that is checked, or shows what is no program', t => {
	t.true(blocks.length > 20, `${blocks.length} blocks`);
	t.deepEqual([...new Set(blocks.map(({language}) => language))].sort(), ['js', 'py', 'sh', 'text', 'ts']);
	t.deepEqual(
		blocks.filter(({language}) => language === 'py').map(({id}) => id),
		['docs/migrating.md#pydisq:1'],
	);
});

test('every program compiles against the package', t => {
	t.is(errors, '');
});

test('every program is whole, and is run here, or there is a reason', t => {
	for (const {id, text} of programs) {
		t.regex(text, /^import /, id);
	}

	t.deepEqual(programs.map(({id}) => id).sort(), [...Object.keys(outputs), ...jobs, ...compiledOnly].sort());
});

for (const [id, output] of Object.entries(outputs)) {
	test(`the program of ${id} runs`, async t => {
		const {code, stdout, stderr} = await startBlock(t, blockOf(id)).result;
		t.is(code, 0, stderr);
		t.is(stdout, output);
	});
}

/** A server that keeps what it takes. */
async function startServer(
	t: ExecutionContext,
	refuses: (requests: number) => boolean | Promise<boolean>,
): Promise<{url: string; ids: string[]; orders: Set<number>}> {
	const ids: string[] = [];
	const orders = new Set<number>();
	let requests = 0;
	const server = createServer(async (request, response) => {
		const lines = (await json(request)) as Array<{id: string; record: {order: number}}>;
		if (await refuses(++requests)) {
			response.writeHead(500).end();
			return;
		}

		for (const {id, record} of lines) {
			ids.push(id);
			orders.add(record.order);
		}

		response.end();
	});
	t.teardown(() => server.close());
	server.listen(0, '127.0.0.1');
	await pEvent(server, 'listening');
	return {url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, ids, orders};
}

test('the program for uploads gets every order to the server, also what was refused at first', async t => {
	const server = await startServer(t, requests => requests === 1);
	const {code, stdout, stderr} = await startBlock(t, blockOf(jobs[0]!), {env: {UPLOAD_URL: server.url}}).result;
	t.is(code, 0, stderr);
	t.is(stdout, '1000 orders uploaded, 0 wait\n');
	t.regex(stderr, /the server answered 500/);
	t.is(server.orders.size, 1000);
	t.is(new Set(server.ids).size, server.ids.length);
});

test('the program for uploads that is stopped says what waits, and goes on where it was', async t => {
	const asked = deferred();
	const told = deferred();
	let isStarted = false;
	const server = await startServer(t, async () => {
		asked.resolve();
		await told.promise;
		return !isStarted;
	});
	const directory = temporaryDirectory(t);
	const env = {UPLOAD_URL: server.url};
	const program = startBlock(t, blockOf(jobs[0]!), {directory, env});
	await asked.promise;
	program.kill('SIGTERM');
	told.resolve();
	const {code, signal, stdout, stderr} = await program.result;
	if (process.platform === 'win32') {
		t.is(signal, 'SIGTERM');
	} else {
		t.is(code, 0, stderr);
		t.regex(stdout, /^0 orders uploaded, \d+ wait\n$/);
	}

	isStarted = true;
	const again = await startBlock(t, blockOf(jobs[0]!), {directory, env}).result;
	t.is(again.stdout, '1000 orders uploaded, 0 wait\n', again.stderr);
	t.is(server.orders.size, 1000);
	t.is(server.ids.length, 1000);
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
	const server = createServer().listen(0, '127.0.0.1');
	await pEvent(server, 'listening');
	const {port} = server.address() as AddressInfo;
	server.close();
	await pEvent(server, 'close');
	return port;
}

/** An upload that the server has begun to read. */
async function openUpload(port: number): Promise<ClientRequest> {
	const upload = request({port, host: '127.0.0.1', method: 'POST', agent: false, headers: {expect: '100-continue'}});
	upload.on('error', () => {}).flushHeaders();
	await pEvent(upload, 'continue');
	return upload;
}

test('the program that takes uploads stores them, refuses a bad one, and ends when it is told to', async t => {
	const port = await freePort();
	const program = startBlock(t, blockOf(jobs[1]!), {env: {PORT: String(port)}});
	await program.line('listening');
	const post = async (body: string) => (await fetch(`http://127.0.0.1:${port}/`, {method: 'POST', body})).status;
	t.is(await post('{"id":1}'), 202);
	t.is(await post('{"id":'), 400);
	t.is(await post('null'), 400);
	await program.line('stored { id: 1 }');
	const [hangingUp, upload] = await Promise.all([openUpload(port), openUpload(port)]);
	hangingUp.destroy();
	program.kill('SIGTERM');
	if (process.platform !== 'win32') {
		await program.line('stopped');
		upload.end('{"id":2}');
		const {statusCode} = await pEvent<string, IncomingMessage>(upload, 'response');
		t.is(statusCode, 503);
	}

	const {code, signal, stderr} = await program.result;
	t.true(process.platform === 'win32' ? signal === 'SIGTERM' : code === 0, stderr);
	t.is(stderr, '');
});

test('the ETL program that is killed goes on where it was, and loads every line', async t => {
	const directory = temporaryDirectory(t);
	const lines = 3000;
	const input = Array.from({length: lines}, (_, id) => `${JSON.stringify({id})}\n`);
	writeFileSync(join(directory, 'input.ndjson'), input.join(''));
	const output = join(directory, 'output.ndjson');
	const loaded = () => (existsSync(output) ? readFileSync(output, 'utf8').trim().split('\n') : []);
	const first = startBlock(t, blockOf(jobs[2]!), {directory});
	while (loaded().length < 100) {
		await new Promise(resolve => {
			setImmediate(resolve);
		});
	}

	first.kill('SIGKILL');
	t.is((await first.result).stdout, '');
	const before = loaded().length;
	t.true(before < lines);

	const {code, stdout, stderr} = await startBlock(t, blockOf(jobs[2]!), {directory}).result;
	t.is(code, 0, stderr);
	t.is(stdout, 'done\n');
	const numbers = loaded().map(line => (JSON.parse(line) as {number: number}).number);
	t.is(new Set(numbers).size, lines);
	t.true(numbers.length < lines + before, `${numbers.length} loaded, ${before} before the kill`);
	t.false(existsSync(join(directory, 'etl')));
});

test('every npm script that the pages name is there', t => {
	const {scripts} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {scripts: Record<string, string>};
	const own = new Set(['ci', 'cit', 'install', 'update', 'version', 'publish']);
	let commands = 0;
	for (const page of [...pages, '.github/CONTRIBUTING.md']) {
		const text = readFileSync(join(root, page), 'utf8').replaceAll(/\s+/g, ' ');
		for (const [, run, name] of text.matchAll(/(?:`|&& |^)npm (run )?([a-z][\w:-]*)/g)) {
			t.true(name! in scripts || (!run && own.has(name!)) || page === 'docs/decisions.md', `${page}: npm ${name}`);
			commands++;
		}

		for (const [, example] of text.matchAll(/\bnode build\/examples\/([\w-]+)\.js/g)) {
			t.true(existsSync(join(root, 'examples', `${example}.ts`)), `${page}: ${example}`);
		}
	}

	t.true(commands > 10, `${commands} commands`);
});
