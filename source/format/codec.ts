import {Packr} from 'msgpackr';
import {measureRecord} from './measure-record.ts';

/** How the records of a block become bytes and back. A block must be complete in itself: keep no state between calls. */
export type Codec<T> = {
	/** Up to 24 ASCII letters, digits, `.`, `_` or `-`; stored in every segment and checked when it is read. */
	name: string;
	/** Encodes at least one record. The bytes are used before the next call, so a reused buffer is fine. */
	encode(records: T[]): Uint8Array;
	/** Gives back the records in order. The bytes are reused after the call: copy what the records keep of them. */
	decode(bytes: Uint8Array): T[];
	/**
	 * Estimated encoded size of a record in bytes; throws if it cannot be encoded. Called at every put.
	 * Without it a record is encoded alone at put, and again in its block.
	 */
	measure?(record: T): number;
};

// The shared buffer of msgpackr grows to the largest block packed and never shrinks by itself.
const largePayloadBytes = 4 * 1024 * 1024;
const initialBufferBytes = 8 * 1024;

/**
 * The default codec: one MessagePack array a block, object shapes written once a block.
 *
 * Not used: `structures`, `sequential` and `bundleStrings`, which make a block depend on others.
 */
export function msgpackCodec<T>(): Codec<T> {
	const packer = new Packr({moreTypes: true, copyBuffers: true, variableMapSize: true});
	return {
		name: 'msgpack',
		encode(records) {
			const payload = packer.pack(records);
			if (payload.byteLength > largePayloadBytes) {
				packer.useBuffer(Buffer.allocUnsafeSlow(initialBufferBytes));
			}

			return payload;
		},
		decode: bytes => packer.unpack(bytes),
		measure: measureRecord,
	};
}
