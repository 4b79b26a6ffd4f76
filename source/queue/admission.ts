import type {WaitingLine} from './waiting-line.ts';

/** Records put by one call, with their estimated bytes, and how many of them are in the queue. */
export type Put<T> = {records: T[]; sizes: number[]; taken: number};

/** Puts that wait, first come first served. */
export type PutLine<T> = WaitingLine<Put<T>, void>;

/** How puts get into the queue, by its durability. */
export interface Admission<T> {
	/** Whether there is work although no put waits. */
	readonly isDue: boolean;
	/** Adds a record of a put that waits for nobody, in this turn; false if there is no room in memory. */
	addNow(record: T, bytes: number): boolean;
	/** The same for all records of a put that there is room for. */
	addSome(put: Put<T>): void;
	/** Adds all records of a put in this turn, ahead of who waits. Fails if there is no room to be made. */
	admitNow(put: Put<T>): void;
	/** Admits puts that wait, and settles them. Fails as the file system does; what was not admitted stays in line. */
	admit(): void | Promise<void>;
	/** Admits all that wait, and appends all that is in memory only. */
	finish(): Promise<void>;
}

export function isTaken<T>(put: Put<T>): boolean {
	return put.taken === put.sizes.length;
}
