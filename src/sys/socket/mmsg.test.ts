import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type IpAddress, type IpWords, ipWords } from '../../lib/addresses.ts';
import { MAX_UDP_PAYLOAD_BYTES } from '../../lib/limits.ts';
import { close, errno, getsockname, recvmmsg, sendmmsg, setsockopt, writev } from '../libc.ts';
import { findLink } from '../netlink/links.ts';
import { NetlinkSocket } from '../netlink/netlink-socket.ts';
import { Slab } from '../slab.ts';
import { check, ERRNO } from '../sys-error.ts';
import { Gather, ReceiveArray, SendArray, SOCKET_TOS } from './mmsg.ts';
import { joinGroup, openGroupSocket, openSendSocket, openUnicastSocket } from './udp-socket.ts';

const MSG_DONTWAIT = 0x40;

const RECEIVER = '127.0.0.1' as IpAddress;
const SENDER = '127.83.0.2' as IpAddress;

/** Room for 64 datagrams of 1,500 octets on either side. */
const SLOTS = 64;
const SLOT_BYTES = 1_536;

/** Where a message's sender is. */
function sourceOf(messages: ReceiveArray, i: number): IpWords {
  const source = { a: 1, b: 1, c: 1, d: 1 };
  messages.readSource(i, source);
  return source;
}

/** Addresses message `i` and makes it of `count` buffers from `first` on. */
function setMessage(messages: SendArray, i: number, to: IpAddress, first: number, count: number): void {
  const { a, b, c, d } = ipWords(to);
  messages.setDestination(i, a, b, c, d);
  messages.setMessage(i, first, count);
}

function portOf(fd: number): number {
  const name = Buffer.alloc(16);
  const length = Buffer.from([16, 0, 0, 0]);
  check(getsockname(fd, name, length), 'port');
  return name.readUInt16BE(2);
}

function closedAfterwards(fd: number): number {
  onTestFinished(() => {
    close(fd);
  });
  return fd;
}

function loopbackIndex(): number {
  const netlink = new NetlinkSocket();
  try {
    return findLink(netlink, 'lo')?.index ?? 0;
  } finally {
    netlink.close();
  }
}

function openSender(address: IpAddress): number {
  const options = { ttl: 64, mcastTtl: 1, tos: 0, df: 'set', deviceIndex: loopbackIndex() } as const;
  return closedAfterwards(openSendSocket(address, 0, options));
}

/** A slab with slots to send from and to receive into, and the sockets of both sides. */
function pair({ bufferBytes = SLOT_BYTES } = {}) {
  const slab = new Slab(4 * SLOTS * SLOT_BYTES);
  const receiver = closedAfterwards(openUnicastSocket(RECEIVER, 0));
  const sender = openSender(SENDER);
  const outAt = slab.allocate(SLOTS * SLOT_BYTES);
  const inAt = slab.allocate(SLOTS * SLOT_BYTES);
  const out = new SendArray(slab, SLOTS, portOf(receiver));
  const into = new ReceiveArray(slab, SLOTS, { buffersAt: inAt, bufferBytes, strideBytes: SLOT_BYTES });
  let receivedCount = 0;
  for (let i = 0; i < SLOTS; i++) setMessage(out, i, RECEIVER, i, 1);
  return {
    slab,
    receiver,
    sender,
    out,
    into,
    /** Sends them in one batch, the headers beginning with that of number `first`. */
    send(datagrams: readonly Uint8Array[], first = 0): number {
      datagrams.forEach((datagram, i) => {
        const at = outAt + (first + i) * SLOT_BYTES;
        slab.bytes.set(datagram, at);
        out.setBuffer(first + i, at, datagram.length);
      });
      return sendmmsg(sender, out.headers.at(first), datagrams.length, 0);
    },
    receive(): number {
      slab.bytes.fill(0xa5, inAt, inAt + SLOTS * SLOT_BYTES);
      return this.receiveFrom(receiver);
    },
    receiveFrom(socket: number): number {
      into.rearm(receivedCount);
      const count = recvmmsg(socket, into.headers.at(0), SLOTS, MSG_DONTWAIT, 0);
      receivedCount = Math.max(count, 0);
      return count;
    },
    /** What datagram `i` of the last batch brought. */
    received: (i: number): Uint8Array =>
      slab.bytes.slice(inAt + i * SLOT_BYTES, inAt + i * SLOT_BYTES + into.length(i)),
    /** What the slot of datagram `i` holds behind it. */
    behind: (i: number): Uint8Array =>
      slab.bytes.slice(inAt + i * SLOT_BYTES + into.length(i), inAt + (i + 1) * SLOT_BYTES),
  };
}

/** Datagrams of all lengths, from none to a full slot less one octet, told apart by their content. */
function datagramsOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const length = i === 0 ? 0 : Math.floor((i * (SLOT_BYTES - 1)) / (SLOTS - 1));
    return Uint8Array.from({ length }, (_, octet) => (octet * 31 + i * 7 + count) & 0xff);
  });
}

describe('ReceiveArray and SendArray', () => {
  it.each([1, 2, 7, 32, SLOTS])('carries a batch of %i through the kernel: content, lengths and sources', (count) => {
    const io = pair();
    const datagrams = datagramsOf(count);
    expect(io.send(datagrams)).toBe(count);
    expect(io.receive()).toBe(count);
    datagrams.forEach((datagram, i) => {
      expect(io.into.length(i)).toBe(datagram.length);
      expect(io.received(i)).toEqual(datagram);
      expect(io.behind(i).every((octet) => octet === 0xa5)).toBe(true);
      expect(sourceOf(io.into, i)).toEqual(ipWords(SENDER));
      expect(io.into.segmentBytes(i)).toBe(datagram.length);
    });
    expect(io.receive()).toBe(-1);
    expect(errno()).toBe(ERRNO.EAGAIN);
  });

  it('serves batch after batch, of any content and sizes', () => {
    const io = pair();
    const batch = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: SLOTS });
    fc.assert(
      fc.property(batch, (datagrams) => {
        expect(io.send(datagrams)).toBe(datagrams.length);
        expect(io.receive()).toBe(datagrams.length);
        expect(datagrams.map((_, i) => io.received(i))).toEqual(datagrams);
      }),
      { numRuns: 30 },
    );
  });

  it('sends from any message of the array on', () => {
    const io = pair();
    const datagrams = datagramsOf(5);
    expect(io.send(datagrams, SLOTS - 5)).toBe(5);
    expect(io.receive()).toBe(5);
    expect(datagrams.map((_, i) => io.received(i))).toEqual(datagrams);
  });

  it('tells the source of each datagram of a batch on its own', () => {
    const io = pair();
    const sources = ['127.83.0.3', '127.83.0.255', '127.200.0.1', '127.83.0.3'] as IpAddress[];
    io.out.setBuffer(0, io.slab.allocate(4), 4);
    for (const source of sources) expect(sendmmsg(openSender(source), io.out.headers.at(0), 1, 0)).toBe(1);
    expect(io.receive()).toBe(sources.length);
    expect(sources.map((_, i) => sourceOf(io.into, i))).toEqual(sources.map(ipWords));
  });

  it('sends each message to its own destination', () => {
    const io = pair();
    const elsewhere = closedAfterwards(openUnicastSocket('127.83.0.9' as IpAddress, portOf(io.receiver)));
    setMessage(io.out, 1, '127.83.0.9' as IpAddress, 1, 1);
    expect(io.send([Buffer.from('here'), Buffer.from('there'), Buffer.from('here again')])).toBe(3);
    expect(io.receive()).toBe(2);
    expect([0, 1].map((i) => Buffer.from(io.received(i)).toString())).toEqual(['here', 'here again']);
    expect(io.receiveFrom(elsewhere)).toBe(1);
    expect(Buffer.from(io.received(0)).toString()).toBe('there');
  });

  it('takes a destination above 127.255.255.255 as a signed and as an unsigned word', () => {
    const io = pair();
    const [group, lo] = ['239.83.2.1' as IpAddress, { name: 'lo', index: loopbackIndex() }];
    const member = closedAfterwards(openGroupSocket(group, portOf(io.receiver), lo));
    joinGroup(member, group, lo);
    const { a, b, c, d } = ipWords(group);
    io.out.setDestination(0, a, b, c, d);
    io.out.setDestination(1, a, b, c, d >>> 0);
    expect(io.send([Buffer.from('signed'), Buffer.from('unsigned')])).toBe(2);
    expect(io.receiveFrom(member)).toBe(2);
    expect([0, 1].map((i) => Buffer.from(io.received(i)).toString())).toEqual(['signed', 'unsigned']);
  });

  it('cuts a datagram that its buffer is too short for, and no other of the batch', () => {
    const io = pair({ bufferBytes: 100 });
    const datagrams = [99, 100, 101, 0].map((length) => Buffer.alloc(length, 0x5a));
    expect(io.send(datagrams)).toBe(4);
    expect(io.receive()).toBe(4);
    expect([0, 1, 2, 3].map((i) => io.into.length(i))).toEqual([99, 100, 100, 0]);
  });

  it('gathers a message of several buffers into one datagram', () => {
    const io = pair();
    const at = io.slab.allocate(64);
    io.slab.bytes.set(Buffer.from('abcdefghijklmnopqrstuvwxyz'), at);
    for (const [i, [offset, length]] of Object.entries([[3, 2] as const, [20, 6] as const, [0, 1] as const])) {
      io.out.setBuffer(10 + Number(i), at + offset, length);
    }
    setMessage(io.out, 0, RECEIVER, 10, 3);
    expect(sendmmsg(io.sender, io.out.headers.at(0), 1, 0)).toBe(1);
    expect(io.receive()).toBe(1);
    expect(Buffer.from(io.received(0)).toString()).toBe('deuvwxyza');
  });

  it('carries the largest UDP payload whole', () => {
    const slab = new Slab(4 * 65_536);
    const receiver = closedAfterwards(openUnicastSocket(RECEIVER, 0));
    const sender = openSender(SENDER);
    const [outAt, inAt] = [slab.allocate(MAX_UDP_PAYLOAD_BYTES), slab.allocate(65_536)];
    const out = new SendArray(slab, 1, portOf(receiver));
    const into = new ReceiveArray(slab, 1, { buffersAt: inAt, bufferBytes: 65_536, strideBytes: 0 });
    for (let i = 0; i < MAX_UDP_PAYLOAD_BYTES; i++) slab.bytes[outAt + i] = (i * 7) >> 3;
    out.setBuffer(0, outAt, MAX_UDP_PAYLOAD_BYTES);
    setMessage(out, 0, RECEIVER, 0, 1);
    expect(sendmmsg(sender, out.headers.at(0), 1, 0)).toBe(1);
    expect(recvmmsg(receiver, into.headers.at(0), 1, MSG_DONTWAIT, 0)).toBe(1);
    expect(into.length(0)).toBe(MAX_UDP_PAYLOAD_BYTES);
    const [sent, received] = [outAt, inAt].map((at) => Buffer.from(slab.bytes.buffer, at, MAX_UDP_PAYLOAD_BYTES));
    expect(sent !== undefined && received?.equals(sent)).toBe(true);
  });
});

describe('segmentation offload', () => {
  const [SOL_UDP, UDP_GRO] = [17, 104];

  /** A UDP_SEGMENT send of datagrams that stand one behind the other; what it brought, each message with the size it tells. */
  function sendRun(lengths: readonly number[], { isMerged }: { isMerged: boolean }) {
    const io = pair();
    if (isMerged) check(setsockopt(io.receiver, SOL_UDP, UDP_GRO, Buffer.from([1, 0, 0, 0]), 4), 'UDP_GRO');
    const octets = Uint8Array.from({ length: lengths.reduce((sum, length) => sum + length) }, (_, i) => i % 251);
    const at = io.slab.allocate(octets.length);
    io.slab.bytes.set(octets, at);
    io.out.setBuffer(0, at, octets.length);
    setMessage(io.out, 0, RECEIVER, 0, 1);
    io.out.setControls(0, lengths[0] as number, SOCKET_TOS);
    expect(sendmmsg(io.sender, io.out.headers.at(0), 1, 0)).toBe(1);
    const count = io.receive();
    const messages = Array.from({ length: count }, (_, i) => [io.into.length(i), io.into.segmentBytes(i)]);
    const received = Array.from({ length: count }, (_, i) => [...io.received(i)]).flat();
    expect(received).toEqual([...octets]);
    return { io, messages };
  }

  it('cuts a message into datagrams, the last shorter', () => {
    const { messages } = sendRun([100, 100, 100, 50], { isMerged: false });
    expect(messages).toEqual([
      [100, 100],
      [100, 100],
      [100, 100],
      [50, 50],
    ]);
  });

  it('tells the size of the datagrams that the kernel has put together', () => {
    const { messages } = sendRun([...Array<number>(10).fill(100), 50], { isMerged: true });
    expect(messages).toEqual([[1_050, 100]]);
  });

  it('is told of one message and not of the next in the same place, in both directions', () => {
    const { io } = sendRun([100, 100], { isMerged: true });
    io.out.setControls(0, 0, SOCKET_TOS);
    expect(io.send([Buffer.alloc(300)])).toBe(1);
    expect(io.receive()).toBe(1);
    expect([io.into.length(0), io.into.segmentBytes(0)]).toEqual([300, 300]);
  });
});

describe('Gather', () => {
  function newGather(count: number) {
    const directory = mkdtempSync(join(tmpdir(), 'vtepd-iovec-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'written');
    const fd = openSync(path, 'w');
    onTestFinished(() => closeSync(fd));
    const slab = new Slab(65_536);
    const gather = new Gather(slab, count);
    const at = slab.allocate(64);
    slab.bytes.set(Buffer.from('abcdefghijklmnopqrstuvwxyz'), at);
    return { fd, gather, at, written: () => readFileSync(path, 'utf8') };
  }

  it('points writev at what was set last, and at exactly that', () => {
    const { fd, gather, at, written } = newGather(1);
    for (const [offset, length] of [[0, 3] as const, [10, 1] as const, [5, 0] as const, [20, 6] as const]) {
      gather.set(0, at + offset, length);
      expect(writev(fd, gather.address, 1)).toBe(length);
    }
    expect(written()).toBe('abckuvwxyz');
  });

  it('has writev take several pieces in order, as many as it is told', () => {
    const { fd, gather, at, written } = newGather(65);
    for (let i = 0; i < 65; i++) gather.set(i, at + (i % 26), 1);
    expect(writev(fd, gather.address, 65)).toBe(65);
    expect(writev(fd, gather.address, 2)).toBe(2);
    expect(written()).toBe(`${'abcdefghijklmnopqrstuvwxyz'.repeat(3).slice(0, 65)}ab`);
  });
});
