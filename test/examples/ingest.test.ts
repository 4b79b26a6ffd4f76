import {gzipSync} from 'node:zlib';
import test from 'ava';
import {pEvent} from 'p-event';
import {dataOf, linesOf} from '../helpers/data.ts';
import {startIngest, storedUploads} from '../helpers/ingest.ts';
import {range} from '../helpers/queues.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {formOf, openUpload, sendPiece, sendUpload} from '../helpers/uploads.ts';

type Upload = {id: string; headers: Record<string, string>; content: Buffer; files: unknown[][]};

const flights: unknown[] = dataOf('flights-5k.json');
const heldDisk = new URL('../fixtures/held-disk.js', import.meta.url).href;

/** An upload of flights: plain, zipped, or a form of two files. */
function uploadOf(number: number, records: number): Upload {
	const own = flights.slice((number * records) % flights.length).slice(0, records);
	const id = `upload-${number}`;
	const headers = {'idempotency-key': id};
	if (number % 3 === 0) {
		return {id, headers, content: linesOf(own), files: [own]};
	}

	if (number % 3 === 1) {
		return {id, headers: {...headers, 'content-encoding': 'gzip'}, content: gzipSync(linesOf(own)), files: [own]};
	}

	const files = [own.slice(0, 5), own.slice(5)];
	const form = formOf(files.map((records, index) => ({name: `${index}.ndjson`, content: linesOf(records)})));
	return {id, headers: {...headers, ...form.headers}, content: form.content, files};
}

function recordsOf(files: Array<{records: unknown[]}> | undefined): unknown[][] | undefined {
	return files?.map(({records}) => records);
}

test('many slow uploads at once are answered 202 when the device has them and not before, and one too many 503', async t => {
	const directory = temporaryDirectory(t);
	const clients = 60;
	const ingest = await startIngest(t, directory, ['--max-uploads', String(clients)], {imports: [heldDisk]});
	const uploads = range(0, clients).map(number => uploadOf(number, 50));
	const open = uploads.map(({headers}) => openUpload(t, ingest.url, headers));
	await Promise.all(open.map(({continued}) => continued));
	let answered = 0;
	const answers = open.map(async ({answer}) => {
		const {status} = (await answer)!;
		answered++;
		return status;
	});
	const late = openUpload(t, ingest.url, {});
	late.request.once('continue', () => t.fail('a client is to send what is not taken'));
	t.like(await late.answer, {status: 503, retryAfter: '5'});

	const held = pEvent(ingest.child, 'message');
	await Promise.all(open.map((upload, index) => sendPiece(upload, uploads[index]!.content.subarray(0, 333))));
	for (const [index, {request}] of open.entries()) {
		request.end(uploads[index]!.content.subarray(333));
	}

	await held;
	await ingest.line(/^open 60 /);
	t.is(answered, 0);
	ingest.child.send('release');
	t.deepEqual(
		await Promise.all(answers),
		uploads.map(() => 202),
	);

	await ingest.line(/stored 60$/);
	ingest.child.kill('SIGTERM');
	const {code, errors, lines} = await ingest.result;
	t.is(code, 0, errors);
	t.is(lines.at(-1), 'Stopped. Start again to go on.');
	const stored = storedUploads(directory);
	t.is(stored.size, clients);
	for (const {id, files} of uploads) {
		t.deepEqual(recordsOf(stored.get(id)?.files), files);
	}
});

test('an upload with a bad line, too large, broken or broken off is refused whole', async t => {
	const directory = temporaryDirectory(t);
	const ingest = await startIngest(t, directory, ['--max-upload-bytes', '10000']);
	const good = linesOf(flights.slice(0, 10));
	const form = formOf([
		{name: 'good.ndjson', content: good},
		{name: 'bad.ndjson', content: Buffer.concat([good, Buffer.from('{"delay":')])},
	]);
	const cases: Array<[string, Record<string, string>, Uint8Array, number, Record<string, unknown>]> = [
		['a bad line', {}, Buffer.concat([good, Buffer.from('\n{"delay"}\n'), good]), 400, {file: 'body', line: 12}],
		['a bad line at the end', {}, Buffer.from('1\n2\n3\n{'), 400, {file: 'body', line: 4}],
		['not UTF-8', {}, Buffer.concat([good, Buffer.from([0x22, 0xff, 0x22])]), 400, {file: 'body', line: 11}],
		['a bad line in a form', form.headers, form.content, 400, {file: 'bad.ndjson', line: 11}],
		['a form cut off', form.headers, form.content.subarray(0, 300), 400, {error: 'Error: Unexpected end of form'}],
		[
			'a form without boundary',
			{'content-type': 'multipart/form-data'},
			good,
			400,
			{error: 'Error: Multipart: Boundary not found'},
		],
		[
			'zipped, too large',
			{'content-encoding': 'gzip'},
			gzipSync(Buffer.alloc(1_000_000, '1\n')),
			413,
			{error: 'More than 10000 bytes'},
		],
		['too large', {}, Buffer.alloc(20_000, '1\n'), 413, {error: 'More than 10000 bytes'}],
		['not zipped', {'content-encoding': 'gzip'}, good, 400, {error: 'incorrect header check'}],
		['zipped otherwise', {'content-encoding': 'br'}, good, 415, {error: 'Content-Encoding br is not gzip'}],
		[
			'half a surrogate pair',
			{},
			Buffer.from('"\\ud800"'),
			400,
			{
				error:
					'Cannot put: the record has at .files[0].records[0] a string with half a surrogate pair, which UTF-8 cannot hold.',
			},
		],
		['nothing', {}, Buffer.from('\n\n'), 400, {error: 'No records'}],
		[
			'a bad key',
			{'idempotency-key': '../..'},
			good,
			400,
			{error: 'Idempotency-Key is to be 1 to 150 of the characters A-Z a-z 0-9 _ . : , -'},
		],
	];
	let ran = 0;
	for (const [what, headers, content, status, body] of cases) {
		const answer = await sendUpload(t, ingest.url, headers, content);
		t.like(answer, {status}, what);
		t.like(answer?.body, body, what);
		ran++;
	}

	t.is(ran, 13);
	for (const {headers, content} of [
		{headers: {}, content: good},
		{headers: {'content-encoding': 'gzip'}, content: gzipSync(good)},
		form,
	]) {
		const upload = openUpload(t, ingest.url, headers);
		await upload.continued;
		await sendPiece(upload, content.subarray(0, 300));
		const hungUp = ingest.line(/^A client hung up/);
		upload.request.destroy();
		await hungUp;
	}

	t.like(await sendUpload(t, ingest.url, {'idempotency-key': 'good'}, good), {
		status: 202,
		body: {id: 'good', records: 10},
	});
	await ingest.line(/^open 0 \| accepted 1, refused 13, turned away 0, hung up 3 \| waiting 0 .* stored 1$/);
	ingest.child.kill('SIGINT');
	t.is((await ingest.result).code, 0);
	t.deepEqual([...storedUploads(directory).keys()], ['good']);
});

test('a full queue answers 503 until there is room, and what was answered 202 is stored once after a kill -9', async t => {
	const directory = temporaryDirectory(t);
	const limits = ['--max-bytes', '262144', '--patience', '50', '--retry-after', '7'];
	const stuck = await startIngest(t, directory, [...limits, '--pause', '1000000000']);
	const accepted: Upload[] = [];
	const refused: Upload[] = [];
	for (let number = 0; refused.length < 3; number++) {
		const upload = uploadOf(number, 400);
		const answer = await sendUpload(t, stuck.url, upload.headers, upload.content);
		t.true(answer?.status === 202 || answer?.retryAfter === '7');
		(answer!.status === 202 ? accepted : refused).push(upload);
	}

	t.true(accepted.length >= 5, `${accepted.length} accepted`);
	stuck.child.kill('SIGKILL');
	t.is((await stuck.result).signal, 'SIGKILL');

	// Now with room again: some uploads half sent, some on their way, when the process is killed at the first answer.
	const killed = await startIngest(t, directory, ['--pause', '1000000000']);
	const halves = range(100, 105).map(number => uploadOf(number, 400));
	const wholes = range(200, 230).map(number => uploadOf(number, 400));
	const open = halves.map(({headers}) => openUpload(t, killed.url, headers));
	await Promise.all(open.map(({continued}) => continued));
	await Promise.all(open.map((upload, index) => sendPiece(upload, halves[index]!.content.subarray(0, 2000))));
	const answers = wholes.map(({headers, content}) => sendUpload(t, killed.url, headers, content));
	await Promise.any(answers.map(async answer => (await answer) ?? Promise.reject(new Error('none'))));
	killed.child.kill('SIGKILL');
	t.is((await killed.result).signal, 'SIGKILL');
	const answered = await Promise.all(answers);
	t.deepEqual(
		await Promise.all(open.map(({answer}) => answer)),
		range(0, 5).map(() => undefined),
	);
	accepted.push(...wholes.filter((_, index) => answered[index]?.status === 202));
	const unanswered = wholes.filter((_, index) => answered[index] === undefined);

	const last = await startIngest(t, directory);
	await last.line(/waiting 0 /);
	const stored = storedUploads(directory);
	for (const {id, files} of accepted) {
		t.deepEqual(recordsOf(stored.get(id)?.files), files, `${id} was answered 202`);
	}

	for (const {id, files} of unanswered.filter(({id}) => stored.has(id))) {
		t.deepEqual(recordsOf(stored.get(id)?.files), files, `${id} is stored in part`);
	}

	t.false([...refused, ...halves].some(({id}) => stored.has(id)));
	const again = await Promise.all(
		[...refused, ...halves, ...wholes].map(({headers, content}) => sendUpload(t, last.url, headers, content)),
	);
	t.true(again.every(answer => answer?.status === 202));
	await last.line(/waiting 0 /);
	last.child.kill('SIGTERM');
	t.is((await last.result).code, 0);
	const all = storedUploads(directory);
	for (const {id, files} of [...accepted, ...refused, ...halves, ...wholes]) {
		t.deepEqual(recordsOf(all.get(id)?.files), files);
	}

	t.log(`${accepted.length} accepted, ${refused.length} refused, ${unanswered.length} unanswered at the kill`);
});
