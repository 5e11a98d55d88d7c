/** Own routes against a naive model, with a speaker that answers in any order, refuses, gives no answer, and is lost. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { LocalNeighbour } from '../../control/control-plane.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { formatRouteNumber, type RouteDistinguisher } from '../../lib/route-numbers.ts';
import { type EvpnRoute, keyOf } from '../route.ts';
import { NaiveOwn } from './naive-own.ts';
import { IDENTITY, ip, mac, newHost, segment, stations, VTEP } from './own-rig.ts';
import type { Change } from './own-routes.ts';

const VNIS = [1, 100, 70_000, 70_001];
const ADDRESSES: IpAddress[][] = [[], [VTEP], [ip('192.0.2.2')], [ip('2001:db8::1')], [ip('2001:db8::1'), VTEP]];
const TARGETS = [[], 'rfc8365', [{ form: 'as2', admin: 1, value: 2 }]] as const;
const RDS: RouteDistinguisher[] = [
  { form: 'as2', admin: 1, value: 1 },
  { form: 'ipv4', admin: 0xc633_6401, value: 100 },
];
const IDENTITIES = [IDENTITY, { asn: 4_200_000_000, routerId: ip('198.51.100.9') }];

/** What is updated first, so that most steps concern a VNI that is announced. */
const COMMON = { local: [VTEP], control: 'evpn', rd: undefined, targets: [] } as const;

const vni = fc.constantFrom(1, 1, 100, ...VNIS);
const station = fc.nat({ max: 4 }).map(mac);
const origin = fc.constantFrom('learned' as const, 'learned' as const, 'static' as const);
const neighbour = fc.record({ mac: station, ip: fc.nat({ max: 4 }).map((low) => ip(`10.0.0.${low}`)) });
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('update' as const),
      vni,
      local: fc.constantFrom<readonly IpAddress[]>(...ADDRESSES),
      control: fc.constantFrom('evpn' as const, 'evpn' as const, 'both' as const, 'multicast' as const),
      rd: fc.option(fc.constantFrom(...RDS), { nil: undefined, freq: 2 }),
      targets: fc.constantFrom(...TARGETS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), vni }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('stations' as const),
      vni,
      isWhole: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
      here: fc.uniqueArray(fc.record({ mac: station, origin }), { selector: (local) => local.mac, maxLength: 3 }),
      gone: fc.uniqueArray(station, { maxLength: 3 }),
      neighbours: fc.array(neighbour, { maxLength: 3 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('take' as const), limit: fc.integer({ min: 1, max: 9 }) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('answer' as const),
      which: fc.nat(),
      how: fc.constantFrom('done' as const, 'done' as const, 'refused' as const, 'failed' as const),
      isCarriedOut: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('lose' as const), isEmptied: fc.boolean(), identity: fc.nat({ max: 1 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('tick' as const), ms: fc.nat({ max: 40_000 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Each> ? Each : never;

/** Runs steps on both, and a speaker between. */
class Run {
  readonly host = newHost();
  readonly naive = new NaiveOwn();
  readonly foreign: EvpnRoute[];
  #inFlight: Change[] = [];
  #rds = new Map<number, RouteDistinguisher>();
  #now = 0;

  constructor() {
    this.naive.identity = IDENTITY;
    const other = newHost({ identity: { asn: 65_000, routerId: ip('203.0.113.1') } });
    other.own.segmentUpdated(segment());
    other.own.stationsChanged(stations({ here: [mac(1)] }), 0);
    other.settle();
    this.foreign = other.speaker.list();
    this.#addForeign();
  }

  step(each: Step): void {
    const { own, speaker } = this.host;
    switch (each.kind) {
      case 'update':
        this.#update(each);
        return;
      case 'remove':
        own.segmentRemoved(each.vni, this.#now);
        this.naive.remove(each.vni);
        this.#rds.delete(each.vni);
        return;
      case 'stations': {
        const gone = each.gone.filter((address) => each.here.every((local) => local.mac !== address));
        const batch = stations({ ...each, gone: each.isWhole ? [] : gone, neighbours: distinct(each.neighbours) });
        own.stationsChanged(batch, this.#now);
        this.naive.stations(batch, this.#now);
        return;
      }
      case 'take':
        this.#inFlight.push(...own.take(each.limit));
        this.#checkInFlight();
        return;
      case 'answer':
        this.#answer(each);
        return;
      case 'lose': {
        own.speakerLost();
        // Requests under way may still be carried out.
        for (const change of this.#inFlight.splice(0))
          if (each.isEmptied !== (change.kind === 'add')) speaker.do(change);
        if (each.isEmptied) speaker.routes.clear();
        this.#addForeign();
        const identity = IDENTITIES[each.identity] as typeof IDENTITY;
        this.naive.identity = identity;
        own.speakerKnown(identity);
        for (const route of speaker.list()) own.found({ route, isLocal: true, isWithdrawn: false }, this.#now);
        return;
      }
      case 'tick':
        this.#now += each.ms;
        own.tick(this.#now);
        this.naive.tick(this.#now);
    }
  }

  /** What was refused is accepted now. */
  finish(): void {
    const { own, speaker } = this.host;
    for (const change of this.#inFlight.splice(0)) {
      speaker.do(change);
      own.done(change);
    }
    this.host.settle(3);
    this.step({ kind: 'tick', ms: 30_000 });
    this.host.settle(3);
    expect([own.pending, own.refusedRoutes, own.isSettled]).toEqual([0, 0, true]);
  }

  check(): void {
    const { own, speaker } = this.host;
    const foreign = new Set(this.foreign.map(keyOf));
    const routes = speaker.list();
    const mine = routes.filter((route) => !foreign.has(keyOf(route)));
    expect(mine.map(describeRoute).sort()).toEqual(this.naive.wanted(own.rdNumbers));
    expect(routes.filter((route) => foreign.has(keyOf(route)))).toEqual(this.foreign);
    const [type2, type3] = [2, 3].map((type) => mine.filter((route) => route.type === type).length);
    expect(own.routesOut).toEqual({ type2, type3 });
    const numbers = Object.values(own.rdNumbers);
    expect(new Set(numbers).size).toBe(numbers.length);
  }

  /** Route distinguishers of the configuration are distinct once all of a change is made, in either order. */
  #update({ vni: number, rd, ...rest }: Extract<Step, { kind: 'update' }>): void {
    const controlled = segment({ vni: number, rd, ...rest });
    const same = [...this.#rds].find(([other, theirs]) => other !== number && rd !== undefined && theirs === rd)?.[0];
    for (const each of [controlled, ...(same === undefined ? [] : [segment({ vni: same })])]) {
      this.host.own.segmentUpdated(each);
      this.naive.update(each);
      this.#rds.delete(each.vni);
      if (each.config.rd) this.#rds.set(each.vni, each.config.rd);
    }
  }

  #answer({ which, how, isCarriedOut }: Extract<Step, { kind: 'answer' }>): void {
    const { own, speaker } = this.host;
    const [change] = this.#inFlight.splice(which % Math.max(this.#inFlight.length, 1), 1);
    if (!change) return;
    if (how === 'done' || (how === 'failed' && isCarriedOut)) speaker.do(change);
    if (how === 'done') own.done(change);
    else if (how === 'failed') own.failed(change);
    else own.refused(change, 'no', this.#now);
  }

  #checkInFlight(): void {
    const keys = this.#inFlight.map(({ route }) => keyOf(route));
    expect(new Set(keys).size).toBe(keys.length);
  }

  #addForeign(): void {
    for (const route of this.foreign) this.host.speaker.routes.set(keyOf(route), route);
  }
}

/** A batch has each address once. */
function distinct(neighbours: readonly LocalNeighbour[]): LocalNeighbour[] {
  return [...new Map(neighbours.map((each) => [each.ip, each])).values()];
}

function describeRoute(route: EvpnRoute): string {
  const { rd, targets, nextHop, tunnels, ethernetTag } = route;
  const common = `${formatRouteNumber(rd)} ${targets.map(formatRouteNumber)}`;
  expect([tunnels, ethernetTag]).toEqual([[8], 0]);
  if (route.type === 3) {
    expect(route.pmsi).toMatchObject({ tunnel: 6, endpoint: nextHop });
    return `${common} ${route.pmsi?.label} ${nextHop} 3 ${route.originator}`;
  }
  const sticky = route.isSticky ? 'sticky' : '';
  return `${common} ${route.label} ${nextHop} 2 ${route.mac} ${route.ip ?? ''} ${route.sequence}${sticky}`;
}

it('the speaker has exactly the wanted routes once it has answered everything, and those of others', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const run = new Run();
      for (const each of VNIS.slice(0, 2)) run.step({ kind: 'update', vni: each, ...COMMON });
      for (const each of steps) run.step(each);
      run.finish();
      run.check();
      run.host.own.withdrawAll();
      run.host.settle();
      expect(run.host.speaker.list()).toEqual(run.foreign);
    }),
    { numRuns: 1_500 },
  );
});
