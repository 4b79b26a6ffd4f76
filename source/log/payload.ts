import {type BlockHeader, checkPayload} from '../format/block.ts';
import {Mismatch} from '../format/mismatch.ts';
import type {Codec} from '../options.ts';

/** The records of a block. A payload that checks and does not decode is damage of that block, like any other. */
export function decodePayload<T>(payload: Buffer, header: BlockHeader, codec: Codec<T>): T[] | Mismatch {
	const mismatch = checkPayload(payload, header);
	if (mismatch) {
		return mismatch;
	}

	try {
		const records: unknown = codec.decode(payload);
		const length = Array.isArray(records) ? records.length : undefined;
		if (length !== header.records) {
			return new Mismatch(`${header.records} records`, length === undefined ? typeof records : `${length} records`);
		}

		const isWhole = !(records as unknown[]).includes(null) && !(records as unknown[]).includes(undefined);
		return isWhole ? (records as T[]) : new Mismatch('records', 'null, which no record is');
	} catch (error) {
		return new Mismatch('a payload that can be decoded', error instanceof Error ? error.name : typeof error);
	}
}
