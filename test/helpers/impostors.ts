import {execFileSync} from 'node:child_process';
import {mkdirSync, renameSync, symlinkSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {leaveDeadSocket} from './locks.ts';
import {without} from './platforms.ts';

/** What may stand under a name of ours, and is no file of ours. */
export type Impostor = {
	what: string;
	/** Makes it. `outside` holds files of somebody else, among them one of the same name. */
	make(path: string, outside: string): unknown;
	/** Why it cannot be made here. */
	missing?: string | undefined;
};

const noDevices = without('root and mknod', ['sh', '-c', 'd=$(mktemp -d) && mknod $d/node c 1 5 && rm -r $d']);

export const impostors: Impostor[] = [
	{
		what: 'a link to a file',
		make: (path, outside) => symlinkSync(join(outside, basename(path)), path),
	},
	{what: 'a link to a directory', make: (path, outside) => symlinkSync(outside, path)},
	{what: 'a link to nowhere', make: (path, outside) => symlinkSync(join(outside, 'nowhere'), path)},
	{what: 'a link to itself', make: path => symlinkSync(basename(path), path)},
	{what: 'a FIFO', make: path => execFileSync('mkfifo', ['--', path])},
	{
		what: 'a socket',
		async make(path, outside) {
			const short = join(outside, 'socket');
			await leaveDeadSocket(short);
			renameSync(short, path);
		},
	},
	{
		what: 'a directory',
		make(path) {
			mkdirSync(path);
			writeFileSync(join(path, 'file'), 'theirs');
		},
	},
	{what: 'a character device', make: path => execFileSync('mknod', [path, 'c', '1', '5']), missing: noDevices},
	{what: 'a block device', make: path => execFileSync('mknod', [path, 'b', '7', '0']), missing: noDevices},
];

/** The calls that only tell what a name is. */
const looks: ReadonlySet<string> = new Set(['kind', 'stat']);

/** The file system, and the calls that do more to what is under some paths than look what it is. */
export function watchPaths(paths: string[]): {storage: Storage; touches: string[]} {
	const touches: string[] = [];
	const isWatched = (value: unknown) => paths.some(path => value === path || String(value).startsWith(`${path}/`));
	const calls = Object.entries(fileSystem).map(([name, call]) => [
		name,
		(...values: unknown[]) => {
			if (!looks.has(name) && values.some(isWatched)) {
				touches.push(`${name} ${values.join(' ')}`);
			}

			return (call as (...values: unknown[]) => unknown)(...values);
		},
	]);
	return {storage: Object.fromEntries(calls) as Storage, touches};
}
