import type { VniConfig } from '../config/config.ts';
import { type IpAddress, ipFamily, type MacAddress } from '../lib/addresses.ts';
import type { Batch, ControlPlane, Forwarding, Placement, RefusalCause, Refused, Said } from './control-plane.ts';
import { type ControlOrigin, ORIGINS, type Origin } from './origin.ts';

type Place = IpAddress | 'local';

interface Entry {
  readonly vtep: Place;
  readonly origin: Origin;
  readonly isSticky: boolean;
  /** Seconds. */
  readonly heard: number;
}

interface Segment {
  readonly config: VniConfig;
  readonly macs: Map<MacAddress, Entry>;
  /** By origin. The static members are in the configuration. */
  floods: ReadonlySet<IpAddress>;
  readonly neighbours: Map<IpAddress, MacAddress>;
}

type LivePlane = ControlPlane & { readonly origin: ControlOrigin };

const AGEING_SECONDS = 300;

/**
 * A VTEP in memory as a control plane sees it, for tests of control planes. It has no packets, no limits and no other threads. It gives the same
 * results as the running VTEP; both pass the same contract suite.
 */
export class MemoryVtep {
  readonly #segments = new Map<number, Segment>();
  readonly #own = new Set<IpAddress>();
  readonly #planes: LivePlane[] = [];
  #seconds = 0;

  attach(plane: LivePlane): Forwarding {
    this.#planes.push(plane);
    for (const [vni, segment] of this.#segments) {
      this.#update(plane, segment);
      const here = [...segment.macs].flatMap(([mac, { vtep, origin }]) =>
        vtep === 'local' && origin !== 'evpn' ? [{ mac, origin }] : [],
      );
      plane.stationsChanged?.({ vni, isWhole: true, endsWhole: true, here, gone: [], neighbours: [] });
    }
    const { origin } = plane;
    return {
      origin,
      say: async (vni, batch) => this.#say(vni, origin, batch),
      withdrawAll: async () => {
        for (const segment of this.#segments.values()) this.#replace(segment, origin, NOTHING_SAID);
      },
    };
  }

  /** @param config must have no group of an address family that the VTEP lacks */
  addSegment(config: VniConfig): void {
    const segment: Segment = { config, macs: new Map(), floods: new Set(), neighbours: new Map() };
    this.#segments.set(config.vni, segment);
    for (const plane of this.#planes) this.#update(plane, segment);
    for (const { mac, vtep } of config.statics) this.addStatic(config.vni, mac, vtep);
  }

  /** The segment with that number gets another configuration. */
  changeSegment(config: VniConfig): void {
    const segment = { ...this.#segment(config.vni), config };
    this.#segments.set(config.vni, segment);
    for (const plane of this.#planes) this.#update(plane, segment);
  }

  removeSegment(vni: number): void {
    this.#segments.delete(vni);
    for (const plane of this.#planes) plane.segmentRemoved?.(vni);
  }

  addStatic(vni: number, mac: MacAddress, vtep: Place): void {
    this.#set(vni, mac, { vtep, origin: 'static', isSticky: true, heard: this.#seconds });
  }

  deleteStatic(vni: number, mac: MacAddress): void {
    if (this.#segment(vni).macs.get(mac)?.origin === 'static') this.#set(vni, mac, undefined);
  }

  /** A frame with this source MAC comes from there. */
  learn(vni: number, mac: MacAddress, from: Place): void {
    const known = this.#live(vni, mac);
    if (known?.origin === 'static') return;
    if (known?.origin === 'evpn' && (from !== 'local' || known.isSticky)) return;
    // A VTEP that announces its MACs. Only what was learned there before stays alive.
    if (from !== 'local' && known?.vtep !== from && this.#announces(vni, from)) return;
    this.#set(vni, mac, { vtep: from, origin: 'learned', isSticky: false, heard: this.#seconds });
  }

  /** An address is heard with this MAC behind the own TAP. */
  hear(vni: number, ip: IpAddress, mac: MacAddress): void {
    const neighbours = [{ ip, mac }];
    for (const plane of this.#planes)
      plane.stationsChanged?.({ vni, isWhole: false, endsWhole: false, here: [], gone: [], neighbours });
  }

  elapse(seconds: number): void {
    this.#seconds += seconds;
    for (const [vni, { macs }] of this.#segments) {
      for (const mac of [...macs.keys()]) if (!this.#live(vni, mac)) this.#set(vni, mac, undefined);
    }
  }

  /** An address becomes an own address of this host, or stops being one. What was learned there is forgotten. */
  setOwn(address: IpAddress, isOwn: boolean): void {
    if (!isOwn) {
      this.#own.delete(address);
      return;
    }
    this.#own.add(address);
    for (const [vni, { macs }] of this.#segments) {
      for (const [mac, { vtep, origin }] of macs)
        if (vtep === address && origin === 'learned') this.#set(vni, mac, undefined);
    }
  }

  /** The place of a MAC, and its origin. */
  entryOf(vni: number, mac: MacAddress): { readonly vtep: Place; readonly origin: Origin } | undefined {
    const entry = this.#live(vni, mac);
    return entry && { vtep: entry.vtep, origin: entry.origin };
  }

  /** The requested members of the flood list, with their origins. */
  floodMembers(vni: number): readonly { readonly vtep: IpAddress; readonly origin: Origin }[] {
    const { config, floods } = this.#segment(vni);
    const evpn = [...floods].filter((vtep) => !config.remotes.includes(vtep));
    return [
      ...config.remotes.map((vtep) => ({ vtep, origin: 'static' as const })),
      ...evpn.map((vtep) => ({ vtep, origin: 'evpn' as const })),
    ];
  }

  /** The VTEPs that receive the floods now, without own addresses. */
  floodedTo(vni: number): readonly IpAddress[] {
    return this.floodMembers(vni)
      .map(({ vtep }) => vtep)
      .filter((vtep) => !this.#own.has(vtep));
  }

  /** The MAC that a control plane announces for an address. */
  neighbourOf(vni: number, ip: IpAddress): MacAddress | undefined {
    return this.#segment(vni).neighbours.get(ip);
  }

  #segment(vni: number): Segment {
    const segment = this.#segments.get(vni);
    if (!segment) throw new Error(`no VNI ${vni}`);
    return segment;
  }

  #live(vni: number, mac: MacAddress): Entry | undefined {
    const entry = this.#segment(vni).macs.get(mac);
    const isExpired = entry?.origin === 'learned' && this.#seconds - entry.heard >= AGEING_SECONDS;
    return isExpired ? undefined : entry;
  }

  #announces(vni: number, vtep: IpAddress): boolean {
    return this.#segment(vni).floods.has(vtep) && !this.#own.has(vtep);
  }

  #set(vni: number, mac: MacAddress, entry: Entry | undefined): void {
    const { macs } = this.#segment(vni);
    const before = macs.get(mac);
    if (entry) macs.set(mac, entry);
    else macs.delete(mac);
    const { vtep, origin } = entry ?? {};
    const here = vtep === 'local' && origin !== undefined && origin !== 'evpn' ? [{ mac, origin }] : [];
    const isFree = before?.vtep === 'local' || (before?.origin === 'static' && !entry);
    if (here.length === 0 && !isFree) return;
    const gone = here.length === 0 ? [mac] : [];
    for (const plane of this.#planes)
      plane.stationsChanged?.({ vni, isWhole: false, endsWhole: false, here, gone, neighbours: [] });
  }

  #update(plane: LivePlane, segment: Segment): void {
    const { config } = segment;
    const said = plane.segmentUpdated({ vni: config.vni, config, local: [...this.#own] });
    if (said) this.#replace(segment, plane.origin, said);
  }

  #replace(segment: Segment, origin: ControlOrigin, { floods, macs, neighbours }: Said): void {
    const old = [...segment.macs].filter((each) => each[1].origin === origin).map(([mac]) => mac);
    const placed = macs.flatMap(({ vtep, ...rest }) => (vtep === 'local' ? [] : [{ ...rest, vtep }]));
    const kept = new Set(placed.map(({ mac }) => mac));
    segment.floods = new Set();
    segment.neighbours.clear();
    this.#say(segment.config.vni, origin, {
      floods: { added: floods },
      macs: { placed, withdrawn: old.filter((mac) => !kept.has(mac)) },
      neighbours: { placed: neighbours },
    });
  }

  #say(vni: number, origin: ControlOrigin, { floods, macs, neighbours }: Batch): Refused {
    const segment = this.#segments.get(vni);
    const isNew = (vtep: IpAddress) => segment?.floods.has(vtep) === false;
    const members = new Set(segment?.floods);
    for (const vtep of floods?.removed ?? []) members.delete(vtep);
    const refusedFloods: Refused['floods'][number][] = [];
    for (const vtep of floods?.added ?? []) {
      const cause = segment ? this.#floodRefusal(vtep) : 'no-segment';
      if (cause === undefined) members.add(vtep);
      else if (!segment || isNew(vtep)) refusedFloods.push({ vtep, cause });
    }
    if (segment) segment.floods = members;
    for (const mac of macs?.withdrawn ?? []) {
      if (segment?.macs.get(mac)?.origin === origin) this.#set(vni, mac, undefined);
    }
    const refusedMacs = (macs?.placed ?? []).flatMap((placement) => {
      const cause = segment ? this.#place(vni, origin, placement) : 'no-segment';
      return cause === undefined ? [] : [{ mac: placement.mac, cause }];
    });
    for (const ip of neighbours?.withdrawn ?? []) segment?.neighbours.delete(ip);
    for (const { ip, mac } of neighbours?.placed ?? []) segment?.neighbours.set(ip, mac);
    const refusedNeighbours = segment ? [] : (neighbours?.placed ?? []);
    return {
      ...{ floods: refusedFloods, macs: refusedMacs },
      neighbours: refusedNeighbours.map(({ ip }) => ({ ip, cause: 'no-segment' })),
    };
  }

  #place(vni: number, origin: Origin, { mac, vtep, isSticky = false }: Placement): RefusalCause | undefined {
    if (this.#own.has(vtep)) return 'own';
    if (ipFamily(vtep) !== 4) return 'family';
    const known = this.#live(vni, mac);
    if (known && ORIGINS.indexOf(known.origin) < ORIGINS.indexOf(origin)) return 'outranked';
    this.#set(vni, mac, { vtep, origin, isSticky, heard: this.#seconds });
    return undefined;
  }

  #floodRefusal(vtep: IpAddress): RefusalCause | undefined {
    return ipFamily(vtep) === 4 ? undefined : 'family';
  }
}

const NOTHING_SAID: Said = { group: undefined, floods: [], macs: [], neighbours: [] };
