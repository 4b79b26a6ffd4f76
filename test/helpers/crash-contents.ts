import {createHash} from 'node:crypto';
import type {Content, Operation} from './simulated-disk.ts';

/**
 * What a power cut may put in the place of what a write did not bring to the device: nothing, zeros, bytes of no
 * meaning, bytes of a file that was there before. `longer`: all of it is there, and zeros behind it, up to a page.
 */
export const fills = ['missing', 'zeros', 'garbage', 'stale', 'longer'] as const;

/** `former`: in all that is pending of the file stands what an earlier run had written there, and lost. */
export type Fill = (typeof fills)[number] | 'former';

export type WriteOperation = Extract<Operation, {kind: 'write'}>;

/** A write of which only the first `cut` bytes are on the device. `from`: where what is pending of its file begins. */
export type Tear = {operation: number; cut: number; fill: Fill; stale: Buffer; from: number};

export const sectorBytes = 512;
const pageBytes = 4096;
/** Where the blocks of a segment begin. */
const blocksOffset = 64;
/** So many contents are kept at hand. */
const cachedContents = 400;

/** Gives contents their keys: equal bytes, equal keys. */
export class Contents {
	readonly #keys = new Map<string, string>();
	readonly #cache = new Map<string, Content>();

	keyOf(bytes: Buffer): string {
		const hash = createHash('sha1').update(bytes).digest('base64');
		let key = this.#keys.get(hash);
		if (key === undefined) {
			key = this.#keys.size.toString(36);
			this.#keys.set(hash, key);
		}

		return key;
	}

	/** The content of a key, made if it is not at hand. */
	of(key: string, make: () => Buffer): Content {
		const content = this.#cache.get(key) ?? {bytes: make(), key};
		if (this.#cache.size === cachedContents) {
			this.#cache.clear();
		}

		this.#cache.set(key, content);
		return content;
	}
}

/** A content, by the operations that made it from the one above. */
type Node = {below: Map<number | string, Node>; key: string | undefined};

/** The contents that a file may have: which of its operations are kept makes one, and each is built once. */
export class FileContents {
	/** Its writes and truncations, by their place in the log. */
	readonly indexes: number[] = [];
	readonly #base: Buffer;
	readonly #operations: readonly Operation[];
	readonly #contents: Contents;
	readonly #root: Node;

	constructor(base: Content | undefined, operations: readonly Operation[], contents: Contents) {
		this.#base = base?.bytes ?? Buffer.alloc(0);
		this.#operations = operations;
		this.#contents = contents;
		this.#root = {below: new Map(), key: base?.key};
	}

	/** Its length at the start. */
	get baseBytes(): number {
		return this.#base.byteLength;
	}

	/** The key of the content that the operations before a crash make which are kept. */
	keyOf(kept: Uint8Array, tear: Tear | undefined): string {
		let node = this.#root;
		for (const index of this.indexes) {
			if (index < kept.length && kept[index]) {
				node = below(node, tear?.operation === index ? describeTear(tear) : index);
			}
		}

		node.key ??= this.#contents.keyOf(this.#build(kept, tear));
		return node.key;
	}

	content(kept: Uint8Array, tear: Tear | undefined): Content {
		return this.#contents.of(this.keyOf(kept, tear), () => this.#build(kept, tear));
	}

	#build(kept: Uint8Array, tear: Tear | undefined): Buffer {
		const operations = this.indexes.filter(index => index < kept.length && kept[index]);
		const size = Math.max(this.#base.byteLength, ...operations.map(index => reachOf(this.#operations[index]!)));
		const bytes = Buffer.alloc(size + pageBytes);
		let length = this.#base.copy(bytes);
		for (const index of operations) {
			const operation = this.#operations[index]!;
			if (operation.kind === 'truncate') {
				bytes.fill(0, operation.length, Math.max(operation.length, length));
				length = operation.length;
			} else if (operation.kind === 'write') {
				const cut = tear?.operation === index ? tear : undefined;
				length = Math.max(length, cut ? writeTorn(bytes, length, operation, cut) : writeWhole(bytes, operation));
			}
		}

		return bytes.subarray(0, length);
	}
}

function below(node: Node, step: number | string): Node {
	let child = node.below.get(step);
	if (!child) {
		child = {below: new Map(), key: undefined};
		node.below.set(step, child);
	}

	return child;
}

function describeTear({operation, cut, fill, stale}: Tear): string {
	return `${operation} ${cut} ${fill} ${fill === 'stale' ? stale.toString('latin1', 0, 64) : ''}`;
}

function reachOf(operation: Operation): number {
	if (operation.kind === 'write') {
		return operation.position + operation.bytes.byteLength;
	}

	return operation.kind === 'truncate' ? operation.length : 0;
}

function writeWhole(target: Buffer, {bytes, position}: WriteOperation): number {
	return position + bytes.copy(target, position);
}

/** Gives how far the file reaches by it. */
function writeTorn(target: Buffer, length: number, operation: WriteOperation, {cut, fill, stale, from}: Tear): number {
	const start = operation.position + cut;
	const end = operation.position + operation.bytes.byteLength;
	operation.bytes.copy(target, operation.position, 0, fill === 'longer' ? undefined : cut);
	switch (fill) {
		case 'missing':
			return cut === 0 ? 0 : start;
		case 'longer':
			return end > length ? Math.ceil(end / pageBytes) * pageBytes : end;
		case 'stale':
			copyStale(target, {start, end, position: operation.position}, stale);
			return end;
		case 'former':
			target.fill(0, from, end);
			stale.copy(target, from, from, end);
			return end;
		default:
			target.fill(fill === 'zeros' ? 0 : 0xa5, start, end);
			return end;
	}
}

/** Old bytes line up with the write: where it begins stands what may pass for a header, or a block, of the segment. */
function copyStale(target: Buffer, place: {start: number; end: number; position: number}, stale: Buffer): void {
	const first = place.position === 0 ? 0 : blocksOffset;
	for (let at = place.start; at < place.end; ) {
		const from = (first + at - place.position) % stale.byteLength;
		at += stale.copy(target, at, from, Math.min(stale.byteLength, from + place.end - at));
	}
}
