import {Packr} from 'msgpackr';
import type {RecordKind} from '../records.ts';

export type RowPacker = {pack(record: object): Uint8Array; unpack(bytes: Uint8Array): unknown};

/** Where the shapes of objects are kept, so that not every row has to repeat its keys. */
export type ShapeStore = {load(): Uint8Array | undefined; save(shapes: Uint8Array): void};

/**
 * Packs records for a store that keeps each in a row of its own. Shapes shared by all rows and saved beside them make
 * msgpackr 10 to 25 % faster here than `useRecords: false`, and that as fast as JSON. Buffers are rows as they are.
 */
export function rowPacker(kind: RecordKind, shapes: ShapeStore): RowPacker {
	if (kind === 'C') {
		return {pack: record => record as Uint8Array, unpack: bytes => bytes};
	}

	const plain = new Packr();
	return new Packr({
		getStructures: () => {
			const saved = shapes.load();
			return saved ? plain.unpack(saved) : [];
		},
		saveStructures: structures => shapes.save(plain.pack(structures)),
	});
}
