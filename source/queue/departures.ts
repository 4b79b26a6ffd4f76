/** Directories that a queue of this process is about to let go, and when it has. */
const departures = new Map<string, Promise<unknown>>();

/** Says that a directory will be free when `done` settles: `pipeline()` resolves before its streams have closed. */
export function announceDeparture(directory: string, done: Promise<unknown>): void {
	const settled = Promise.allSettled([departures.get(directory), done]).then(() => {
		if (departures.get(directory) === settled) {
			departures.delete(directory);
		}
	});
	departures.set(directory, settled);
}

/** Waits until a directory is let go, if it is about to be. */
export async function awaitDeparture(directory: string): Promise<void> {
	await departures.get(directory);
}
