import type {CrashScript} from '../helpers/crash-explorer.ts';
import {LogActor} from '../helpers/crash-log-actor.ts';
import {nextTurn} from '../helpers/queues.ts';

/** Lets what runs by itself, as a reclaim, come to its end. */
async function settle(): Promise<void> {
	for (let turn = 0; turn < 20; turn++) {
		await nextTurn();
	}
}

const small = {segmentBytes: 300};

/** Scripts over a segment log. */
export const logScripts: CrashScript[] = [
	{
		name: 'append, never synced',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(1, 2, 1, 3);
		},
	},
	{
		name: 'append and sync in turn',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(1);
			await log.sync();
			log.append(2);
			await log.sync();
			log.append(1, 1);
			await log.sync();
			log.append(1);
		},
	},
	{
		name: 'append while a sync is under way',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(1);
			const syncing = log.syncRecords();
			log.append(2);
			await Promise.all([syncing, log.syncRecords()]);
			log.append(1);
			await log.syncRecords();
		},
	},
	{
		name: 'roll without a sync',
		async act(stage) {
			const log = await new LogActor(stage).open(small);
			log.append(2, 2, 2, 2, 2);
		},
	},
	{
		name: 'roll with syncs',
		async act(stage) {
			const log = await new LogActor(stage).open(small);
			log.append(2, 2);
			await log.sync();
			log.append(2, 2);
			await log.sync();
			log.append(2, 2);
			await log.sync();
		},
	},
	{
		name: 'roll during a sync',
		async act(stage) {
			const log = await new LogActor(stage).open(small);
			log.append(2);
			const first = log.syncRecords();
			log.append(2, 2);
			const second = log.sync();
			log.append(2);
			await Promise.all([first, second]);
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'records synced, the checkpoint never',
		async act(stage) {
			const log = await new LogActor(stage).open(small);
			log.append(2, 2);
			await log.syncRecords();
			log.read(2);
			log.done(3);
			log.checkpoint();
			log.append(2);
			await log.syncRecords();
			log.done(5);
			log.checkpoint();
		},
	},
	{
		name: 'done and checkpoint, never synced',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 400});
			log.append(2, 2, 2);
			log.read(2);
			log.done(1);
			log.checkpoint();
			log.done(3);
			log.checkpoint();
			log.append(2);
			log.done(4);
			log.checkpoint();
			await settle();
		},
	},
	{
		name: 'done and synced, reclaim by the way',
		async act(stage) {
			const log = await new LogActor(stage).open(small);
			log.append(2, 2, 2);
			await log.sync();
			log.read(3);
			log.done(3);
			log.checkpoint();
			await settle();
			log.append(2, 2);
			log.done(6);
			await log.sync();
			log.checkpoint();
			await settle();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'checkpoints written while one is synced',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(3, 3);
			log.read(2);
			for (let done = 1; done < 6; done++) {
				log.done(done);
				const syncing = done % 2 ? log.sync() : undefined;
				log.checkpoint();
				await nextTurn();
				log.done(done);
				log.checkpoint();
				await syncing;
			}
		},
	},
	{
		name: 'several segments reclaimed at once',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 200});
			log.append(2, 2, 2, 2, 2);
			await log.sync();
			log.read(5);
			log.done(9);
			log.checkpoint();
			await settle();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'reclaim while records are appended',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 200});
			log.append(2, 2, 2);
			await log.syncRecords();
			log.read(3);
			log.done(4);
			log.checkpoint();
			log.append(1);
			await nextTurn();
			log.append(1);
			log.done(6);
			log.checkpoint();
			await log.syncRecords();
			await settle();
			log.checkpoint();
			await settle();
		},
	},
	{
		name: 'all done, and freed',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2, 2);
			await log.syncRecords();
			log.read(2);
			log.done(4);
			log.free();
			await settle();
			log.append(1);
			await log.syncRecords();
			log.append(1);
		},
	},
	{
		name: 'close with a backlog, reopen, append, sync',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2, 2);
			log.read(1);
			log.done(1);
			await log.close();
			await log.open();
			log.append(1);
			log.append(1);
			await log.sync();
			log.append(1);
		},
	},
	{
		name: 'close drained, reopen, append, sync, close',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2, 2);
			log.done(4);
			await log.close();
			await log.open();
			log.append(1);
			log.append(1);
			await log.sync();
			log.append(1);
			await log.close();
		},
	},
	{
		name: 'a segment that cannot be begun, closed, reopened, append',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 100});
			log.append(1);
			stage.disk.fail('write', '00000000000000000001.log');
			log.failingAppend(1);
			await log.close();
			await log.open({segmentBytes: 100});
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'closed, reopened, a segment that cannot be begun, killed, reopened, append',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 100});
			log.append(1);
			await log.close();
			await log.open({segmentBytes: 100});
			stage.disk.fail('write', '00000000000000000001.log');
			log.failingAppend(1);
			log.kill();
			await log.open({segmentBytes: 100});
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'closed, reopened, drained, closed',
		async act(stage) {
			const log = await new LogActor(stage).open(small);
			log.append(2, 2, 2);
			await log.close();
			await log.open(small);
			log.read(2);
			log.done(4);
			log.checkpoint();
			await settle();
			log.append(1);
			log.read(2);
			log.done(7);
			await log.close();
			await log.open();
			await log.close();
		},
	},
	{
		name: 'killed, reopened, append, sync, killed, reopened',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2, 2);
			log.kill();
			await log.open();
			log.append(2);
			await log.sync();
			log.append(1);
			log.kill();
			await log.open();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'killed over several segments, reopened, reclaim',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 200});
			log.append(1, 1, 1);
			log.read(2);
			log.done(1);
			log.checkpoint();
			log.kill();
			await log.open({segmentBytes: 200});
			log.read(3);
			log.done(2);
			log.checkpoint();
			await settle();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'killed during a reclaim, reopened',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 200});
			log.append(2, 2, 2);
			await log.syncRecords();
			log.read(3);
			log.done(5);
			log.checkpoint();
			await nextTurn();
			log.kill();
			await log.open({segmentBytes: 200});
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'saved by an exit handler, reopened',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2, 2);
			log.read(1);
			log.done(1);
			log.exit();
			await log.open();
			log.read(1);
			log.done(2);
			await log.sync();
			log.exit();
		},
	},
	{
		name: 'a failed sync, then others',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2);
			await log.sync();
			log.append(1, 1);
			stage.disk.fail('sync', '00000000000000000000.log');
			await log.failingSync();
			log.append(2);
			await log.failingSync();
			log.read(4);
			log.done(4);
			await log.sync();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'a failed sync, a rewind, append again',
		async act(stage) {
			const log = await new LogActor(stage, {isSyncing: true}).open();
			log.append(2);
			await log.syncRecords();
			log.append(2, 1);
			log.read(2);
			log.done(3);
			log.checkpoint();
			stage.disk.fail('sync', '00000000000000000000.log');
			await log.failingSync();
			log.appendAgain(2, 2, 1);
			await log.syncRecords();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'a failed first sync, a rewind to the beginning',
		async act(stage) {
			const log = await new LogActor(stage, {isSyncing: true}).open();
			log.append(2, 1);
			stage.disk.fail('sync', '00000000000000000000.log');
			await log.failingSync();
			log.appendAgain(0, 2, 1);
			await log.syncRecords();
			log.append(1);
			await log.syncRecords();
		},
	},
	{
		name: 'a failed sync over several segments, a rewind',
		async act(stage) {
			const log = await new LogActor(stage, {isSyncing: true}).open({segmentBytes: 200});
			log.append(2);
			await log.syncRecords();
			log.append(2, 2, 2);
			stage.disk.fail('sync', '00000000000000000004.log');
			await log.failingSync();
			log.appendAgain(2, 2, 2, 2);
			await log.syncRecords();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'a failed sync of the directory, a rewind',
		async act(stage) {
			const log = await new LogActor(stage, {isSyncing: true}).open();
			log.append(2, 1);
			stage.disk.fail('syncDirectory', 'queue');
			await log.failingSync();
			log.appendAgain(0, 2, 1);
			await log.syncRecords();
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'a failed sync of the checkpoint, then others',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2, 2);
			await log.sync();
			log.read(2);
			log.done(1);
			stage.disk.fail('sync', 'checkpoint');
			await log.failingSync();
			log.done(2);
			log.checkpoint();
			await log.sync();
			log.done(3);
			stage.disk.fail('sync', 'checkpoint');
			await log.failingSync();
			await log.sync();
		},
	},
	{
		name: 'writes that fail, of a block and of a header',
		async act(stage) {
			const log = await new LogActor(stage).open(small);
			log.append(2);
			stage.disk.fail('write', '00000000000000000000.log');
			log.failingAppend(1);
			log.append(1);
			await log.sync();
			stage.disk.fail('write', '00000000000000000003.log');
			log.failingAppend(2);
			log.append(2);
			await log.sync();
		},
	},
	{
		name: 'damage in a sealed segment, read over, done, reclaimed',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 200});
			log.append(2, 2, 2);
			await log.sync();
			log.damage(2);
			log.read(3);
			log.done(4);
			await log.sync();
			log.checkpoint();
			await settle();
			log.append(1);
			log.done(6);
			await log.sync();
			log.checkpoint();
			await settle();
		},
	},
	{
		name: 'damage, read over, killed, read over again, reclaimed',
		async act(stage) {
			const log = await new LogActor(stage).open({segmentBytes: 200});
			log.append(2, 2, 2);
			await log.sync();
			log.damage(2);
			log.read(3);
			log.done(1);
			log.checkpoint();
			log.kill();
			await log.open({segmentBytes: 200});
			log.read(3);
			log.done(5);
			log.checkpoint();
			log.kill();
			await log.open({segmentBytes: 200});
			log.append(1);
			await log.sync();
		},
	},
	{
		name: 'damage in the last segment of a closed log, drained, closed',
		async act(stage) {
			const log = await new LogActor(stage).open();
			log.append(2, 2, 1);
			await log.close();
			log.damage(2);
			await log.open();
			log.read(2);
			log.append(1);
			log.read(2);
			log.done(6);
			await log.close();
		},
	},
];
