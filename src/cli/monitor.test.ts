import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lostEvents } from '../api/lost-events.ts';
import type { MemoryDaemon } from '../api/memory-daemon.ts';
import type { FdbEvent } from '../api/schemas.ts';
import type { ControlServer } from '../api/server/server.ts';
import { openServer } from '../api/server/server-rig.ts';
import { parseIp, parseMac } from '../lib/addresses.ts';
import { main } from './vtepctl.ts';

let path: string;
let daemon: MemoryDaemon;
let server: ControlServer;
let close: () => Promise<void>;

beforeEach(async () => {
  ({ path, daemon, server, close } = await openServer());
});

afterEach(() => close());

class Sink extends Writable {
  /** One text for each write. */
  readonly writes: string[] = [];
  #fail: string | undefined;

  get text(): string {
    return this.writes.join('');
  }

  /** From now on each write fails. */
  breakWith(code: string): void {
    this.#fail = code;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    const code = this.#fail;
    if (code === undefined) this.writes.push(chunk.toString());
    done(code === undefined ? undefined : Object.assign(new Error(`${code}, no luck`), { code }));
  }
}

async function monitor(...flags: string[]) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  const controller = new AbortController();
  const argv = ['--socket', path, 'fdb', 'monitor', ...flags];
  const ended = main(argv, { stdout, stderr, env: {}, interrupted: controller.signal });
  await expect.poll(() => daemon.watchers).toBe(1);
  return { stdout, stderr, ended, interrupt: () => controller.abort() };
}

const MAC = parseMac('02:00:00:00:00:01') ?? expect.fail();
const VTEP = parseIp('198.18.0.3') ?? expect.fail();
const time = '2026-01-02T03:04:05.600Z';
const moved: FdbEvent = { time, event: 'move', vni: 100, mac: MAC, vtep: VTEP, from: 'local', type: 'dynamic' };
const added: FdbEvent = { ...moved, event: 'add', from: null, type: 'static' };
const lost: FdbEvent = { ...lostEvents(12), time };

it('prints a line for each event, and nothing else', async () => {
  const { stdout, stderr, ended, interrupt } = await monitor();
  daemon.tell(added, moved);
  daemon.tell(lost, { ...lost, count: 1 });
  daemon.tell({ time, event: 'status', vni: 100, status: 'vxlan100 is down', from: 'ok' });
  daemon.tell({ time, event: 'status', vni: 200, status: 'eth0 is gone', from: null });
  const lines = [
    `${time} add     100  ${MAC}  198.18.0.3  static`,
    `${time} move    100  ${MAC}  198.18.0.3  dynamic  from local`,
    `${time} lost    12 events: read the table again`,
    `${time} lost    1 event: read the table again`,
    `${time} status  100  vxlan100 is down  from ok`,
    `${time} status  200  eth0 is gone`,
  ];
  await expect.poll(() => stdout.text).toBe(lines.map((line) => `${line}\n`).join(''));
  expect(stdout.writes.every((text) => text.endsWith('\n'))).toBe(true);
  interrupt();
  expect(await ended).toBe(0);
  expect(stderr.text).toBe('');
});

it('prints lines of JSON with --json', async () => {
  const { stdout, ended, interrupt } = await monitor('--json');
  daemon.tell(moved, lost);
  await expect.poll(() => stdout.text).toBe(`${JSON.stringify(moved)}\n${JSON.stringify(lost)}\n`);
  expect(Object.keys(moved)).toEqual(['time', 'event', 'vni', 'mac', 'vtep', 'from', 'type']);
  interrupt();
  expect(await ended).toBe(0);
});

describe('ends', () => {
  it('with 2 and one line when the daemon does', async () => {
    const { stdout, stderr, ended } = await monitor();
    await server.close();
    expect(await ended).toBe(2);
    expect(stdout.text).toBe('');
    expect(stderr.text).toBe(`vtepctl: control socket ${path}: vtepd ended: start it and try again\n`);
  });

  it('with 2 where no daemon is', async () => {
    await server.close();
    const [stdout, stderr] = [new Sink(), new Sink()];
    expect(await main(['--socket', path, 'fdb', 'monitor'], { stdout, stderr, env: {} })).toBe(2);
    expect(stderr.text).toMatch(/: no vtepd listens there \(ENOENT\): /);
  });

  it.each([
    ['EPIPE', 0, ''],
    [
      'ENOSPC',
      1,
      'vtepctl: standard output: ENOSPC, no luck: free some space, or redirect it to another file system\n',
    ],
  ])('at %s on standard output with %i, and lets the daemon go', async (code, exitCode, text) => {
    const { stdout, stderr, ended } = await monitor();
    daemon.tell(added);
    await expect.poll(() => stdout.writes.length).toBe(1);
    stdout.breakWith(code);
    daemon.tell(added);
    expect(await ended).toBe(exitCode);
    expect(stderr.text).toBe(text);
    await expect.poll(() => daemon.watchers).toBe(0);
  });
});
