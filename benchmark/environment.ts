import {spawnSync} from 'node:child_process';
import {readFileSync, realpathSync} from 'node:fs';
import {cpus, release, totalmem} from 'node:os';
import {join} from 'node:path';
import {benchmarkFolder, peerVersion} from './peers.ts';
import {loadSystem, systemNames} from './systems/index.ts';

/** What the figures depend on. */
export type Environment = {
	machine: string;
	fileSystem: string;
	node: string;
	disq: string;
	/** Versions of the peers, by package; undefined of those that are not installed. */
	peers: Record<string, string | null>;
};

export async function describeEnvironment(directory: string): Promise<Environment> {
	return {
		machine: describeMachine(),
		fileSystem: fileSystemOf(directory),
		node: process.versions.node,
		disq: describeDisq(),
		peers: await peerVersions(),
	};
}

function describeMachine(): string {
	const gigabytes = Math.round(totalmem() / 2 ** 30);
	const model = cpus()[0]?.model.trim() || process.arch;
	return `${cpus().length} cores (${model}), ${gigabytes} GiB of memory, ${process.platform} ${release().split('-')[0]}`;
}

/** Type of the file system that a directory is on, where the system has a list of them. */
function fileSystemOf(directory: string): string {
	const path = `${realpathSync(directory)}/`;
	const mounts = readMounts().filter(({at}) => path.startsWith(at === '/' ? at : `${at}/`));
	return mounts.toSorted((a, b) => a.at.length - b.at.length).at(-1)?.type ?? 'unknown';
}

function readMounts(): Array<{at: string; type: string}> {
	try {
		const lines = readFileSync('/proc/mounts', 'utf8').split('\n').slice(0, -1);
		return lines.map(line => {
			const [, at = '', type = ''] = line.split(' ');
			return {at, type};
		});
	} catch {
		return [];
	}
}

/** Version of disq, with the commit that last changed its source and a `+` if it was changed since. */
function describeDisq(): string {
	const root = join(benchmarkFolder, '..');
	const {version} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {version: string};
	const git = (...parameters: string[]) =>
		spawnSync('git', [...parameters, '--', 'source'], {cwd: root, encoding: 'utf8'}).stdout?.trim() ?? '';
	const commit = git('log', '-1', '--format=%h');
	return commit === '' ? version : `${version} (${commit}${git('status', '--porcelain') === '' ? '' : '+'})`;
}

async function peerVersions(): Promise<Environment['peers']> {
	const systems = await Promise.all(systemNames.map(loadSystem));
	const names = systems.flatMap(({peer}) => peer ?? []);
	return Object.fromEntries(names.map(name => [name, peerVersion(name) ?? null]));
}
