import {element, picture, pixels, points, type Svg, text} from './svg.ts';

export type Line = {
	name: string;
	colour: 'disq' | 'limit' | 'peer' | 'other';
	isDashed?: boolean;
	places: Array<[x: number, y: number]>;
};

/** What an axis shows, and how. */
export type Axis = {from: number; to: number; isLogarithmic?: boolean; ticks: number[]; label(value: number): string};

const [width, height] = [760, 340];
const edges = {left: 64, right: 40, top: 70, bottom: 40};

/** Lines over a grid, named in a row above it. */
export function lineChart(title: string, {x, y, lines}: {x: Axis; y: Axis; lines: Line[]}): Svg {
	const across = scaleOf(x, edges.left, width - edges.right);
	const up = scaleOf(y, height - edges.bottom, edges.top);
	return picture({title, width, height}, [
		...x.ticks.map(value => columnTick(across(value), x.label(value))),
		...y.ticks.map(value => rowTick(up(value), y.label(value))),
		...lines.map(line => drawLine(line, across, up)),
		...lines.flatMap(legend),
	]);
}

type Scale = (value: number) => number;

function scaleOf({from, to, isLogarithmic}: Axis, start: number, end: number): Scale {
	const measure = isLogarithmic ? Math.log10 : (value: number) => value;
	return value => pixels(start + ((measure(value) - measure(from)) / (measure(to) - measure(from))) * (end - start));
}

function columnTick(x: number, label: string): Svg {
	const bottom = height - edges.bottom;
	return [
		element('line', {class: 'grid', x1: x, x2: x, y1: edges.top, y2: bottom}),
		text(label, {class: 'quiet', x, y: bottom + 18, 'text-anchor': 'middle'}),
	].join('');
}

function rowTick(y: number, label: string): Svg {
	return [
		element('line', {class: 'grid', x1: edges.left, x2: width - edges.right, y1: y, y2: y}),
		text(label, {class: 'quiet', x: edges.left - 8, y: y + 4, 'text-anchor': 'end'}),
	].join('');
}

function drawLine({colour, isDashed, places}: Line, across: Scale, up: Scale): Svg {
	return element('polyline', {
		class: `${colour} line`,
		...(isDashed && {'stroke-dasharray': '6 4'}),
		points: points(places.map(([x, y]) => [across(x), up(y)])),
	});
}

function legend({name, colour, isDashed}: Line, index: number): Svg[] {
	const x = 16 + index * 184;
	return [
		element('line', {
			class: `${colour} line`,
			...(isDashed && {'stroke-dasharray': '6 4'}),
			x1: x,
			x2: x + 22,
			y1: 48,
			y2: 48,
		}),
		text(name, {x: x + 28, y: 52}),
	];
}
