import {appendFileSync, existsSync, openSync, readFileSync, writeSync} from 'node:fs';

/** What a child notes of its work: an event, and numbers that belong to it. */
export type Note = [event: string, ...numbers: number[]];

const powerCut = '-';
const failure = 'e';
const end = '.';
/** What does not count after a power cut: that, failures, acceptance and syncs. */
const unpromised = [powerCut, failure, 'a', 's'];

/** Opens a journal. A note is a line, written at once to a file opened for append: none is lost with its process. */
export function openJournal(path: string): (...note: Note) => void {
	const descriptor = openSync(path, 'a');
	return (...note) => {
		writeSync(descriptor, `${note.join(' ')}\n`);
	};
}

/** Notes that a run fails. */
export function noteFailure(path: string, error: Error): void {
	appendFileSync(path, `${failure} ${JSON.stringify(error.stack)}\n`);
}

/** Notes that a run has come to its end, and nothing interrupted it. */
export function noteEnd(path: string): void {
	appendFileSync(path, `${end}\n`);
}

export function isEnded(path: string): boolean {
	return readLines(path).at(-1) === end;
}

/** Notes in a child's journal that the power is about to be cut. */
export function notePowerCut(path: string): void {
	appendFileSync(path, `${powerCut}\n`);
}

/**
 * The notes of a journal, in order; none of one that was killed before it began. Throws if the run has failed by itself.
 *
 * A sync that is under way when the power is cut may report success though nothing reached the device (Linux 6.18): what
 * is noted from there on is no promise.
 */
export function readJournal(path: string): Note[] {
	const lines = readLines(path).filter(line => line !== end);
	const cut = lines.includes(powerCut) ? lines.indexOf(powerCut) : lines.length;
	const failed = lines.slice(0, cut).find(line => line.startsWith(failure));
	if (failed) {
		throw new Error(failed);
	}

	return lines.flatMap((line, index): Note[] => {
		const [event, ...numbers] = line.split(' ');
		const isNote = index < cut || !unpromised.includes(event!);
		return isNote ? [[event!, ...numbers.map(Number)]] : [];
	});
}

function readLines(path: string): string[] {
	return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
}
