import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';

const root = join(import.meta.dirname, '../../..');
/** Wherever it is installed: a copy of the project may have the packages of its original. */
const runner = fileURLToPath(new URL('cli.mjs', import.meta.resolve('ava')));
/** Some of the suites of streams; all of them pass so. */
const suites = ['readable', 'writable', 'manual', 'interop'];

/** Runs the suites over the streams of Node itself; gives what they print. */
function runOverCore(): Promise<string> {
	const files = suites.map(name => `build/test/streams/${name}.test.js`);
	return new Promise(resolve => {
		execFile(
			process.execPath,
			[runner, '--tap', ...files],
			{cwd: root, env: {...process.env, READABLE_STREAM: 'disable'}},
			(_error, stdout, stderr) => resolve(stdout + stderr),
		);
	});
}

test('with READABLE_STREAM=disable the streams are those of node:stream, and pass the same suites', async t => {
	const output = await runOverCore();
	const passed = Number(/^# pass (\d+)$/m.exec(output)?.[1]);
	t.log(`${passed} tests`);
	t.true(passed > 140, output);
	t.is(/^# fail (\d+)$/m.exec(output)?.[1], '0', output);
});
