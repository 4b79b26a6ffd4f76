import type * as node from 'node:stream';
import * as streams from 'readable-stream';

// The classes of readable-stream, by the types of those they are made after: its own types leave some of it out.
export const Readable: typeof node.Readable = streams.Readable as unknown as typeof node.Readable;
export const Writable: typeof node.Writable = streams.Writable as unknown as typeof node.Writable;
export const Duplex: typeof node.Duplex = streams.Duplex as unknown as typeof node.Duplex;
