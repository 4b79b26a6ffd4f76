import {join} from 'node:path';
import test from 'ava';
import {DiskQueue} from '../../source/index.ts';
import {dataOf} from '../helpers/data.ts';
import {type RunningExample, startExample} from '../helpers/examples.ts';
import {drain} from '../helpers/queues.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {type Batch, type Manner, UploadServer} from '../helpers/upload-server.ts';

type Flight = {delay: number; distance: number; time: number};
type Refused = {flight: Flight; id: string; reason: string};

const flights: Flight[] = dataOf('flights-20k.json');
/** Places of flights that the server finds fault with. */
const wrong = [9000, 15_000, 15_001];

/** How the requests are met, from the first on; all others are stored. */
const manners: Manner[] = ['store', 'slow', 'busy', 'fail', 'cut', 'hangUp', 'unavailable', 'store', 'leave', 'store'];
const killAt = 14;
const stopAt = 30;

function meet(number: number): Manner {
	return number === killAt ? 'silent' : (manners[number] ?? 'store');
}

function sequenceOf(id: string): number {
	return Number(id.split('-')[1]);
}

/** What a server would lack that takes batches of the same first record for one and the same. */
function lostByFirstRecord(batches: Batch[]): number {
	const firsts = new Set<string>();
	const kept = batches.filter(({ids: [first]}) => !firsts.has(first!) && firsts.add(first!));
	return new Set(batches.flatMap(({ids}) => ids)).size - new Set(kept.flatMap(({ids}) => ids)).size;
}

test('every flight is uploaded to a server that is slow, busy, failing, breaking off and away, by a client that is killed and stopped', async t => {
	const directory = temporaryDirectory(t);
	let client: RunningExample | undefined;
	const server = await UploadServer.start(t, {
		meet,
		met(manner, number) {
			if (manner === 'silent') {
				client!.child.kill('SIGKILL');
			} else if (number === stopAt) {
				client!.child.kill('SIGTERM');
			}
		},
		isWrong: line => wrong.includes(sequenceOf(String(line.id))),
	});
	let refusals = 0;
	const start = (parameters: string[], env: Record<string, string> = {}) => {
		server.run++;
		client = startExample(t, 'upload', [...parameters, '--directory', directory], {
			env: {UPLOAD_URL: server.url, UPLOAD_MIN_DELAY: '20', UPLOAD_INTERVAL: '50', ...env},
			onLine(line) {
				refusals += line.startsWith('connect ECONNREFUSED') ? 1 : 0;
				if (refusals === 2) {
					refusals = Number.NaN;
					void server.comeBack();
				}
			},
		});
		return client.result;
	};

	const killed = await start(['--batch', '500', '--concurrency', '1']);
	t.is(killed.signal, 'SIGKILL', killed.errors);
	const stopped = await start(['--batch', '700']);
	t.is(stopped.code, 0, stopped.errors);
	t.is(stopped.lines.at(-1), 'Stopped. Start again to go on.');
	const finished = await start([], {UPLOAD_BATCH: '600', UPLOAD_CONCURRENCY: '3'});
	t.is(finished.code, 0, finished.errors);
	t.is(finished.lines.at(-1), 'All 20,000 flights are uploaded.');

	for (const manner of new Set([...manners, 'silent', 'refused'] as Manner[])) {
		t.true(server.counts[manner]! > 0, `${manner}: ${JSON.stringify(server.counts)}`);
	}

	t.true(Number.isNaN(refusals), 'the client met no server twice');
	const [askedAt] = server.askedAt as [number];
	// A timer counts from the beginning of the turn that sets it: it may be due some milliseconds early.
	const early = server.cameAt.filter(time => time > askedAt && time < askedAt + 900);
	t.deepEqual(early, [], 'requests came although the server had asked for patience');

	const queue = await DiskQueue.open(join(directory, 'queue'));
	const {id} = queue;
	t.is(queue.size, 0);
	await queue.close();
	const refused = await DiskQueue.open<Refused>(join(directory, 'refused'));
	t.deepEqual([...new Set((await drain(refused)).map(({id}) => sequenceOf(id)))], wrong);
	await refused.close();
	t.is(server.lines.size, flights.length - wrong.length);
	for (const [sequence, flight] of flights.entries()) {
		const line = server.lines.get(`${id}-${sequence}`);
		t.deepEqual(line, wrong.includes(sequence) ? undefined : {id: `${id}-${sequence}`, ...flight});
	}

	t.deepEqual(server.changedKeys, []);
	t.true(lostByFirstRecord(server.batches) > 0, 'no batch was formed anew from the same first record');
	checkRepeats(server.batches, t.fail, count => t.log(count));
});

/**
 * A flight comes twice only if its batch was not answered; or was by the end of a run that was killed, whose last turn
 * of the event loop is forgotten.
 */
function checkRepeats(batches: Batch[], fail: (message: string) => void, log: (message: string) => void): void {
	const before = new Map<string, Batch>();
	let unanswered = 0;
	let forgotten = 0;
	for (const batch of batches) {
		for (const id of batch.ids) {
			const earlier = before.get(id);
			if (earlier?.isAnswered && (earlier.run !== 1 || batch.run === 1)) {
				fail(`${id} came again, in ${batch.key} of run ${batch.run}, after ${earlier.key} of run ${earlier.run}`);
			}

			forgotten += earlier?.isAnswered ? 1 : 0;
			unanswered += earlier && !earlier.isAnswered ? 1 : 0;
			before.set(id, batch);
		}
	}

	log(`${unanswered} flights came again for want of an answer, ${forgotten} after the kill`);
	if (unanswered < 1000 || forgotten > 2 * 500) {
		fail(`${unanswered} flights came again for want of an answer, ${forgotten} were forgotten`);
	}
}
