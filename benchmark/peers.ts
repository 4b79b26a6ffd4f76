import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';

/** The folder with the package.json of the peers, which are no dependencies of disq. */
export const benchmarkFolder: string = fileURLToPath(new URL('../../benchmark/', import.meta.url));

const {resolve} = createRequire(join(benchmarkFolder, 'package.json'));

/** Imports a peer. What it is to the caller is the caller's to say: a peer that is missing has no types either. */
export async function loadPeer<T>(name: string): Promise<T> {
	return (await import(pathToFileURL(resolve(name)).href)) as T;
}

/** Version of a peer; undefined if it is not there, because it could not be built, say. */
export function peerVersion(name: string): string | undefined {
	try {
		return versionIn(dirname(resolve(name)));
	} catch {
		return undefined;
	}
}

/** Version in the nearest package.json that has one: not every package exports its own. */
function versionIn(folder: string): string | undefined {
	try {
		const {version} = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {version?: string};
		return version ?? versionIn(dirname(folder));
	} catch {
		return folder === dirname(folder) ? undefined : versionIn(dirname(folder));
	}
}
