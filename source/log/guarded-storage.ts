import type {Storage} from '../storage.ts';
import type {DirectoryLock} from './lock-claim.ts';

/** The calls that name a path, and so would meet another directory in the place of one that was moved away. */
const guarded = [
	'list',
	'kind',
	'stat',
	'makeDirectory',
	'open',
	'openDirectory',
	'syncDirectory',
	'rename',
	'unlink',
] as const satisfies Array<keyof Storage>;

/**
 * The storage of a directory that is owned. It refuses with `ESTALE` once the directory is not in its place, or its claim
 * was removed: whoever has taken it meanwhile keeps what is theirs, and nothing that lacks is taken for lost. A `sync`
 * is refused too, for it would vouch for files that nobody can open any more.
 */
export function guardStorage(storage: Storage, lock: DirectoryLock, directory: string): Storage {
	const check = (syscall: string) => {
		if (!lock.isHeld()) {
			const message = `ESTALE: ${directory} was moved or removed, or its lock was, ${syscall}`;
			throw Object.assign(new Error(message), {code: 'ESTALE', syscall, path: directory});
		}
	};
	const guards = guarded.map(name => {
		const call = storage[name] as (...values: unknown[]) => unknown;
		return [
			name,
			(...values: unknown[]) => {
				check(name);
				return call.apply(storage, values);
			},
		];
	});
	return {
		...storage,
		...Object.fromEntries(guards),
		async sync(descriptor, where) {
			await storage.sync(descriptor, where);
			check('sync');
		},
	};
}
