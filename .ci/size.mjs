/*
 * Says what an installation takes: how many packages, and how many bytes of files, most of all first.
 *
 *     node .ci/size.mjs [folder with a node_modules]      without one, the packed package is installed in an empty project
 */
import {execSync} from 'node:child_process';
import {lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

function installPacked() {
	const project = mkdtempSync(join(tmpdir(), 'disq-size-'));
	const [{filename}] = JSON.parse(execSync(`npm pack --json --silent --ignore-scripts --pack-destination ${project}`));
	writeFileSync(join(project, 'package.json'), '{"private": true}');
	execSync(`npm install --omit=dev --silent --no-audit --no-fund ./${filename}`, {cwd: project});
	return project;
}

function packagesIn(project) {
	const lock = JSON.parse(readFileSync(join(project, 'node_modules/.package-lock.json'), 'utf8'));
	return Object.entries(lock.packages).map(([path, {version}]) => ({
		name: `${path.replace(/^.*node_modules\//, '')} ${version}`,
		bytes: bytesOf(join(project, path)),
	}));
}

/** Bytes of the files of a package, without those of packages inside it. */
function bytesOf(folder) {
	let bytes = 0;
	for (const entry of readdirSync(folder, {withFileTypes: true})) {
		const path = join(folder, entry.name);
		if (entry.isDirectory()) {
			bytes += entry.name === 'node_modules' ? 0 : bytesOf(path);
		} else {
			bytes += lstatSync(path).size;
		}
	}

	return bytes;
}

const megabytes = bytes => `${(bytes / 1e6).toFixed(2)} MB`;
const given = process.argv[2];
const project = given ?? installPacked();
const packages = packagesIn(project).sort((a, b) => b.bytes - a.bytes);
for (const {name, bytes} of packages) {
	console.log(`${megabytes(bytes).padStart(10)}  ${name}`);
}

const total = packages.reduce((sum, {bytes}) => sum + bytes, 0);
console.log(`installed: ${packages.length} packages, ${megabytes(total)}`);
if (!given) {
	rmSync(project, {recursive: true});
}
