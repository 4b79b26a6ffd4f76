export type Deferred = {promise: Promise<void>; resolve: () => void; reject: (error: Error) => void};

/** A promise, and what settles it. */
export function deferred(): Deferred {
	let resolve!: () => void;
	let reject!: (error: Error) => void;
	const promise = new Promise<void>((done, failed) => {
		resolve = done;
		reject = failed;
	});
	return {promise, resolve, reject};
}
