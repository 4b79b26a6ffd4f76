import {Readable, Writable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {diskQueue} from 'disq';

const sum = {value: 0};
const source = Readable.from([1, 2, 3].map(number => ({number})));
const sink = new Writable({
	objectMode: true,
	write({number}, _, callback) {
		sum.value += number;
		callback();
	},
});
await pipeline(source, diskQueue('./spool', {durability: 'write'}), sink);
if (sum.value !== 6) {
	throw new Error(`expected 6, got ${sum.value}`);
}

console.log('a pipeline, from ESM: ok');
