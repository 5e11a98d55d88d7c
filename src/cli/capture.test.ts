/** `vtepctl capture` against a daemon in memory: what it prints and writes, and how it ends. */
import { chownSync, existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FLOODED, REFUSED, SHORT, SUPER, UNSENT } from '../api/capture-rig.ts';
import { captureEvent, fileHead, filePacket, lostFrames } from '../api/capture-text.ts';
import type { MemoryDaemon } from '../api/memory-daemon.ts';
import type { ControlServer } from '../api/server/server.ts';
import { openServer } from '../api/server/server-rig.ts';
import { BlockCutter, wholeBlocks } from './capture/capture-blocks.ts';
import { lineOf } from './capture/capture-output.ts';
import { main } from './vtepctl.ts';

let directory: string;
let path: string;
let daemon: MemoryDaemon;
let server: ControlServer;
let close: () => Promise<void>;

beforeEach(async () => {
  ({ directory, path, daemon, server, close } = await openServer());
});

afterEach(() => close());

class Sink extends Writable {
  isTTY = false;
  readonly chunks: Buffer[] = [];
  #fail: string | undefined;

  get octets(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.octets.toString();
  }

  /** From now on each write fails. */
  breakWith(code: string): void {
    this.#fail = code;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    const code = this.#fail;
    if (code === undefined) this.chunks.push(chunk);
    done(code === undefined ? undefined : Object.assign(new Error(`${code}, no luck`), { code }));
  }
}

/** Runs it, without waiting for its end. */
function start(flags: readonly string[], { isTTY = false } = {}) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  stdout.isTTY = isTTY;
  const controller = new AbortController();
  const argv = ['--socket', path, 'capture', ...flags];
  const ended = main(argv, { stdout, stderr, env: {}, interrupted: controller.signal });
  return { stdout, stderr, ended, interrupt: () => controller.abort() };
}

async function capture(...flags: string[]) {
  const run = start(flags);
  await expect.poll(() => daemon.captures.size).toBe(1);
  return run;
}

const file = () => join(directory, 'a.pcapng');
const HEAD = Buffer.concat(fileHead('vtepd 0.1.0'));
const fileOf = (...frames: (typeof FLOODED)[]) => Buffer.concat([HEAD, ...frames.map(filePacket)]);

describe('a line', () => {
  const macs = '02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff';
  const arp = 'ARP, Request who-has 192.0.2.2 tell 192.0.2.1';
  it.each([
    [FLOODED, `tx VNI 100 flooded to 239.1.1.1 and 2 remotes, ${macs}, length 42: ${arp}`],
    [REFUSED, `rx VNI 100 from 198.18.0.2 dropped: own-mac, ${macs}, length 42: ${arp}`],
    [SUPER, `tx VNI 100 forwarded to 198.18.0.2, ${macs}, length 65042 in 45 segments: ${arp}`],
    [UNSENT, `tx VNI 100 dropped: no-remote, ${macs}, length 42: ${arp}`],
    [SHORT, 'rx VNI - from 198.18.0.2 dropped: short, length 0: too short for Ethernet'],
  ])('says what became of a frame, and what is in it', (frame, text) => {
    expect(lineOf(captureEvent(frame)).slice(16)).toBe(text);
  });

  it('begins with the time of this host', () => {
    const time = new Date('2026-01-02T03:04:05.600Z').toTimeString().slice(0, 8);
    expect(lineOf(captureEvent(FLOODED))).toMatch(`${time}.600123 tx VNI 100 `);
    expect(lineOf(lostFrames(FLOODED.timeUs, 12))).toBe(`${time}.600123 12 frames lost`);
    expect(lineOf(lostFrames(FLOODED.timeUs, 1))).toBe(`${time}.600123 1 frame lost`);
  });
});

describe('as text', () => {
  it('prints a line for each frame until interrupted, and then how many', async () => {
    const { stdout, stderr, ended, interrupt } = await capture();
    daemon.pass([FLOODED, REFUSED], 3);
    await expect.poll(() => stdout.text.split('\n')).toHaveLength(4);
    expect(stdout.text).toMatch(/^\S+ tx .*\n\S+ rx .*\n\S+ 3 frames lost\n$/);
    interrupt();
    expect(await ended).toBe(0);
    expect(stderr.text).toBe('2 frames captured, 3 lost: they came faster than they were read\n');
    await expect.poll(() => daemon.captures.size).toBe(0);
  });

  it('prints JSON with --json', async () => {
    const { stdout, ended, interrupt } = await capture('--json');
    daemon.pass([UNSENT]);
    await expect.poll(() => stdout.text).toBe(`${JSON.stringify(captureEvent(UNSENT))}\n`);
    interrupt();
    expect(await ended).toBe(0);
  });

  it('ends after -c frames', async () => {
    const { stdout, stderr, ended } = await capture('-c', '2');
    daemon.pass([FLOODED, REFUSED, UNSENT]);
    expect(await ended).toBe(0);
    expect(stdout.text.trim().split('\n')).toHaveLength(2);
    expect(stderr.text).toBe('2 frames captured\n');
    await expect.poll(() => daemon.captures.size).toBe(0);
  });

  it('asks for what was asked', async () => {
    const { ended, interrupt } = await capture(
      ...'--vni 100 --mac 02:00:00:00:00:0A --vtep 239.1.1.1 --drops'.split(' '),
    );
    const [{ query } = expect.fail()] = daemon.captures;
    expect(query).toEqual({ vni: 100, mac: '02:00:00:00:00:0a', vtep: '239.1.1.1', drops: true });
    interrupt();
    expect(await ended).toBe(0);
  });
});

describe('with -w', () => {
  it('writes a file that only its owner reads, whole whenever it ends', async () => {
    const { stdout, stderr, ended, interrupt } = await capture('-w', file());
    daemon.pass([FLOODED, SUPER]);
    await expect.poll(() => readFileSync(file())).toEqual(fileOf(FLOODED, SUPER));
    interrupt();
    expect(await ended).toBe(0);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect([stdout.text, stderr.text]).toEqual(['', '2 frames captured\n']);
  });

  it('overwrites a file that is there, which only its owner reads from then on', async () => {
    writeFileSync(file(), 'x'.repeat(100_000), { mode: 0o644 });
    const { ended } = await capture('-c', '1', '-w', file());
    daemon.pass([FLOODED, UNSENT]);
    expect(await ended).toBe(0);
    expect(readFileSync(file())).toEqual(fileOf(FLOODED));
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  it('overwrites nothing if the daemon refuses', async () => {
    writeFileSync(file(), 'precious');
    expect(await start(['--vni', '77', '-w', file()]).ended).toBe(1);
    expect(readFileSync(file(), 'utf8')).toBe('precious');
  });

  it('- writes to standard output', async () => {
    const { stdout, stderr, ended } = await capture('-c', '1', '-w', '-');
    daemon.pass([FLOODED]);
    expect(await ended).toBe(0);
    expect(stdout.octets).toEqual(fileOf(FLOODED));
    expect(stderr.text).toBe('1 frame captured\n');
  });

  it('- refuses a terminal', async () => {
    const { stderr, ended } = start(['-w', '-'], { isTTY: true });
    expect(await ended).toBe(1);
    expect(stderr.text).toBe('vtepctl: -w -: standard output is a terminal: redirect it, or name a file\n');
  });

  it('follows no link', async () => {
    const target = join(directory, 'target');
    writeFileSync(target, 'keep me');
    symlinkSync(target, file());
    const { stderr, ended } = start(['-w', file()]);
    expect(await ended).toBe(1);
    const cause = 'ELOOP, it is a symbolic link, which may point to a file of another user';
    expect(stderr.text).toBe(`vtepctl: -w ${file()}: ${cause}: name the file itself, or - for standard output\n`);
    expect(readFileSync(target, 'utf8')).toBe('keep me');
  });

  it.runIf(process.geteuid?.() === 0)('leaves a file of another user as it is', async () => {
    writeFileSync(file(), 'keep me', { mode: 0o666 });
    chownSync(file(), 65_534, 65_534);
    const { stderr, ended } = start(['-w', file()]);
    expect(await ended).toBe(1);
    expect(stderr.text).toBe(
      `vtepctl: -w ${file()}: the file belongs to another user (uid 65534): remove it, or name another file\n`,
    );
    expect(readFileSync(file(), 'utf8')).toBe('keep me');
  });

  it.each([
    ['a directory', '', 'EISDIR, it is a directory: name a file in it'],
    ['what is in no directory', 'none/a', 'ENOENT, there is no such directory: make it, or name another file'],
    ['what is in a file', 'v.sock/a', 'ENOTDIR, the part before the last / is not a directory: name another file'],
  ])('refuses %s', async (_, name, message) => {
    const target = join(directory, name);
    const { stderr, ended } = start(['-w', target]);
    expect(await ended).toBe(1);
    expect(stderr.text).toBe(`vtepctl: -w ${target}: ${message}\n`);
    await expect.poll(() => daemon.captures.size).toBe(0);
  });

  it('says when the device is full', async () => {
    const { stderr, ended } = start(['-w', '/dev/full']);
    expect(await ended).toBe(1);
    const what = 'ENOSPC, no space left; 0 frames are in the file';
    expect(stderr.text).toBe(`vtepctl: -w /dev/full: ${what}: free some, or name a file on another file system\n`);
    await expect.poll(() => daemon.captures.size).toBe(0);
  });
});

describe('ends', () => {
  it('with 2 and one line when the daemon does; the file is whole', async () => {
    const { stderr, ended } = await capture('-w', file());
    daemon.pass([FLOODED]);
    await expect.poll(() => existsSync(file()) && statSync(file()).size).toBe(fileOf(FLOODED).length);
    await server.close();
    expect(await ended).toBe(2);
    expect(stderr.text).toBe(`vtepctl: control socket ${path}: vtepd ended: start it and try again\n`);
    expect(readFileSync(file())).toEqual(fileOf(FLOODED));
  });

  it.each([
    ['EPIPE', [], 0, ''],
    ['EPIPE', ['-w', '-'], 0, ''],
    [
      'ENOSPC',
      [],
      1,
      'vtepctl: standard output: ENOSPC, no luck: free some space, or redirect it to another file system\n',
    ],
    [
      'ENOSPC',
      ['-w', '-'],
      1,
      'vtepctl: standard output: ENOSPC, no luck: free some space, or redirect it to another file system\n',
    ],
  ])('at %s on standard output, %j', async (code, flags, exitCode, text) => {
    const { stdout, stderr, ended } = await capture(...flags);
    daemon.pass([FLOODED]);
    await expect.poll(() => stdout.chunks.length).toBeGreaterThan(0);
    stdout.breakWith(code);
    daemon.pass([FLOODED]);
    expect(await ended).toBe(exitCode);
    expect(stderr.text).toBe(text);
    await expect.poll(() => daemon.captures.size).toBe(0);
  });

  it.each([
    [['--vni', 'x'], '--vni x: not a VNI: give a number from 0 to 16777215'],
    [['--mac', 'x'], '--mac x: not a MAC address: write it as 02:00:00:00:00:01'],
    [['--vtep', 'local'], '--vtep local: not an IP address without zone: write it as 192.0.2.1'],
    [['-c', '0'], '-c 0: out of range: give a whole number from 1 to 99999999'],
    [['-c'], '-c: without a value: give it one'],
    [['-c', '1', '-c', '2'], '-c: given more than once: give it once'],
    [['-w', ''], '-w: without a value: give it one'],
    [['-w', 'x', '--json'], '-w: excludes --json: give one of them'],
    [['-x'], '-x: unknown flag: usage: vtepctl capture [--vni N] [--mac M] [--vtep IP] [--drops] [-c N] [-w FILE|-]'],
  ])('with 64 for %j', async (flags, message) => {
    const { stderr, ended } = start(flags);
    expect(await ended).toBe(64);
    expect(stderr.text).toBe(`vtepctl: ${message}\n`);
  });

  it('with 1 for a VNI that is not there', async () => {
    const { stderr, ended } = start(['--vni', '77']);
    expect(await ended).toBe(1);
    expect(stderr.text).toBe('vtepctl: VNI 77: this vtepd does not have it: `vtepctl vni show` lists its VNIs\n');
  });
});

describe('blocks', () => {
  const octets = fileOf(FLOODED, SUPER, UNSENT);

  it('come out whole, whatever pieces they come in', () => {
    for (let size = 1; size < octets.length; size += 7) {
      const cutter = new BlockCutter(Number.POSITIVE_INFINITY);
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < octets.length; at += size) {
        const whole = cutter.take(octets.subarray(at, at + size));
        expect(wholeBlocks(whole).bytes).toBe(whole.length);
        pieces.push(whole);
      }
      expect(Buffer.concat(pieces)).toEqual(octets);
      expect(cutter.frames).toBe(3);
    }
  });

  it('are counted up to the most, and to the last whole one', () => {
    const cutter = new BlockCutter(2);
    expect(Buffer.from(cutter.take(octets))).toEqual(fileOf(FLOODED, SUPER));
    expect(cutter.isFull).toBe(true);
    const { length } = fileOf(FLOODED);
    expect(wholeBlocks(octets.subarray(0, length + 30))).toEqual({ bytes: length, frames: 1 });
  });
});
