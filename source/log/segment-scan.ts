import {blockHeaderBytes, checkPayload, decodeBlockHeader} from '../format/block.ts';
import {Mismatch} from '../format/mismatch.ts';
import {segmentHeaderBytes} from '../format/segment-header.ts';
import type {Storage} from '../storage.ts';
import {nextBlock} from './quarantine.ts';
import {ReadAhead} from './read-ahead.ts';
import {canHold, type Segment} from './segment.ts';

/** An offset in a segment, and the sequence behind what stands before it. */
export type PlaceInSegment = {offset: number; nextSequence: number};

/** Where the last whole block of a segment ends; whether nothing before it is missing. */
export type ScannedEnd = PlaceInSegment & {isWhole: boolean};

type WholeBlock = PlaceInSegment & {firstSequence: number};

/** Reads a segment through, over damage if whole blocks follow it. What is before `durable` has no later sequence. */
export async function scanSegment(segment: Segment, durable: PlaceInSegment, storage: Storage): Promise<ScannedEnd> {
	const end = {offset: segmentHeaderBytes, nextSequence: segment.firstSequence, isWhole: true};
	let endBefore = end.nextSequence;
	const window = new ReadAhead(storage);
	window.set(segment.path, segmentHeaderBytes);
	try {
		while (window.position < segment.end) {
			const nextSequence = window.position < durable.offset ? durable.nextSequence : Number.POSITIVE_INFINITY;
			const block = await wholeBlock(window, segment, nextSequence);
			const next = block ?? nextBlock(segment, {from: window.position + 1, to: segment.end, sequence: 0}, storage);
			if (!next) {
				break;
			}

			end.isWhole &&= block?.firstSequence === end.nextSequence;
			window.skip(next.offset - window.position);
			// A block that goes on from before the last one says that the last one's sequences are false.
			if (block && block.firstSequence >= endBefore) {
				endBefore = Math.min(end.nextSequence, block.firstSequence);
				end.offset = window.position;
				end.nextSequence = block.nextSequence;
			}
		}
	} finally {
		window.close();
	}

	return end;
}

/** The block at the window's start, by its end; undefined if there is none, or it does not check. */
async function wholeBlock(window: ReadAhead, segment: Segment, nextSequence: number): Promise<WholeBlock | undefined> {
	if (!(await window.fill(blockHeaderBytes, segment.end))) {
		return undefined;
	}

	const header = decodeBlockHeader(window.view(), 0, segment.identity);
	if (header instanceof Mismatch || !canHold(segment, header, nextSequence)) {
		return undefined;
	}

	const bytes = blockHeaderBytes + header.payloadBytes;
	if (window.position + bytes > segment.end || !(await window.fill(bytes, segment.end))) {
		return undefined;
	}

	const isWhole = checkPayload(window.view().subarray(blockHeaderBytes, bytes), header) === undefined;
	window.prefetch(segment.end);
	const {firstSequence, records} = header;
	return isWhole ? {offset: window.position + bytes, firstSequence, nextSequence: firstSequence + records} : undefined;
}
