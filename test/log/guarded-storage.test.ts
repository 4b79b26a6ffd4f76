import {readdirSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {CallsUnderWay} from '../../source/log/calls-under-way.ts';
import {lockDirectory} from '../../source/log/directory-lock.ts';
import {guardStorage} from '../../source/log/guarded-storage.ts';
import {fileSystem, type Storage, type SyncPlace} from '../../source/storage.ts';
import {onUnix} from '../helpers/platforms.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

/** Every call that names a path below the directory, or forces to the device what no path may lead to. */
const calls: Record<string, (storage: Storage, path: string, descriptor: number) => unknown> = {
	list: (storage, path) => storage.list(path),
	kind: (storage, path) => storage.kind(join(path, 'file')),
	stat: (storage, path) => storage.stat(join(path, 'file')),
	makeDirectory: (storage, path) => storage.makeDirectory(join(path, 'quarantine')),
	open: (storage, path) => storage.close(storage.open(join(path, 'file'), 'update')),
	openDirectory: (storage, path) => storage.close(storage.openDirectory(path)),
	rename: (storage, path) => storage.rename(join(path, 'file'), join(path, 'other')),
	unlink: (storage, path) => storage.unlink(join(path, 'other')),
	syncDirectory: (storage, path) => storage.syncDirectory(path),
	sync: (storage, _path, descriptor) => storage.sync(descriptor),
};

onUnix(
	'a call goes through while the directory is held, and is refused with ESTALE once it was moved away',
	async t => {
		const place = join(temporaryDirectory(t), 'place');
		fileSystem.makeDirectory(place);
		writeFileSync(join(place, 'file'), 'content');
		const lock = await lockDirectory(place, fileSystem);
		const storage = guardStorage(fileSystem, lock, place);
		const descriptor = storage.open(join(place, 'file'), 'read');
		for (const [name, call] of Object.entries(calls)) {
			await t.notThrowsAsync(async () => call(storage, place, descriptor), name);
		}

		renameSync(place, `${place}-moved`);
		fileSystem.makeDirectory(place);
		writeFileSync(join(place, 'file'), 'of another');
		for (const [name, call] of Object.entries(calls)) {
			await t.throwsAsync(async () => call(storage, place, descriptor), {code: 'ESTALE', message: /was moved/}, name);
		}

		t.deepEqual(readdirSync(place), ['file']);
		storage.close(descriptor);
		await lock.release();
	},
);

onUnix('a sync is made where it was asked for, whoever watches it', async t => {
	const place = temporaryDirectory(t);
	const places: Array<SyncPlace | undefined> = [];
	const device: Storage = {
		...fileSystem,
		async sync(_descriptor, where) {
			places.push(where);
		},
	};
	const lock = await lockDirectory(place, fileSystem);
	const {storage} = new CallsUnderWay(guardStorage(device, lock, place));
	await storage.sync(0, 'inPlace');
	await storage.sync(0, 'threadPool');
	t.deepEqual(places, ['inPlace', 'threadPool']);
	await lock.release();
});
