import {readdirSync, readFileSync} from 'node:fs';
import {dirname, join, relative} from 'node:path';
import test from 'ava';

const source = join(import.meta.dirname, '../../source');

/** The layers from the top down; a module imports from its own layer and from those below. */
const layers = ['index.ts', 'streams', 'queue', 'log', 'format', 'storage.ts', 'leaves'];
const leaves = ['options.ts', 'option-checks.ts', 'errors.ts', 'ring.ts'];

function layerOf(module: string): number {
	const top = module.split('/')[0]!;
	return layers.indexOf(leaves.includes(top) ? 'leaves' : top);
}

function importsOf(text: string): string[] {
	return [...text.matchAll(/(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, specifier]) => specifier!);
}

const modules = readdirSync(source, {recursive: true, encoding: 'utf8'}).filter(name => name.endsWith('.ts'));

test('every module belongs to a layer, and imports from its own layer or one below', t => {
	let arrows = 0;
	for (const module of modules) {
		t.not(layerOf(module), -1, `${module} is in no layer`);
		for (const specifier of importsOf(readFileSync(join(source, module), 'utf8')).filter(name =>
			name.startsWith('.'),
		)) {
			const target = relative(source, join(source, dirname(module), specifier));
			t.true(layerOf(target) >= layerOf(module), `${module} imports ${target}, which is above it`);
			arrows++;
		}
	}

	t.true(modules.length > 25, `${modules.length} modules`);
	t.true(arrows > 60, `${arrows} imports`);
});

test('only storage.ts imports node:fs', t => {
	const importers = modules.filter(module =>
		importsOf(readFileSync(join(source, module), 'utf8')).some(name => /^(node:)?fs(\/|$)/.test(name)),
	);
	t.deepEqual(importers, ['storage.ts']);
});

test('format is pure: it imports no other layer but the leaves, and reads no clock', t => {
	const format = modules.filter(module => module.startsWith('format/'));
	t.true(format.length > 4);
	for (const module of format) {
		const text = readFileSync(join(source, module), 'utf8');
		t.false(/Date\.now|performance\.|process\./.test(text), module);
	}
});

test('an import that points up is found', t => {
	t.deepEqual(importsOf("import {a} from '../queue/a.ts';\nexport type {b} from './b.ts';\nawait import('./c.ts');"), [
		'../queue/a.ts',
		'./b.ts',
		'./c.ts',
	]);
	t.true(layerOf('queue/queue.ts') < layerOf('log/segment-log.ts'));
});
