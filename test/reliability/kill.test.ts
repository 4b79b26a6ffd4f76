import test from 'ava';
import {pEvent} from 'p-event';
import {DiskQueue} from '../../source/index.ts';
import {startFixture} from '../helpers/children.ts';
import {startFigures} from '../helpers/figures.ts';
import {announce, sized} from '../helpers/form.ts';
import {pipelineKind, queueKind} from '../helpers/interrupted-kinds.ts';
import {killRuns} from '../helpers/kill-runs.ts';
import {range} from '../helpers/queues.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

for (const [durability, kills] of [
	['spill', sized(4, 80)],
	['write', sized(4, 80)],
	['fsync', sized(4, 80)],
] as const) {
	test.serial(`'${durability}': ${kills} times SIGKILL amid puts and gets loses nothing it must not`, t =>
		killRuns(t, {kind: queueKind(durability), kills, what: `puts and gets, '${durability}'`}),
	);
}

for (const [durability, kills] of [
	['spill', sized(4, 60)],
	['write', sized(6, 100)],
	['fsync', sized(4, 60)],
] as const) {
	test.serial(`'${durability}': ${kills} times SIGKILL amid a pipeline loses nothing it must not`, t =>
		killRuns(t, {kind: pipelineKind(durability), kills, what: `pipelines, '${durability}'`}),
	);
}

test.serial('while its owner lives a directory is refused, naming its pid; after SIGKILL it opens at once', async t => {
	announce(t);
	const report = startFigures(t, 'T3', 'SIGKILL of the owner of a lock');
	const kills = sized(3, 20);
	const directory = temporaryDirectory(t);
	let longestOpen = 0;
	for (const _ of range(0, kills)) {
		const {child, result} = startFixture(t, 'lock-holder', [directory, 'hold']);
		await pEvent(child.stdout!, 'data');
		const error = await t.throwsAsync(DiskQueue.open(directory), {code: 'QUEUE_LOCKED'});
		t.regex(error!.message, new RegExp(`process ${child.pid}\\b`));
		child.kill('SIGKILL');
		await result;
		const start = performance.now();
		const queue = await DiskQueue.open(directory);
		longestOpen = Math.max(longestOpen, performance.now() - start);
		await queue.close();
	}

	report({kills, 'ms to open again at most': Math.ceil(longestOpen)});
});
