import {Agent, type ClientRequest, type IncomingMessage, request} from 'node:http';
import {json} from 'node:stream/consumers';
import type {ExecutionContext} from 'ava';
import {pEvent} from 'p-event';

export type Answer = {status: number; retryAfter: string | undefined; body: Record<string, unknown>};

/** An upload that is sent piece by piece. */
export type OpenUpload = {
	request: ClientRequest;
	/** Resolves when the server is ready for its content. */
	continued: Promise<unknown>;
	/** Resolves to `undefined` if there will be none. */
	answer: Promise<Answer | undefined>;
};

/** Opens an upload, which says `Expect: 100-continue`. It is cut off when the test ends. */
export function openUpload(t: ExecutionContext, url: string, headers: Record<string, string>): OpenUpload {
	const upload = request(url, {
		method: 'POST',
		agent: new Agent(),
		headers: {expect: '100-continue', 'transfer-encoding': 'chunked', ...headers},
	});
	t.teardown(() => upload.destroy());
	const continued = pEvent(upload, 'continue');
	continued.catch(() => {});
	upload.flushHeaders();
	return {request: upload, continued, answer: answerOf(upload)};
}

/** Sends an upload as a whole. */
export function sendUpload(
	t: ExecutionContext,
	url: string,
	headers: Record<string, string>,
	content: Uint8Array,
): Promise<Answer | undefined> {
	const upload = request(url, {method: 'POST', agent: new Agent(), headers});
	t.teardown(() => upload.destroy());
	upload.end(content);
	return answerOf(upload);
}

/** Sends a piece; resolves when the operating system has it. */
export function sendPiece({request}: OpenUpload, piece: Uint8Array): Promise<unknown> {
	return new Promise(resolve => {
		request.write(piece, resolve);
	});
}

/** A form with files, as `curl -F` makes it, and its headers. */
export function formOf(files: Array<{name: string; content: Uint8Array}>): {
	headers: Record<string, string>;
	content: Buffer;
} {
	const boundary = '----a-boundary';
	const parts = files.flatMap(({name, content}) => [
		Buffer.from(
			`--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\ncontent-type: application/x-ndjson\r\n\r\n`,
		),
		content,
		Buffer.from('\r\n'),
	]);
	return {
		headers: {'content-type': `multipart/form-data; boundary=${boundary}`},
		content: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
	};
}

async function answerOf(upload: ClientRequest): Promise<Answer | undefined> {
	try {
		const response = await pEvent<'response', IncomingMessage>(upload, 'response');
		const body = (await json(response)) as Record<string, unknown>;
		return {status: response.statusCode!, retryAfter: response.headers['retry-after'], body};
	} catch {
		return undefined;
	}
}
