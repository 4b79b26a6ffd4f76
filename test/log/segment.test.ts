import {join} from 'node:path';
import test from 'ava';
import {segmentIdentity} from '../../source/format/segment-header.ts';
import {segmentAt} from '../../source/log/segment.ts';

test('a segment knows its file and the identity of its blocks', t => {
	const queueId = Buffer.alloc(16, 3);
	t.deepEqual(segmentAt('/somewhere', {queueId, firstSequence: 42, salt: 0}, 64), {
		path: join('/somewhere', '00000000000000000042.log'),
		firstSequence: 42,
		salt: 0,
		identity: segmentIdentity({queueId, firstSequence: 42, salt: 0}),
		end: 64,
		isDirty: false,
		syncedSequence: 42,
		next: undefined,
	});
});
