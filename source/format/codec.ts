import {Packr} from 'msgpackr';
import type {Codec} from '../options.ts';
import {decodeBuffers, encodeBuffers} from './buffers.ts';
import {measureRecord} from './measure-record.ts';

// The shared buffer of msgpackr grows to the largest block packed and never shrinks by itself.
const largePayloadBytes = 4 * 1024 * 1024;
const initialBufferBytes = 8 * 1024;
/** A payload of nothing. */
const nil = Uint8Array.of(0xc0);

/**
 * The default codec: one MessagePack array a block, object shapes written once a block.
 *
 * Not used: `structures`, `sequential` and `bundleStrings`, which make a block depend on others.
 */
export function msgpackCodec<T>(): Codec<T> {
	const packer = new Packr({moreTypes: true, copyBuffers: true, variableMapSize: true, useToJSON: false});
	return {
		name: 'msgpack',
		encode(records) {
			const payload = packer.pack(records);
			if (payload.byteLength > largePayloadBytes) {
				packer.useBuffer(Buffer.allocUnsafeSlow(initialBufferBytes));
			}

			return payload;
		},
		encodePieces: encodeBuffers,
		decode(bytes) {
			const buffers = decodeBuffers(asBuffer(bytes));
			if (buffers) {
				return buffers as T[];
			}

			try {
				return packer.unpack(bytes);
			} finally {
				// Until the next payload, msgpackr keeps a view of the last one, and with it the buffer that it is a part of.
				if (bytes.buffer.byteLength > largePayloadBytes) {
					packer.unpack(nil);
				}
			}
		},
		measure: measureRecord,
	};
}

function asBuffer(bytes: Uint8Array): Buffer {
	return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
