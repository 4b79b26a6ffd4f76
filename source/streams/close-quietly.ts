import type {Readable, Writable} from 'node:stream';
import {pEvent} from 'p-event';

/**
 * What `await using` does: lets what was written be put, as `end()` does, then destroys the stream without an error.
 * Never rejects: what goes wrong meanwhile is the stream's `error`.
 */
export async function closeQuietly(stream: Readable | Writable): Promise<void> {
	if ('writableFinished' in stream && !stream.writableFinished && !stream.destroyed) {
		const finished = pEvent(stream, ['finish', 'close'], {rejectionEvents: []});
		stream.end();
		await finished;
	}

	if (!stream.closed) {
		const closed = pEvent(stream, 'close', {rejectionEvents: []});
		stream.destroy();
		await closed;
	}
}
