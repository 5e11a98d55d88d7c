/**
 * The control socket as a file: its owner, how it is taken over and how it is released.
 *
 * Taking it is atomic. The new socket is bound at `PATH.new`, which only one process can do at a time; whoever holds that
 * name looks whether PATH is alive and, if not, renames its own socket over it. A stale socket is thereby replaced
 * without an instant in which the name is free, and of two daemons that start at once one is refused.
 */

import { accessSync, chownSync, constants, lstatSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { VtepError } from '../../lib/errors.ts';
import { MAX_SOCKET_PATH_BYTES } from '../../lib/limits.ts';
import { makeDirectory } from '../../sys/directory.ts';

/** The group that can use the socket, in addition to its owner. */
const SOCKET_GROUP = 'vtepd';

/** Takes execute and the others' bits away from 0777: a socket is born 0660. */
const SOCKET_UMASK = 0o117;

/** Tells a file from one that took over its name. The socket's inode cannot be reused while the socket lives. */
export interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
}

/**
 * Refuses early what {@link takeSocketFile} would refuse at the end of a start, and makes the parent directory (0755).
 * @throws VtepError ERR_VTEP_CONTROL_SOCKET
 */
export async function checkControlSocket(path: string): Promise<void> {
  if (path === '' || Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw refused(path, `the path must have 1 to ${MAX_SOCKET_PATH_BYTES} bytes`, 'choose another --socket');
  }
  try {
    withUmask(0o022, () => makeDirectory(dirname(path)));
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw refused(path, `its directory cannot be made or written (${code})`, 'run as root or choose another --socket');
  }
  await refuseOccupied(path);
}

/**
 * Makes `server` listen on `path`, mode 0660 from the first moment, group `vtepd` if `groupFile` has one.
 * @param groupFile in the form of /etc/group; groups of other name services are not seen
 * @returns what {@link releaseSocketFile} needs
 * @throws VtepError ERR_VTEP_CONTROL_SOCKET
 */
export async function takeSocketFile(server: Server, path: string, groupFile: string): Promise<FileIdentity> {
  await checkControlSocket(path);
  const pending = `${path}.new`;
  if ((await stateOf(pending)) === 'stale') rmSync(pending, { force: true });
  const own = await listen(server, pending);
  try {
    giveToGroup(pending, groupFile);
    await refuseOccupied(path);
    renameSync(pending, path);
    // Only a start that took another's just bound `PATH.new` for a stale one gets here with a foreign file.
    if (!isFile(path, own)) throw new Error('another socket has taken the name');
    return own;
  } catch (error) {
    server.close();
    throw error instanceof VtepError ? error : simultaneous(path);
  }
}

/** Removes the socket's name if it is still this server's; a later daemon's is left alone. */
export function releaseSocketFile(path: string, own: FileIdentity): void {
  if (isFile(path, own)) rmSync(path, { force: true });
}

async function listen(server: Server, pending: string): Promise<FileIdentity> {
  const outcome = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', reject);
  });
  // bind(2) happens inside listen(), the event later: umask and inode are those of this very socket.
  const own = withUmask(SOCKET_UMASK, () => {
    server.listen(pending);
    return lstatSync(pending, { throwIfNoEntry: false });
  });
  try {
    await outcome;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') throw simultaneous(pending.slice(0, -'.new'.length));
    throw refused(pending, `cannot be bound (${code})`, 'choose another --socket');
  }
  if (!own) throw simultaneous(pending.slice(0, -'.new'.length));
  return { dev: own.dev, ino: own.ino };
}

async function refuseOccupied(path: string): Promise<void> {
  if ((await stateOf(path)) === 'live') {
    throw refused(path, 'another vtepd answers there', 'stop it or choose another --socket');
  }
}

/** @throws VtepError if that is not known, or if the file is not a socket, which is never changed */
async function stateOf(path: string): Promise<'absent' | 'stale' | 'live'> {
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (!file) return 'absent';
  if (!file.isSocket()) throw refused(path, 'a file that is not a socket', 'move it away or choose another --socket');
  const code = await new Promise<string | undefined>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  switch (code) {
    case undefined:
    case 'EAGAIN': // Alive, with a full backlog.
      return 'live';
    case 'ECONNREFUSED':
      return 'stale';
    case 'ENOENT':
      return 'absent';
    default:
      throw refused(path, `cannot find out whether a vtepd answers there (${code})`, 'choose another --socket');
  }
}

function giveToGroup(path: string, groupFile: string): void {
  const gid = groupId(groupFile, SOCKET_GROUP);
  if (gid === undefined) return;
  try {
    chownSync(path, process.geteuid?.() ?? 0, gid);
  } catch {
    // An ordinary user outside the group, a user namespace that has no such group, a file system that knows no groups: the socket keeps its
    // own group, and is then more private than it could be, never less.
  }
}

function groupId(groupFile: string, name: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(groupFile, 'utf8');
  } catch {
    return undefined;
  }
  const fields = text.split('\n').map((line) => line.split(':'));
  const gid = fields.find((line) => line[0] === name)?.[2] ?? '';
  return /^\d+$/.test(gid) ? Number(gid) : undefined;
}

function isFile(path: string, { dev, ino }: FileIdentity): boolean {
  const file = lstatSync(path, { throwIfNoEntry: false });
  return file?.dev === dev && file.ino === ino;
}

function withUmask<T>(mask: number, run: () => T): T {
  const before = process.umask(mask);
  try {
    return run();
  } finally {
    process.umask(before);
  }
}

function simultaneous(path: string): VtepError {
  return refused(path, 'another vtepd is starting there', 'stop it or choose another --socket');
}

function refused(path: string, cause: string, remedy: string): VtepError {
  return new VtepError('ERR_VTEP_CONTROL_SOCKET', { object: `control socket ${path}`, cause, remedy });
}
