export type RecordKind = 'A' | 'B' | 'C';

/** A kind of record: how the one at an index is made, and checked when it comes out again. */
export type Records = {
	description: string;
	make(index: number): object;
	/** Throws if a record is not the one of this index: the order counts, or a queue would be easy to be fast at. */
	check(record: unknown, index: number): void;
};

// 2026-01-01. A fixed time keeps the encoded sizes the same in every run.
const epoch = 1_767_225_600_000;

const levels = ['debug', 'info', 'warn', 'error'];
const services = ['gateway', 'billing', 'catalog', 'search', 'accounts'];
const messages = [
	'request completed within its budget',
	'cache miss, asking the origin',
	'connection closed by peer',
	'retrying after a timeout',
	'access token renewed for user',
];

/** A line of a log. */
function logLine(index: number): object {
	return {
		id: index,
		ts: epoch + index,
		level: levels[index % levels.length],
		service: services[index % services.length],
		message: messages[index % messages.length],
		ok: index % 7 !== 0,
		ratio: (index % 997) / 997,
	};
}

/** An order as a shop has it, with objects and arrays in it. */
function order(index: number): object {
	return {
		id: index,
		ts: epoch + index,
		customer: {
			id: index % 5003,
			name: 'Marguerite Vandenbroucke',
			email: 'marguerite.vandenbroucke@mail.example',
			isBusiness: index % 3 === 0,
			segments: ['newsletter', 'returning', 'north'],
		},
		shipping: {
			street: '27 Rue des Trois Fontaines',
			city: 'Louvain-la-Neuve',
			postcode: '1348',
			country: 'Belgium',
			location: {latitude: 50.6683 + index / 1e7, longitude: 4.6118 - index / 1e7},
		},
		items: [item(index), item(index + 1), item(index + 2)],
		note: 'Please ring at the side entrance and leave the parcels dry, in the bicycle shed behind the house.',
		payment: {method: 'invoice', currency: 'EUR', net: (index % 9973) + 0.25, tax: 0.21, isPaid: false},
		tracking: {
			session: 'b7e0c3f2-5d41-4c0a-9a53-0f6d1f2e8c77',
			referrer: 'https://search.example/?q=garden+chairs+oak',
			landing: '/garden/furniture/chairs/oak?sort=price&page=2',
			agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
		},
	};
}

function item(index: number): object {
	return {
		article: `OAK-${index % 1000}`,
		title: 'Garden chair, oiled oak, foldable',
		quantity: (index % 4) + 1,
		price: (index % 499) + 0.5,
	};
}

// A prime, so that no batch size hides a record that is missing.
const bufferCount = 61;
const bufferBytes = 64 * 1024;
let buffers: Buffer[] = [];

/** A piece of a file. Made beforehand, for 64 KiB of noise take longer to make than to queue. */
function piece(index: number): Buffer {
	if (buffers.length === 0) {
		buffers = Array.from({length: bufferCount}, (_, number) => noise(number));
	}

	return buffers[index % bufferCount]!;
}

/** Bytes that do not compress, by a generator of George Marsaglia (xorshift); the first four are the seed. */
function noise(seed: number): Buffer {
	const words = new Uint32Array(bufferBytes / 4);
	let state = seed + 1;
	for (let index = 1; index < words.length; index++) {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		words[index] = state;
	}

	words[0] = seed;
	return Buffer.from(words.buffer);
}

export const recordKinds: Readonly<Record<RecordKind, Records>> = {
	A: {description: 'a flat object of seven fields, about 107 bytes of MessagePack', make: logLine, check: checkId},
	B: {description: 'a nested object of about 1 KiB', make: order, check: checkId},
	C: {
		description: 'a Buffer of 64 KiB',
		make: piece,
		check(record, index) {
			const bytes = record as Uint8Array;
			expect(bytes.byteLength, bufferBytes);
			expect(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true), index % bufferCount);
		},
	},
};

/** Records of a batch of a peer, and of a raw block. */
export const batchSizes: Readonly<Record<RecordKind, {batch: number; block: number}>> = {
	A: {batch: 512, block: 512},
	B: {batch: 512, block: 512},
	C: {batch: 16, block: 4},
};

/** Records that go through another directory before throughput is measured: with fewer, compiling would count. */
export const warmUpRecords: Readonly<Record<RecordKind, number>> = {A: 30_000, B: 6000, C: 800};

function checkId(record: unknown, index: number): void {
	expect((record as {id: number}).id, index);
}

function expect(found: number, expected: number): void {
	if (found !== expected) {
		throw new Error(`Expected record ${expected}, got ${found}`);
	}
}
