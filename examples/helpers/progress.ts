/** What a program shows of itself while it runs. */
export type Progress = {
	/** Writes a line that stays. */
	note(text: string): void;
	/** Shows the progress a last time. */
	stop(): void;
};

/** Shows one line over and over on a terminal, and line after line, every so many milliseconds, elsewhere. */
export function showProgress(line: () => string, interval: number): Progress {
	const isTerminal = process.stdout.isTTY;
	const show = () => process.stdout.write(isTerminal ? `\r\u001B[K${line()}` : `${line()}\n`);
	const timer = setInterval(show, isTerminal ? 100 : interval);
	return {
		note(text) {
			process.stdout.write(isTerminal ? `\r\u001B[K${text}\n` : `${text}\n`);
		},
		stop() {
			clearInterval(timer);
			show();
			process.stdout.write(isTerminal ? '\n' : '');
		},
	};
}

/** A number as a reader wants it: `12,345`. */
export const count: (number: number) => string = new Intl.NumberFormat('en').format;
