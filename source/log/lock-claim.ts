import {once} from 'node:events';
import {connect, createServer, type Server} from 'node:net';
import {hostname} from 'node:os';
import type {LockOwner} from '../errors.ts';

/** A directory taken: nobody else has it until it is released or the process ends. */
export type DirectoryLock = {
	/** Gives the directory up: idempotent. */
	release(): Promise<void>;
	/** The same from an exit handler: synchronous unlink of our claim, nothing awaited. */
	releaseSync(): void;
	/** Whether the path still leads to the directory that was taken, and the claim on it stands for others to see. */
	isHeld(): boolean;
};

/** What a claim is made of. */
export type ClaimParts = {
	/** Where it listens. */
	address: string;
	state(): ClaimState;
	/** Takes its names back. */
	remove(): void;
	/** Whether others can see it. */
	isVisible(): boolean;
};

/** How far a claim has come: `owner` once it has seen no other living one. */
export type ClaimState = 'owner' | 'contender';

/** Another claim on the directory that is, or may be, alive. */
export type Rival = {
	owner: LockOwner;
	/** It does not own the directory, or is giving it up: worth another attempt. */
	isPassing: boolean;
	/** Follows the owner's name in the message of the error. */
	detail?: string;
};

/** What a connection told of a claim. `refused`: nobody listens. `leaving`: it hung up without an answer. */
export type Finding =
	| {state: ClaimState; pid: number; host: string}
	| {state: 'refused' | 'absent' | 'leaving'}
	| {state: 'silent'; reason: string};

/** How long an event loop may take to answer, in milliseconds. */
const answerTimeout = 250;

// An answer has some 100 bytes; what is longer is none.
const answerLimit = 4096;

/** Claims an address: listens there until released, answering each connection with one JSON line. */
export async function claim({address, state, remove, isVisible}: ClaimParts): Promise<DirectoryLock> {
	const server = createServer(connection => {
		connection.unref();
		connection.on('error', ignore);
		connection.write(`${JSON.stringify({state: state(), pid: process.pid, host: hostname()})}\n`);
		connection.destroySoon();
	});
	server.unref();
	// An accept that fails, for want of descriptors, is the inquirer's to notice.
	server.on('error', ignore);
	// Exclusive: cluster workers would otherwise share one socket, and each be told that it listens.
	server.listen({path: address, exclusive: true});
	await once(server, 'listening');
	return heldBy(server, remove, isVisible);
}

// Both may be repeated: the names removed were only ever this claim's, and a closed server stays closed.
function heldBy(server: Server, remove: () => void, isVisible: () => boolean): DirectoryLock {
	const release = () => {
		remove();
		return new Promise<void>(resolve => server.close(() => resolve()));
	};

	return {release, releaseSync: () => void release(), isHeld: () => server.listening && isVisible()};
}

/** Connects to a claim and reads its answer. */
export function inquire(address: string): Promise<Finding> {
	return new Promise(resolve => {
		const connection = connect(address);
		const settle = (finding: Finding) => {
			clearTimeout(timer);
			connection.destroy();
			resolve(finding);
		};

		// After a blocked turn of our own the timer is due before the answer is read: look at what arrived first.
		const timer = setTimeout(() => setImmediate(settle, {state: 'silent', reason: 'no answer'}), answerTimeout);
		let text = '';
		connection.setEncoding('utf8');
		connection.on('data', chunk => {
			text += chunk;
			if (text.includes('\n') || text.length > answerLimit) {
				settle(parseAnswer(text));
			}
		});
		connection.on('end', () => settle({state: 'leaving'}));
		connection.on('error', error => settle(interpretError(error)));
	});
}

function parseAnswer(text: string): Finding {
	try {
		const {state, pid, host} = JSON.parse(text);
		if ((state === 'owner' || state === 'contender') && Number.isSafeInteger(pid) && typeof host === 'string') {
			return {state, pid, host};
		}
	} catch {
		// Not one of our answers.
	}

	return {state: 'silent', reason: 'an unknown answer'};
}

/** Only a refusal tells that nobody listens; a full backlog, for one, is EAGAIN. */
function interpretError({code = 'an unknown error'}: NodeJS.ErrnoException): Finding {
	if (code === 'ECONNREFUSED') {
		return {state: 'refused'};
	}

	if (code === 'ENOENT') {
		return {state: 'absent'};
	}

	return code === 'ECONNRESET' ? {state: 'leaving'} : {state: 'silent', reason: code};
}

/** Takes a claim for alive; `pid` is what is known of it without its answer. */
export function rivalOf(finding: Finding, pid: number): Rival {
	switch (finding.state) {
		case 'owner':
		case 'contender': {
			const owner = {pid: finding.pid, host: finding.host};
			return finding.state === 'owner'
				? {owner, isPassing: false}
				: {owner, isPassing: true, detail: 'which tries to take it too'};
		}

		case 'silent':
			return {owner: {pid}, isPassing: false, detail: `which does not answer (${finding.reason})`};
		default:
			return {owner: {pid}, isPassing: true, detail: 'which takes it or gives it up again and again'};
	}
}

function ignore(): void {}
