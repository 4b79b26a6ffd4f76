import {Writable, type WritableOptions} from 'node:stream';
import * as readableStream from 'readable-stream';

/** How a sink confirms: in the turn of the write, in a later one, or for all that waits at once. */
export type SinkKind = 'sync' | 'async' | 'writev';

export const sinkKinds: readonly SinkKind[] = ['sync', 'async', 'writev'];

/** The same class of two libraries. */
export const writables: Readonly<Record<'node:stream' | 'readable-stream', typeof Writable>> = {
	'node:stream': Writable,
	'readable-stream': readableStream.Writable as unknown as typeof Writable,
};

export type SinkOptions<T> = {
	kind?: SinkKind;
	highWaterMark?: number;
	Base?: typeof Writable;
	/** The first write is not confirmed before. */
	gate?: Promise<unknown>;
	/** Gives the error that confirming these records fails with. */
	refuse?: (records: T[]) => Error | undefined;
	/** A refused record destroys the sink, instead of failing its write. */
	isDestroying?: boolean;
};

/** A sink in object mode, and what it has confirmed: records whose write was called back without an error. */
export type TestSink<T> = {writable: Writable; confirmed: T[]};

export function makeSink<T>(options: SinkOptions<T> = {}): TestSink<T> {
	const {kind = 'sync', highWaterMark = 16, Base = Writable, gate, refuse, isDestroying = false} = options;
	const confirmed: T[] = [];
	let isOpen = gate === undefined;
	const finish = (records: T[], callback: (error?: Error | null) => void) => {
		const error = refuse?.(records);
		if (error && isDestroying) {
			writable.destroy(error);
			return;
		}

		if (!error) {
			confirmed.push(...records);
		}

		callback(error);
	};
	const take = (records: T[], callback: (error?: Error | null) => void) => {
		if (!isOpen) {
			void gate!.then(() => {
				isOpen = true;
				finish(records, callback);
			});
		} else if (kind === 'sync') {
			finish(records, callback);
		} else {
			setImmediate(finish, records, callback);
		}
	};
	const hooks: WritableOptions =
		kind === 'writev'
			? {
					writev: (chunks, callback) =>
						take(
							chunks.map(({chunk}) => chunk as T),
							callback,
						),
				}
			: {write: (record: T, _encoding, callback) => take([record], callback)};
	const writable = new Base({objectMode: true, highWaterMark, ...hooks});
	return {writable, confirmed};
}
