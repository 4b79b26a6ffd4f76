import type {Duplex} from 'node:stream';
import {PassThrough} from 'readable-stream';
import type {System} from './system.ts';

export const passThrough: System = {
	setup:
		'A limit: the PassThrough of readable-stream, the library whose Duplex disq is, in object mode. It holds no more ' +
		'than its two buffers, so source and sink take turns.',
	openDuplex: (_directory, {highWaterMark}) => new PassThrough({objectMode: true, highWaterMark}) as unknown as Duplex,
};
