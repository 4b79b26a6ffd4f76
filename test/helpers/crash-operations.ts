import {basename, dirname} from 'node:path';
import type {Operation} from './simulated-disk.ts';

/** The inode of each path, of a disk. */
export type Names = Map<string, number | 'directory'>;

const never = Number.POSITIVE_INFINITY;

/** The operation by which each operation is on the device: the sync of its file or directory. */
export function findDurable(operations: readonly Operation[]): number[] {
	return operations.map((operation, index) => {
		switch (operation.kind) {
			case 'write':
			case 'truncate': {
				const sync = operations.findIndex(each => isSyncOf(each, operation.inode) && each.covers > index);
				return operations[sync]?.kind === 'sync' ? sync : never;
			}

			case 'create':
			case 'unlink':
			case 'makeDirectory':
				return findDirectorySync(operations, index, dirname(operation.path));
			case 'rename':
				return Math.max(
					findDirectorySync(operations, index, dirname(operation.path)),
					findDirectorySync(operations, index, dirname(operation.to)),
				);
			default:
				return -1;
		}
	});
}

function isSyncOf(operation: Operation, inode: number): operation is Extract<Operation, {kind: 'sync' | 'failedSync'}> {
	return (operation.kind === 'sync' || operation.kind === 'failedSync') && operation.inode === inode;
}

function findDirectorySync(operations: readonly Operation[], index: number, directory: string): number {
	const sync = operations.findIndex(
		each => each.kind === 'syncDirectory' && each.path === directory && each.covers > index,
	);
	return sync === -1 ? never : sync;
}

export function describeOperation(operation: Operation): string {
	const name = basename(operation.path);
	switch (operation.kind) {
		case 'write':
			return `write ${name} ${operation.bytes.byteLength} bytes at ${operation.position}`;
		case 'truncate':
			return `truncate ${name} to ${operation.length}`;
		case 'rename':
			return `rename ${name} to ${operation.to}`;
		case 'create':
		case 'unlink':
		case 'makeDirectory':
			return `${operation.kind} ${name}`;
		default:
			return `${operation.kind} ${name}, covers what is before ${operation.covers}`;
	}
}

export function isNameOperation({kind}: Operation): boolean {
	return kind === 'create' || kind === 'unlink' || kind === 'rename' || kind === 'makeDirectory';
}

export function inodeOf(operation: Operation): number {
	return 'inode' in operation ? operation.inode : -1;
}

/** What an operation makes of the names. */
export function applyName(names: Names, operation: Operation): void {
	if (operation.kind === 'makeDirectory') {
		names.set(operation.path, 'directory');
	} else if (operation.kind === 'create') {
		names.set(operation.path, operation.inode);
	} else if (operation.kind === 'unlink' || operation.kind === 'rename') {
		if (names.get(operation.path) === operation.inode) {
			names.delete(operation.path);
		}

		if (operation.kind === 'rename') {
			names.set(operation.to, operation.inode);
		}
	}
}

/** Whether the directory of a path is there, and that of the directory. */
export function hasParents(names: Names, path: string): boolean {
	const parent = dirname(path);
	return parent === path || parent === '/' || (names.get(parent) === 'directory' && hasParents(names, parent));
}
