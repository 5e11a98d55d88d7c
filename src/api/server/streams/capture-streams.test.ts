import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseIp, parseMac } from '../../../lib/addresses.ts';
import { MAX_CAPTURE_BACKLOG_BYTES } from '../../../lib/limits.ts';
import { FLOODED, REFUSED } from '../../capture-rig.ts';
import { captureEvent, fileHead, filePacket } from '../../capture-text.ts';
import { ControlClient } from '../../client/client.ts';
import type { MemoryDaemon } from '../../memory-daemon.ts';
import type { CaptureEvent } from '../../schemas.ts';
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

const ALL = { drops: false };
const capturing = (count: number) => expect.poll(() => daemon.captures.size).toBe(count);

/** Collects what comes until `stop`. */
function collect<Item>(start: (signal: AbortSignal) => AsyncIterable<Item>) {
  const controller = new AbortController();
  const items: Item[] = [];
  const ended = (async () => {
    for await (const item of start(controller.signal)) items.push(item);
  })().catch((error: unknown) => error);
  const stop = () => {
    controller.abort();
    return ended;
  };
  return { items, ended, stop };
}

const follow = () => collect((signal) => client.capture(ALL, signal));

describe('as events', () => {
  it('is one for each frame, and what is lost is told, each time what is new', async () => {
    const { items, stop } = follow();
    await capturing(1);
    daemon.pass([FLOODED, REFUSED]);
    const events = () => items.flat() as CaptureEvent[];
    await expect.poll(events).toEqual([captureEvent(FLOODED), captureEvent(REFUSED)]);
    daemon.pass([FLOODED], 5);
    await expect.poll(() => events().slice(2)).toMatchObject([{ event: 'frame' }, { event: 'lost', count: 5 }]);
    daemon.pass([], 2);
    await expect.poll(() => events().at(-1)).toMatchObject({ event: 'lost', count: 2 });
    expect(await stop()).toBeUndefined();
    await capturing(0);
  });
});

describe('as pcapng', () => {
  it('begins at once, and has a packet for each frame', async () => {
    const { items, stop } = collect((signal) => client.captureFile(ALL, signal));
    const octets = () => Buffer.concat(items).toString('hex');
    const head = Buffer.concat(fileHead('vtepd 0.1.0')).toString('hex');
    await expect.poll(octets).toBe(head);
    daemon.pass([FLOODED, REFUSED]);
    const packets = [FLOODED, REFUSED].map((frame) => Buffer.from(filePacket(frame)).toString('hex'));
    await expect.poll(octets).toBe([head, ...packets].join(''));
    expect(await stop()).toBeUndefined();
    await capturing(0);
  });

  it('is named so', async () => {
    const type = (query: string) =>
      new Promise((resolve, reject) => {
        const sent = request({ socketPath: path, path: `/v1/capture${query}`, agent: false }, (response) => {
          response.destroy();
          resolve(response.headers['content-type']);
        });
        sent.once('error', reject).end();
      });
    expect(await type('?format=pcapng')).toBe('application/x-pcapng');
    expect(await type('?format=events')).toBe('text/event-stream; charset=utf-8');
    expect(await type('')).toBe('text/event-stream; charset=utf-8');
  });
});

describe('a filter', () => {
  it('reaches the daemon', async () => {
    const mac = parseMac('02:00:00:00:00:01') ?? expect.fail();
    const vtep = parseIp('239.1.1.1') ?? expect.fail();
    const { stop } = collect((signal) => client.capture({ vni: 100, mac, vtep, drops: true }, signal));
    await capturing(1);
    expect([...daemon.captures].map(({ query }) => query)).toEqual([{ vni: 100, mac, vtep, drops: true }]);
    await stop();
  });

  it.each([
    ['?vni=77', 404, 'VNI 77: this vtepd does not have it'],
    ['?vni=x', 400, 'query vni="x": not a VNI'],
    ['?mac=x', 400, 'mac x: not a MAC address'],
    ['?vtep=local', 400, 'vtep local: not an IP address without zone: give the address of a VTEP or of a group'],
    ['?drops=yes', 400, `query drops="yes": not 'true' or 'false'`],
    ['?format=pcap', 400, `query format="pcap": not 'events' or 'pcapng'`],
    ['?count=3', 400, 'query "count": unknown: known are vni, mac, vtep, drops, format'],
  ])('%s is refused', async (query, status, message) => {
    const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = request({ socketPath: path, path: `/v1/capture${query}`, agent: false }, async (response) => {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve({ status: response.statusCode ?? 0, text });
      });
      sent.once('error', reject).end();
    });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text).error.message).toContain(message);
    expect(daemon.captures.size).toBe(0);
  });
});

describe('a client that does not read', () => {
  it('leaves the frames where they are, and costs no more than its backlog', async () => {
    const socket = connect(path);
    sockets.push(socket);
    socket.on('error', () => {}).pause();
    socket.write('GET /v1/capture HTTP/1.1\r\nHost: x\r\n\r\n');
    await capturing(1);
    const [{ waiting } = expect.fail()] = daemon.captures;
    const bytes = JSON.stringify(captureEvent(FLOODED)).length;
    const count = Math.ceil((8 * MAX_CAPTURE_BACKLOG_BYTES) / bytes);
    daemon.pass(Array(count).fill(FLOODED));
    let before = -1;
    await expect
      .poll(
        () => {
          const isStill = waiting.length === before;
          before = waiting.length;
          return isStill;
        },
        { interval: 300, timeout: 30_000 },
      )
      .toBe(true);
    expect((count - waiting.length) * bytes).toBeLessThan(4 * MAX_CAPTURE_BACKLOG_BYTES);
    // Others are served meanwhile.
    expect(await client.status()).toMatchObject({ pid: 4711 });
    socket.resume();
    await expect.poll(() => waiting.length, { timeout: 30_000 }).toBe(0);
  }, 60_000);
});

describe('the end', () => {
  it('of the daemon ends the stream at once, with what was there', async () => {
    const { items, ended } = follow();
    await capturing(1);
    daemon.pass([FLOODED]);
    await server.close();
    expect(await ended).toMatchObject({ code: 'ERR_VTEP_UNREACHABLE', exitCode: 2 });
    expect(items.flat()).toHaveLength(1);
    await capturing(0);
  });

  it('of a client that went while it was asked for is one of the capture too', async () => {
    const controller = new AbortController();
    const next = client.capture(ALL, controller.signal).next();
    controller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    await capturing(0);
  });
});
