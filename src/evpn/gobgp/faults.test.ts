import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SpeakerAddress } from '../../config/config.ts';
import { MAX_SPEAKER_MESSAGE_BYTES, SPEAKER_TIMES } from '../../lib/limits.ts';
import { keyOf } from '../route.ts';
import { floodRoute, macRoute } from '../routes-rig.ts';
import { Heard } from '../speaker-contract-rig.ts';
import { connectGobgp } from './connect-gobgp.ts';
import { FakeGobgp, type FakeGobgpOptions } from './fake-gobgp-rig.ts';
import { frame } from './grpc-frames.ts';

const cleanups: (() => unknown)[] = [];
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gobgp-faults-'));
});

afterEach(async () => {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
  rmSync(folder, { recursive: true, force: true });
});

const start = async (options?: FakeGobgpOptions) => {
  const fake = await FakeGobgp.start(options);
  cleanups.push(() => fake.close());
  return fake;
};

const connectTo = async (fake: FakeGobgp) => {
  const speaker = await connectGobgp(fake.address);
  cleanups.push(() => speaker.close());
  return speaker;
};

/** Listens at a Unix socket that is not one of GoBGP. */
const listen = async (server: Server): Promise<SpeakerAddress> => {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => undefined)));
  const path = join(folder, 'api.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return { kind: 'unix', path };
};

const lostBy = (address: SpeakerAddress) =>
  connectGobgp(address).then(
    () => 'connected',
    (error: Error) => `${error.name}: ${error.message}`,
  );

describe('what is not GoBGP is named in one line', () => {
  test('nothing', async () => {
    expect(await lostBy({ kind: 'unix', path: join(folder, 'none') })).toBe('SpeakerLost: there is no such socket');
    expect(await lostBy({ kind: 'tcp', host: '127.0.0.1', port: 1 })).toBe('SpeakerLost: connection refused');
  });

  test('a file', async () => {
    writeFileSync(join(folder, 'file'), '');
    expect(await lostBy({ kind: 'unix', path: join(folder, 'file') })).toMatch(
      /^SpeakerLost: (connection refused|that is not a socket)$/,
    );
  });

  test('HTTP/1', async () => {
    const server = createHttpServer((_, response) => response.end('hello'));
    expect(await lostBy(await listen(server))).toBe('SpeakerLost: it does not speak HTTP/2');
  });

  test('TLS', async () => {
    expect(await lostBy(await listen(createTlsServer({})))).toBe(
      'SpeakerLost: it expects TLS, which vtepd does not speak',
    );
  });

  test('HTTP/2 without gRPC', async () => {
    const server = createHttp2Server((_, response) => response.writeHead(404).end('<html>'));
    expect(await lostBy(await listen(server))).toMatch(/^SpeakerLost: .*HTTP status 404/);
  });

  test('gRPC without the service', async () => {
    const server = createHttp2Server();
    server.on('stream', (stream) => stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true }));
    expect(await lostBy(await listen(server))).toMatch(/^SpeakerLost: it is not GoBGP/);
  });

  test('one that closes at once, and one that says nothing', async () => {
    const closing = await listen(createServer((socket) => socket.destroy()));
    expect(await lostBy(closing)).toBe('SpeakerLost: it closed the connection');
    await cleanups.pop()?.();
    expect(await lostBy(await listen(createServer()))).toBe('SpeakerLost: no answer within 2 s');
  });

  test('GoBGP without a configuration', async () => {
    const fake = await start({ asn: 0 });
    expect(await lostBy(fake.address)).toBe('SpeakerLost: it has no configuration yet');
    await vi.waitFor(() => expect(fake.connections).toBe(0));
  });

  test('GoBGP that does not answer', async () => {
    const fake = await start();
    fake.stall();
    expect(await lostBy(fake.address)).toBe('SpeakerLost: no answer within 2 s');
  });
});

describe.each(['v3', 'v4'] as const)('a speaker of %s', (dialect) => {
  test('is found to be the other one after an upgrade', async () => {
    const fake = await start({ dialect });
    expect((await connectTo(fake)).dialect).toBe(dialect);
    fake.tear();
    fake.dialect = dialect === 'v3' ? 'v4' : 'v3';
    expect((await connectTo(fake)).dialect).toBe(fake.dialect);
  });

  test('refuses a route with its own words, and stays', async () => {
    const fake = await start({ dialect });
    const speaker = await connectTo(fake);
    fake.refuse = () => 'no room: 100 %\n„sorry“';
    await expect(speaker.add(macRoute())).rejects.toMatchObject({
      name: 'RefusedBySpeaker',
      message: 'no room: 100 % „sorry“',
    });
    await expect(speaker.remove(macRoute())).rejects.toMatchObject({ name: 'RefusedBySpeaker' });
    fake.refuse = () => undefined;
    await speaker.add(macRoute());
    expect(fake.local).toEqual([macRoute()]);
  });

  test('never deletes the routes of other programs', async () => {
    const fake = await start({ dialect });
    const speaker = await connectTo(fake);
    await speaker.add(macRoute());
    await speaker.remove(floodRoute());
    await speaker.remove(macRoute());
    expect([fake.wasEmptied, fake.local]).toEqual([false, []]);
  });

  test('that breaks fails all requests, also those that wait for their turn', async () => {
    const fake = await start({ dialect });
    const speaker = await connectTo(fake);
    await speaker.watch(new Heard());
    fake.stall();
    const requests = Array.from({ length: 200 }, (_, sequence) => speaker.add(macRoute({ sequence })));
    const results = Promise.allSettled([...requests, speaker.list(new Heard()), speaker.peers()]);
    await vi.waitFor(() => expect(fake.waiting).toBe(66));
    fake.tear();
    for (const result of await results) {
      expect(result).toMatchObject({ reason: { name: 'SpeakerLost', message: 'it closed the connection' } });
    }
    expect(await speaker.lost).toMatchObject({ message: 'it closed the connection' });
    fake.resume();
  });

  describe('is asked for its state', () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }));
    afterEach(() => void vi.useRealTimers());

    test('and is lost if it does not answer', async () => {
      const fake = await start({ dialect });
      const speaker = await connectTo(fake);
      fake.stall();
      vi.advanceTimersByTime(SPEAKER_TIMES.probeMs);
      vi.advanceTimersByTime(SPEAKER_TIMES.answerMs);
      expect((await speaker.lost).message).toBe('no answer within 10 s');
    });

    test('and is lost if it has another AS', async () => {
      const fake = await start({ dialect });
      const speaker = await connectTo(fake);
      vi.advanceTimersByTime(SPEAKER_TIMES.probeMs);
      expect(await speaker.peers()).toEqual([]);
      fake.asn = 65_001;
      vi.advanceTimersByTime(SPEAKER_TIMES.probeMs);
      expect((await speaker.lost).message).toBe('its AS or router id changed');
    });
  });

  test('a route that cannot be read is counted, and those around it are used', async () => {
    const fake = await start({ dialect });
    const speaker = await connectTo(fake);
    const heard = new Heard();
    await speaker.watch(heard);
    for (const type of [1, 2, 3, 4, 5, 77]) fake.receive(type);
    fake.receive(macRoute());
    await vi.waitFor(() => expect(heard.routes.size).toBe(1));
    expect(heard.otherRoutes.map(({ type }) => type)).toEqual([1, 0, 0, 4, 5, 0]);
    const listed = new Heard();
    await speaker.list(listed);
    expect([[...listed.routes.keys()], listed.otherRoutes.length]).toEqual([[keyOf(macRoute())], 6]);
  });

  test.each([
    ['a message that is no protobuf', frame(Buffer.from('0a7fff', 'hex')), /^a message cannot be read/],
    ['a message that is too long', header(MAX_SPEAKER_MESSAGE_BYTES + 1), /^a message has 16777217 octets$/],
    ['a compressed message', Buffer.from([1, 0, 0, 0, 0]), /^a message is compressed/],
  ])('that sends %s is lost', async (_, octets, reason) => {
    const fake = await start({ dialect });
    const speaker = await connectTo(fake);
    await speaker.watch(new Heard());
    fake.tellWatchersOctets(octets);
    expect((await speaker.lost).message).toMatch(reason);
  });

  test.each([
    ['whole', Buffer.alloc(0)],
    ['within a message', header(1_000)],
  ])('that ends the events %s is lost', async (_, octets) => {
    const fake = await start({ dialect });
    const speaker = await connectTo(fake);
    await speaker.watch(new Heard());
    fake.tellWatchersOctets(octets);
    fake.endEvents();
    expect((await speaker.lost).message).toMatch(
      octets.length > 0 ? 'an answer ends within a message' : 'it ended the events',
    );
  });

  test('events come in order, in whatever pieces', async () => {
    const fake = await start({ dialect });
    const speaker = await connectTo(fake);
    const sequences: number[] = [];
    await speaker.watch({
      paths: (paths) => sequences.push(...paths.map(({ route }) => (route.type === 2 ? route.sequence : -1))),
      others: () => undefined,
      peersChanged: () => undefined,
    });
    for (let sequence = 1; sequence <= 3_000; sequence++) fake.receive(macRoute({ sequence }));
    await vi.waitFor(() => expect(sequences.length).toBe(3_000), 10_000);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
  });
});

/** Of a message of so many octets. */
function header(length: number): Buffer {
  const octets = Buffer.alloc(5);
  octets.writeUInt32BE(length, 1);
  return octets;
}
