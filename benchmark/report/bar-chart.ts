import type {Spread} from '../statistics.ts';
import {element, picture, pixels, type Svg, text} from './svg.ts';

export type Bar = Spread & {name: string; role: 'disq' | 'limit' | 'peer'; label: string};

const width = 760;
const top = 44;
const rowHeight = 26;
const barHeight = 14;
const left = 220;
const right = 110;

/** Bars from the left, as long as their medians, each with a line from its least to its most. */
export function barChart(title: string, bars: Bar[]): Svg {
	const scale = (width - left - right) / Math.max(...bars.map(({max}) => max));
	return picture(
		{title, width, height: top + bars.length * rowHeight + 8},
		bars.flatMap((bar, index) => drawBar(bar, {scale, middle: top + (index + 0.5) * rowHeight})),
	);
}

function drawBar({name, role, label, median, min, max}: Bar, {scale, middle}: {scale: number; middle: number}): Svg[] {
	const [from, to] = [pixels(left + min * scale), pixels(left + max * scale)];
	const baseline = middle + 4;
	return [
		text(name, {x: left - 8, y: baseline, 'text-anchor': 'end'}),
		element('rect', {
			class: role,
			x: left,
			y: middle - barHeight / 2,
			width: pixels(Math.max(1, median * scale)),
			height: barHeight,
		}),
		element('line', {class: 'spread', x1: from, x2: to, y1: middle, y2: middle}),
		text(label, {class: 'quiet', x: to + 8, y: baseline}),
	];
}
