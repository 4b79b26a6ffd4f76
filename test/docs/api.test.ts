import test from 'ava';
import {type Exported, type Member, readExports} from '../helpers/package-types.ts';
import {codeIn, readPage, rowsOf, type Section, sectionsOf} from '../helpers/pages.ts';

const page = 'docs/api.md';
const sections = new Map(sectionsOf(page).map(section => [nameIn(section.title), section]));
/** Types that take in another one, whose members have their entries there. */
const extended: Record<string, string> = {DiskQueueStreamOptions: 'DiskQueueOptions', GetManyOptions: 'WaitOptions'};
const exported = await readExports();

/** `DiskQueue` of "`DiskQueue`", `diskQueue` of "`diskQueue(target, options?)`". */
function nameIn(title: string): string {
	return /^`(\w+)/.exec(title)?.[1] ?? title;
}

/** Forms as the types tell them: which parameter may be left out is not among it. */
function formsIn(cell: string): string[] {
	return codeIn(cell).map(code => code.replaceAll('?', ''));
}

function rowsUnder(name: string): string[][] {
	return rowsOf(sections.get(name)?.text ?? '');
}

function membersOf(name: string): Member[] {
	const inherited = exported.get(extended[name] ?? '')?.members.map(member => member.name) ?? [];
	return exported.get(name)!.members.filter(member => !inherited.includes(member.name));
}

/** The row of a member: the one whose first cell has its form. */
function rowOf(section: string, {forms}: Member): string[] | undefined {
	return rowsUnder(section).find(([first]) => formsIn(first!).includes(forms[0]!));
}

/** Told in words: two of Node's streams, and what DiskQueue has too. */
const told = ['Queue', 'DiskQueueStream', 'QueueReadStream'];
const isError = (name: string) => name.endsWith('Error') || name === 'QueueErrorCode';
const withTable = [...exported].filter(
	([name, {members}]) => members.length > 0 && !isError(name) && !told.includes(name),
);

test('the types are read: every export, and their members', t => {
	t.true(exported.size > 40, `${exported.size} exports`);
	t.true(exported.get('DiskQueue')!.members.length > 25);
	t.deepEqual(exported.get('Durability')!.literals, ["'fsync'", "'spill'", "'write'"]);
	const get = exported.get('DiskQueue')!.members.find(({name}) => name === 'get')!;
	t.deepEqual(get.forms, ['get(options)']);
	t.regex(get.documentation, /QUEUE_EMPTY/);
	t.is(exported.get('DiskQueueOptions')!.members[0]!.defaultValue, '1024');
});

test('every export has an entry, and every entry is an export', t => {
	const headings = [...sections].filter(([, {title}]) => title.startsWith('`')).map(([name]) => name);
	const errors = rowsUnder('Errors').map(([first]) => codeIn(first!)[0]!);
	t.deepEqual([...headings, ...errors].sort(), [...exported.keys()].sort());
});

test('every function is headed by its parameters', t => {
	const functions = ['diskQueue', 'createReadStream', 'createWriteStream', 'consume'];
	for (const name of functions) {
		t.deepEqual(formsIn(sections.get(name)!.title), exported.get(name)!.forms, name);
	}
});

for (const [name] of withTable) {
	test(`every member of ${name} has an entry with its parameters, and every entry is a member`, t => {
		const forms = rowsUnder(name).flatMap(([first]) => formsIn(first!));
		t.deepEqual(
			forms.sort(),
			membersOf(name)
				.flatMap(member => member.forms)
				.sort(),
		);
	});
}

test('as many types have members as are checked here', t => {
	t.true(withTable.length > 18, `${withTable.length} types`);
});

test('every default is the one in the docstring, and every option has a type and a meaning', t => {
	const options = withTable.filter(([name]) => name.endsWith('Options') || name === 'Backoff');
	let defaults = 0;
	for (const [name] of options) {
		for (const member of membersOf(name)) {
			const [, type, value, meaning] = rowOf(name, member)!;
			const place = `${name}.${member.name}`;
			t.true(type !== '' && meaning !== '', place);
			if (member.defaultValue !== undefined) {
				t.is(value!.replaceAll('`', '').split(/[\s;]/)[0], member.defaultValue, place);
				defaults++;
			}
		}
	}

	t.true(defaults > 25, `${defaults} defaults`);
});

test('the unions of strings are told value by value', t => {
	for (const name of ['Durability', 'Overflow']) {
		const values = rowsUnder(name).map(([first]) => codeIn(first!)[0]!);
		t.deepEqual(values.sort(), exported.get(name)!.literals, name);
	}
});

test('every error that the docstring of a method names is in its entry', t => {
	let codes = 0;
	for (const member of exported.get('DiskQueue')!.members) {
		const row = rowOf('DiskQueue', member)!.join(' ');
		for (const [code] of member.documentation.matchAll(/QUEUE_\w+|ABORT_ERR/g)) {
			t.true(row.includes(code), `${member.name}: ${code}`);
			codes++;
		}
	}

	t.true(codes > 20, `${codes} codes`);
});

test('every error is told with its fields, its code, and its class', t => {
	const rows = new Map(rowsUnder('Errors').map(row => [codeIn(row[0]!)[0]!, row.join(' ')]));
	const errors = [...exported].filter(([name]) => name.endsWith('Error'));
	t.is(rows.size, errors.length + 1);
	for (const [name, {members}] of errors) {
		const own = members.map(member => member.name).filter(member => member !== 'code' && member !== 'cause');
		for (const field of own) {
			t.true(codeIn(rows.get(name)!).includes(field), `${name}: ${field}`);
		}
	}
});

test('the interface Queue is told whole', t => {
	const text = sections.get('Queue') as Section;
	const named = codeIn(text.text).filter(code => code !== 'DiskQueue');
	t.deepEqual(named.sort(), nameOf(exported.get('Queue')!).sort());
});

function nameOf({members}: Exported): string[] {
	return members.map(({name}) => name);
}

test('a stream is told with its property and its event', t => {
	t.deepEqual(
		rowsUnder('DiskQueueStream').map(([first]) => codeIn(first!)[0]),
		['queue', 'ready'],
	);
	t.true(readPage(page).includes('`ready`'));
});

test('the README names every option and event of a queue, and every function', t => {
	const text = sectionsOf('README.md').find(({title}) => title === 'At a glance')!.text;
	const names = ['DiskQueueOptions', 'DiskQueueEvents'].flatMap(name => nameOf(exported.get(name)!));
	t.true(names.length > 20);
	for (const name of [...names, 'diskQueue', 'createReadStream', 'createWriteStream', 'consume']) {
		t.regex(text, new RegExp(`\`${name}\\b`), name);
	}
});
