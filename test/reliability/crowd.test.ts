import test from 'ava';
import type {Durability} from '../../source/index.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {openQueue, range} from '../helpers/queues.ts';
import {randomFrom} from '../helpers/random.ts';

const records = sized(200_000, 600_000);
const crowd = 8;

type Numbered = {producer: number; index: number};

for (const durability of ['spill', 'write', 'fsync'] satisfies Durability[]) {
	test(`${durability}: 8 producers and 8 consumers with random timeouts and aborts get every record once`, async t => {
		announce(t);
		const report = startFigures(t, 'Crowd', `8 producers, 8 consumers, '${durability}'`);
		const random = randomFrom(seed);
		const queue = await openQueue<Numbered>(t, {durability, cacheSize: 64, maxSize: 5000});
		const share = Math.floor(records / 3 / crowd);
		const seen = range(0, crowd).map(() => new Uint8Array(share));
		const givenUp = {puts: 0, gets: 0};
		let taken = 0;

		const impatient = () => {
			const chance = random();
			return chance < 0.02 ? {timeout: 0} : chance < 0.04 ? {signal: abortSoon(random)} : {};
		};
		const produce = async (producer: number) => {
			for (let index = 0; index < share; ) {
				const waiting = random() < 0.2 ? [] : range(0, 4);
				const puts = [index, ...waiting.map((_, more) => index + 1 + more)].filter(next => next < share);
				if (waiting.length === 0) {
					const isPut = await queue.put({producer, index}, impatient()).then(() => true, isGivenUp);
					givenUp.puts += isPut ? 0 : 1;
					index += isPut ? 1 : 0;
				} else {
					await Promise.all(puts.map(next => queue.put({producer, index: next})));
					index += puts.length;
				}
			}
		};
		const last = range(0, crowd).map(() => range(0, crowd).map(() => -1));
		const consume = async (consumer: number) => {
			const take = ({producer, index}: Numbered) => {
				seen[producer]![index]!++;
				taken++;
				if (index <= last[consumer]![producer]!) {
					t.fail(`consumer ${consumer} got ${index} of ${producer} after ${last[consumer]![producer]}`);
				}

				last[consumer]![producer] = index;
			};
			while (taken < share * crowd) {
				const chance = random();
				const timeout = {timeout: 50};
				if (chance < 0.3) {
					const got = await queue.getMany(1 + Math.floor(random() * 50), {...timeout, ...impatient()}).catch(isGivenUp);
					givenUp.gets += got ? 0 : 1;
					(got || []).forEach(take);
				} else if (chance < 0.5) {
					const delivery = await queue.receive(timeout).catch(isGivenUp);
					if (delivery) {
						take(delivery.record);
						delivery.ack();
					}
				} else {
					const got = await queue.get({...timeout, ...impatient()}).catch(isGivenUp);
					givenUp.gets += got ? 0 : 1;
					if (got) {
						take(got);
					}
				}
			}
		};

		await Promise.all([...range(0, crowd).map(produce), ...range(0, crowd).map(consume)]);
		t.is(queue.size, 0);
		t.is(queue.stats().inFlight, 0);
		t.is(taken, share * crowd);
		t.true(seen.every(indexes => indexes.every(count => count === 1)));
		t.true(givenUp.gets > 0);
		report({records: taken, 'puts given up': givenUp.puts, 'gets given up': givenUp.gets});
	});
}

/** A put or get that was late or aborted took nothing. */
function isGivenUp(error: {code?: string}): false {
	if (!['QUEUE_FULL', 'QUEUE_EMPTY', 'ABORT_ERR'].includes(error.code ?? '')) {
		throw error;
	}

	return false;
}

/** A signal that is aborted at once, or some steps of the event loop later. */
function abortSoon(random: () => number): AbortSignal {
	const controller = new AbortController();
	const steps = Math.floor(random() * 4);
	const step = (left: number): void => {
		if (left === 0) {
			controller.abort();
		} else {
			setImmediate(step, left - 1);
		}
	};
	step(steps);
	return controller.signal;
}
