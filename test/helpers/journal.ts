import {openSync, readFileSync, writeSync} from 'node:fs';

/** What a child notes of its work: an event, and numbers that belong to it. */
export type Note = [event: string, ...numbers: number[]];

/** Opens a journal. A note is a line, written at once to a file opened for append: none is lost with its process. */
export function openJournal(path: string): (...note: Note) => void {
	const descriptor = openSync(path, 'a');
	return (...note) => {
		writeSync(descriptor, `${note.join(' ')}\n`);
	};
}

/** The notes of a journal, in order. */
export function readJournal(path: string): Note[] {
	const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
	return lines.map(line => {
		const [event, ...numbers] = line.split(' ');
		return [event!, ...numbers.map(Number)];
	});
}
