/** The queue of one source port, over real sockets of loopback. */
import { createSocket, type Socket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { ReadableCounters } from '../forward/counters-rig.ts';
import { TX_REASONS } from '../forward/drop-reason.ts';
import { type IpAddress, ipBytes, parseIp } from '../lib/addresses.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import { close, setsockopt } from '../sys/libc.ts';
import { SendArray } from '../sys/mmsg.ts';
import { Slab } from '../sys/slab.ts';
import { openSendSocket } from '../sys/udp-socket.ts';
import { QUEUE_MESSAGES, SendQueue } from './send-queue.ts';

const LOCAL = '127.4.0.1';
/** Nothing listens there. */
const SILENT = '127.4.0.9';
/** More than one message array holds. */
const MANY = 150;
/** Fits a UDP length field, and with its headers no IPv4 packet. */
const TOO_LONG = 65_520;

const endings: (() => void)[] = [];

afterEach(() => {
  for (const end of endings.splice(0)) end();
});

function segment(index: number): Segment {
  return {
    index,
    vni: index,
    underlay: 0,
    group: NO_GROUP,
    groupAddress: 0,
    floodRemotes: [],
    tap: 0,
    tapUp: true,
    tapMtuBytes: 1_450,
    tapMacHigh: 0,
    tapMacLow: 0,
    maxFrameBytes: 70_000,
    learning: true,
    maxMacs: 1,
    innerVlan: INNER_VLAN.drop,
  };
}

function word(address: string): number {
  return Buffer.from(ipBytes(parseIp(address) as IpAddress)).readInt32BE(0);
}

/** A receiver on an address of loopback; its port is the kernel's choice unless given. */
class Receiver {
  readonly texts: string[] = [];
  readonly #socket: Socket;
  #onText = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (message) => {
      this.texts.push(message.toString('latin1'));
      this.#onText();
    });
    endings.push(() => socket.close());
  }

  static async open(address: string, port = 0): Promise<Receiver> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject).bind(port, address, resolve);
    });
    return new Receiver(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** Resolves when so many datagrams have come; the test's time limit ends a wait in vain. */
  async hasReceived(count: number): Promise<readonly string[]> {
    while (this.texts.length < count) {
      await new Promise<void>((resolve) => {
        this.#onText = resolve;
      });
    }
    return this.texts;
  }
}

function newQueue(port: number, { isOn = true } = {}) {
  const slab = new Slab(2_097_152);
  const fd = openSendSocket(parseIp(LOCAL) as IpAddress, 0, {
    ttl: 64,
    mcastTtl: 1,
    tos: 0,
    df: 'set',
    deviceIndex: 1,
  });
  endings.push(() => close(fd));
  const counters = new ReadableCounters();
  const refusals: number[] = [];
  const segmentation = new OffloadSwitch(isOn, (error) => refusals.push(error));
  const singles = new SendArray(slab, QUEUE_MESSAGES, port);
  const queue = new SendQueue(slab, fd, port, { counters, segmentation, singles });
  const push = (text: string, destination: string, of = segment(0)) => {
    const at = slab.allocate(text.length);
    slab.bytes.set(Buffer.from(text, 'latin1'), at);
    queue.push(of, word(destination), at, text.length, text.length);
  };
  const pushLength = (length: number, destination: string, of = segment(0)) =>
    queue.push(of, word(destination), slab.allocate(length), length, length);
  /** Datagrams that stand one behind the other. */
  const pushRun = (texts: readonly string[], destination: string, of = segment(0)) => {
    const all = texts.join('');
    const at = slab.allocate(all.length);
    slab.bytes.set(Buffer.from(all, 'latin1'), at);
    queue.push(of, word(destination), at, all.length, texts[0]?.length ?? 0);
  };
  const drops = (index = 0) =>
    Object.fromEntries([...counters.drops(index).tx].flatMap((count, i) => (count ? [[TX_REASONS[i], count]] : [])));
  return { queue, counters, push, pushLength, pushRun, drops, fd, segmentation, refusals };
}

describe('a send queue', () => {
  it('sends each datagram whole to its own destination, in order, once it is flushed', async () => {
    const one = await Receiver.open('127.4.0.2');
    const other = await Receiver.open('127.4.0.3', one.port);
    const { queue, push } = newQueue(one.port);
    expect(queue.isEmpty).toBe(true);
    push('header--first', '127.4.0.2');
    push('header--second', '127.4.0.3');
    push('header--third, longer', '127.4.0.2');
    expect(queue.isEmpty).toBe(false);
    queue.flush();
    expect(queue.isEmpty).toBe(true);
    expect(await one.hasReceived(2)).toEqual(['header--first', 'header--third, longer']);
    expect(await other.hasReceived(1)).toEqual(['header--second']);
  });

  it('cuts runs of equal length into the datagrams they were, the last of a run shorter, each whole and in order', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, refusals } = newQueue(receiver.port);
    const texts = [900, 900, 900, 300, 900, 900, 20, 20, 21, 21, 400].map((length, i) => `${i}`.padEnd(length, '-'));
    for (const text of texts) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(texts.length)).toEqual(texts);
    expect(counters.packets()).toBe(texts.length);
    expect(refusals).toEqual([]);
  });

  it('ends a run where the kernel would refuse it: more octets than a UDP datagram can have', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, drops, refusals } = newQueue(receiver.port);
    const texts = Array.from({ length: 12 }, (_, i) => `${i}`.padEnd(8_900, '-'));
    for (const text of texts) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(texts.length)).toEqual(texts);
    expect([drops(), refusals]).toEqual([{}, []]);
  });

  it('repeats a run that the kernel will not cut one by one, and cuts none from then on', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, drops, fd, segmentation, refusals } = newQueue(receiver.port);
    // UDP_SEGMENT without outer checksums is refused with EINVAL (net/ipv4/udp.c), single datagrams are not.
    const [SOL_SOCKET, SO_NO_CHECK, EINVAL] = [1, 11, 22];
    expect(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, Buffer.from([1, 0, 0, 0]), 4)).toBe(0);
    for (const text of ['header--1', 'header--2', 'header--3']) push(text, '127.4.0.2');
    queue.flush();
    expect(segmentation.isOn).toBe(false);
    for (const text of ['header--4', 'header--5']) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(5)).toEqual([1, 2, 3, 4, 5].map((i) => `header--${i}`));
    expect([drops(), refusals]).toEqual([{}, [EINVAL]]);
  });

  it('sends nothing twice', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push } = newQueue(receiver.port);
    push('header--a', '127.4.0.2');
    queue.flush();
    queue.flush();
    push('header--b', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(2)).toEqual(['header--a', 'header--b']);
  });

  it('counts what was sent by segment, in inner octets', () => {
    const { queue, push, counters } = newQueue(9);
    push('12345678', SILENT, segment(0));
    push('12345678abc', SILENT, segment(2));
    queue.flush();
    expect(counters.passed).toEqual([
      { segment: 0, bytes: 0, packets: 1 },
      { segment: 2, bytes: 3, packets: 1 },
    ]);
  });

  it(`takes ${MANY} datagrams between two flushes and loses none`, async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, drops } = newQueue(receiver.port);
    const texts = Array.from({ length: MANY }, (_, i) => `header--${i}`);
    for (const text of texts) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(MANY)).toEqual(texts);
    expect([counters.packets(), drops()]).toEqual([MANY, {}]);
  });
});

describe('a datagram that cannot be sent', () => {
  it('for its length counts as oversize, in its own segment, and the ones around it go out', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, pushLength, counters, drops } = newQueue(receiver.port);
    push('header--before', '127.4.0.2');
    pushLength(TOO_LONG, '127.4.0.2', segment(1));
    pushLength(TOO_LONG + 1, '127.4.0.2', segment(1));
    push('header--between', '127.4.0.2');
    pushLength(70_000, '127.4.0.2', segment(1));
    push('header--after', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(3)).toEqual(['header--before', 'header--between', 'header--after']);
    expect([drops(0), drops(1)]).toEqual([{}, { oversize: 3 }]);
    expect(counters.packets()).toBe(3);
  });

  it('to nowhere counts as send-error, and the ones around it go out', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, drops } = newQueue(receiver.port);
    push('header--before', '127.4.0.2');
    // A broadcast without SO_BROADCAST is EACCES.
    push('header--broadcast', '255.255.255.255');
    push('header--after', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(2)).toEqual(['header--before', 'header--after']);
    expect(drops()).toEqual({ 'send-error': 1 });
  });
});

describe('an ICMP error about one destination', () => {
  it('does not lose the next datagram, to whomever that is', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, drops } = newQueue(receiver.port);
    for (let round = 0; round < 5; round++) {
      // Port unreachable comes back at once, and fails the next send of this socket.
      push(`header--lost ${round}`, SILENT);
      queue.flush();
      push(`header--${round}`, '127.4.0.2');
      queue.flush();
    }
    expect(await receiver.hasReceived(5)).toEqual([0, 1, 2, 3, 4].map((round) => `header--${round}`));
    expect([counters.packets(), drops()]).toEqual([10, {}]);
  });

  it('does not lose any of a batch in which every second one brings another error', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, drops } = newQueue(receiver.port);
    for (let i = 0; i < 60; i++) push(`header--${i}`, i % 2 ? '127.4.0.2' : SILENT);
    queue.flush();
    expect(await receiver.hasReceived(30)).toEqual(Array.from({ length: 30 }, (_, i) => `header--${2 * i + 1}`));
    expect([counters.packets(), drops()]).toEqual([60, {}]);
  });

  it('is not taken for the datagram’s own fault, nor hides that', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, pushLength, drops } = newQueue(receiver.port);
    push('header--lost', SILENT);
    queue.flush();
    pushLength(TOO_LONG, '127.4.0.2');
    push('header--after', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(1)).toEqual(['header--after']);
    expect(drops()).toEqual({ oversize: 1 });
  });
});
