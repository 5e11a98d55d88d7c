import type { Capture, CapturedFrame, CaptureQuery } from '../api/daemon-view.ts';
import type { Config } from '../config/config.ts';
import { peekHeader } from '../encap/codec.ts';
import type { Encap } from '../encap/encapsulation.ts';
import { HEADER_SHORT, readHeaderBytes } from '../encap/reading.ts';
import { CaptureRing, UNIT_BYTES, UNIT_WORDS } from '../forward/capture/capture-ring.ts';
import { type CaptureFilter, NO_VNI, RECORD, RECORD_KIND } from '../forward/capture/capture-writer.ts';
import { FORWARDED, RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import type { Underlay } from '../host/underlay/underlay.ts';
import {
  formatIp,
  type IpAddress,
  ipFamily,
  ipWords,
  isMulticastIp,
  isUnspecifiedIp,
  macWords,
} from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { CAPTURE_RING_BYTES, CAPTURE_SLICE_BYTES, CAPTURE_SLICE_FRAMES, MAX_CAPTURES } from '../lib/limits.ts';
import { NO_GROUP } from '../segment/segment.ts';
import { locateHeaders, mayNotFragment, newFrameHeaders } from '../wire/ip.ts';
import type { OuterHeaders } from '../wire/outer-headers.ts';
import type { Order } from '../worker/messages.ts';
import type { Vni } from './vni/vni.ts';
import type { WorkerPool } from './workers/worker-pool.ts';

/** vtepd does not know the TTL of a received datagram. A capture shows the TTL that most senders use. */
const USUAL_TTL = 64;

/** What the main thread must know of the daemon to turn the records of the workers into text. */
export interface CaptureGround {
  readonly workers: Pick<WorkerPool, 'size' | 'tellAll' | 'orderOne'>;
  /** In force now. */
  readonly config: () => Pick<Config, 'port' | 'ttl' | 'mcastTtl' | 'df'>;
  readonly underlays: readonly Underlay[];
  readonly vnis: readonly Vni[];
  readonly isOwnAddress: (address: IpAddress) => boolean;
  /** The clock of the workers: milliseconds since the daemon's start, with microseconds. */
  readonly nowMs: () => number;
}

interface OpenCapture {
  readonly filter: CaptureFilter;
  /** One for each worker. */
  readonly rings: readonly CaptureRing[];
}

/** The open captures. Each capture has one ring in every worker. When a worker dies, its successor takes over the ring. */
export class Captures {
  readonly #ground: CaptureGround;
  readonly #open = new Map<number, OpenCapture>();
  #nextNumber = 0;
  /** Lost frames of the captures that are closed. */
  #lost = 0;

  constructor(ground: CaptureGround) {
    this.#ground = ground;
  }

  /** Number of open captures. */
  get count(): number {
    return this.#open.size;
  }

  /** Frames that found no room in a ring, of all captures since the start. */
  get lost(): number {
    return [...this.#open.values()].reduce((total, { rings }) => total + lostIn(rings), this.#lost);
  }

  /** Resolves once every worker captures. @throws VtepError ERR_VTEP_LIMIT */
  async open(query: CaptureQuery): Promise<Capture> {
    if (this.#open.size >= MAX_CAPTURES) {
      const [cause, remedy] = [`${MAX_CAPTURES} captures already run`, 'stop one of them'];
      throw new VtepError('ERR_VTEP_LIMIT', { object: 'GET /v1/capture', cause, remedy });
    }
    const { workers, nowMs } = this.#ground;
    const number = this.#nextNumber++;
    const rings = Array.from(
      { length: workers.size },
      () => new CaptureRing(CaptureRing.createMemory(CAPTURE_RING_BYTES)),
    );
    const offsetMs = wallOffsetMs(nowMs);
    this.#open.set(number, { filter: filterOf(query), rings });
    const close = () => {
      if (!this.#open.delete(number)) return;
      this.#lost += lostIn(rings);
      workers.tellAll({ kind: 'stop-capture', capture: number });
    };
    await Promise.all(rings.map((_, worker) => workers.orderOne(worker, this.#orderOf(number, worker))));
    return {
      read: () => this.#read(rings, offsetMs),
      get lost() {
        return lostIn(rings);
      },
      close,
    };
  }

  /** The orders for a worker that takes over. */
  orders(worker: number): Order[] {
    return [...this.#open.keys()].map((number) => this.#orderOf(number, worker));
  }

  #orderOf(capture: number, worker: number): Order {
    const { filter, rings } = this.#open.get(capture) as OpenCapture;
    const ring = rings[worker] as CaptureRing;
    return { kind: 'start-capture', capture, ring: ring.memory, filter };
  }

  #read(rings: readonly CaptureRing[], offsetMs: number): { frames: CapturedFrame[]; isMore: boolean } {
    const frames: CapturedFrame[] = [];
    for (let bytes = 0; frames.length < CAPTURE_SLICE_FRAMES && bytes < CAPTURE_SLICE_BYTES; ) {
      const ring = oldest(rings);
      if (ring === undefined) return { frames, isMore: false };
      const frame = this.#frame(ring, ring.next(), offsetMs);
      ring.release();
      frames.push(frame);
      bytes += frame.octets.length;
    }
    return { frames, isMore: true };
  }

  #frame({ words, doubles, bytes }: CaptureRing, unit: number, offsetMs: number): CapturedFrame {
    const wordsAt = unit * UNIT_WORDS;
    const word = (which: number) => words[wordsAt + which] as number;
    const isTx = (word(RECORD.kind) & RECORD_KIND.tx) !== 0;
    const isFlooded = (word(RECORD.kind) & RECORD_KIND.flooded) !== 0;
    const verdict = word(RECORD.verdict);
    const vni = word(RECORD.vni) === NO_VNI ? null : word(RECORD.vni);
    const vtep = addressAt(words, wordsAt + RECORD.vtep);
    const copies = word(RECORD.copies);
    const known = this.#ground.vnis.find(({ config }) => config.vni === vni);
    const at = unit * UNIT_BYTES + word(RECORD.at);
    const reason = (isTx ? TX_REASONS : RX_REASONS)[verdict] ?? null;
    // A flood without a group is shown with the first remote of the flood list as its destination.
    const destination = isFlooded ? (vtep ?? this.#firstRemote(known)) : vtep;
    const isSent = isTx && verdict === FORWARDED;
    const captured = word(RECORD.captured);
    const hasHeader = isSent || !isTx;
    const datagram = new DataView(bytes.buffer, bytes.byteOffset + at, captured);
    const inHeader = hasHeader ? headerBytesOf(datagram, word(RECORD.encap) as Encap) : 0;
    const inner = new DataView(bytes.buffer, datagram.byteOffset + inHeader, captured - inHeader);
    const has = { inner, tos: word(RECORD.tos), port: word(RECORD.port), group: word(RECORD.group) };
    const outer = isTx
      ? isSent && destination !== null && this.#sentHeaders(known, destination, has)
      : vtep !== null && this.#receivedHeaders(known, vtep, has);
    // If the datagram has no outer header, the frame is shown without it.
    const skipped = outer ? 0 : inHeader;
    return {
      timeUs: Math.round(((doubles[(wordsAt + RECORD.time) / UNIT_WORDS] as number) + offsetMs) * 1_000),
      direction: isTx ? 'tx' : 'rx',
      verdict: verdict !== FORWARDED ? 'dropped' : isFlooded ? 'flooded' : 'forwarded',
      ...{ reason, vni, vtep, copies, segments: word(RECORD.segments) },
      outer: outer || undefined,
      headerBytes: outer ? inHeader : 0,
      octets: new Uint8Array(bytes.subarray(at + skipped, at + captured)),
      length: word(RECORD.length) - skipped,
    };
  }

  /** @param port the hash of the flow, which selects the source port */
  #sentHeaders(
    vni: Vni | undefined,
    destination: IpAddress,
    { tos, port: flow, inner }: { tos: number; port: number; inner: DataView },
  ): OuterHeaders | undefined {
    const underlay = this.#underlayOf(vni, ipFamily(destination));
    if (!underlay) return undefined;
    const { port, ttl, mcastTtl, df } = this.#ground.config();
    const dontFragment = df === 'set' || (df === 'inherit' && hasInnerDf(inner));
    const { sendPorts, fragmentable } = underlay;
    const ports = dontFragment ? sendPorts.slice(0, sendPorts.length - fragmentable) : sendPorts.slice(-fragmentable);
    return {
      ...{ source: underlay.local, destination, port, tos, dontFragment },
      sourcePort: ports[flow % ports.length] as number,
      ttl: isMulticastIp(destination) ? mcastTtl : ttl,
    };
  }

  #receivedHeaders(
    vni: Vni | undefined,
    source: IpAddress,
    { tos, group, port: sourcePort }: { tos: number; group: number; port: number },
  ): OuterHeaders | undefined {
    const { underlays, config } = this.#ground;
    const joined = underlays.flatMap(({ membership }) => membership.joined);
    const destination =
      (group !== NO_GROUP && joined.find(({ number }) => number === group)?.group) ||
      this.#underlayOf(vni, ipFamily(source))?.local;
    return (
      destination && { source, destination, sourcePort, port: config().port, tos, ttl: USUAL_TTL, dontFragment: false }
    );
  }

  #firstRemote(vni: Vni | undefined): IpAddress | null {
    const remotes = vni?.flood.addresses(vni.config.remotes);
    return remotes?.find((remote) => !this.#ground.isOwnAddress(remote)) ?? null;
  }

  /** The underlay that a VNI uses for a family. For datagrams without a VNI: the first underlay of that family. */
  #underlayOf(vni: Vni | undefined, family: 4 | 6): Underlay | undefined {
    const { underlays } = this.#ground;
    const reached = vni && (family === 4 ? vni.reach.ipv4 : vni.reach.ipv6);
    return underlays.find(({ number }) => number === reached) ?? underlays.find((each) => each.family === family);
  }
}

/** Octets of the encapsulation header at the start of a datagram, at most as many as are present. */
function headerBytesOf(datagram: DataView, encap: Encap): number {
  const header = peekHeader(encap, datagram, 0, datagram.byteLength);
  return header === HEADER_SHORT ? datagram.byteLength : Math.min(readHeaderBytes(header), datagram.byteLength);
}

function hasInnerDf(frame: DataView): boolean {
  const headers = newFrameHeaders();
  locateHeaders(frame, 0, frame.byteLength, headers);
  return mayNotFragment(frame, headers);
}

function filterOf({ vni, mac, vtep, drops }: CaptureQuery): CaptureFilter {
  return { vni, mac: mac && macWords(mac), vtep: vtep && ipWords(vtep), dropsOnly: drops };
}

function lostIn(rings: readonly CaptureRing[]): number {
  return rings.reduce((total, { lost }) => total + lost, 0);
}

/** The ring whose next record is the oldest; undefined if all are empty. */
function oldest(rings: readonly CaptureRing[]): CaptureRing | undefined {
  let found: CaptureRing | undefined;
  let foundMs = Number.POSITIVE_INFINITY;
  for (const ring of rings) {
    const unit = ring.next();
    if (unit < 0) continue;
    const timeMs = ring.doubles[unit + RECORD.time / UNIT_WORDS] as number;
    if (timeMs < foundMs) [found, foundMs] = [ring, timeMs];
  }
  return found;
}

function addressAt(words: Int32Array, at: number): IpAddress | null {
  const octets = Buffer.alloc(16);
  for (let word = 0; word < 4; word++) octets.writeInt32BE(words[at + word] as number, word * 4);
  const address = formatIp(octets);
  return isUnspecifiedIp(address) ? null : address;
}

/**
 * Unix time minus the time of the clock, both in milliseconds. The system clock gives whole milliseconds, so this function waits for its next step.
 */
function wallOffsetMs(nowMs: () => number): number {
  const before = Date.now();
  while (Date.now() === before);
  return Date.now() - nowMs();
}
