import {parseSegmentFileName, segmentFileName} from '../../source/format/file-name.ts';

/** The name of a file without the salt that a segment has there, which nobody knows beforehand. */
export function withoutSalt(name: string): string {
	const place = parseSegmentFileName(name);
	return place ? segmentFileName(place.firstSequence) : name;
}
