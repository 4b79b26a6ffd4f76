// Reads 200,000 flights from JSON, or those of another file in JSON or CSV, and sums up delays by distance in a sink that
// is slower than the source.
//
//     node etl.js --file flights.csv      (with the columns delay, distance and time)
//
// Stop it with Ctrl-C or kill -9 whenever you like and start it again: it goes on where it was, and the figures at the
// end are those of an uninterrupted run. Two things make that so:
//
// - With durability 'write' every record the queue has accepted is in its log, so `nextSequence` says how far the source
//   was read: what comes before is skipped.
// - The queue delivers at least once. The sink saves the sums together with the number of the next flight, in one
//   rename, before it confirms a batch: a flight that comes again is known by its number, and passed over.
import {createReadStream} from 'node:fs';
import {access, mkdir, readFile, rename, rm, writeFile} from 'node:fs/promises';
import {extname, join} from 'node:path';
import {type Duplex, Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {setTimeout as pause} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {JSONParser} from '@streamparser/json-node';
import {parse as parseCsv} from 'csv-parse';
import {DiskQueue, diskQueue} from 'disq';
import {checkNumbers} from './helpers/numbers.ts';
import {count, showProgress} from './helpers/progress.ts';

type Flight = {number: number; delay: number; distance: number};
type Row = {delay: number; distance: number};
/** What the parsers give: that of JSON wraps its values. */
type Parsed = Row | {value: Row};
type Band = {flights: number; delayMinutes: number; late: number};
type Progress = {next: number; bands: Record<string, Band>};

const bandMiles = 500;
const lateMinutes = 15;

const {values} = parseArgs({
	options: {
		/** The flights: an array in a JSON file, or a CSV file with a line of names. */
		file: {
			type: 'string',
			default: fileURLToPath(new URL('../data/flights-200k.json', import.meta.resolve('vega-datasets'))),
		},
		/** Where the queue, the progress and the result are kept. */
		directory: {type: 'string', default: 'flights-etl'},
		/** How long the sink takes for a batch, in milliseconds. */
		pause: {type: 'string', default: '20'},
		/** How often progress is shown where there is no terminal, in milliseconds. */
		interval: {type: 'string', default: '1000'},
	},
});
const {file, directory} = values;
checkNumbers(values, {pause: 0, interval: 1});

/** Sums up flights in batches. A batch is confirmed once its sums are saved. */
class DelaysByDistance extends Writable {
	progress: Progress = {next: 0, bands: {}};
	readonly #file: string;
	readonly #pause: number;

	constructor(file: string, pauseMilliseconds: number) {
		super({objectMode: true, highWaterMark: 1000});
		this.#file = file;
		this.#pause = pauseMilliseconds;
	}

	override _construct(callback: (error?: Error | null) => void): void {
		this.#load().then(() => callback(), callback);
	}

	override _write(flight: Flight, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
		this.#addBatch([flight]).then(() => callback(), callback);
	}

	override _writev(chunks: Array<{chunk: Flight}>, callback: (error?: Error | null) => void): void {
		this.#addBatch(chunks.map(({chunk}) => chunk)).then(() => callback(), callback);
	}

	async #load(): Promise<void> {
		const saved = await readFile(this.#file, 'utf8').catch(() => undefined);
		this.progress = saved === undefined ? this.progress : JSON.parse(saved);
	}

	async #addBatch(flights: Flight[]): Promise<void> {
		for (const flight of flights) {
			if (flight.number >= this.progress.next) {
				this.#add(flight);
			}
		}

		await replaceFile(this.#file, JSON.stringify(this.progress));
		await pause(this.#pause);
	}

	#add({number, delay, distance}: Flight): void {
		const from = Math.floor(distance / bandMiles) * bandMiles;
		this.progress.bands[from] ??= {flights: 0, delayMinutes: 0, late: 0};
		const band = this.progress.bands[from];
		band.flights++;
		band.delayMinutes += delay;
		band.late += delay > lateMinutes ? 1 : 0;
		this.progress.next = number + 1;
	}
}

/** Parses a file as a stream of its values. */
function parserOf(file: string): Duplex {
	return extname(file) === '.csv'
		? parseCsv({columns: true, cast: true})
		: new JSONParser({paths: ['$.*'], keepStack: false});
}

/** The transformation: numbers the flights, keeps what is summed up, and leaves out the first `skipped`. */
async function* numberFlights(values: AsyncIterable<Parsed>, skipped: number): AsyncGenerator<Flight> {
	let number = 0;
	for await (const parsed of values) {
		const {delay, distance} = 'value' in parsed ? parsed.value : parsed;
		if (number >= skipped) {
			yield {number, delay, distance};
		}

		number++;
	}
}

/** A rename replaces the file whole or not at all, whenever the process is killed. */
async function replaceFile(file: string, content: string): Promise<void> {
	await writeFile(`${file}.new`, content);
	await rename(`${file}.new`, file);
}

function summarise(bands: Record<string, Band>): string {
	const rows = Object.entries(bands)
		.sort(([a], [b]) => Number(a) - Number(b))
		.map(([from, {flights, delayMinutes, late}]) => ({
			miles: `${from}-${Number(from) + bandMiles - 1}`,
			flights,
			meanDelayMinutes: Math.round((100 * delayMinutes) / flights) / 100,
			latePercent: Math.round((1000 * late) / flights) / 10,
		}));
	return JSON.stringify(rows, undefined, '\t');
}

const progressFile = join(directory, 'progress.json');
const queueDirectory = join(directory, 'queue');
const resultFile = join(directory, 'delays-by-distance.json');

await access(file).catch(error => {
	console.error(`Cannot read the flights: ${error.message}`);
	process.exit(1);
});
await mkdir(directory, {recursive: true});
const stopped = new AbortController();
process.once('SIGINT', () => stopped.abort());
process.once('SIGTERM', () => stopped.abort());

const queue = await DiskQueue.open<Flight>(queueDirectory, {durability: 'write'});
const skipped = queue.stats().nextSequence;
const sink = new DelaysByDistance(progressFile, Number(values.pause));
if (skipped > 0) {
	console.log(`Going on: ${count(skipped)} flights were read before, ${count(queue.size)} of them wait in the queue.`);
}

const progress = showProgress(() => {
	const {nextSequence, memoryRecords, diskRecords, diskBytes} = queue.stats();
	return `read ${count(nextSequence)} | in memory ${count(memoryRecords)} | on disk ${count(diskRecords)} (${count(diskBytes)} bytes) | delivered ${count(sink.progress.next)}`;
}, Number(values.interval));
try {
	await pipeline(
		createReadStream(file),
		parserOf(file),
		values => numberFlights(values, skipped),
		diskQueue(queue),
		sink,
		{signal: stopped.signal},
	);
} catch (error) {
	if (!stopped.signal.aborted) {
		throw error;
	}
} finally {
	progress.stop();
	await queue.close();
}

if (stopped.signal.aborted) {
	console.log('Stopped. Start again to go on.');
} else {
	await replaceFile(resultFile, `${summarise(sink.progress.bands)}\n`);
	await rm(queueDirectory, {recursive: true});
	await rm(progressFile);
	console.log(`${count(sink.progress.next)} flights summed up in ${resultFile}`);
}
