import {spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {benchmarkFolder} from './peers.ts';

const stamp: string = join(benchmarkFolder, 'node_modules', '.installed');

/**
 * Installs the peers, unless that was done for this lock file and this Node. Those that cannot be installed are left out.
 *
 * better-sqlite3 is built from its source: the binary it would fetch otherwise comes from another host than the package.
 * The other native peers carry theirs in their packages.
 */
export function installPeers(): void {
	const wanted = fingerprint();
	if (readStamp() === wanted) {
		return;
	}

	console.log('Installing the peers; building better-sqlite3 takes a minute or two');
	const {status} = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
		cwd: benchmarkFolder,
		stdio: ['ignore', 'inherit', 'inherit'],
		env: {...process.env, npm_config_build_from_source: 'better-sqlite3'},
		shell: process.platform === 'win32',
	});
	if (status === 0) {
		writeFileSync(stamp, wanted);
	} else {
		console.warn('The peers could not be installed: only disq and its limits are measured');
	}
}

function fingerprint(): string {
	const lock = readFileSync(join(benchmarkFolder, 'package-lock.json'));
	return `${createHash('sha256').update(lock).digest('hex')} modules ${process.versions.modules}\n`;
}

function readStamp(): string | undefined {
	try {
		return readFileSync(stamp, 'utf8');
	} catch {
		return undefined;
	}
}
