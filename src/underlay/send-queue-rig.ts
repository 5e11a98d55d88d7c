/** The queue of one source port between real sockets of loopback. Whatever is opened here is closed by `closeAll`. */
import { createSocket, type Socket } from 'node:dgram';
import { Fdb } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { ReadableCounters } from '../forward/counters-rig.ts';
import { TX_REASONS } from '../forward/drop-reason.ts';
import { RemoteCounters } from '../forward/remote-counters.ts';
import { type IpAddress, ipWords, parseIp } from '../lib/addresses.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import type { Segment } from '../segment/segment.ts';
import { plainSegment } from '../segment/segment-rig.ts';
import { close, setsockopt } from '../sys/libc.ts';
import { Slab } from '../sys/slab.ts';
import { SendArray } from '../sys/socket/mmsg.ts';
import { openSendSocket } from '../sys/socket/udp-socket.ts';
import { QUEUE_MESSAGES, SendQueue } from './send-queue.ts';

const LOCAL = '127.4.0.1';

const endings: (() => void)[] = [];

export function closeAll(): void {
  for (const end of endings.splice(0)) end();
}

export function segment(index: number): Segment {
  return plainSegment({ index, vni: index, maxFrameBytes: 70_000, maxMacs: 1 });
}

/** A receiver on an address of loopback; its port is the kernel's choice unless given. */
export class Receiver {
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

  /** Resolves when this many datagrams have arrived. The time limit of the test ends an endless wait. */
  async hasReceived(count: number): Promise<readonly string[]> {
    while (this.texts.length < count) {
      await new Promise<void>((resolve) => {
        this.#onText = resolve;
      });
    }
    return this.texts;
  }
}

export function newQueue(port: number, { isOn = true } = {}) {
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
  /** The paths that the kernel said were too narrow: last word of the address, and MTU. */
  const pathMtus: [address: number, mtuBytes: number][] = [];
  const onPathMtu = (_a: number, _b: number, _c: number, d: number, mtuBytes: number) => pathMtus.push([d, mtuBytes]);
  const fdb = new Fdb(createFdbMemory(1, 0), 1);
  const remote = (address: string) => fdb.retainRemote(ipWords(parseIp(address) as IpAddress));
  const newArray = () => new SendArray(slab, QUEUE_MESSAGES, port);
  const remoteCounters = new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
  const counting = { counters, remoteCounters };
  const shared = { remotes: fdb.remotes, ...counting, segmentation, socketTos: 0, singles: newArray(), onPathMtu };
  const queue = new SendQueue(fd, newArray(), shared);
  const push = (text: string, destination: string, of = segment(0), tos = 0) => {
    const at = slab.allocate(text.length);
    slab.bytes.set(Buffer.from(text, 'latin1'), at);
    queue.push(of, remote(destination), at, text.length, text.length, tos);
  };
  const pushLength = (length: number, destination: string, of = segment(0)) =>
    queue.push(of, remote(destination), slab.allocate(length), length, length, 0);
  /** Datagrams that stand one behind the other. */
  const pushRun = (texts: readonly string[], destination: string, of = segment(0)) => {
    const all = texts.join('');
    const at = slab.allocate(all.length);
    slab.bytes.set(Buffer.from(all, 'latin1'), at);
    queue.push(of, remote(destination), at, all.length, texts[0]?.length ?? 0, 0);
  };
  /** UDP_SEGMENT without outer checksums is refused with EINVAL (net/ipv4/udp.c); single datagrams are not. */
  const refuseRuns = (isRefused = true) => {
    const [SOL_SOCKET, SO_NO_CHECK] = [1, 11];
    if (setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, Buffer.from([isRefused ? 1 : 0, 0, 0, 0]), 4) !== 0)
      throw new Error('SO_NO_CHECK');
  };
  const drops = (index = 0) =>
    Object.fromEntries([...counters.drops(index).tx].flatMap((count, i) => (count ? [[TX_REASONS[i], count]] : [])));
  const vtep = (address: string) => RemoteCounters.total([remoteCounters], remote(address));
  return { queue, counters, vtep, push, pushLength, pushRun, drops, refuseRuns, segmentation, refusals, pathMtus };
}
