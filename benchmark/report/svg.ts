/** A piece of an SVG file, as text. */
export type Svg = string;

type Attributes = Record<string, string | number>;

export function element(name: string, attributes: Attributes, content: Svg | Svg[] = ''): Svg {
	const given = Object.entries(attributes).map(([key, value]) => ` ${key}="${escapeText(String(value))}"`);
	return `<${name}${given.join('')}>${[content].flat().join('')}</${name}>`;
}

export function text(content: string, attributes: Attributes): Svg {
	return element('text', attributes, escapeText(content));
}

/** Points of a chart, in pixels to a tenth. */
export function points(places: Array<[x: number, y: number]>): string {
	return places.map(place => place.map(pixels).join(',')).join(' ');
}

export function pixels(value: number): number {
	return Math.round(value * 10) / 10;
}

/** A picture with a title, on paper of its own: its colours fit whatever page it is on, light or dark. */
export function picture({title, width, height}: {title: string; width: number; height: number}, content: Svg[]): Svg {
	const frame = {xmlns: 'http://www.w3.org/2000/svg', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img'};
	return `${element('svg', frame, [
		`\n${element('title', {}, escapeText(title))}`,
		`\n${element('style', {}, style)}`,
		`\n${element('rect', {class: 'paper', width, height, rx: 6})}`,
		`\n${text(title, {class: 'title', x: 16, y: 26})}`,
		...content.map(piece => `\n${piece}`),
		'\n',
	])}\n`;
}

function escapeText(content: string): string {
	return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

const style = `
text {font: 12px system-ui, sans-serif; fill: #1f2328}
.title {font-size: 14px; font-weight: 600}
.quiet {fill: #59636e}
.paper {fill: #ffffff; stroke: #d1d9e0}
.grid {stroke: #d1d9e0}
.spread {stroke: #1f2328}
.disq {fill: #0969da; stroke: #0969da}
.limit {fill: #818b98; stroke: #818b98}
.peer {fill: #bc4c00; stroke: #bc4c00}
.other {fill: #8250df; stroke: #8250df}
.line {fill: none; stroke-width: 2}
@media (prefers-color-scheme: dark) {
text {fill: #f0f6fc}
.quiet {fill: #9198a1}
.paper {fill: #0d1117; stroke: #3d444d}
.grid {stroke: #3d444d}
.spread {stroke: #f0f6fc}
.disq {fill: #4493f8; stroke: #4493f8}
.limit {fill: #9198a1; stroke: #9198a1}
.peer {fill: #db6d28; stroke: #db6d28}
.other {fill: #ab7df8; stroke: #ab7df8}
.line {fill: none}
}
`;
