import {isDeepStrictEqual} from 'node:util';
import test, {type ExecutionContext} from 'ava';
import {
	describe,
	notWritten,
	type Opened,
	openAndDrain,
	outOfOrder,
	sequencesOf,
	states,
	type WrittenLog,
	writeLog,
} from '../helpers/damaged-log.ts';
import {startFigures} from '../helpers/figures.ts';
import {bombNames, type Forgery, forge, forgeBomb} from '../helpers/forgery.ts';
import {announce, seed, sized} from '../helpers/form.ts';
import {randomFrom} from '../helpers/random.ts';
import {watchUse} from '../helpers/use.ts';

const use = watchUse();
const mutants = sized(500, 10_000);
/** How much the process may grow, in bytes. */
const growthLimit = 200 * 1024 * 1024;

test.serial('whatever a payload that checks holds costs its block and no other', async t => {
	announce(t);
	const report = startFigures(t, 'T5', 'payloads that check and claim, nest or hide too much');
	const random = randomFrom(seed);
	const problems: string[] = [];
	for (const written of await Promise.all(states.map(writeLog))) {
		for (const name of bombNames) {
			problems.push(...(await examine(written, forgeBomb(written, random, name))));
		}
	}

	check(t, problems);
	const payloads = bombNames.length * states.length;
	t.is(payloads, 112);
	report({payloads, 'records lost beyond the block': 0});
});

test.serial(`${mutants} mutants whose checksums are right cost what they claim, and no more`, async t => {
	announce(t);
	const report = startFigures(t, 'T5', 'mutants with right checksums');
	const random = randomFrom(seed);
	const logs = await Promise.all(states.map(writeLog));
	const before = process.memoryUsage.rss();
	const problems: string[] = [];
	let refused = 0;
	for (let index = 0; index < mutants; index++) {
		const written = logs[index % logs.length]!;
		const forgery = forge(written, random);
		problems.push(...(await examine(written, forgery, () => refused++)));
	}

	check(t, problems);
	const growth = process.memoryUsage.rss() - before;
	t.true(growth < growthLimit, `${growth} bytes`);
	report({mutants, 'of them refused by version or codec': refused, 'records lost beyond the claim': 0});
});

function check(t: ExecutionContext, problems: string[]): void {
	t.deepEqual(problems.slice(0, 5), [], `${problems.length} problems, seed ${seed}`);
	use.check(t);
}

/** What is wrong with how a forgery is opened and read, through `load` and in one turn. */
async function examine(written: WrittenLog, forgery: Forgery, refused = () => {}): Promise<string[]> {
	const found: string[] = [];
	for (const isSync of [false, true]) {
		try {
			const opened = await use.timed(() => openAndDrain(forgery.contents, {isSync}));
			if (opened.thrown) {
				found.push(...judgeRefusal(forgery, opened));
				isSync || refused();
			} else {
				found.push(...(isSync ? judgeRest : judgeForgery)(written, forgery, opened));
			}
		} catch (error) {
			found.push((error as Error).stack ?? String(error));
		}
	}

	return found.map(problem => `${written.state}, ${forgery.name}: ${problem}`);
}

/** Only another version or codec is refused; at the open, if that is where it is seen, nothing is changed. */
function judgeRefusal({isOfLog, contents}: Forgery, {thrown, recovery, after}: Opened): string[] {
	const isKnown = isOfLog && ['QUEUE_VERSION', 'QUEUE_CODEC'].includes(thrown!.code);
	const isUntouched = recovery !== undefined || isDeepStrictEqual(after, contents);
	return describe({
		refused: isKnown ? [] : [thrown!.message],
		'changed, and refused': isUntouched ? [] : [thrown!.message],
	});
}

function judgeForgery({pending, durable}: WrittenLog, {affected, isOfLog}: Forgery, opened: Opened): string[] {
	const {found, recovery, corruptions} = opened;
	if (isOfLog) {
		return describe({'not what was written': notWritten(found), 'out of order': outOfOrder(found)});
	}

	const isAffected = isIn(affected);
	const delivered = new Set(found.map(([sequence]) => sequence));
	const missing = pending.filter(sequence => !delivered.has(sequence));
	const reported = sequencesOf(
		[...recovery!.corruptions, ...corruptions].flatMap(({lost}) => (lost ? [cutTo(lost)] : [])),
	);
	return describe({
		'not what was written': notWritten(found.filter(([sequence]) => !isAffected(sequence))),
		'out of order': outOfOrder(found),
		'lost beyond the claim': missing.filter(sequence => !isAffected(sequence)),
		'lost and not reported': missing.filter(sequence => sequence < durable && !reported.has(sequence)),
	});
}

/** Read in one turn, a record that is forged may say anything of its sequence: all that is known is which others must come. */
function judgeRest({pending}: WrittenLog, {affected, isOfLog}: Forgery, {found}: Opened): string[] {
	const isAffected = isIn(affected);
	const delivered = new Set(found.map(([sequence]) => sequence));
	const missing = pending.filter(sequence => !delivered.has(sequence) && !isAffected(sequence));
	return describe({'lost beyond the claim, in one turn': isOfLog ? [] : missing});
}

function isIn(ranges: Array<{first: number; last: number}>): (sequence: number) => boolean {
	return sequence => ranges.some(({first, last}) => first <= sequence && sequence <= last);
}

/** A range as far as the log ever went: a forged last block may claim any sequence. */
function cutTo({first, last}: {first: number; last: number}): {first: number; last: number} {
	return {first, last: Math.min(last, 100)};
}
