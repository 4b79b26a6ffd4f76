import {isDeepStrictEqual} from 'node:util';

export type NumberedRecord = {id: number; name: string; payload: Uint8Array; tags: string[]};

/** A record of 50 to 1000 bytes whose whole content follows from its id. */
export function numberedRecord(id: number): NumberedRecord {
	const payload = new Uint8Array((id * 7919) % 900);
	payload.fill(id % 251);
	return {id, name: `record ${id}`, payload, tags: id % 3 === 0 ? [] : [`tag ${id % 5}`]};
}

/** The id of a record that is intact. */
export function checkedId(record: NumberedRecord): number {
	if (!isDeepStrictEqual(record, numberedRecord(record.id))) {
		throw new Error(`Record ${record.id} is not what it was: ${JSON.stringify(record)}`);
	}

	return record.id;
}
