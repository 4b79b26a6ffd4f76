import type {Workload} from '../workload.ts';

export type WorkloadName = 'fill' | 'pipeline' | 'fsync' | 'latency' | 'open' | 'backlog' | 'loop';

/** Loaded one by one, so that a process that is measured holds no more than it needs. What their parameters are is theirs. */
const loaders: Record<WorkloadName, () => Promise<Workload<unknown>>> = {
	fill: async () => (await import('./fill.ts')).fill,
	pipeline: async () => (await import('./pipeline.ts')).pipeline,
	fsync: async () => (await import('./fsync.ts')).fsync,
	latency: async () => (await import('./latency.ts')).latency,
	open: async () => (await import('./open.ts')).open,
	backlog: async () => (await import('./backlog.ts')).backlog,
	loop: async () => (await import('./loop.ts')).loop,
};

export const workloadNames: readonly WorkloadName[] = Object.keys(loaders) as WorkloadName[];

export function loadWorkload(name: WorkloadName): Promise<Workload<unknown>> {
	return loaders[name]();
}
