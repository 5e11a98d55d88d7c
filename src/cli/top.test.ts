/** `vtepctl top` against a daemon in memory: a live screen, blocks of text, lines of JSON, and how each ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryDaemon, type MemoryDaemonState, sampleState } from '../api/memory-daemon.ts';
import { type ControlServer, openControlSocket } from '../api/server/server.ts';
import { main } from './vtepctl.ts';

const [ENTER, LEAVE] = ['\x1b[?1049h\x1b[?25l\x1b[?7l', '\x1b[?7h\x1b[?25h\x1b[?1049l'];

let directory: string;
let path: string;
let state: MemoryDaemonState;
let server: ControlServer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vtepctl-'));
  path = join(directory, 'v.sock');
  await startDaemon();
});

afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

async function startDaemon(pid = 4711): Promise<void> {
  state = sampleState();
  state.status.pid = pid;
  server = await openControlSocket(path, new MemoryDaemon(state));
}

class Output extends Writable {
  text = '';
  isTTY = false;
  columns = 80;
  rows = 24;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }

  /** What was drawn last. */
  get screen(): string[] {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape codes are what this takes away
    return (this.text.split('\x1b[H').at(-1) ?? '').split('\r\n').map((line) => line.replace(/\x1b\[[?\d]*\w/g, ''));
  }
}

class Keyboard extends PassThrough {
  isTTY = true;
  isRaw = false;

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
  }
}

function start(...flags: string[]) {
  const [stdout, stderr, stdin] = [new Output(), new Output(), new Keyboard()];
  const interrupt = new AbortController();
  const run = (env: NodeJS.ProcessEnv = {}) =>
    main(['--socket', path, 'top', ...flags], { stdout, stderr, stdin, env, interrupted: interrupt.signal });
  return { stdout, stderr, stdin, run, interrupt };
}

/** A live screen, once it has shown what there is. */
async function watch(flags = ['-d', '0.1']) {
  const top = start(...flags);
  top.stdout.isTTY = true;
  const ended = top.run({ NO_COLOR: '1', LANG: 'C.UTF-8' });
  await expect.poll(() => top.stdout.screen[0]).toMatch(/^vtepd 0\.1\.0 /);
  return { ...top, ended };
}

describe('without a terminal', () => {
  it('prints a block for each interval, as often as it is told', async () => {
    const { stdout, stderr, run } = start('-n', '2', '--interval', '0.1');
    expect(await run()).toBe(0);
    expect(stderr.text).toBe('');
    const blocks = stdout.text.split('\n\n').filter((part) => part.startsWith('vtepd 0.1.0  up 1h02m  2 VNIs'));
    expect(blocks).toHaveLength(2);
    expect(stdout.text).not.toContain('\x1b');
    expect(stdout.text).toContain('\nVNI  NAME  RX-PPS  RX-BIT/S  TX-PPS  TX-BIT/S  DROPS/S\n100  red        0 ');
    expect(stdout.text.endsWith('\n\n')).toBe(true);
  });

  it('prints lines of JSON, on a terminal too', async () => {
    const { stdout, run } = start('-n2', '-d', '0.1', '--json');
    stdout.isTTY = true;
    expect(await run()).toBe(0);
    const tops = stdout.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(tops).toHaveLength(2);
    expect(Object.keys(tops[0])).toEqual(['time', 'seconds', 'error', 'status', 'workers', 'vnis', 'vteps', 'drops']);
    expect(tops[0].seconds).toBeGreaterThan(0.09);
    expect(tops[0].status).toEqual(state.status);
    expect(tops[0].vnis[0]).toMatchObject({ vni: 100, name: 'red', rxBitsPerSecond: 0 });
  });

  it('is not fooled by a terminal that can do nothing', async () => {
    const { stdout, run } = start('-n', '1', '-d', '0.1');
    stdout.isTTY = true;
    expect(await run({ TERM: 'dumb' })).toBe(0);
    expect(stdout.text).not.toContain('\x1b');
  });

  it('goes on while the daemon is away, and says so', async () => {
    const { stdout, run, interrupt } = start('-d', '0.1', '--json');
    const ended = run();
    await expect.poll(() => stdout.text).toContain('"error":null');
    await server.close();
    await expect.poll(() => stdout.text).toContain('no vtepd listens there (ENOENT)');
    await startDaemon();
    await expect.poll(() => stdout.text.split('\n').at(-2)).toContain('"error":null');
    interrupt.abort();
    expect(await ended).toBe(0);
  });
});

describe('on a terminal', () => {
  it('shows a screen until q, and gives back the terminal', async () => {
    const { stdout, stdin, ended } = await watch();
    expect(stdout.text.startsWith(ENTER)).toBe(true);
    expect(stdin.isRaw).toBe(true);
    stdin.write('q');
    expect(await ended).toBe(0);
    expect(stdout.text.endsWith(LEAVE)).toBe(true);
    expect(stdout.text.split(LEAVE)).toHaveLength(2);
    expect([stdin.isRaw, stdin.isPaused()]).toEqual([false, true]);
  });

  it.each([
    ['Ctrl-C', ({ stdin }: Awaited<ReturnType<typeof watch>>) => void stdin.write('\x03')],
    ['a signal', ({ interrupt }: Awaited<ReturnType<typeof watch>>) => interrupt.abort()],
    ['the end of the terminal', ({ stdin }: Awaited<ReturnType<typeof watch>>) => void stdin.end()],
    ['a broken one', ({ stdout }: Awaited<ReturnType<typeof watch>>) => void stdout.emit('error', new Error('EIO'))],
  ])('gives it back at %s', async (_, end) => {
    const listening = process.listenerCount('exit') + process.listenerCount('SIGHUP');
    const top = await watch();
    end(top);
    expect(await top.ended).toBe(0);
    expect(top.stdout.text.endsWith(LEAVE)).toBe(true);
    expect(process.listenerCount('exit') + process.listenerCount('SIGHUP')).toBe(listening);
  });

  it('shows what flows, and sorts it by the next at s', async () => {
    const { stdout, stdin, ended } = await watch();
    const moving = setInterval(() => {
      for (const vni of state.stats.vnis.slice(1)) vni.rxBytes += 1_000_000;
    }, 20);
    await expect.poll(() => stdout.screen[4]).toMatch(/^200 {2}- .* \d+M .*█/);
    for (const sort of ['packets/s', 'drops/s', 'VNI']) {
      stdin.write('s');
      await expect.poll(() => stdout.screen.at(-1)).toBe(`q quits  s sorts, now by ${sort}`);
    }
    expect(stdout.screen[4]).toMatch(/^100 {2}red /);
    clearInterval(moving);
    // What an arrow or a function key sends holds letters too.
    stdin.write('\x1b[s');
    stdin.write('\x1b[q');
    await new Promise(setImmediate);
    stdin.write('s');
    await expect.poll(() => stdout.screen.at(-1)).toBe('q quits  s sorts, now by bit/s');
    stdin.write('q');
    expect(await ended).toBe(0);
  });

  it('is drawn anew in the size that the terminal takes', async () => {
    const { stdout, stdin, ended } = await watch(['-d', '60']);
    [stdout.columns, stdout.rows] = [40, 7];
    stdout.emit('resize');
    await expect.poll(() => stdout.screen).toHaveLength(7);
    expect(stdout.screen.every((line) => line.length <= 40)).toBe(true);
    stdin.write('q');
    expect(await ended).toBe(0);
    expect(stdout.listenerCount('resize')).toBe(0);
  });

  it('says that the daemon is away, and goes on without a spike when another is there', async () => {
    const { stdout, stdin, ended } = await watch();
    await server.close();
    await expect.poll(() => stdout.screen[0]).toBe('vtepd does not answer, asking again');
    expect(stdout.screen[1]).toContain(`control socket ${path}`.slice(0, 40));
    await startDaemon(4712);
    for (const vni of state.stats.vnis) vni.rxBytes += 1e12;
    await expect.poll(() => stdout.screen[1]).toMatch(/^rx 0 pps 0 bit\/s /);
    stdin.write('q');
    expect(await ended).toBe(0);
    expect(stdout.text).not.toMatch(/\d[TGM]\s| [TGM]bit/);
  });

  it('ends after as many intervals as it is told', async () => {
    const { stdout, ended } = await watch(['-d', '0.1', '-n', '2']);
    expect(await ended).toBe(0);
    expect(stdout.text.split('\x1b[H')).toHaveLength(4);
  });
});

it.each([[true], [false]])('exits with 2 where no daemon is at the start, terminal: %s', async (isTTY) => {
  await server.close();
  const { stdout, stderr, run } = start();
  stdout.isTTY = isTTY;
  expect(await run()).toBe(2);
  expect(stdout.text).toBe('');
  expect(stderr.text).toMatch(/^vtepctl: control socket .*: no vtepd listens there \(ENOENT\): .*\n$/);
});

it.each([
  [['--interval', '0'], '--interval 0: out of range: give seconds from 0.1 to 3600'],
  [['-d', '3601'], '--interval 3601: out of range: give seconds from 0.1 to 3600'],
  [['-d', '1e2'], '--interval 1e2: out of range: give seconds from 0.1 to 3600'],
  [['-d'], '-d: without a value: give it one'],
  [['-d', '1', '--interval', '2'], '--interval: given more than once: give it once'],
  [['-n', '0'], '--iterations 0: out of range: give a whole number from 1 to 10000000'],
])('refuses %j', async (flags, message) => {
  const { stderr, run } = start(...flags);
  expect(await run()).toBe(64);
  expect(stderr.text).toBe(`vtepctl: ${message}\n`);
});
