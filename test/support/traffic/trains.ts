/** Trains: datagrams that reach a VTEP together, so that its socket gets them as one message, and what its TAP gives of them. */
import { BROADCAST, internetChecksum, probe, readProbe, vxlan } from './frames.ts';
import { cut } from './inner-frames.ts';
import type { CapturedFrame, PacketSocket } from './packet-socket.ts';
import { isProbe } from './probes.ts';
import type { UdpSocket } from './udp-socket.ts';

const FENCE = '02:00:00:00:fe:0c';
const MAX_DATAGRAMS = 64;
const MAX_BYTES = 65_507;

let fences = 0;

export interface Way {
  readonly sender: UdpSocket;
  /** Underlay address of the VTEP. */
  readonly to: string;
  /** Behind the TAP of `fenceVni`. */
  readonly tap: PacketSocket;
  readonly fenceVni: number;
}

/** Sends datagrams in as few messages as their sizes allow. */
export function sendTrains({ sender, to }: Pick<Way, 'sender' | 'to'>, datagrams: readonly Buffer[]): void {
  let train: Buffer[] = [];
  for (const datagram of datagrams) {
    const size = train[0]?.length ?? datagram.length;
    const isFull = train.length === MAX_DATAGRAMS || (train.length + 1) * size > MAX_BYTES;
    if (datagram.length !== size || isFull) {
      sender.sendTrain(train, { to });
      train = [];
    }
    train.push(datagram);
  }
  if (train.length > 0) sender.sendTrain(train, { to });
}

/** Sends datagrams by `send`; returns what they became at the TAP, once a good frame sent after them is out of it. */
export async function passTrains(
  way: Way,
  datagrams: readonly Buffer[],
  send: typeof sendTrains = sendTrains,
): Promise<CapturedFrame[]> {
  const { sender, to, tap, fenceVni } = way;
  tap.clear();
  send(way, datagrams);
  await fence({ sender, to, tap, fenceVni });
  return tap.select(({ bytes }) => readProbe(bytes)?.src !== FENCE);
}

/** Once its frame is out of the TAP, everything sent before has been dealt with. */
export async function fence({ sender, to, tap, fenceVni }: Way): Promise<void> {
  fences += 1;
  const text = `fence ${fences}`;
  sender.send(vxlan({ vni: fenceVni, inner: probe({ dst: BROADCAST, src: FENCE, text }) }), { to });
  await tap.waitForFrame(text, isProbe(text), 30_000);
}

/**
 * What frames at a TAP are, cut again: the place of each in `sent`, or its octets where it is none of them. Frames that were
 * sent twice have the place of the first.
 */
export function placesOf(captured: readonly CapturedFrame[], sent: readonly Buffer[]): (number | string)[] {
  const places = new Map<string, number>();
  for (const [i, bytes] of sent.entries()) {
    const text = significant(bytes);
    if (!places.has(text)) places.set(text, i);
  }
  return captured.flatMap(cut).map((bytes) => {
    return places.get(significant(bytes)) ?? `not sent: ${bytes.length} octets ${bytes.toString('hex', 0, 80)}`;
  });
}

/** All octets, but for the id of an IPv4 packet with DF: it means nothing (RFC 6864 §4.1) and does not keep frames from merging. */
function significant(bytes: Buffer): string {
  let network = 14;
  while (isTag(bytes.readUInt16BE(network - 2))) network += 4;
  const header = bytes.subarray(network, network + 20);
  const isAtomic = bytes.readUInt16BE(network - 2) === 0x0800 && (header[6] ?? 0) >> 5 === 2;
  if (!isAtomic || header[0] !== 0x45 || internetChecksum(header) !== 0) return bytes.toString('hex');
  const copy = Buffer.from(bytes);
  copy.fill(0, network + 4, network + 6);
  copy.fill(0, network + 10, network + 12);
  return copy.toString('hex');
}

function isTag(ethertype: number): boolean {
  return ethertype === 0x8100 || ethertype === 0x88a8;
}

/** Frames in VXLAN. */
export function inVni(vni: number, frames: readonly Buffer[]): Buffer[] {
  return frames.map((inner) => vxlan({ vni, inner }));
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Reproducible noise. */
export function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
