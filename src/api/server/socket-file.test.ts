import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_SOCKET_PATH_BYTES } from '../../lib/limits.ts';
import { ControlClient } from '../client/client.ts';
import { MemoryDaemon, sampleState } from '../memory-daemon.ts';
import { type ControlServer, openControlSocket } from './server.ts';
import { checkControlSocket } from './socket-file.ts';

let directory: string;
let path: string;
const servers: ControlServer[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vtepd-sock-'));
  path = join(directory, 'v.sock');
});

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  rmSync(directory, { recursive: true });
});

async function open(at = path, groupFile = '/nonexistent'): Promise<ControlServer> {
  const server = await openControlSocket(at, new MemoryDaemon(sampleState()), { groupFile });
  servers.push(server);
  return server;
}

const modeOf = (file: string) => statSync(file).mode & 0o7777;
const answers = async (at = path) => (await new ControlClient(at).status()).pid === 4711;

/** A socket file that nobody listens on, as a crash leaves it. */
async function leaveStale(at: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${at}.dying`, resolve));
  linkSync(`${at}.dying`, at);
  await new Promise((resolve) => server.close(resolve));
}

describe('openControlSocket', () => {
  it('makes a socket of mode 0660 in a new directory of mode 0755, whatever the umask', async () => {
    const before = process.umask(0o077);
    try {
      await open(join(directory, 'run', 'vtepd', 'v.sock'));
      expect(process.umask()).toBe(0o077);
    } finally {
      process.umask(before);
    }
    expect(modeOf(join(directory, 'run', 'vtepd', 'v.sock'))).toBe(0o660);
    expect(modeOf(join(directory, 'run', 'vtepd'))).toBe(0o755);
    expect(modeOf(join(directory, 'run'))).toBe(0o755);
    expect(existsSync(join(directory, 'run', 'vtepd', 'v.sock.new'))).toBe(false);
  });

  it('leaves the mode of an existing directory alone', async () => {
    mkdirSync(join(directory, 'mine'), { mode: 0o700 });
    await open(join(directory, 'mine', 'v.sock'));
    expect(modeOf(join(directory, 'mine'))).toBe(0o700);
  });

  it.runIf(process.getuid?.() === 0)('gives the socket to group vtepd if there is one', async () => {
    const groups = join(directory, 'group');
    writeFileSync(groups, 'root:x:0:\nvtepdx:x:4:\nvtepd:x:54321:alice\n');
    await open(path, groups);
    expect(statSync(path).gid).toBe(54321);
    expect(modeOf(path)).toBe(0o660);
  });

  it.each(['', 'vtepd\n', 'vtepd:x:\n', 'vtepd:x:abc:\n'])(
    'keeps the own group where the file says %j',
    async (text) => {
      const groups = join(directory, 'group');
      writeFileSync(groups, text);
      await open(path, groups);
      expect(statSync(path).gid).toBe(process.getegid?.());
    },
  );

  it('replaces a stale socket', async () => {
    await leaveStale(path);
    await open();
    expect(await answers()).toBe(true);
  });

  it('replaces a stale socket that died while it was being taken', async () => {
    await leaveStale(`${path}.new`);
    await open();
    expect(await answers()).toBe(true);
    expect(existsSync(`${path}.new`)).toBe(false);
  });

  it('refuses the socket of a live daemon, which goes on', async () => {
    await open();
    const message = `control socket ${path}: another vtepd answers there: stop it or choose another --socket`;
    await expect(checkControlSocket(path)).rejects.toMatchObject({ code: 'ERR_VTEP_CONTROL_SOCKET', message });
    await expect(open()).rejects.toMatchObject({ code: 'ERR_VTEP_CONTROL_SOCKET', message });
    expect(await answers()).toBe(true);
  });

  it.each(['fresh', 'stale'])('lets exactly one of several simultaneous starts win on a %s name', async (kind) => {
    if (kind === 'stale') await leaveStale(path);
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => open()));
    const lost = outcomes.filter(({ status }) => status === 'rejected');
    expect(lost).toHaveLength(7);
    for (const outcome of lost) expect(outcome).toMatchObject({ reason: { code: 'ERR_VTEP_CONTROL_SOCKET' } });
    expect(await answers()).toBe(true);
  });

  it('never deletes what is not a socket', async () => {
    writeFileSync(path, 'precious');
    const message = `control socket ${path}: a file that is not a socket: move it away or choose another --socket`;
    await expect(open()).rejects.toMatchObject({ code: 'ERR_VTEP_CONTROL_SOCKET', message });
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('does not follow a symbolic link', async () => {
    symlinkSync(join(directory, 'elsewhere'), path);
    await expect(open()).rejects.toMatchObject({ code: 'ERR_VTEP_CONTROL_SOCKET' });
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
  });

  it.each([
    ['too long', (base: string) => join(base, 'x'.repeat(MAX_SOCKET_PATH_BYTES - base.length))],
    ['empty', () => ''],
    ['below a file', (base: string) => join(base, 'file', 'v.sock')],
  ])('refuses a path that is %s', async (_, make) => {
    writeFileSync(join(directory, 'file'), '');
    const bad = make(directory);
    await expect(checkControlSocket(bad)).rejects.toMatchObject({ code: 'ERR_VTEP_CONTROL_SOCKET' });
    await expect(open(bad)).rejects.toMatchObject({ code: 'ERR_VTEP_CONTROL_SOCKET' });
  });

  it('takes the longest path that is allowed', async () => {
    const longest = join(directory, 'x'.repeat(MAX_SOCKET_PATH_BYTES - directory.length - 1));
    await open(longest);
    expect(await answers(longest)).toBe(true);
  });
});

describe('close', () => {
  it('removes the socket', async () => {
    const server = await open();
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  it('leaves a socket that is no longer its own', async () => {
    const first = await open();
    renameSync(path, join(directory, 'moved'));
    await open();
    await first.close();
    expect(await answers()).toBe(true);
  });
});

describe('checkControlSocket', () => {
  it('makes the directory and leaves a stale socket for later', async () => {
    await checkControlSocket(join(directory, 'new', 'v.sock'));
    expect(existsSync(join(directory, 'new'))).toBe(true);
    await leaveStale(path);
    await checkControlSocket(path);
    expect(existsSync(path)).toBe(true);
  });

  it('refuses a directory that cannot be made', async () => {
    const bad = '/proc/vtepd/v.sock';
    await expect(checkControlSocket(bad)).rejects.toMatchObject({
      code: 'ERR_VTEP_CONTROL_SOCKET',
      message: `control socket ${bad}: its directory cannot be made or written (ENOENT): run as root or choose another --socket`,
    });
  });
});

describe('a directory without sockets', () => {
  it('refuses the name that cannot be bound', async () => {
    await expect(open('/proc/v.sock')).rejects.toMatchObject({ code: 'ERR_VTEP_CONTROL_SOCKET' });
  });
});
