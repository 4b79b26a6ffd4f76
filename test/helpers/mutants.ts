/** One place of the source, and what stands there instead. */
export type Edit = {file: string; find: string; replace: string};

/** A bug to be found: what is wrong, the edits that make it, and the tests that must notice. */
export type Mutant = {bug: string; edits: Edit[]; killers: string[]};

const blockChecksum = 'crc32(bytes.subarray(0, headerChecksumOffset), identity)';
const blockChecksumRead = 'crc32(header.subarray(0, headerChecksumOffset), identity)';

/** The classic ways to lose, repeat or invent a record, each as it could be written by mistake. */
export const mutants: readonly Mutant[] = [
	{
		bug: 'a sync of a segment does not reach the device',
		edits: [
			{
				file: 'log/segment-writer.ts',
				find: 'await this.#pace.run(bytes, where => this.#storage.sync(this.#descriptor, where));',
				replace: 'await undefined;',
			},
		],
		killers: ['reliability/crash-states'],
	},
	{
		bug: 'the directory entry of a new file is not forced to the device',
		edits: [
			{
				file: 'log/record-sync.ts',
				find: 'await storage.syncDirectory(directory);',
				replace: '',
			},
		],
		killers: ['reliability/crash-states'],
	},
	{
		bug: 'a put resolves before its sync has ended',
		edits: [
			{
				file: 'queue/log-admission.ts',
				find: 'try {\n\t\t\tawait this.#sync(appendAgain);',
				replace: 'try {\n\t\t\tvoid this.#sync(appendAgain);',
			},
		],
		killers: ['reliability/crash-states'],
	},
	{
		bug: 'a segment is removed before the checkpoint that passes it is durable',
		edits: [
			{
				file: 'log/reclaim.ts',
				find: 'await syncCheckpoint();\n\t\tconst done = progress.durable;',
				replace: 'await undefined;\n\t\tconst done = progress.written;',
			},
		],
		killers: ['reliability/crash-states'],
	},
	{
		bug: 'appending goes on in a file whose sync has failed',
		edits: [
			{
				file: 'log/record-sync.ts',
				find: 'segment.isDirty = false;\n\t\t\tif (segments.writer?.segment === segment) {\n\t\t\t\tsegments.seal();\n\t\t\t}',
				replace: '',
			},
			{
				file: 'log/record-sync.ts',
				find: 'this.#unsyncable = {\n\t\t\t\terror,\n\t\t\t\tfrom: Math.min(segment.syncedSequence, from),\n\t\t\t\tto: Math.max(segments.nextSequence, to),\n\t\t\t};',
				replace: 'void from;',
			},
		],
		killers: ['log/segment-log', 'queue/failing-storage'],
	},
	{
		bug: 'the checksum of a block header leaves its length out',
		edits: [
			{file: 'format/block.ts', find: blockChecksum, replace: blockChecksum.replace('(0,', '(8,')},
			{file: 'format/block.ts', find: blockChecksumRead, replace: blockChecksumRead.replace('(0,', '(8,')},
		],
		killers: ['format/block'],
	},
	{
		bug: 'the checksum of a block header does not tie it to its segment',
		edits: [
			{file: 'format/block.ts', find: blockChecksum, replace: blockChecksum.replace(', identity', '')},
			{file: 'format/block.ts', find: blockChecksumRead, replace: blockChecksumRead.replace(', identity', '')},
		],
		killers: ['reliability/corruption'],
	},
	{
		bug: 'a segment lost to a power cut is not told from the one written in its place',
		edits: [{file: 'queue/open-directory.ts', find: 'randomInt(1, saltLimit)', replace: '1'}],
		killers: ['queue/disk-queue'],
	},
	{
		bug: 'the header of a segment of another run passes for its own',
		edits: [{file: 'format/segment-header.ts', find: 'salt === place.salt && ', replace: ''}],
		killers: ['format/segment-header'],
	},
	{
		bug: 'the checksum of a block header does not tie it to the run that wrote it',
		edits: [{file: 'format/segment-header.ts', find: 'crc32(place, salt)', replace: 'crc32(place)'}],
		killers: ['format/segment-header'],
	},
	{
		bug: 'a file that was found to end early is taken to have nothing that is appended later',
		edits: [
			{
				file: 'log/segment-cursor.ts',
				find: 'return this.#missing?.end === end ? this.#missing.from : end;',
				replace: 'return Math.min(end, this.#missing?.from ?? end);',
			},
		],
		killers: ['log/segment-reader'],
	},
	{
		bug: 'a window set elsewhere in the moment after a read is taken for the end of the file',
		edits: [
			{file: 'log/read-ahead.ts', find: 'this.#place++;\n\t\tthis.#abandonRead(0);', replace: 'this.#abandonRead(0);'},
		],
		killers: ['log/read-ahead'],
	},
	{
		bug: 'what an earlier run removed may come back beside a segment from the same sequence',
		edits: [{file: 'log/log-end.ts', find: 'await storage.syncDirectory(directory);\n\t\treturn;', replace: 'return;'}],
		killers: ['log/recovery'],
	},
	{
		bug: 'the checksum of a payload is not looked at',
		edits: [
			{file: 'format/block.ts', find: 'return computed === header.payloadChecksum', replace: 'return computed !== -1'},
		],
		killers: ['reliability/corruption'],
	},
	{
		bug: 'a block of zero bytes counts as one',
		edits: [
			{file: 'format/block.ts', find: 'payloadBytes === 0 || records === 0 || flags !== 0', replace: 'flags !== 0'},
		],
		killers: ['format/block'],
	},
	{
		bug: 'a torn tail is not cut',
		edits: [
			{file: 'log/log-end.ts', find: 'storage.truncate(descriptor, end);\n\t\t\tsegment.end = end;', replace: ''},
		],
		killers: ['reliability/crash-states', 'log/recovery'],
	},
	{
		bug: 'the next sequence follows the last record, whatever the checkpoint says',
		edits: [
			{
				file: 'log/log-end.ts',
				find: 'checkpoint?.sequence ?? 0,\n\t\tcheckpoint?.delivered.next ?? 0,\n\t\tcheckpoint?.end.nextSequence ?? 0,',
				replace: '0,',
			},
		],
		killers: ['reliability/crash-states'],
	},
	{
		bug: 'a short write counts as a whole one',
		edits: [{file: 'log/transfer.ts', find: 'rest = withoutFirst(rest, written);', replace: 'rest = [];'}],
		killers: ['log/transfer'],
	},
	{
		bug: 'what a failed write left stays in the middle of the log',
		edits: [{file: 'log/segment-writer.ts', find: 'this.#cut(start);\n\t\t\tthrow error;', replace: 'throw error;'}],
		killers: ['log/segment-writer', 'reliability/faults'],
	},
	{
		bug: 'a segment that could not be given its header is left behind',
		edits: [
			{
				file: 'log/segment-list.ts',
				find: 'try {\n\t\t\tthis.#removeFrom(this.#nextSequence);',
				replace: 'try {',
			},
		],
		killers: ['log/segment-log', 'reliability/faults'],
	},
	{
		bug: 'a sync vouches for a log that was taken back, and could not be appended to again',
		edits: [
			{
				file: 'log/record-sync.ts',
				find: 'this.#unsyncable = {error, from: Math.min(segments.nextSequence, from), to: end};',
				replace: '',
			},
		],
		killers: ['queue/failing-storage'],
	},
	{
		bug: 'appending goes on in a file that has refused a block',
		edits: [{file: 'log/block-appender.ts', find: 'this.#parts.segments.giveUpActive();', replace: ''}],
		killers: ['log/segment-log', 'queue/failing-storage'],
	},
	{
		bug: 'damage is passed over without a word',
		edits: [{file: 'log/segment-reader.ts', find: 'this.#log.report(corruption);', replace: ''}],
		killers: ['reliability/corruption'],
	},
	{
		bug: 'damaged bytes are not kept',
		edits: [
			{
				file: 'log/quarantine.ts',
				find: 'copyBytes(segment.path, path, {from, to}, storage);',
				replace: '',
			},
		],
		killers: ['reliability/corruption'],
	},
	{
		bug: 'a delivered Buffer shares the memory that is read into',
		edits: [{file: 'format/codec.ts', find: 'copyBuffers: true', replace: 'copyBuffers: false'}],
		killers: ['format/codec'],
	},
	{
		bug: 'typed arrays are packed by their length, with bytes of other memory',
		edits: [{file: 'format/codec.ts', find: 'moreTypes: true', replace: 'moreTypes: false'}],
		killers: ['format/codec'],
	},
	{
		bug: 'the durable slot of the checkpoint is overwritten',
		edits: [
			{
				file: 'log/checkpoint-file.ts',
				find: '[this.#durableSlot, this.#newestSlot, this.#syncingSlot]',
				replace: '[this.#newestSlot, this.#syncingSlot]',
			},
		],
		killers: ['reliability/crash-states'],
	},
	{
		bug: 'the newest checkpoint is overwritten, so that half a write costs it',
		edits: [
			{
				file: 'log/checkpoint-file.ts',
				find: '[this.#durableSlot, this.#newestSlot, this.#syncingSlot]',
				replace: '[this.#durableSlot, this.#syncingSlot]',
			},
		],
		killers: ['log/checkpoint-file'],
	},
	{
		bug: 'an old checkpoint is believed instead of the newest',
		edits: [
			{
				file: 'log/checkpoint-file.ts',
				find: 'other.generation - one.generation',
				replace: 'one.generation - other.generation',
			},
		],
		killers: ['log/checkpoint-file', 'reliability/crash-states'],
	},
	{
		bug: 'an owner that does not answer counts as dead',
		edits: [
			{
				file: 'log/socket-lock.ts',
				find: "if (finding.state !== 'refused') {",
				replace: "if (finding.state !== 'refused' && finding.state !== 'silent') {",
			},
		],
		killers: ['log/directory-lock'],
	},
	{
		bug: 'attempts are counted after the delivery',
		edits: [
			{
				file: 'queue/deliveries.ts',
				find: 'this.#options.attempted();',
				replace: '',
			},
		],
		killers: ['reliability/kill-consumer'],
	},
	{
		bug: 'a process that exits does not write what is in memory',
		edits: [
			{
				file: 'queue/engine.ts',
				find: 'this.store.spillAll();\n\t\t} finally {',
				replace: '} finally {',
			},
		],
		killers: ['streams/exit'],
	},
	{
		bug: 'a record that a failed sink had taken counts as confirmed',
		edits: [
			{
				file: 'streams/sink-progress.ts',
				find: 'if (this.#isFailing()) {\n\t\t\treturn given;\n\t\t}',
				replace: '',
			},
		],
		killers: ['reliability/stream-failure'],
	},
];
