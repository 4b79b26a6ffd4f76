import test from 'ava';
import {SharedCall} from '../../source/queue/shared-call.ts';
import {type Deferred, deferred} from '../helpers/deferred.ts';
import {afterMicrotasks, nextTurn} from '../helpers/queues.ts';

function sharedCall(): {shared: SharedCall; calls: Deferred[]} {
	const calls: Deferred[] = [];
	const shared = new SharedCall(() => {
		const call = deferred();
		calls.push(call);
		return call.promise;
	});
	return {shared, calls};
}

test('who asks while a call is under way shares the next, which begins when that has ended', async t => {
	const {shared, calls} = sharedCall();
	const first = shared.run();
	const served: number[] = [];
	const others = [1, 2, 3].map(index => shared.run().then(() => served.push(index)));
	await nextTurn();
	t.is(calls.length, 1);
	calls[0]!.resolve();
	await first;
	await nextTurn();
	t.deepEqual([calls.length, served], [2, []]);
	const last = shared.run();
	calls[1]!.resolve();
	await Promise.all(others);
	t.deepEqual(served, [1, 2, 3]);
	await nextTurn();
	t.is(calls.length, 3);
	calls[2]!.resolve();
	await last;
	const alone = shared.run();
	t.is(calls.length, 4);
	calls[3]!.resolve();
	await alone;
});

test('a call that fails fails for those who share it, and for nobody else', async t => {
	const {shared, calls} = sharedCall();
	const first = shared.run();
	const others = [shared.run(), shared.run()];
	calls[0]!.reject(new Error('the first'));
	await t.throwsAsync(first, {message: 'the first'});
	await nextTurn();
	const last = shared.run();
	calls[1]!.reject(new Error('the second'));
	for (const other of others) {
		await t.throwsAsync(other, {message: 'the second'});
	}

	await nextTurn();
	calls[2]!.resolve();
	await t.notThrowsAsync(last);
	t.is(calls.length, 3);
});

test('it is settled when no call is under way nor to come, whether they failed or not', async t => {
	const {shared, calls} = sharedCall();
	await shared.settle();
	const first = shared.run();
	const next = shared.run();
	let isSettled = false;
	const settled = shared.settle().then(() => {
		isSettled = true;
	});
	calls[0]!.reject(new Error('no'));
	await t.throwsAsync(first, {message: 'no'});
	await nextTurn();
	t.false(isSettled);
	calls[1]!.reject(new Error('nor this'));
	await t.throwsAsync(next, {message: 'nor this'});
	await settled;
	t.is(calls.length, 2);
});

test('it is not settled between two calls, whichever microtask asks', async t => {
	for (let microtasks = 0; microtasks < 12; microtasks++) {
		const {shared, calls} = sharedCall();
		const served = [shared.run(), shared.run()];
		calls[0]!.resolve();
		await afterMicrotasks(microtasks);

		let isSettled = false;
		const settled = shared.settle().then(() => {
			isSettled = true;
		});
		await nextTurn();
		t.false(isSettled, `${microtasks} microtasks`);
		calls[1]!.resolve();
		await Promise.all([...served, settled]);
		t.is(calls.length, 2);
	}
});
