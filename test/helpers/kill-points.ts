import {basename} from 'node:path';
import {checkpointFileBytes} from '../../source/format/checkpoint.ts';
import {checkpointFileName, parseSegmentFileName, quarantineDirectoryName} from '../../source/format/file-name.ts';
import {isClaimName} from '../../source/log/claim-name.ts';
import {fileSystem, type Storage} from '../../source/storage.ts';
import {isLong} from './form.ts';
import {pickFrom} from './random.ts';

/** Every call of the file system that changes something or forces it, from the first use of a queue on. */
export const calls = [
	'make directory',
	'sync parent directory',
	'rename claim',
	'unlink claim',
	'create checkpoint',
	'allocate checkpoint',
	'write checkpoint',
	'sync checkpoint',
	'close checkpoint',
	'unlink checkpoint',
	'rename checkpoint',
	'create segment',
	'write header',
	'write block',
	'sync segment',
	'truncate segment',
	'close segment',
	'unlink segment',
	'rename segment',
	'sync directory',
	'make quarantine',
	'create copy',
	'write copy',
	'close copy',
	'sync copy',
	'sync quarantine',
] as const;

export type Call = (typeof calls)[number];

/** `within`: with a half of the bytes written, or while a sync is under way. */
export type Moment = 'before' | 'within' | 'after';

/** Where a process kills itself: at the `nth` call of a kind. */
export type KillPoint = {call: Call; moment: Moment; nth: number};

/** The moments to try: all, or in the short form one by chance. */
export function someMomentsOf(call: Call, random: () => number): Moment[] {
	return isLong ? momentsOf(call) : [pickFrom(momentsOf(call), random)];
}

function momentsOf(call: Call): Moment[] {
	return /^(write|allocate|sync)/.test(call) ? ['before', 'within', 'after'] : ['before', 'after'];
}

/** The file system, for queues in these directories, until it kills the process. */
export function killingStorage({call: fatal, moment, nth}: KillPoint, directories: string[]): Storage {
	let left = nth;
	const written = new Map<number, string>();
	const run = <R>(call: Call | undefined, make: () => R, makeHalf: () => void = make): R => {
		if (call !== fatal || --left !== 0) {
			return make();
		}

		if (moment === 'before') {
			die();
		}

		if (moment === 'within') {
			makeHalf();
			die();
		}

		const made = make();
		return made instanceof Promise ? (made.finally(die) as R) : die();
	};
	const pathOf = (descriptor: number) => written.get(descriptor) ?? '';
	return {
		...fileSystem,
		makeDirectory: path =>
			run(basename(path) === quarantineDirectoryName ? 'make quarantine' : 'make directory', () =>
				fileSystem.makeDirectory(path),
			),
		open(path, how) {
			const descriptor = run(how === 'create' ? nameCall('create', path) : undefined, () => fileSystem.open(path, how));
			if (how !== 'read') {
				written.set(descriptor, path);
			}

			return descriptor;
		},
		write(descriptor, pieces, position) {
			const bytes = Buffer.concat(pieces);
			return run(
				nameWrite(pathOf(descriptor), position, bytes.byteLength),
				() => fileSystem.write(descriptor, pieces, position),
				() => fileSystem.write(descriptor, [bytes.subarray(0, bytes.byteLength / 2)], position),
			);
		},
		truncate: (descriptor, bytes) =>
			run(nameCall('truncate', pathOf(descriptor)), () => fileSystem.truncate(descriptor, bytes)),
		sync: descriptor => run(nameCall('sync', pathOf(descriptor)), () => fileSystem.sync(descriptor)),
		syncDirectory: path => run(nameDirectorySync(path, directories), () => fileSystem.syncDirectory(path)),
		rename: (from, to) => run(nameCall('rename', from), () => fileSystem.rename(from, to)),
		unlink: path => run(nameCall('unlink', path), () => fileSystem.unlink(path)),
		close(descriptor) {
			const path = pathOf(descriptor);
			written.delete(descriptor);
			run(nameCall('close', path), () => fileSystem.close(descriptor));
		},
	};
}

function nameCall(verb: string, path: string): Call | undefined {
	const name = `${verb} ${kindOf(basename(path))}`;
	return calls.find(call => call === name);
}

function kindOf(name: string): string {
	if (isClaimName(name)) {
		return 'claim';
	}

	if (name.endsWith('.bad')) {
		return 'copy';
	}

	return parseSegmentFileName(name) === undefined ? name : 'segment';
}

function nameWrite(path: string, position: number, bytes: number): Call | undefined {
	switch (kindOf(basename(path))) {
		case 'segment':
			return position === 0 ? 'write header' : 'write block';
		case checkpointFileName:
			return bytes === checkpointFileBytes ? 'allocate checkpoint' : 'write checkpoint';
		default:
			return nameCall('write', path);
	}
}

function nameDirectorySync(path: string, directories: string[]): Call {
	if (basename(path) === quarantineDirectoryName) {
		return 'sync quarantine';
	}

	return directories.includes(path) ? 'sync directory' : 'sync parent directory';
}

function die(): never {
	process.kill(process.pid, 'SIGKILL');
	throw new Error('Still alive');
}
