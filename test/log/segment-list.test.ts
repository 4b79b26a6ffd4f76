import test from 'ava';
import {SegmentList} from '../../source/log/segment-list.ts';
import {fileSystem} from '../../source/storage.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

test('a fresh segment goes on at the pace that the syncs of the last one had', async t => {
	const place = {directory: temporaryDirectory(t), queueId: Buffer.alloc(16, 5), salt: 0, codecName: 'msgpack'};
	const list = new SegmentList(
		{...place, storage: fileSystem},
		{segments: [], nextSequence: 0, recordsEnd: 0},
		() => {},
	);
	list.roll();
	for (let left = 4; left > 0; left--) {
		t.false(list.writer!.isReserveDue);
		list.append([Buffer.from('x')], 1);
		await list.writer!.sync();
	}

	list.roll();
	t.true(list.writer!.isReserveDue);
	list.seal();
});
