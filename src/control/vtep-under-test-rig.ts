/** What the contract between a VTEP and a control plane is tested with: a VTEP of either kind, and a control plane that records. */
import type { VniConfig } from '../config/config.ts';
import { parseConfig } from '../config/parse.ts';
import { type IpAddress, type MacAddress, parseIp, parseMac } from '../lib/addresses.ts';
import type { ControlledSegment, ControlPlane, Forwarding, LocalMac, Said, Stations } from './control-plane.ts';

const NOTHING_SAID: Said = { group: undefined, floods: [], macs: [], neighbours: [] };

/** A VTEP under test. A query must show the effect of all earlier changes. */
export interface VtepUnderTest {
  attach(plane: RecordingPlane): Forwarding;
  addSegment(config: VniConfig): Promise<void>;
  removeSegment(vni: number): Promise<void>;
  /** The segment stays, and its configuration changes. */
  changeSegment(config: VniConfig): Promise<void>;
  addStatic(vni: number, mac: MacAddress, vtep: IpAddress | 'local'): void;
  deleteStatic(vni: number, mac: MacAddress): void;
  /** A frame with this source MAC comes from there. */
  learn(vni: number, mac: MacAddress, from: IpAddress | 'local'): void;
  /** The address was heard with this MAC behind the own TAP. */
  hear(vni: number, ip: IpAddress, mac: MacAddress): void;
  /** Seconds pass, and expired entries are removed. */
  elapse(seconds: number): void;
  setOwn(address: IpAddress, isOwn: boolean): Promise<void>;
  entryOf(vni: number, mac: MacAddress): { readonly vtep: IpAddress | 'local'; readonly origin: string } | undefined;
  floodMembers(vni: number): readonly { readonly vtep: IpAddress; readonly origin: string }[];
  floodedTo(vni: number): readonly IpAddress[];
  /** The MAC in the answers to requests for an address. */
  neighbourOf(vni: number, ip: IpAddress): MacAddress | undefined;
  /** Resolves when the control plane has received all reports so far. */
  told(): Promise<void>;
  close(): Promise<void>;
}

/** A control plane that records its reports and announces the state that the test gives it. */
export class RecordingPlane implements ControlPlane {
  readonly origin = 'evpn';
  readonly segments = new Map<number, ControlledSegment>();
  /** Reported MACs behind each TAP. */
  readonly here = new Map<number, Map<MacAddress, LocalMac['origin']>>();
  /** Reported addresses behind each TAP. */
  readonly neighbours = new Map<number, Map<IpAddress, MacAddress>>();
  /** MACs reported as free since this was last emptied. */
  readonly freed: MacAddress[] = [];
  /** The segments that it knows. */
  readonly known = new Map<number, Partial<Said>>();

  /** MACs of each VNI that were here since its full state began. */
  readonly #seen = new Map<number, Set<MacAddress>>();

  segmentUpdated(segment: ControlledSegment): Said | undefined {
    this.segments.set(segment.vni, segment);
    const known = this.known.get(segment.vni);
    return known && { ...NOTHING_SAID, ...known };
  }

  segmentRemoved(vni: number): void {
    this.segments.delete(vni);
    this.here.delete(vni);
  }

  stationsChanged({ vni, isWhole, endsWhole, here, gone, neighbours }: Stations): void {
    const heard = this.neighbours.get(vni) ?? new Map<IpAddress, MacAddress>();
    for (const { ip: address, mac: at } of neighbours) heard.set(address, at);
    this.neighbours.set(vni, heard);
    const macs = this.here.get(vni) ?? new Map<MacAddress, LocalMac['origin']>();
    if (isWhole) this.#seen.set(vni, new Set());
    for (const { mac, origin } of here) {
      macs.set(mac, origin);
      this.#seen.get(vni)?.add(mac);
    }
    for (const mac of gone) macs.delete(mac);
    if (endsWhole) for (const mac of macs.keys()) if (!this.#seen.get(vni)?.has(mac)) macs.delete(mac);
    this.here.set(vni, macs);
    this.freed.push(...gone);
  }
}

export const ip = (text: string) => parseIp(text) as IpAddress;
export const mac = (number: number) => parseMac(`02:00:00:00:00:${number.toString(16).padStart(2, '0')}`) as MacAddress;
export const [A, B, C] = [ip('198.18.0.1'), ip('198.18.0.2'), ip('198.18.0.3')];

export function segmentOf(entry: string): VniConfig {
  return parseConfig({ vni: [entry], local: [], check: false, scalars: {} }).vnis[0] as VniConfig;
}
