/** Ends the program, with a message, if an option is no whole number, or less than the least that is given for it. */
export function checkNumbers(values: Record<string, string>, least: Record<string, number>): void {
	for (const [name, from] of Object.entries(least)) {
		const value = values[name]!;
		if (!/^\d+$/.test(value) || Number(value) < from) {
			console.error(`--${name} is to be a whole number from ${from} up, not "${value}"`);
			process.exit(1);
		}
	}
}
