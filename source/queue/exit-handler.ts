const handlers = new Set<() => void>();

/** Runs `handler` when the process exits in order; gives what takes it back. All queues share one listener. */
export function onExit(handler: () => void): () => void {
	if (handlers.size === 0) {
		process.on('exit', runAll);
	}

	handlers.add(handler);
	return () => {
		handlers.delete(handler);
		if (handlers.size === 0) {
			process.off('exit', runAll);
		}
	};
}

/** One queue that cannot be saved must not keep the others from it. */
function runAll(): void {
	for (const handler of handlers) {
		try {
			handler();
		} catch (error) {
			process.stderr.write(`disq: ${error instanceof Error ? error.message : error}\n`);
		}
	}
}
