import {closeSync, fdatasyncSync, openSync, readSync, writevSync} from 'node:fs';
import {join} from 'node:path';
import {crc32} from 'node:zlib';
import {Packr} from 'msgpackr';
import {fillAndDrain, type Setting, type System} from './system.ts';

const headBytes = 8;
const initialBufferBytes = 1024 * 1024;

export const rawBlocks: System = {
	setup:
		'A limit, not a queue: arrays of 512 records (4 of C) packed by msgpackr with a CRC-32, appended to one file and ' +
		'then read back, checked and unpacked, in one thread, with synchronous calls and one read buffer. Nothing is kept ' +
		'in memory, deleted, or known after a crash. With fsync: `fdatasync` after every block.',
	async openFifo(directory, setting) {
		const file = openSync(join(directory, 'blocks'), 'wx+');
		const packer = new Packr({copyBuffers: true});
		const {append, appended} = blockWriter(file, setting);
		const read = blockReader(file);
		return {
			...fillAndDrain(
				{putBatch: records => append(packer.pack(records)), takeBatch: () => packer.unpack(read())},
				setting.batchRecords,
			),
			close: () => closeSync(file),
			get payloadBytes() {
				return appended.payloadBytes;
			},
		};
	},
};

/** Appends blocks, each with its length and checksum before it. */
function blockWriter(file: number, {durability}: Setting) {
	const head = Buffer.alloc(headBytes);
	const appended = {payloadBytes: 0};
	const append = (payload: Uint8Array) => {
		head.writeUInt32LE(payload.byteLength, 0);
		head.writeUInt32LE(crc32(payload), 4);
		writevSync(file, [head, payload]);
		appended.payloadBytes += payload.byteLength;
		if (durability === 'fsync') {
			fdatasyncSync(file);
		}
	};
	return {append, appended};
}

/** Reads block after block into one buffer, each with the head of the next one. */
function blockReader(file: number): () => Uint8Array {
	let buffer = Buffer.allocUnsafeSlow(initialBufferBytes);
	let head = buffer.subarray(0, headBytes);
	let position = 0;
	return () => {
		position += position === 0 ? readSync(file, head, 0, headBytes, 0) : 0;
		const payloadBytes = head.readUInt32LE(0);
		const checksum = head.readUInt32LE(4);
		if (payloadBytes + headBytes > buffer.byteLength) {
			buffer = Buffer.allocUnsafeSlow(2 * payloadBytes);
		}

		position += readSync(file, buffer, 0, payloadBytes + headBytes, position);
		head = buffer.subarray(payloadBytes, payloadBytes + headBytes);
		const payload = buffer.subarray(0, payloadBytes);
		if (crc32(payload) !== checksum) {
			throw new Error('A block does not check');
		}

		return payload;
	};
}
