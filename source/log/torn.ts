import {blockHeaderBytes, decodeBlockHeader} from '../format/block.ts';
import {Mismatch} from '../format/mismatch.ts';
import {segmentHeaderBytes} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import type {Segment} from './segment.ts';
import {readUpTo, withFile} from './transfer.ts';

const sectorBytes = 512;
const pieceBytes = 1024 * 1024;
const zeros = Buffer.alloc(sectorBytes);

type Stretch = {from: number; to: number};

/**
 * Whether bytes of a segment that do not check are what a power cut leaves of writes that had not reached the device:
 * zeros stand where a header was, or a whole sector, or the segment ends within a block. Other bytes were there once.
 */
export function isTorn(segment: Segment, stretch: Stretch, storage: Storage): boolean {
	return withFile(segment.path, storage, descriptor => {
		const {from, to} = stretch;
		const front = readUpTo(storage, descriptor, from, Math.min(blockHeaderBytes, to - from));
		return isZero(front) || endsWithin(segment, stretch, front) || hasHole(descriptor, segment, stretch, storage);
	});
}

/** Whether a segment ends before the header, or the block, that begins a stretch. */
function endsWithin(segment: Segment, {from, to}: Stretch, front: Buffer): boolean {
	if (to < segment.end || to - from < (from === 0 ? segmentHeaderBytes : blockHeaderBytes)) {
		return to >= segment.end;
	}

	const header = decodeBlockHeader(front, 0, segment.identity);
	return !(header instanceof Mismatch) && from + blockHeaderBytes + header.payloadBytes > to;
}

/** Whether a whole sector of a stretch is zeros, or the last one from its beginning to the end of the segment. */
function hasHole(descriptor: number, segment: Segment, {from, to}: Stretch, storage: Storage): boolean {
	for (let position = from; position < to; ) {
		const stop = Math.min(to, position - (position % sectorBytes) + pieceBytes);
		const piece = readUpTo(storage, descriptor, position, stop - position);
		for (const sector of sectorsOf({from: position, to: stop})) {
			const isWhole = sector.from % sectorBytes === 0 && (sector.to % sectorBytes === 0 || sector.to === segment.end);
			if (isWhole && isZero(piece.subarray(sector.from - position, sector.to - position))) {
				return true;
			}
		}

		position = stop;
	}

	return false;
}

function* sectorsOf({from, to}: Stretch): Generator<Stretch> {
	for (let start = from; start < to; ) {
		const stop = Math.min(to, start - (start % sectorBytes) + sectorBytes);
		yield {from: start, to: stop};
		start = stop;
	}
}

function isZero(bytes: Buffer): boolean {
	return bytes.equals(zeros.subarray(0, bytes.byteLength));
}
