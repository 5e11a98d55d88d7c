import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { EvpnRouteRow } from '../evpn-status.ts';
import { anySteps, MACS, RemoteModel, type Step, VNIS, vtepOf } from './remote-model-rig.ts';
import { segment, Told } from './remote-rig.ts';
import { RemoteRoutes } from './remote-routes.ts';

/** Random steps, compared with a model that derives everything anew. */
class Comparison {
  readonly #told = new Told();
  readonly #model = new RemoteModel();
  readonly #routes = new RemoteRoutes({ isHere: (vni, mac) => this.#model.here.has(`${vni} ${mac}`) });
  readonly #held = new Set<string>();
  /** What the own side knows of the best routes. */
  readonly #best = new Map<string, string>();

  constructor() {
    for (const vni of VNIS.slice(0, 2)) this.#put(segment(vni));
  }

  step(step: Step): void {
    const [routes, model] = [this.#routes, this.#model];
    switch (step.kind) {
      case 'received':
        routes.received(step.path);
        model.received(step.path);
        break;
      case 'withdraw': {
        const known = [...model.routes.values()][step.which];
        if (known) this.step({ kind: 'received', path: { ...known, isWithdrawn: true } });
        break;
      }
      case 'segment':
        this.#put(step.segment);
        break;
      case 'no-segment':
        for (const key of this.#held) if (key.startsWith(`${step.vni} `)) this.#held.delete(key);
        for (const key of this.#best.keys()) if (key.startsWith(`${step.vni} `)) this.#best.delete(key);
        routes.segmentRemoved(step.vni);
        model.segments.delete(step.vni);
        this.#told.forget(step.vni);
        break;
      case 'resync':
        this.#resync(step.kept);
        break;
      case 'clear':
        model.routes.clear();
        routes.clear();
        break;
      case 'slice':
        routes.slice(step.limit);
        break;
      case 'take':
        this.#take(step.limit);
        break;
      case 'hold':
        this.#hold(step.vni, step.mac, step.isHeld);
        break;
      case 'here':
        this.#move(`${step.vni} ${step.mac}`, step.isHere);
        routes.free(step.vni, step.mac);
        break;
      case 'again':
        // The data path has lost nothing, so it is told what it has.
        routes.saidAgain(step.vni);
        this.#told.isRepeated = true;
        break;
      case 'look':
        this.look();
    }
  }

  /** Everything is done, and as the model says. */
  look(): void {
    for (const key of this.#held) {
      const [vni, mac] = key.split(' ') as [string, (typeof MACS)[number]];
      this.#hold(Number(vni), mac, false);
    }
    while (this.#routes.slice(2));
    while (this.#take(3));
    expect(this.#told.all).toEqual(this.#model.all);
    this.#lookAtBest();
    this.#lookAtRows();
    this.#lookAtCounts();
  }

  /** A resynchronisation in which nothing changed. */
  resyncUnchanged(): void {
    const { items } = this.#told;
    this.#resync(new Array(1_000).fill(true));
    this.look();
    expect(this.#told.items).toBe(items);
  }

  #put(each: Extract<Step, { kind: 'segment' }>['segment']): void {
    this.#routes.segmentUpdated(each);
    this.#model.segments.set(each.vni, each);
  }

  #hold(vni: number, mac: (typeof MACS)[number], isHeld: boolean): void {
    this.#routes.setHeld(vni, mac, isHeld);
    const importing = this.#model.segments.get(vni);
    if (isHeld && importing) this.#held.add(`${vni} ${mac}`);
    else this.#held.delete(`${vni} ${mac}`);
  }

  /** A held MAC does not move. */
  #move(key: string, isHere: boolean): void {
    if (this.#held.has(key)) return;
    if (!isHere) {
      this.#model.here.delete(key);
      return;
    }
    this.#model.here.add(key);
    // A frame from the TAP has replaced the entry, and what was told is gone.
    this.#told.macs.delete(key);
    this.#told.isRepeated = true;
  }

  #resync(kept: readonly boolean[]): void {
    const before = [...this.#model.routes];
    this.#routes.beginGeneration();
    for (const [i, [key, known]] of before.entries()) {
      if (kept[i % kept.length]) this.#routes.received({ ...known, isWithdrawn: false });
      else this.#model.routes.delete(key);
    }
    this.#routes.sweep();
  }

  /** Held MACs stay as they are. */
  #take(limit: number): boolean {
    const before = [...this.#held].map((key) => this.#told.macs.get(key));
    const isMore = this.#told.take(this.#routes, limit);
    expect([...this.#held].map((key) => this.#told.macs.get(key))).toEqual(before);
    return isMore;
  }

  /** Who follows the changes knows the best routes. */
  #lookAtBest(): void {
    for (let taken = this.#routes.takeChanged(2); taken; taken = this.#routes.takeChanged(2)) {
      const { vni, macs } = taken;
      for (const mac of macs) this.#best.set(`${vni} ${mac}`, JSON.stringify(this.#routes.best(vni, mac)));
    }
    for (const vni of VNIS) {
      for (const mac of MACS) {
        const best = this.#model.bestOf(vni, mac);
        const expected = best && { vtep: best.nextHop, sequence: best.sequence, isSticky: best.isSticky };
        expect(this.#routes.best(vni, mac)).toEqual(expected);
        expect(this.#best.get(`${vni} ${mac}`)).toBe(JSON.stringify(expected));
      }
    }
  }

  #lookAtRows(): void {
    const rows = [...this.#routes.rows()];
    expect(rows).toHaveLength(this.#model.routes.size);
    const inForce = VNIS.flatMap((vni) =>
      this.#model.candidates(vni).filter((route) => {
        if (route.type === 3) return true;
        if (route.ip === undefined) {
          const isHere = this.#model.here.has(`${vni} ${route.mac}`);
          return !isHere && this.#model.bestOf(vni, route.mac)?.nextHop === route.nextHop;
        }
        const best = this.#model.neighbourOf(vni, route.ip);
        return best !== undefined && best.nextHop === route.nextHop && best.mac === route.mac;
      }),
    );
    const textOf = (row: Pick<EvpnRouteRow, 'type' | 'mac' | 'ip' | 'vtep' | 'label'>) =>
      [row.type, row.mac, row.ip, row.vtep, row.label].join(' ');
    const used = rows.filter(({ unused }) => unused === undefined);
    for (const { vni, label } of used) expect(vni).toBe(label);
    expect(used.map(textOf).sort()).toEqual(
      inForce
        .map((route) =>
          route.type === 2
            ? textOf({ ...route, vtep: route.nextHop })
            : textOf({ type: 3, mac: undefined, ip: undefined, vtep: vtepOf(route), label: route.pmsi?.label }),
        )
        .sort(),
    );
  }

  #lookAtCounts(): void {
    const received = [...this.#model.routes.values()].filter(({ isLocal }) => !isLocal);
    const count = (type: number) => received.filter(({ route }) => route.type === type).length;
    expect(this.#routes.counts).toEqual({ type2: count(2), type3: count(3), other: 0 });
    for (const vni of VNIS) {
      const { vteps, macsIn, neighboursIn } = this.#routes.inForce(vni);
      const keys = Object.entries(this.#model.all).filter(([key]) => key.startsWith(`${vni} `));
      expect([...vteps].sort()).toEqual([...this.#model.floods(vni)].sort());
      expect(macsIn + neighboursIn).toBe(keys.length - vteps.length);
    }
  }
}

it('tells the data path what all routes and segments amount to', () => {
  fc.assert(
    fc.property(anySteps, (steps) => {
      const comparison = new Comparison();
      for (const step of steps) comparison.step(step);
      comparison.look();
      comparison.resyncUnchanged();
    }),
    { numRuns: 500 },
  );
});
