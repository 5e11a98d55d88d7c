import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { VniConfig } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import type { ControlledSegment, ControlPlane, Forwarding, Stations } from '../../control/control-plane.ts';
import { MemoryVtep } from '../../control/memory-vtep.ts';
import { type IpAddress, ipFamily, type MacAddress } from '../../lib/addresses.ts';
import type { ImportingSegment } from './remote-import.ts';
import { anySteps, IPS, MACS, RemoteModel, type Step, VNIS } from './remote-model-rig.ts';
import { ip, segment } from './remote-rig.ts';
import { RemoteRoutes } from './remote-routes.ts';

/** The VTEP's own steps, beside those of routes. */
type HostStep =
  | { readonly kind: 'static' | 'no-static' | 'frame'; readonly vni: number; readonly mac: MacAddress }
  | { readonly kind: 'elapse' }
  | { readonly kind: 'own'; readonly address: IpAddress; readonly isOwn: boolean };

const anyHostStep: fc.Arbitrary<HostStep> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('static' as const, 'no-static' as const, 'frame' as const),
    vni: fc.constantFrom(...VNIS),
    mac: fc.constantFrom(...MACS.slice(0, 3)),
  }),
  fc.record({ kind: fc.constant('elapse' as const) }),
  fc.record({
    ...{ kind: fc.constant('own' as const), isOwn: fc.boolean() },
    address: fc.constantFrom(ip('198.18.0.2'), ip('198.18.0.3')),
  }),
);

const anyMixedSteps = fc
  .tuple(anySteps, fc.array(fc.tuple(fc.nat(60), anyHostStep), { maxLength: 20, size: 'max' }))
  .map(([steps, hostSteps]) => {
    const mixed: (Step | HostStep)[] = [...steps];
    for (const [at, step] of hostSteps) mixed.splice(at, 0, step);
    return mixed;
  });

/** A control plane that only knows received routes, on the VTEP in memory. */
class Fabric implements ControlPlane {
  readonly origin = 'evpn';
  readonly #routes = new RemoteRoutes();
  readonly #model = new RemoteModel();
  readonly #vtep = new MemoryVtep();
  readonly #forwarding: Forwarding;
  /** What the configuration says, with the keys of EVPN. */
  readonly #configs = new Map<number, ImportingSegment['config']>();
  readonly #own = new Set<IpAddress>();

  constructor() {
    this.#forwarding = this.#vtep.attach(this);
    for (const vni of VNIS.slice(0, 2)) this.#configure(segment(vni));
  }

  segmentUpdated({ vni, local }: ControlledSegment): undefined {
    const updated = { vni, config: this.#configs.get(vni) as ImportingSegment['config'], local };
    this.#routes.segmentUpdated(updated);
    this.#model.segments.set(vni, updated);
  }

  segmentRemoved(vni: number): void {
    this.#routes.segmentRemoved(vni);
    this.#model.segments.delete(vni);
  }

  stationsChanged({ vni, gone }: Stations): void {
    for (const mac of gone) this.#routes.free(vni, mac);
  }

  async step(step: Step | HostStep): Promise<void> {
    const [routes, model, vtep] = [this.#routes, this.#model, this.#vtep];
    switch (step.kind) {
      case 'received':
        routes.received(step.path);
        model.received(step.path);
        break;
      case 'withdraw': {
        const known = [...model.routes.values()][step.which];
        if (known) await this.step({ kind: 'received', path: { ...known, isWithdrawn: true } });
        break;
      }
      case 'segment':
        this.#configure(step.segment);
        break;
      case 'no-segment':
        if (this.#configs.delete(step.vni)) vtep.removeSegment(step.vni);
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
        await this.#take(step.limit);
        break;
      case 'again':
        await this.#lose(step.vni);
        break;
      case 'look':
        await this.look();
        break;
      case 'static':
        if (this.#configs.has(step.vni)) vtep.addStatic(step.vni, step.mac, ip('198.18.0.99'));
        break;
      case 'no-static':
        if (this.#configs.has(step.vni)) vtep.deleteStatic(step.vni, step.mac);
        break;
      case 'frame':
        if (this.#configs.has(step.vni)) vtep.learn(step.vni, step.mac, 'local');
        break;
      case 'elapse':
        vtep.elapse(300);
        break;
      case 'own':
        this.#setOwn(step.address, step.isOwn);
    }
  }

  async look(): Promise<void> {
    while (this.#routes.slice(3));
    while (await this.#take(3));
    for (const vni of this.#configs.keys()) {
      const isOwn = (address: IpAddress) => this.#own.has(address);
      const floods = this.#model.floods(vni).filter((vtep) => ipFamily(vtep) === 4 && !isOwn(vtep));
      expect([...this.#vtep.floodedTo(vni)].sort()).toEqual([...floods].sort());
      for (const address of IPS)
        expect(this.#vtep.neighbourOf(vni, address)).toBe(this.#model.neighbourOf(vni, address)?.mac);
      for (const mac of MACS) this.#lookAtMac(vni, mac);
    }
  }

  #lookAtMac(vni: number, mac: MacAddress): void {
    const entry = this.#vtep.entryOf(vni, mac);
    // A static entry has precedence, and a frame of the TAP showed that the machine is here.
    if (entry && entry.origin !== 'evpn') return;
    const best = this.#model.bestOf(vni, mac)?.nextHop;
    const isRefused = best !== undefined && ipFamily(best) !== 4;
    expect(entry?.vtep).toBe(isRefused ? undefined : best);
  }

  #configure({ vni, config }: ImportingSegment): void {
    const isNew = !this.#configs.has(vni);
    this.#configs.set(vni, config);
    if (isNew) this.#vtep.addSegment(configOf(vni));
    else this.#vtep.changeSegment(configOf(vni));
  }

  /** The host has another address, and tells the segments. */
  #setOwn(address: IpAddress, isOwn: boolean): void {
    if (isOwn) this.#own.add(address);
    else this.#own.delete(address);
    this.#vtep.setOwn(address, isOwn);
    for (const vni of this.#configs.keys()) this.#vtep.changeSegment(configOf(vni));
  }

  async #take(limit: number): Promise<boolean> {
    const taken = this.#routes.take(limit);
    if (!taken) return false;
    this.#routes.refused(taken.vni, await this.#forwarding.say(taken.vni, taken.batch));
    return true;
  }

  #resync(kept: readonly boolean[]): void {
    this.#routes.beginGeneration();
    for (const [i, [key, known]] of [...this.#model.routes].entries()) {
      if (kept[i % kept.length]) this.#routes.received({ ...known, isWithdrawn: false });
      else this.#model.routes.delete(key);
    }
    this.#routes.sweep();
  }

  /** A batch is lost on its way. */
  async #lose(vni: number): Promise<void> {
    const taken = this.#routes.take(2);
    this.#routes.saidAgain(taken?.vni ?? vni);
  }
}

function configOf(vni: number): VniConfig {
  return parseConfig({ vni: [`${vni}=239.1.1.1`], local: [], check: false, scalars: {} }).vnis[0] as VniConfig;
}

it('puts a VTEP into the state that all routes amount to, whatever it refuses', async () => {
  await fc.assert(
    fc.asyncProperty(anyMixedSteps, async (steps) => {
      const fabric = new Fabric();
      for (const step of steps) await fabric.step(step);
      await fabric.look();
    }),
    { numRuns: 500 },
  );
});
