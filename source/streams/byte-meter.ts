import type {Writable} from 'node:stream';
import type {StringDecoder} from 'node:string_decoder';
import {types} from 'node:util';
import {notBytes} from '../errors.ts';
import {Ring} from '../ring.ts';
import type {Meter, Metered} from './meter.ts';

/** Small chunks are taken so many at a time. */
const maxChunks = 512;

/** A stream's own decoder, after `setEncoding`, and how many bytes it wants to complete a character. */
type Decoding = {_readableState?: {decoder: (StringDecoder & {lastNeed?: number}) | null}};

/** Counts bytes; after `setEncoding` characters, as the stream's buffer does then. */
export class ByteMeter implements Meter {
	readonly #stream: Metered & Decoding;
	#pushed = 0;
	/** Where the records that were pushed and are not done end. */
	readonly #ends = new Ring<number>();

	constructor(stream: Metered) {
		this.#stream = stream;
	}

	get given(): number {
		return this.#pushed - this.#stream.readableLength;
	}

	limit(room: number): {max: number; maxBytes: number} {
		return {max: maxChunks, maxBytes: room};
	}

	chunksOf(records: unknown[]): Buffer[] {
		return records.map(bytesOf);
	}

	/** Text is decoded here, so that what of it belongs to which record is known. */
	countIn(chunk: Buffer): Buffer | string {
		const counted = this.#decoder?.write(chunk) ?? chunk;
		this.#pushed += counted.length;
		this.#ends.push(this.#end);
		return counted;
	}

	/** What the decoder holds comes as a replacement, from the stream itself: it belongs to no record any more. */
	end(): void {
		for (const end of this.#ends.shiftMany(this.#ends.length)) {
			this.#ends.push(Math.min(end, this.#pushed));
		}
	}

	/** What is in the buffer becomes one text, and is done as a whole. */
	recount(change: () => void): void {
		const {given} = this;
		change();
		this.#pushed = given + this.#stream.readableLength;
		for (const end of this.#ends.shiftMany(this.#ends.length)) {
			this.#ends.push(end > given ? this.#end : end);
		}
	}

	countWithin(confirmed: number, max: number): number {
		let count = 0;
		while (count < max && count < this.#ends.length && this.#ends.at(count) <= confirmed) {
			count++;
		}

		return count;
	}

	forget(count: number): void {
		this.#ends.shiftMany(count);
	}

	isAlike({writableObjectMode}: Writable): boolean {
		return writableObjectMode === false && !this.#decoder;
	}

	/** Where the record that was pushed last ends: with the next character, if the decoder holds a part of it. */
	get #end(): number {
		return this.#pushed + (this.#decoder && this.#decoder.lastNeed !== 0 ? 1 : 0);
	}

	get #decoder(): (StringDecoder & {lastNeed?: number}) | null | undefined {
		return this.#stream._readableState?.decoder;
	}
}

/** Bytes are records like any other; and text is bytes, as in any stream. */
function bytesOf(record: unknown): Buffer {
	if (Buffer.isBuffer(record)) {
		return record;
	}

	if (typeof record === 'string') {
		return Buffer.from(record);
	}

	if (types.isUint8Array(record)) {
		return Buffer.from(record.buffer, record.byteOffset, record.byteLength);
	}

	throw notBytes(record);
}
