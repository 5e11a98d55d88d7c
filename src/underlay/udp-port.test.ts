/** What any underlay port does, asked of the one in memory and of the kernel's on loopback alike. */

import { createSocket, type Socket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { ENCAP } from '../encap/encapsulation.ts';
import { Fdb } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { Counters } from '../forward/counters.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { type IpAddress, ipBytes, ipWords, parseIp } from '../lib/addresses.ts';
import { CUT_APART_SECONDS } from '../lib/limits.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { NO_GROUP } from '../segment/segment.ts';
import { plainSegment } from '../segment/segment-rig.ts';
import { close, getsockname } from '../sys/libc.ts';
import { Slab } from '../sys/slab.ts';
import { openSendSocket, openUnicastSocket } from '../sys/socket/udp-socket.ts';
import { ApartSockets } from './apart-sockets.ts';
import { KernelUdpPort } from './kernel-udp-port.ts';
import { MemoryUdpPort } from './memory-udp-port.ts';
import { DATAGRAM_BATCH, type UdpPort } from './udp-port.ts';

const LOCAL = '127.5.0.1';
const SENDER = '127.5.0.2';
const [REMOTE, GROUP] = ['127.5.0.3', '127.5.0.4'];
const [UNICAST, BY_GROUP, UNKNOWN_SOCKET] = [4, 6, 99];

interface Sent {
  readonly destination: string;
  readonly text: string;
}

/** A port and the world around it. */
interface World {
  readonly slab: Slab;
  readonly fdb: Fdb;
  readonly port: UdpPort;
  /** A datagram that arrives at a socket from SENDER. Resolves when it is there. */
  readonly inject: (socket: number, text: string) => Promise<void>;
  /** Resolves with all that was sent, once there are so many. */
  readonly sent: (count: number) => Promise<readonly Sent[]>;
}

const endings: (() => void)[] = [];

afterEach(() => {
  for (const end of endings.splice(0)) end();
});

const ip = (text: string) => parseIp(text) as IpAddress;
const word = (text: string) => Buffer.from(ipBytes(ip(text))).readInt32BE(0);
const dotted = (address: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(address);
  return bytes.join('.');
};

function sourceOf(port: UdpPort, i: number): string {
  const source = { a: 1, b: 1, c: 1, d: 1 };
  port.readSource(i, source);
  expect({ ...source, d: 0 }).toEqual({ a: 0, b: 0, c: 0xffff, d: 0 });
  return dotted(source.d);
}

function newKernelPort(slab: Slab, fdb: Fdb, destinationPort: number, apart = new ApartSockets()): KernelUdpPort {
  const segmentation = new OffloadSwitch(true, () => {});
  const counters = new Counters(Counters.createMemory());
  const remoteCounters = new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
  return new KernelUdpPort(slab, fdb.remotes, { counters, remoteCounters, apart }, destinationPort, segmentation);
}

function newMemoryWorld(): Promise<World> {
  const slab = new Slab(8_388_608);
  const fdb = new Fdb(createFdbMemory(1, 0), 1);
  const port = new MemoryUdpPort(slab, fdb.remotes);
  port.addSocket(UNICAST, NO_GROUP, ENCAP.vxlan);
  port.addSocket(BY_GROUP, BY_GROUP, ENCAP.vxlan);
  return Promise.resolve({
    slab,
    fdb,
    port,
    inject: async (socket, text) => port.inject(socket, word(SENDER), Buffer.from(text)),
    sent: async () =>
      port.sent.map(({ destination, payload }) => ({
        destination: dotted(destination),
        text: Buffer.from(payload).toString(),
      })),
  });
}

async function openReceiver(address: string, port: number): Promise<Socket> {
  const socket = createSocket('udp4');
  endings.push(() => socket.close());
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject).bind(port, address, resolve);
  });
  return socket;
}

function portOf(fd: number): number {
  const [name, length] = [Buffer.alloc(16), Buffer.from([16, 0, 0, 0])];
  getsockname(fd, name, length);
  return name.readUInt16BE(2);
}

async function newKernelWorld(): Promise<World> {
  const slab = new Slab(8_388_608);
  const fdb = new Fdb(createFdbMemory(1, 0), 1);
  const sent: Sent[] = [];
  let onSent = () => {};
  const receivers = [await openReceiver(REMOTE, 0)];
  const destinationPort = (receivers[0] as Socket).address().port;
  receivers.push(await openReceiver(GROUP, destinationPort));
  for (const receiver of receivers) {
    const destination = receiver.address().address;
    receiver.on('message', (message) => {
      sent.push({ destination, text: message.toString() });
      onSent();
    });
  }
  const port = newKernelPort(slab, fdb, destinationPort);
  const fds = new Map([UNICAST, BY_GROUP].map((socket) => [socket, openUnicastSocket(ip(LOCAL), 0)]));
  port.addSocket(UNICAST, fds.get(UNICAST) as number, NO_GROUP, ENCAP.vxlan);
  port.addSocket(BY_GROUP, fds.get(BY_GROUP) as number, BY_GROUP, ENCAP.vxlan);
  const options = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: 1 } as const;
  const pool = [openSendSocket(ip(LOCAL), 0, options), openSendSocket(ip(LOCAL), 0, options)];
  port.addPool(0, 4, 1, pool);
  endings.push(() => {
    for (const fd of [...fds.values(), ...pool]) close(fd);
  });
  const injector = await openReceiver(SENDER, 0);
  return {
    slab,
    fdb,
    port,
    inject: (socket, text) =>
      new Promise((resolve, reject) => {
        injector.send(text, portOf(fds.get(socket) as number), LOCAL, (error) => (error ? reject(error) : resolve()));
      }),
    sent: async (count) => {
      while (sent.length < count) {
        await new Promise<void>((resolve) => {
          onSent = resolve;
        });
      }
      return sent;
    },
  };
}

const SEGMENT = plainSegment({ group: BY_GROUP, groupRemote: 1, maxMacs: 1 });

describe.each([
  ['memory', newMemoryWorld],
  ['the kernel', newKernelWorld],
])('the underlay port of %s', (_, newWorld) => {
  const textOf = ({ slab, port }: World, i: number) =>
    Buffer.from(slab.bytes.slice(port.datagramAt(i), port.datagramAt(i) + port.datagramBytes(i))).toString();

  it('brings the datagrams of a socket, in order, with their source', async () => {
    const world = await newWorld();
    for (const text of ['first', 'the second', '']) await world.inject(UNICAST, text);
    expect(world.port.receive(UNICAST, 0)).toBe(3);
    expect([0, 1, 2].map((i) => textOf(world, i))).toEqual(['first', 'the second', '']);
    expect([0, 1, 2].map((i) => sourceOf(world.port, i))).toEqual([SENDER, SENDER, SENDER]);
    expect(world.port.receive(UNICAST, 0)).toBe(0);
  });

  it('brings nothing of another socket, nor of one that is not known', async () => {
    const world = await newWorld();
    await world.inject(BY_GROUP, 'text');
    expect([world.port.receive(UNICAST, 0), world.port.receive(UNKNOWN_SOCKET, 0)]).toEqual([0, 0]);
    expect(world.port.receive(BY_GROUP, 0)).toBe(1);
  });

  it('says by which group a socket’s datagrams come', async () => {
    const { port } = await newWorld();
    expect([UNICAST, BY_GROUP, UNKNOWN_SOCKET].map((socket) => port.groupOf(socket))).toEqual([
      NO_GROUP,
      BY_GROUP,
      NO_GROUP,
    ]);
  });

  it(`brings at most ${DATAGRAM_BATCH} at once, the rest the next time`, async () => {
    const world = await newWorld();
    const texts = Array.from({ length: DATAGRAM_BATCH + 3 }, (_each, i) => `datagram ${i}`);
    for (const text of texts) await world.inject(UNICAST, text);
    expect(world.port.receive(UNICAST, 0)).toBe(DATAGRAM_BATCH);
    const first = Array.from({ length: DATAGRAM_BATCH }, (_each, i) => textOf(world, i));
    expect(world.port.receive(UNICAST, 0)).toBe(3);
    expect([...first, ...[0, 1, 2].map((i) => textOf(world, i))]).toEqual(texts);
  });

  it('places the inner frame on 16 octets, with two octets free in front of each datagram', async () => {
    const { port, slab } = await newWorld();
    for (let i = 0; i < DATAGRAM_BATCH; i++) {
      expect((port.datagramAt(i) + 8) % 16).toBe(0);
      const freeFrom = i === 0 ? 2 : port.datagramAt(i - 1) + 1_500 + 2;
      expect(port.datagramAt(i)).toBeGreaterThanOrEqual(freeFrom);
      expect(port.datagramAt(i)).toBeLessThan(slab.bytes.length);
    }
  });

  it('sends to a remote and to the group what was queued, when it is flushed', async () => {
    const { port, slab, fdb, sent } = await newWorld();
    const remote = fdb.retainRemote({ a: 0, b: 0, c: 0xffff, d: word(REMOTE) });
    const queue = (text: string) => {
      const at = slab.allocate(text.length);
      slab.bytes.set(Buffer.from(text), at);
      return [at, text.length, text.length] as const;
    };
    port.toRemote(SEGMENT, remote, ...queue('header--to the remote'), 12_345, 0, false);
    const group = fdb.retainRemote(ipWords(ip(GROUP)));
    port.toRemote(SEGMENT, group, ...queue('header--to the group'), 12_345, 0, false);
    port.toRemote(SEGMENT, remote, ...queue('header--by another port'), 2 ** 32 - 2, 0, false);
    port.flush();
    port.flush();
    const all = [...(await sent(3))].sort((a, b) => (a.text < b.text ? -1 : 1));
    expect(all).toEqual([
      { destination: REMOTE, text: 'header--by another port' },
      { destination: GROUP, text: 'header--to the group' },
      { destination: REMOTE, text: 'header--to the remote' },
    ]);
  });
});

describe('the kernel’s underlay port', () => {
  it('sends one flow by one source port, and others by the others', async () => {
    const receiver = await openReceiver(REMOTE, 0);
    const sources: number[] = [];
    let onMessage = () => {};
    receiver.on('message', (_message, { port }) => {
      sources.push(port);
      onMessage();
    });
    const slab = new Slab(8_388_608);
    const fdb = new Fdb(createFdbMemory(1, 0), 1);
    const port = newKernelPort(slab, fdb, receiver.address().port);
    const options = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: 1 } as const;
    const pool = [0, 1, 2].map(() => openSendSocket(ip(LOCAL), 0, options));
    endings.push(() => {
      for (const fd of pool) close(fd);
    });
    port.addPool(0, 4, 1, pool);
    const remote = fdb.retainRemote({ a: 0, b: 0, c: 0xffff, d: word(REMOTE) });
    for (const flow of [0, 1, 2, 3, 4, 5, 2 ** 32 - 1]) {
      port.toRemote(SEGMENT, remote, slab.allocate(8), 8, 8, flow, 0, false);
      port.flush();
    }
    while (sources.length < 7) {
      await new Promise<void>((resolve) => {
        onMessage = resolve;
      });
    }
    const ports = pool.map(portOf);
    expect(sources).toEqual([0, 1, 2, 0, 1, 2, 0].map((i) => ports[i]));
  });

  it('forgets a socket by its fd', async () => {
    const slab = new Slab(8_388_608);
    const fdb = new Fdb(createFdbMemory(1, 0), 1);
    const port = newKernelPort(slab, fdb, 9);
    const fd = openUnicastSocket(ip(LOCAL), 0);
    endings.push(() => close(fd));
    port.addSocket(UNICAST, fd, BY_GROUP, ENCAP.vxlan);
    const injector = await openReceiver(SENDER, 0);
    await new Promise<void>((resolve, reject) => {
      injector.send('text', portOf(fd), LOCAL, (error) => (error ? reject(error) : resolve()));
    });
    port.removeSocket(fd + 1);
    expect(port.groupOf(UNICAST)).toBe(BY_GROUP);
    port.removeSocket(fd);
    expect([port.groupOf(UNICAST), port.receive(UNICAST, 0)]).toEqual([NO_GROUP, 0]);
  });

  describe('a socket whose datagrams come apart', () => {
    const [NOW, SOURCE] = [1_000, { a: 0, b: 0, c: 0xffff, d: word(SENDER) }];

    function cutSocket() {
      const slab = new Slab(8_388_608);
      const apart = new ApartSockets();
      const port = newKernelPort(slab, new Fdb(createFdbMemory(1, 0), 1), 9, apart);
      const fd = openUnicastSocket(ip(LOCAL), 0);
      endings.push(() => close(fd));
      port.addSocket(UNICAST, fd, NO_GROUP, ENCAP.vxlan);
      port.cutApart(UNICAST, SOURCE, NOW);
      return { apart, port, fd };
    }

    it('is told of until its time is over, though nothing comes to it', () => {
      const { apart, port } = cutSocket();
      port.mergeAgain(NOW + 10 * CUT_APART_SECONDS - 1);
      expect([...apart]).toEqual([UNICAST]);
      port.mergeAgain(NOW + 10 * CUT_APART_SECONDS);
      expect([...apart]).toEqual([]);
    });

    it.each<[string, (port: KernelUdpPort, fd: number) => void]>([
      ['removed', (port, fd) => port.removeSocket(fd)],
      ['told anew', (port, fd) => port.addSocket(UNICAST, fd, NO_GROUP, ENCAP.vxlan)],
    ])('is not told of once it is %s', (_what, change) => {
      const { apart, port, fd } = cutSocket();
      change(port, fd);
      expect([...apart]).toEqual([]);
    });
  });
});
