import test from 'ava';
import {checksumMismatch, magicMismatch} from '../../source/format/mismatch.ts';

test('checksums are told in eight hexadecimal digits', t => {
	const {expected, found} = checksumMismatch('payload', 0xbeef, 0xdeadbeef);
	t.deepEqual({expected, found}, {expected: 'payload checksum 0000beef', found: 'deadbeef'});
});

test('of a header that is none, at most four bytes are told', t => {
	const {expected, found} = magicMismatch('a block header', Buffer.from('secret of the user'));
	t.deepEqual({expected, found}, {expected: 'a block header', found: 'bytes 73656372'});
	t.is(magicMismatch('a block header', Buffer.alloc(40)).found, 'zeros');
});
