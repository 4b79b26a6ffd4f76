import type {System} from './system.ts';

export type SystemName =
	| 'classic-level'
	| 'disk-queue'
	| 'disq'
	| 'fs-capacitor'
	| 'lmdb'
	| 'ndjson'
	| 'PassThrough'
	| 'promise queue'
	| 'raw blocks'
	| 'raw bytes'
	| 'sqlite';

/** The systems, each loaded only where it is measured: what another one loads would count as its memory. */
const loaders: Record<SystemName, () => Promise<System>> = {
	'classic-level': async () => (await import('./classic-level.ts')).classicLevel,
	'disk-queue': async () => (await import('./disk-queue.ts')).diskQueue,
	disq: async () => (await import('./disq.ts')).disq,
	'fs-capacitor': async () => (await import('./fs-capacitor.ts')).fsCapacitor,
	lmdb: async () => (await import('./lmdb.ts')).lmdb,
	ndjson: async () => (await import('./ndjson.ts')).ndjson,
	PassThrough: async () => (await import('./pass-through.ts')).passThrough,
	'promise queue': async () => (await import('./promise-queue.ts')).promiseQueue,
	'raw blocks': async () => (await import('./raw-blocks.ts')).rawBlocks,
	'raw bytes': async () => (await import('./raw-bytes.ts')).rawBytes,
	sqlite: async () => (await import('./sqlite.ts')).sqlite,
};

export const systemNames: readonly SystemName[] = Object.keys(loaders) as SystemName[];

export function loadSystem(name: SystemName): Promise<System> {
	return loaders[name]();
}
