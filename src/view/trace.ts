import type { TracedFrame } from '../api/daemon-view.ts';
import type { Trace } from '../api/schemas.ts';
import { unknownVni } from '../api/unknown-vni.ts';
import type { Settings } from '../config/settings.ts';
import { ENCAPSULATIONS, writeHeader } from '../encap/codec.ts';
import { ENCAP } from '../encap/encapsulation.ts';
import { LEARNED, UNKNOWN } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { ADDRESS_MARK } from '../forward/address-marks.ts';
import { FORWARDED, RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { sourceVerdict } from '../forward/source-check.ts';
import { SourceFilter } from '../forward/source-filter.ts';
import { type TraceGround, type TraceStep, traceDatagram, traceFrame } from '../forward/trace.ts';
import type { OwnAddresses } from '../host/underlay/own-addresses.ts';
import { type IpAddress, ipFamily, isGroupMac, isMulticastIp, type MacAddress, macWords } from '../lib/addresses.ts';
import { NO_GROUP, UNTAGGED } from '../segment/segment.ts';
import { ENTRY_TYPE } from '../vtep/entries/entry-type.ts';
import type { Underlays } from '../vtep/vni/underlays.ts';
import { maxFrameBytes, toSegment, type Vni } from '../vtep/vni/vni.ts';
import type { Vnis } from '../vtep/vni/vnis.ts';
import { addressOf, formatSource, sourceOf } from '../vtep/vni/vtep-address.ts';
import type { SharedTables } from '../vtep/workers/shared-tables.ts';
import { tosNumber } from '../vtep/workers/worker-state.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE, writeMac } from '../wire/ethernet.ts';
import { controlName, controlWord, isLinkLocalDestination } from '../wire/link-local.ts';
import { VLAN_TAG_BYTES } from '../wire/vlan.ts';
import {
  fitsPath,
  outerText,
  type PathParts,
  type Paths,
  pathFrameBytes,
  pathsNow,
  tooBigTexts,
} from './trace-size.ts';

/** `vtepctl trace`: runs the pure trace on the running VTEP and formats the result. */

/** The parts that decide about a frame. */
export interface TracedParts extends PathParts {
  readonly settings: Pick<Settings, 'config'>;
  readonly tables: Pick<SharedTables, 'fdb' | 'storm' | 'neighbours' | 'now'>;
  readonly vnis: Pick<Vnis, 'find'>;
  readonly underlays: Pick<Underlays, 'list' | 'pathMtus'>;
  readonly own: OwnAddresses;
}

/** The shortest that Ethernet has, without FCS (IEEE 802.3 §3.2.8). */
const SHORTEST_FRAME_BYTES = 60;

/** EtherType for local experiments (IEEE 802): no check parses such a frame. */
const EXPERIMENTAL_TYPE = 0x88b5;

/** @throws VtepError ERR_VTEP_NOT_FOUND if the frame comes out of the TAP of a VNI that is not there */
export function traceThrough(vtep: TracedParts, frame: TracedFrame): Trace {
  const vni = vtep.vnis.find(frame.vni);
  const steps = [...describeFrame(vni, frame)];
  if (frame.vtep !== undefined) return traceFrom(vtep, vni, { frame, source: frame.vtep, steps });
  if (!vni) throw unknownVni(frame.vni);
  const segment = toSegment(vni);
  const octets = frameOctets(frame, segment.vlan > UNTAGGED ? [segment.vlan] : []);
  const paths = pathsNow(vtep);
  const { verdict, steps: taken } = traceFrame(groundOf(vtep, paths), segment, octets, vtep.tables.now());
  const said = sayAll(vtep, vni, { frame, taken, source: 'local', paths });
  steps.push(...said.steps);
  if (verdict !== FORWARDED) return dropped('tx', TX_REASONS[verdict], { frame, steps });
  // What the UDP port does with a VTEP that was learned of a family that this one has no address of, and the kernel with what is too large.
  if (said.destinations.length === 0)
    return dropped('tx', said.isOversize ? 'oversize' : 'send-error', { frame, steps });
  const isFlooded =
    isGroupMac(frame.dst) || taken.some((step) => step.kind === 'destination' && step.remote === UNKNOWN);
  const { destinations } = said;
  return {
    direction: 'tx',
    verdict: isFlooded ? 'flooded' : 'forwarded',
    reason: null,
    detail: null,
    destinations,
    steps,
  };
}

/** A datagram from another VTEP. */
function traceFrom(
  vtep: TracedParts,
  vni: Vni | undefined,
  { frame, source, steps }: { frame: TracedFrame; source: IpAddress; steps: string[] },
): Trace {
  const octets = frameOctets(frame, []);
  const encap = vni ? toSegment(vni).encap : ENCAP.vxlan;
  const frameAt = ENCAPSULATIONS[encap].headerBytes;
  const payload = new Uint8Array(frameAt + octets.length);
  payload.set(octets, frameAt);
  writeHeader(encap, new DataView(payload.buffer), frameAt, frame.vni);
  const paths = pathsNow(vtep);
  const datagram = { encap, payload, source: sourceOf(source), tos: 0, group: NO_GROUP };
  const { verdict, steps: taken } = traceDatagram(groundOf(vtep, paths), datagram, vtep.tables.now());
  if (vni) steps.push(...sayAll(vtep, vni, { frame, taken, source, paths }).steps);
  if (verdict !== FORWARDED) return dropped('rx', RX_REASONS[verdict], { frame, steps });
  const destinations = vni ? [vni.config.tap] : [];
  return { direction: 'rx', verdict: 'forwarded', reason: null, detail: null, destinations, steps };
}

function dropped(
  direction: Trace['direction'],
  reason: string | undefined,
  { frame, steps }: { frame: TracedFrame; steps: string[] },
): Trace {
  const detail = dropDetail(reason, frame);
  return { direction, verdict: 'dropped', reason: reason ?? null, detail, destinations: [], steps };
}

/** The kind of the dropped frame, and the key that lets it pass. */
function dropDetail(reason: string | undefined, { vlan, dst }: TracedFrame): string | null {
  if (reason === 'inner-vlan') return `it has the tag of VLAN ${vlan}; inner-vlan=pass carries tagged frames`;
  const control = controlDigit(dst);
  if (reason !== 'link-local' || control === undefined) return null;
  const word = controlWord(control);
  const remedy = word === undefined ? 'no key lets it pass' : `l2-control=${word} passes it`;
  return `${controlName(control)}, reserved by IEEE 802.1Q for the link; ${remedy}`;
}

/** The last digit of the address of a layer-2 control frame. */
function controlDigit(mac: MacAddress): number | undefined {
  const { high, low } = macWords(mac);
  const view = new DataView(new ArrayBuffer(6));
  writeMac(view, 0, high, low);
  return isLinkLocalDestination(view, 0) ? low & 0xf : undefined;
}

/** The state of the workers: what is shared, and what they were told. */
function groundOf(vtep: TracedParts, paths: Paths): TraceGround {
  const { settings, tables, vnis } = vtep;
  const { config } = settings;
  const { fdb, storm, neighbours } = tables;
  const { allowedVteps, reservedBits } = config;
  const allowed = allowedVteps.length === 0 ? undefined : new SourceFilter(allowedVteps);
  return {
    fdb,
    storm,
    neighbours,
    tos: tosNumber(config),
    inheritsDf: config.df === 'inherit',
    pathLimits: {
      frameBytes: (encap, remote, mayFragment) =>
        pathFrameBytes(settings, paths, addressOf(fdb, remote) as IpAddress, { encap, mayFragment }),
    },
    segments: {
      byVni: (encap, number) => {
        const vni = vnis.find(number);
        const segment = vni && toSegment(vni);
        return segment?.encap === encap ? segment : undefined;
      },
    },
    sources: { verdict: (source) => sourceVerdict(source, marksOf(vtep, formatSource(source)), allowed) },
    dropReservedBits: reservedBits === 'drop',
  };
}

function marksOf(vtep: TracedParts, address: IpAddress): number {
  const own = vtep.own.has(address) ? ADDRESS_MARK.own : 0;
  return vtep.own.isBroadcast(address) ? own | ADDRESS_MARK.broadcast : own;
}

/** @param tags of the trunk, before those of the frame */
function frameOctets(
  { src, dst, vlan, size = SHORTEST_FRAME_BYTES }: TracedFrame,
  tags: readonly number[],
): Uint8Array {
  const all = vlan === undefined ? tags : [...tags, vlan];
  const bytes = new Uint8Array(
    Math.max(size + VLAN_TAG_BYTES * tags.length, ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES * all.length),
  );
  const view = new DataView(bytes.buffer);
  for (const [i, mac] of [dst, src].entries()) {
    const { high, low } = macWords(mac);
    writeMac(view, 6 * i, high, low);
  }
  let at = ETHERNET_HEADER_BYTES - 2;
  for (const tag of all) {
    view.setUint16(at, ETHERTYPE.vlan);
    view.setUint16(at + 2, tag);
    at += VLAN_TAG_BYTES;
  }
  view.setUint16(at, EXPERIMENTAL_TYPE);
  return bytes;
}

function* describeFrame(vni: Vni | undefined, { vni: number, vtep, dst, vlan, size }: TracedFrame): Generator<string> {
  const tag = vlan === undefined ? '' : `, VLAN ${vlan}`;
  const octets = `${size ?? SHORTEST_FRAME_BYTES} octets${tag}`;
  const origin = vtep === undefined ? `out of ${vni?.config.tap}` : `in a datagram from ${vtep}`;
  yield `VNI ${number}: a frame of ${octets}, ${origin}`;
  const control = controlDigit(dst);
  if (control !== undefined)
    yield `destination ${dst}: ${controlName(control)}, for the neighbour on the link (802.1Q)`;
  else if (isGroupMac(dst)) yield `destination ${dst}: a group`;
  if (vtep === undefined && isGroupMac(dst) && vni?.config.suppress) {
    yield 'suppress=on: if it asks for a neighbour that was heard recently, it is answered instead';
  }
}

interface Told {
  readonly frame: TracedFrame;
  readonly taken: readonly TraceStep[];
  /** Where the frame comes from. */
  readonly source: IpAddress | 'local';
  readonly paths: Paths;
}

/** The steps of the trace in words, and the destinations of the frame. */
function sayAll(
  vtep: TracedParts,
  vni: Vni,
  told: Told,
): Pick<Trace, 'destinations' | 'steps'> & { readonly isOversize: boolean } {
  const sent = told.taken
    .filter((step) => step.kind === 'send')
    .map((step) => ({ address: addressOf(vtep.tables.fdb, step.remote) as IpAddress, step }))
    .filter(({ address }) => localFor(vtep, vni, address) !== undefined);
  const fitting = sent.filter(({ address, step }) => fitsPath(vtep.settings, told.paths, address, step));
  return {
    destinations: fitting.map(({ address }) => address),
    steps: told.taken.flatMap((step) => stepTexts(vtep, vni, { ...told, step })),
    isOversize: fitting.length < sent.length,
  };
}

function stepTexts(vtep: TracedParts, vni: Vni, told: Told & { readonly step: TraceStep }): string | string[] {
  const { frame, source, step } = told;
  switch (step.kind) {
    case 'destination':
      return `destination ${frame.dst}: ${step.remote === UNKNOWN ? 'unknown' : whereIs(vtep, vni, frame.dst)}${barText(vtep, step.remote)}`;
    case 'source':
      return `source ${frame.src}: ${sourceText(step.outcome, whereIs(vtep, vni, frame.src), placeText(vni, source))}`;
    case 'storm':
      return `storm=${vni.config.stormPps}: ${step.passes ? 'it passes' : 'the limit of this second is reached'}`;
    case 'too-big':
      return tooBigTexts(step, limitedBy(vtep, vni, told), isGroupMac(frame.dst));
    case 'deliver':
      return `deliver to ${vni.config.tap}${vni.config.vlan ? `, VLAN ${vni.config.vlan}` : ''}`;
    case 'send':
      return sendTexts(vtep, vni, told, step);
  }
}

/** Which limit a too large frame exceeds. */
function limitedBy(vtep: TracedParts, vni: Vni, { taken, step }: Told & { readonly step: TraceStep }): string {
  if (step.kind === 'too-big' && step.maxFrameBytes >= maxFrameBytes(vni.underlays)) return 'the underlay';
  const destination = taken.find(({ kind }) => kind === 'destination');
  const address = destination?.kind === 'destination' && addressOf(vtep.tables.fdb, destination.remote);
  return address && destination.remote !== UNKNOWN ? `the path to ${address}` : 'any path of the flood list';
}

function sendTexts(
  vtep: TracedParts,
  vni: Vni,
  { frame, paths }: Told,
  step: Extract<TraceStep, { kind: 'send' }>,
): string | string[] {
  const address = addressOf(vtep.tables.fdb, step.remote) as IpAddress;
  const local = localFor(vtep, vni, address);
  if (local === undefined) return `${address}: no IPv${ipFamily(address)} address to send from`;
  const { port, ttl, mcastTtl } = vtep.settings.config;
  const to = ipFamily(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
  const hops = isMulticastIp(address) ? mcastTtl : ttl;
  const tos = step.tos.toString(16).padStart(2, '0');
  const encapsulated = `encapsulate: ${local} > ${to}, VNI ${vni.config.vni}, TTL ${hops}, TOS 0x${tos}`;
  // No size was given.
  if (frame.size === undefined && fitsPath(vtep.settings, paths, address, step)) return encapsulated;
  return [encapsulated, outerText(vtep.settings, paths, address, step)];
}

/** The outer source address of what is sent to a VTEP. */
function localFor({ underlays }: TracedParts, { reach }: Vni, address: IpAddress): IpAddress | undefined {
  const number = ipFamily(address) === 4 ? reach.ipv4 : reach.ipv6;
  return underlays.list.find((underlay) => underlay.number === number)?.source?.address;
}

/** `known at 198.18.0.2 (dynamic, 3s)`, `unknown`. */
function whereIs({ tables: { fdb, now } }: TracedParts, vni: Vni, mac: MacAddress): string {
  const time = now();
  const { high, low } = macWords(mac);
  const entry = fdb.entryOf(vni.index, high, low, time);
  if (!entry) return 'unknown';
  const type = ENTRY_TYPE[entry.kind];
  const age = entry.kind === 'learned' ? `${type}, ${Math.max(0, Math.floor((time - entry.heard) / 10))}s` : type;
  return `known ${entry.remote === LOCAL ? placeText(vni, 'local') : placeText(vni, addressOf(fdb, entry.remote))} (${age})`;
}

/** Why nothing is sent to a remote, if so. */
function barText(vtep: TracedParts, remote: number): string {
  if (remote === UNKNOWN || !vtep.tables.fdb.isBarred(remote)) return '';
  const bar = vtep.own.barOf(addressOf(vtep.tables.fdb, remote) as IpAddress);
  return bar === 'broadcast'
    ? ', a broadcast address: nothing is sent to it'
    : ', an own address of this host now: nothing is sent to it';
}

function placeText({ config }: Vni, vtep: IpAddress | 'local'): string {
  return vtep === 'local' ? `behind ${config.tap}` : `at ${vtep}`;
}

/** @param known what is known of it now @param place where it comes from */
function sourceText(outcome: number, known: string, place: string): string {
  if (outcome === LEARNED.added) return `would be learned ${place}`;
  if (outcome === LEARNED.moved) return `${known}, would move to be ${place}`;
  if (outcome === LEARNED.held) return `${known}, moves too often and is held there`;
  if (outcome === LEARNED.outranked) return `${known}, stays there since a control plane says so`;
  if (outcome === LEARNED.announced)
    return `${known}, would not be learned ${place}: a control plane announces the MACs there`;
  return known;
}
