/** The outer TOS of what a queue sends, over IPv4 and IPv6 on loopback, read where it arrives. */
import { afterEach, expect, it } from 'vitest';
import { Fdb } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { ReadableCounters } from '../forward/counters-rig.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { type IpAddress, ipFamily, ipWords } from '../lib/addresses.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { close, getsockname, recvmmsg } from '../sys/libc.ts';
import { Slab } from '../sys/slab.ts';
import { ReceiveArray, SendArray } from '../sys/socket/mmsg.ts';
import { mergeReceived, openSendSocket, openUnicastSocket } from '../sys/socket/udp-socket.ts';
import { QUEUE_MESSAGES, SendQueue } from './send-queue.ts';
import { segment } from './send-queue-rig.ts';

const BYTES = 100;
const SOCKET_TOS = 0x28;

const fds: number[] = [];
afterEach(() => {
  for (const fd of fds.splice(0)) close(fd);
});

/** Sends datagrams of these TOS octets in one batch: what arrives, each message by its length, segment size and TOS. */
function passed(address: IpAddress, tos: readonly number[], isSegmenting: boolean) {
  const receiver = openUnicastSocket(address, 0);
  mergeReceived(receiver);
  const name = Buffer.alloc(28);
  getsockname(receiver, name, Buffer.from([28, 0, 0, 0]));
  const options = { ttl: 64, mcastTtl: 1, tos: SOCKET_TOS, df: 'set', deviceIndex: 1 } as const;
  const sender = openSendSocket(address, 0, options);
  fds.push(receiver, sender);
  const slab = new Slab(8_388_608);
  const fdb = new Fdb(createFdbMemory(1, 0), 1);
  const newArray = () => new SendArray(slab, QUEUE_MESSAGES, name.readUInt16BE(2), ipFamily(address));
  const queue = new SendQueue(sender, newArray(), {
    remotes: fdb.remotes,
    counters: new ReadableCounters(),
    remoteCounters: new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes),
    segmentation: new OffloadSwitch(isSegmenting, () => {}),
    socketTos: SOCKET_TOS,
    singles: newArray(),
    onPathMtu: () => {},
  });
  const remote = fdb.retainRemote(ipWords(address));
  const at = slab.allocate(tos.length * BYTES);
  for (const [i, each] of tos.entries()) queue.push(segment(0), remote, at + i * BYTES, BYTES, BYTES, each);
  queue.flush();
  const buffersAt = slab.allocate(64 * 65_536);
  const into = new ReceiveArray(slab, 64, { buffersAt, bufferBytes: 65_536, strideBytes: 65_536 });
  const count = recvmmsg(receiver, into.headers.at(0), 64, 0x40, 0);
  return Array.from({ length: count }, (_, i) => {
    const source = { a: 1, b: 1, c: 1, d: 1 };
    into.readSource(i, source);
    expect(source).toEqual(ipWords(address));
    return { bytes: into.length(i), segmentBytes: into.segmentBytes(i), tos: into.tos(i) };
  });
}

const message = (count: number, tos: number) => ({ bytes: count * BYTES, segmentBytes: BYTES, tos });

it.each(['127.4.0.5', '::1'])('is that of each datagram; runs have one: %s', (address) => {
  const tos = [SOCKET_TOS, SOCKET_TOS, 0xb8, 0xb8, 0xb9, SOCKET_TOS, 0, 0x2b, 0x2b, 0x2b];
  expect(passed(address as IpAddress, tos, true)).toEqual([
    message(2, SOCKET_TOS),
    message(2, 0xb8),
    message(1, 0xb9),
    message(1, SOCKET_TOS),
    message(1, 0),
    message(3, 0x2b),
  ]);
});

it.each(['127.4.0.6', '::1'])('is that of each datagram where none are cut by the kernel: %s', (address) => {
  const tos = [SOCKET_TOS, 0xff, 0xff, 0, SOCKET_TOS];
  expect(passed(address as IpAddress, tos, false)).toEqual(tos.map((each) => message(1, each)));
});
