import {lstatSync, mkdirSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {performance} from 'node:perf_hooks';

const blockBytes = 512;
const warmUpMilliseconds = 400;

/** What some work took: time on the clock, and of all processors. */
export type Cost = {seconds: number; cpuSeconds: number};

export async function costOf(work: () => unknown): Promise<Cost> {
	const [start, cpuStart] = [performance.now(), process.cpuUsage()];
	await work();
	const {user, system} = process.cpuUsage(cpuStart);
	return {seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6};
}

/** Does some work, each time in a directory of its own, until the code is warm: for as long with every system. */
export async function warmUp(directory: string, work: (directory: string) => Promise<unknown>): Promise<void> {
	const start = performance.now();
	for (let count = 1; count === 1 || performance.now() - start < warmUpMilliseconds; count++) {
		await work(subdirectory(directory, `warm-up-${count}`));
	}
}

/** How fast records went through all of some work. Processor time scatters less on a machine that does other things. */
export function ratesOf(records: number, costs: Cost[]): {recordsPerSecond: number; cpuMicroseconds: number} {
	const sum = (name: keyof Cost) => costs.reduce((total, cost) => total + cost[name], 0);
	return {recordsPerSecond: records / sum('seconds'), cpuMicroseconds: (sum('cpuSeconds') / records) * 1e6};
}

/**
 * The most memory this process has had resident. Where Linux tells it, by the process's own high-water mark: that of
 * `resourceUsage` begins, after a fork, with what the parent had.
 */
export function peakRssBytes(): number {
	const peak = /^VmHWM:\s*(\d+) kB$/m.exec(processStatus())?.[1];
	return (peak === undefined ? process.resourceUsage().maxRSS : Number(peak)) * 1024;
}

function processStatus(): string {
	try {
		return readFileSync('/proc/self/status', 'utf8');
	} catch {
		return '';
	}
}

/** What the files of a directory take on the device. */
export function diskBytes(directory: string): number {
	return readdirSync(directory, {withFileTypes: true}).reduce((bytes, entry) => {
		const path = join(directory, entry.name);
		return bytes + (entry.isDirectory() ? diskBytes(path) : bytesOf(path));
	}, 0);
}

/** A file that is gone by now, as a store may compact at any time, takes nothing. */
function bytesOf(file: string): number {
	const {blocks = 0, size = 0} = lstatSync(file, {throwIfNoEntry: false}) ?? {};
	return blocks ? blocks * blockBytes : size;
}

/** Makes an empty directory in another one. */
export function subdirectory(directory: string, name: string): string {
	const path = join(directory, name);
	mkdirSync(path);
	return path;
}
