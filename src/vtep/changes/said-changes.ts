import { setImmediate } from 'node:timers/promises';
import type { Batch, Neighbour, Placement, RefusalCause, Refused, Said } from '../../control/control-plane.ts';
import type { ControlOrigin } from '../../control/origin.ts';
import { type Fdb, PLACED, PLACED_AT_ONCE } from '../../fdb/fdb.ts';
import { type NeighbourTable, STATION } from '../../forward/answers/neighbours.ts';
import { PLACED_NEIGHBOUR } from '../../forward/answers/placed-neighbours.ts';
import type { Bar } from '../../host/underlay/own-addresses.ts';
import { formatMac, type IpAddress, ipFamily, ipWords, type MacAddress, macWords } from '../../lib/addresses.ts';
import { NO_UNDERLAY } from '../../segment/segment.ts';
import { whenUnlocked } from '../entries/when-unlocked.ts';
import type { Vni } from '../vni/vni.ts';
import { sourceOf } from '../vni/vtep-address.ts';
import type { FloodLists } from './flood-lists.ts';

/** Records of the forwarding database that one slice examines before other tasks run: about a millisecond. */
const SLICE_RECORDS = 10_000;

export interface SaidGround {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly barOf: (address: IpAddress) => Bar | undefined;
  readonly neighbours: Pick<NeighbourTable, 'placed'>;
}

/** Why the forwarding database refuses a placement. undefined: it accepts it. */
const CAUSES: Readonly<Record<number, RefusalCause | undefined>> = {
  [PLACED.outranked]: 'outranked',
  [PLACED.full]: 'full',
};

type RefusedMac = Refused['macs'][number];

/**
 * Applies what control planes announce to flood lists and to the forwarding database. A batch of any size holds the main thread and the lock no
 * longer than some hundred entries take. The caller runs one change at a time.
 */
export class SaidChanges {
  readonly #ground: SaidGround;
  readonly #floodLists: FloodLists;

  constructor(ground: SaidGround, floodLists: FloodLists) {
    this.#ground = ground;
    this.#floodLists = floodLists;
  }

  /** Adds to and removes from what an origin announces for a segment. Removals come first. */
  async say(vni: Vni, origin: ControlOrigin, { floods, macs, neighbours }: Batch): Promise<Refused> {
    await this.#withdraw(vni, macs?.withdrawn ?? []);
    await this.#withdrawNeighbours(vni, neighbours?.withdrawn ?? []);
    const refused = {
      macs: await this.#place(vni, macs?.placed ?? []),
      neighbours: await this.#placeNeighbours(vni, neighbours?.placed ?? []),
    };
    if (!floods) return { ...refused, floods: [] };
    const members = new Set(vni.flood.saidBy(origin));
    for (const member of floods.removed ?? []) members.delete(member);
    for (const member of floods.added ?? []) members.add(member);
    return { ...refused, floods: await this.#floodLists.put(vni, origin, members) };
  }

  /** Makes this the full state that an origin announces for a segment. */
  async replace(vni: Vni, origin: ControlOrigin, { floods, macs, neighbours }: Said): Promise<Refused> {
    const kept = new Set(macs.map(({ mac }) => mac));
    await this.#withdraw(
      vni,
      (await this.#placedIn(vni)).filter((mac) => !kept.has(mac)),
    );
    const placed = macs.flatMap(({ vtep, ...rest }) => (vtep === 'local' ? [] : [{ ...rest, vtep }]));
    await this.#withdrawOtherNeighbours(vni, neighbours);
    return {
      macs: await this.#place(vni, placed),
      neighbours: await this.#placeNeighbours(vni, neighbours),
      floods: await this.#floodLists.put(vni, origin, new Set(floods)),
    };
  }

  /** Withdraws the neighbours of a segment, before its number is given to another VNI. The search covers the neighbours of all VNIs. */
  forgetNeighbours(vni: Pick<Vni, 'index'>): Promise<void> {
    return this.#withdrawOtherNeighbours(vni, []);
  }

  /** Withdraws all other neighbours of a segment. Those that stay are known all the time: questions for them are not flooded meanwhile. */
  async #withdrawOtherNeighbours({ index }: Pick<Vni, 'index'>, stay: readonly Neighbour[]): Promise<void> {
    const { placed } = this.#ground.neighbours;
    if (placed.count === 0) return;
    const kept = new Set<number>();
    await inSlices(stay, async (slice) => {
      for (const { ip } of slice) {
        const { a, b, c, d } = ipWords(ip);
        kept.add(placed.recordOf(index, a, b, c, d));
      }
    });
    for (let from = placed.withdrawSlice(index, 0, SLICE_RECORDS, kept); from !== 0; await setImmediate()) {
      from = placed.withdrawSlice(index, from, SLICE_RECORDS, kept);
    }
  }

  async #placeNeighbours({ index }: Vni, neighbours: readonly Neighbour[]): Promise<Refused['neighbours']> {
    const { placed } = this.#ground.neighbours;
    const refused: Refused['neighbours'][number][] = [];
    await inSlices(neighbours, async (slice) => {
      for (const { ip, mac, station } of slice) {
        const kind = station === undefined ? STATION.unknown : STATION[station];
        const result = placed.place(index, { ...ipWords(ip), ...macWords(mac), kind });
        if (result === PLACED_NEIGHBOUR.full) refused.push({ ip, cause: 'full' });
      }
    });
    return refused;
  }

  async #withdrawNeighbours({ index }: Vni, addresses: readonly IpAddress[]): Promise<void> {
    const { placed } = this.#ground.neighbours;
    await inSlices(addresses, async (slice) => {
      for (const ip of slice) {
        const { a, b, c, d } = ipWords(ip);
        placed.withdraw(index, a, b, c, d);
      }
    });
  }

  async #place({ index, reach }: Vni, placed: readonly Placement[]): Promise<RefusedMac[]> {
    const { fdb, now, barOf } = this.#ground;
    const refused: RefusedMac[] = [];
    const possible = placed.filter(({ mac, vtep }) => {
      const reached = ipFamily(vtep) === 4 ? reach.ipv4 : reach.ipv6;
      const cause = barOf(vtep) ?? (reached === NO_UNDERLAY ? 'family' : undefined);
      if (cause !== undefined) refused.push({ mac, cause });
      return cause === undefined;
    });
    await inSlices(possible, async (slice) => {
      const placements = slice.map(({ mac, vtep, isSticky = false }) => ({
        ...macWords(mac),
        at: sourceOf(vtep),
        isSticky,
      }));
      await whenUnlocked(() => {
        const results = fdb.placeAll(index, placements, now());
        for (const [i, { mac }] of slice.entries()) {
          const cause = CAUSES[results[i] as number];
          if (cause !== undefined) refused.push({ mac, cause });
        }
      });
    });
    return refused;
  }

  async #withdraw({ index }: Vni, macs: readonly MacAddress[]): Promise<void> {
    const { fdb, now } = this.#ground;
    await inSlices(macs, (slice) => whenUnlocked(() => void fdb.withdrawAll(index, slice.map(macWords), now())));
  }

  /** The MACs of a segment that a control plane placed. The search covers the entries of all VNIs. */
  async #placedIn({ index }: Vni): Promise<MacAddress[]> {
    const { fdb, now } = this.#ground;
    const macs: MacAddress[] = [];
    for (let from = 0; fdb.counts.controlsOf(index) > macs.length; await setImmediate()) {
      from = fdb.forEachSlice(
        from,
        SLICE_RECORDS,
        ({ segment, kind, high, low }) => {
          if (segment === index && kind === 'control') macs.push(formatMac(high, low));
        },
        now(),
      );
      if (from === 0) break;
    }
    return macs;
  }
}

/** Other tasks run between two slices. */
async function inSlices<Item>(items: readonly Item[], work: (slice: readonly Item[]) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += PLACED_AT_ONCE) {
    if (from > 0) await setImmediate();
    await work(items.slice(from, from + PLACED_AT_ONCE));
  }
}

/** Refuses all items for a segment that this VTEP does not have. */
export function refuseAll({ floods, macs, neighbours }: Batch): Refused {
  return {
    floods: (floods?.added ?? []).map((vtep) => ({ vtep, cause: 'no-segment' })),
    macs: (macs?.placed ?? []).map(({ mac }) => ({ mac, cause: 'no-segment' })),
    neighbours: (neighbours?.placed ?? []).map(({ ip }) => ({ ip, cause: 'no-segment' })),
  };
}
