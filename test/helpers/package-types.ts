import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {API, type Checker, type Project, SignatureKind, type Symbol as TypeSymbol} from 'typescript/unstable/async';
import {root} from './pages.ts';

/** A public member of an exported type: its name, or for a function its names with the parameters of each way to call it. */
export type Member = {name: string; forms: string[]; documentation: string; defaultValue: string | undefined};

/** What the package exports, by name: with its members, or for a union of strings with these. */
export type Exported = {forms: string[]; members: Member[]; literals: string[]};

const declarations = join(root, 'build/source/index.d.ts');

/** Reads the exports of the built package off its declarations, as the compiler sees them. */
export async function readExports(): Promise<Map<string, Exported>> {
	const api = new API({cwd: root});
	try {
		const config = writeConfig();
		const snapshot = await api.updateSnapshot({openProjects: [config]});
		const project = snapshot.getProject(config)!;
		const file = (await project.program.getSourceFile(declarations))!;
		const {checker} = project;
		const module = (await checker.getSymbolAtLocation(file))!;
		const exports = new Map<string, Exported>();
		for (const symbol of await checker.getExportsOfModule(module)) {
			exports.set(symbol.name, await readExport(await checker.getAliasedSymbol(symbol), project));
		}

		return exports;
	} finally {
		await api.close();
	}
}

/** A project of the declarations alone, with the library that people compile with. */
function writeConfig(): string {
	const folder = join(root, 'build/test/docs/declarations');
	mkdirSync(folder, {recursive: true});
	const config = join(folder, 'tsconfig.json');
	const compilerOptions = {
		...{module: 'nodenext', target: 'es2023', lib: ['es2023', 'esnext.disposable']},
		...{types: ['node'], noEmit: true},
	};
	writeFileSync(config, JSON.stringify({compilerOptions, files: [declarations]}));
	return config;
}

async function readExport(symbol: TypeSymbol, {checker}: Project): Promise<Exported> {
	const type = await checker.getDeclaredTypeOfSymbol(symbol);
	if (type.isUnionType()) {
		const types = await type.getTypes();
		const literals = types.flatMap(each => (each.isStringLiteralType() ? [`'${each.value}'`] : [])).sort();
		return {forms: [], members: [], literals};
	}

	const statics = [...(await symbol.getExports()).values()].filter(({name}) => name !== 'prototype');
	const members = [
		...(await Promise.all(statics.map(each => readMember(each, checker, `${symbol.name}.`)))),
		...(await Promise.all(
			(await checker.getPropertiesOfType(type)).filter(isOurs).map(each => readMember(each, checker)),
		)),
	];
	return {forms: await formsOf(symbol, symbol.name, checker), members, literals: []};
}

/** Not inherited from Node or the language, and not private. */
function isOurs({name, declarations}: TypeSymbol): boolean {
	return !name.includes('#') && declarations.some(({path}) => path.includes('/build/source/'));
}

async function readMember(symbol: TypeSymbol, checker: Checker, prefix = ''): Promise<Member> {
	const wellKnown = /^__@(\w+)@/.exec(symbol.name)?.[1];
	const name = `${prefix}${wellKnown ? `[Symbol.${wellKnown}]` : symbol.name}`;
	const tags = await checker.getJsDocTagsOfSymbol(symbol);
	return {
		name,
		forms: await formsOf(symbol, name, checker),
		documentation: [await checker.getDocumentationCommentOfSymbol(symbol), ...tags.map(({text}) => text ?? '')].join(
			'\n',
		),
		defaultValue: tags.find(({name}) => name === 'default')?.text?.split(/[\s,]/)[0],
	};
}

/** The ways to call a function, `get(options?)`; its bare name for anything else. */
async function formsOf(symbol: TypeSymbol, name: string, checker: Checker): Promise<string[]> {
	const type = await checker.getTypeOfSymbol(symbol);
	const bare = type && ((await checker.getNonNullableType(type)) ?? type);
	const signatures = bare ? await checker.getSignaturesOfType(bare, SignatureKind.Call) : [];
	const forms = await Promise.all(
		signatures.map(async signature => {
			const parameters = await signature.getParameters();
			// One that is taken apart at once has no name of its own.
			const names = parameters.map(parameter => parameter.name.replace(/^__\d+$/, 'options'));
			return `${name}(${names.join(', ')})`;
		}),
	);
	return forms.length > 0 ? [...new Set(forms)] : [name];
}
