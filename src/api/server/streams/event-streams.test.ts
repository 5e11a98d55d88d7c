import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Compile } from 'typebox/compile';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseMac } from '../../../lib/addresses.ts';
import { MAX_EVENT_BACKLOG_BYTES, MAX_EVENT_STREAMS } from '../../../lib/limits.ts';
import { ControlClient } from '../../client/client.ts';
import { readEvents } from '../../client/event-stream-reader.ts';
import type { MemoryDaemon } from '../../memory-daemon.ts';
import { type DaemonEvent, DaemonEventSchema, type FdbEvent } from '../../schemas.ts';
import type { ControlServer } from '../server.ts';
import { openServer } from '../server-rig.ts';

let path: string;
let daemon: MemoryDaemon;
let server: ControlServer;
let client: ControlClient;
let close: () => Promise<void>;
const sockets: Socket[] = [];

beforeEach(async () => {
  const rig = await openServer();
  ({ path, daemon, server, close } = rig);
  client = new ControlClient(rig.path);
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await close();
});

const MAC = parseMac('02:00:00:00:00:01') ?? expect.fail();
const key = { vni: 100, mac: MAC };
const added: FdbEvent = {
  ...{ time: '2026-01-02T03:04:05.600Z', event: 'add', vni: 100, mac: MAC },
  ...{ vtep: 'local', from: null, type: 'dynamic' },
};

/** A client that collects what it is told until `stop`. */
function monitor() {
  const controller = new AbortController();
  const events: DaemonEvent[] = [];
  const ended = (async () => {
    for await (const some of client.events(controller.signal)) events.push(...some);
  })().catch((error: unknown) => error);
  const stop = () => {
    controller.abort();
    return ended;
  };
  return { events, ended, stop };
}

async function watching(count: number): Promise<void> {
  await expect.poll(() => daemon.watchers).toBe(Math.min(count, 1));
}

/** Sends a request and then reads nothing. */
async function mute(): Promise<Socket> {
  const socket = connect(path);
  sockets.push(socket);
  socket.on('error', () => {});
  socket.pause();
  socket.write('GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n');
  await watching(1);
  return socket;
}

/** What a muted client is told from now on, and in how many octets. */
function readOn(socket: Socket) {
  const events: DaemonEvent[] = [];
  let octets = 0;
  const body = (async function* () {
    let head = '';
    for await (const chunk of socket) {
      octets += chunk.length;
      if (head.includes('\r\n\r\n')) yield chunk;
      head += head.includes('\r\n\r\n') ? '' : chunk;
    }
  })();
  void (async () => {
    for await (const some of readEvents(body)) events.push(...some);
  })().catch(() => {});
  return { events, octets: () => octets };
}

describe('a client', () => {
  it('is told of each change, in order, in the form of the schema', async () => {
    const one = monitor();
    await watching(1);
    daemon.deleteEntry(key);
    daemon.addStatic({ ...key, vtep: 'local' });
    daemon.addStatic({ ...key, vtep: 'local' });
    expect(daemon.flush({ all: true, vni: 100 })).toBe(2);
    await expect.poll(() => one.events.length).toBe(4);
    expect((one.events as FdbEvent[]).map(({ event, mac, type }) => [event, mac, type])).toEqual([
      ['delete', MAC, 'dynamic'],
      ['add', MAC, 'static'],
      ['delete', '02:00:00:00:00:02', 'dynamic'],
      ['delete', MAC, 'static'],
    ]);
    const schema = Compile(DaemonEventSchema);
    expect(one.events.filter((event) => !schema.Check(event))).toEqual([]);
    expect(await one.stop()).toBeUndefined();
  });

  it('is told of a VNI’s status in a form of its own', async () => {
    const one = monitor();
    await watching(1);
    const told: DaemonEvent = { time: added.time, event: 'status', vni: 100, status: 'eth0 is down', from: 'ok' };
    daemon.tell(told);
    await expect.poll(() => one.events).toEqual([told]);
    expect(Compile(DaemonEventSchema).Check(told)).toBe(true);
    await one.stop();
  });

  it('is told by lines that begin with data, as server-sent events are', async () => {
    const answer = await new Promise<{ type: string | undefined; text: string }>((resolve, reject) => {
      const sent = request({ socketPath: path, path: '/v1/events', agent: false }, async (response) => {
        daemon.tell(added);
        for await (const chunk of response) {
          resolve({ type: response.headers['content-type'], text: String(chunk) });
          return;
        }
      });
      sent.once('error', reject);
      sent.end();
    });
    expect(answer.type).toBe('text/event-stream; charset=utf-8');
    expect(answer.text).toBe(`data: ${JSON.stringify(added)}\n\n`);
  });
});

describe('several clients', () => {
  it('are told the same; the daemon is watched once, and no longer than there is one', async () => {
    const [one, two] = [monitor(), monitor()];
    await watching(2);
    // Both have their answer's head only once the daemon has them both.
    await expect
      .poll(() => {
        daemon.tell(added);
        return Math.min(one.events.length, two.events.length);
      })
      .toBeGreaterThan(0);
    expect(daemon.watchers).toBe(1);
    await one.stop();
    const before = two.events.length;
    daemon.tell(added);
    await expect.poll(() => two.events.length).toBe(before + 1);
    await two.stop();
    await expect.poll(() => daemon.watchers).toBe(0);
  });

  it('are bounded: one too many is refused, and taken when another goes', async () => {
    const monitors = Array.from({ length: MAX_EVENT_STREAMS }, monitor);
    await expect
      .poll(() => {
        daemon.tell(added);
        return monitors.every(({ events }) => events.length > 0);
      })
      .toBe(true);
    const message = `GET /v1/events: ${MAX_EVENT_STREAMS} clients listen already: stop one of them`;
    expect(await monitor().ended).toMatchObject({ code: 'ERR_VTEP_LIMIT', message });
    await monitors[0]?.stop();
    const next = monitor();
    monitors.push(next);
    await expect
      .poll(() => {
        daemon.tell(added);
        return next.events.length;
      })
      .toBeGreaterThan(0);
    await Promise.all(monitors.map(({ stop }) => stop()));
  });
});

describe('a client that does not read', () => {
  const BATCH = 1_000;
  const batch = new Array<DaemonEvent>(BATCH).fill(added);
  const batchBytes = BATCH * JSON.stringify(added).length;
  /** More than a Unix socket holds in both directions, unless net.core.wmem_default was raised. */
  const KERNEL_BUFFER_BYTES = 2 * MAX_EVENT_BACKLOG_BYTES;
  const batches = Math.ceil((4 * MAX_EVENT_BACKLOG_BYTES) / batchBytes);

  it('costs no more than its backlog; others are told everything', async () => {
    const socket = await mute();
    const other = monitor();
    await expect
      .poll(() => {
        daemon.tell(added);
        return other.events.length;
      })
      .toBeGreaterThan(0);
    const start = other.events.length;
    let told = 0;
    for (let i = 0; i < 20 * batches; i++) {
      daemon.tell(...batch);
      told += BATCH;
      await new Promise((resolve) => setImmediate(resolve));
      // At the pace of the one that reads.
      await expect.poll(() => other.events.length, { interval: 1, timeout: 10_000 }).toBeGreaterThanOrEqual(told);
    }
    expect(other.events.length - start).toBeLessThanOrEqual(told + 50);
    expect(other.events.filter(({ event }) => event === 'lost')).toEqual([]);
    await other.stop();
    // What had been kept for it, by the daemon and by the kernel, is what it reads before it is told of its loss.
    const kept = readOn(socket);
    await expect.poll(() => kept.events.at(-1)?.event, { timeout: 10_000 }).toBe('lost');
    expect(kept.octets()).toBeGreaterThan(MAX_EVENT_BACKLOG_BYTES);
    expect(kept.octets()).toBeLessThan(MAX_EVENT_BACKLOG_BYTES + KERNEL_BUFFER_BYTES + 2 * batchBytes);
  }, 60_000);

  it('is told how many it lost once it reads again, and then goes on', async () => {
    const socket = await mute();
    for (let i = 0; i < batches; i++) daemon.tell(...batch);
    const { events } = readOn(socket);
    await expect.poll(() => events.at(-1)?.event, { timeout: 10_000 }).toBe('lost');
    const { count = 0 } = (events.at(-1) as FdbEvent | undefined) ?? expect.fail();
    expect(count).toBeGreaterThan(0);
    expect(count % BATCH).toBe(0);
    expect(Compile(DaemonEventSchema).Check(events.at(-1))).toBe(true);
    const kept = events.length;
    daemon.tell(added);
    await expect.poll(() => events.length).toBe(kept + 1);
    expect(events.at(-1)).toEqual(added);
  }, 30_000);
});

describe('the end', () => {
  it('of the daemon ends the streams at once, and clients say so', async () => {
    const [one, two] = [monitor(), monitor()];
    await watching(2);
    await mute();
    const start = performance.now();
    await server.close();
    expect(performance.now() - start).toBeLessThan(1_000);
    const message = `control socket ${path}: vtepd ended: start it and try again`;
    for (const each of [one, two]) {
      expect(await each.ended).toMatchObject({ code: 'ERR_VTEP_UNREACHABLE', exitCode: 2, message });
    }
    expect(daemon.watchers).toBe(0);
  });

  it('by the client is none for the daemon', async () => {
    const one = monitor();
    await watching(1);
    expect(await one.stop()).toBeUndefined();
    await expect.poll(() => daemon.watchers).toBe(0);
    daemon.tell(added);
    expect(await client.status()).toMatchObject({ pid: 4711 });
  });

  it('before the beginning is an end', async () => {
    expect(await client.events(AbortSignal.abort()).next()).toEqual({ done: true, value: undefined });
  });
});

describe('events cut anywhere', () => {
  it('are read whole, characters of several octets too; comments are passed over', async () => {
    const named = { ...added, mac: 'Ü–ber' as FdbEvent['mac'] };
    const text = Buffer.from(
      `: hello\n\ndata: ${JSON.stringify(named)}\n\nevent: x\ndata:${JSON.stringify(added)}\n\n`,
    );
    for (let size = 1; size < text.length; size++) {
      const chunks = (async function* () {
        for (let at = 0; at < text.length; at += size) yield text.subarray(at, at + size);
      })();
      const events: DaemonEvent[] = [];
      for await (const some of readEvents(chunks)) events.push(...some);
      expect(events).toEqual([named, added]);
    }
  });
});
