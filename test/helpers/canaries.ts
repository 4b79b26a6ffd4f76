import {readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {range} from './queues.ts';
import {pickFrom} from './random.ts';

/** What stands in memory beside the bytes of records: none of theirs is as high. */
const canary = 0xc5;
const highest = 0x80;
/** So many in a row are no chance. */
const canaries = Buffer.alloc(4, canary);
const bufferBytes = 1000;

type ViewClass = new (buffer: ArrayBuffer, byteOffset: number, length: number) => ArrayBufferView;

const viewClasses: Array<ViewClass & {BYTES_PER_ELEMENT?: number}> = [
	...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
	...[Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView],
];

/** Node 20 has them, and TypeScript for its version of the language does not. */
const ResizableBuffer = ArrayBuffer as unknown as new (
	bytes: number,
	options: {maxByteLength: number},
) => ArrayBuffer & {resize(bytes: number): void};

/** Buffers full of canaries: one of this thread, a shared one, and one that was longer. */
const buffers: Array<() => ArrayBufferLike> = [
	() => new Uint8Array(bufferBytes).fill(canary).buffer,
	() => new Uint8Array(new SharedArrayBuffer(bufferBytes)).fill(canary).buffer,
	() => {
		const buffer = new ResizableBuffer(2 * bufferBytes, {maxByteLength: 3 * bufferBytes});
		new Uint8Array(buffer).fill(canary);
		buffer.resize(bufferBytes);
		return buffer;
	},
];

/** A view of each class there is, of a part of a buffer that is full of canaries otherwise. */
export function viewsAmidCanaries(random: () => number): ArrayBufferView[] {
	const views = viewClasses.map(View => {
		const buffer = pickFrom(buffers, random)() as ArrayBuffer;
		const offset = (View.BYTES_PER_ELEMENT ?? 1) * Math.floor(random() * 20);
		return new View(buffer, offset, Math.floor(random() * 80));
	});
	const long = Buffer.alloc(20 * bufferBytes, canary);
	const all = [...views, long.subarray(bufferBytes, 2 * bufferBytes), pooledBuffer()];
	for (const view of all) {
		fill(view, () => random() * highest);
	}

	return all;
}

/** Buffers so large that they are written without a copy if a block holds nothing else; they are parts of larger ones. */
export function buffersAmidCanaries(random: () => number): Buffer[] {
	return range(0, 20).map(() => {
		const start = Math.floor(random() * 1000);
		const buffer = Buffer.alloc(40_000, canary).subarray(start, start + 4096 + Math.floor(random() * 20_000));
		fill(buffer, () => random() * highest);
		return buffer;
	});
}

/** A part of the pool that small Buffers share, between canaries. */
function pooledBuffer(): Buffer {
	const around = () => Buffer.allocUnsafe(50).fill(canary);
	return [around(), Buffer.allocUnsafe(70), around()][1]!;
}

function fill({buffer, byteOffset, byteLength}: ArrayBufferView, next: () => number): void {
	new Uint8Array(buffer, byteOffset, byteLength).forEach((_, index, bytes) => {
		bytes[index] = next();
	});
}

/** Leaves memory full of canaries to whoever allocates some without clearing it. */
export function leaveCanaries(): void {
	for (const bytes of range(0, 100).map(power => 64 * (power + 1))) {
		Buffer.allocUnsafeSlow(bytes).fill(canary);
		Buffer.allocUnsafe(bytes).fill(canary);
	}
}

/** Searches all files below a directory for canaries; gives how many bytes there were, and the files that have some. */
export function searchForCanaries(directory: string): {bytes: number; found: string[]} {
	const paths = readdirSync(directory, {recursive: true, encoding: 'utf8'}).map(name => join(directory, name));
	const files = paths.filter(path => statSync(path).isFile());
	return {
		bytes: files.reduce((sum, path) => sum + statSync(path).size, 0),
		found: files.filter(path => readFileSync(path).includes(canaries)),
	};
}
