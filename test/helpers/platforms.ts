import {spawnSync} from 'node:child_process';
import test from 'ava';

/** Declares tests that need a platform; elsewhere each says in its title why it did not run. */
export function unless(reason: string | undefined, declare: typeof test | typeof test.serial): typeof test {
	const skip = (title: string) => test(`skipped, ${reason}: ${title}`, t => t.pass());
	return (reason === undefined ? declare : skip) as typeof test;
}

const noUnix: string | undefined = process.platform === 'win32' ? 'needs unix' : undefined;
const noLinux: string | undefined = process.platform === 'linux' ? undefined : 'needs Linux';

/** Why a command that the tests need does not work here; undefined if it does. */
export function without(what: string, [command, ...parameters]: [string, ...string[]]): string | undefined {
	const {status} = spawnSync(command, parameters, {stdio: 'ignore'});
	return status === 0 ? undefined : `needs ${what}`;
}

export const onUnix: typeof test = unless(noUnix, test);
export const onLinux: typeof test = unless(noLinux, test);
export const onUnixSerially: typeof test = unless(noUnix, test.serial);
export const onLinuxSerially: typeof test = unless(noLinux, test.serial);
