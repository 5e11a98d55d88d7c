import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import { type EvpnRoute, keyOf, type OtherRoute, type Path, type RouteKey } from './route.ts';
import { EXAMPLE_ROUTES, floodRoute, macRoute } from './routes-rig.ts';
import type { Peer, Speaker, SpeakerListener } from './speaker.ts';

/** Two BGP speakers that are peers of each other, both of AS 65000, with the router ids 198.18.0.1 and 198.18.0.2. */
export interface SpeakerPair {
  readonly near: Speaker;
  readonly far: Speaker;
  /** Ends the far speaker as by SIGKILL. */
  endFar(): Promise<void>;
}

/** What a speaker reported: the state after all reports. */
export class Heard implements SpeakerListener {
  readonly routes = new Map<RouteKey, Path>();
  readonly otherRoutes: OtherRoute[] = [];
  peerChanges = 0;

  paths(paths: readonly Path[]): void {
    for (const path of paths) {
      if (path.isWithdrawn) this.routes.delete(keyOf(path.route));
      else this.routes.set(keyOf(path.route), path);
    }
  }

  others(routes: readonly OtherRoute[]): void {
    this.otherRoutes.push(...routes);
  }

  peersChanged(): void {
    this.peerChanges += 1;
  }
}

const FAR = '198.18.0.2' as IpAddress;
const FAR6 = 'fd00:18::2' as IpAddress;
const farRd = { form: 'ipv4', admin: 0xc6120002, value: 100 } as const;

/**
 * What each speaker does. Runs on the fake and on gobgpd.
 *
 * @param connect two new speakers, in `beforeAll`
 */
export function describeSpeaker(connect: () => Promise<SpeakerPair>): void {
  let pair: SpeakerPair;
  const heard = new Heard();
  const farHeard = new Heard();

  const near = () => pair.near;
  const far = () => pair.far;
  const until = (look: () => boolean | Promise<boolean>) => vi.waitUntil(look, { timeout: 30_000, interval: 20 });
  const untilNone = () => until(() => heard.routes.size === 0 && farHeard.routes.size === 0);
  const isThere = (peer: Peer) => peer.isEstablished;

  beforeAll(async () => {
    pair = await connect();
    await near().watch(heard);
    await far().watch(farHeard);
    await until(async () => (await near().peers()).every(isThere) && (await far().peers()).every(isThere));
  }, 60_000);

  afterAll(() => {
    pair?.near.close();
    pair?.far.close();
  });

  const list = async (speaker: Speaker) => {
    const listed = new Heard();
    await speaker.list(listed);
    return listed;
  };

  test('says who it is', async () => {
    expect([near().asn, near().routerId]).toEqual([65_000, '198.18.0.1']);
    expect(await near().peers()).toMatchObject([{ address: '198.18.0.2', isEstablished: true, hasEvpn: true }]);
  });

  test.each(Object.entries(EXAMPLE_ROUTES))(
    'announces %s, which comes back as it was, here and at the peer',
    async (_, route) => {
      await near().add(route);
      const key = keyOf(route);
      await until(() => heard.routes.has(key) && farHeard.routes.has(key));
      expect(heard.routes.get(key)).toEqual({ route, isLocal: true, isWithdrawn: false });
      expect(farHeard.routes.get(key)).toEqual({ route, isLocal: false, isWithdrawn: false });
      expect((await list(near())).routes.get(key)).toEqual({ route, isLocal: true, isWithdrawn: false });
      await near().remove(route);
      await until(() => !heard.routes.has(key) && !farHeard.routes.has(key));
      expect((await list(near())).routes.has(key)).toBe(false);
    },
  );

  test('replaces a route of the same key', async () => {
    const [before, after] = [3, 4].map((sequence) => macRoute({ sequence })) as [EvpnRoute, EvpnRoute];
    await near().add(before);
    await near().add(after);
    await vi.waitFor(() => expect(farHeard.routes.get(keyOf(after))?.route).toEqual(after), 30_000);
    expect((await list(near())).routes.size).toBe(1);
    await near().remove(after);
    await untilNone();
  });

  test('adds to a sequence that is missing, and refuses one that is too low', async () => {
    const theirs = macRoute({ rd: farRd, nextHop: FAR, sequence: 3 });
    await far().add(theirs);
    await until(() => heard.routes.has(keyOf(theirs)));
    await expect(near().add(macRoute({ sequence: 3 }))).rejects.toMatchObject({
      name: 'RefusedBySpeaker',
      message: 'invalid MAC mobility sequence number',
    });
    const ours = macRoute();
    await near().add(ours);
    await vi.waitFor(() => expect(heard.routes.get(keyOf(ours))?.route).toEqual({ ...ours, sequence: 4 }), 30_000);
    await near().add({ ...ours, sequence: 9 });
    await expect(near().add({ ...ours, sequence: 8 })).rejects.toMatchObject({ name: 'RefusedBySpeaker' });
    await near().remove(ours);
    await far().remove(theirs);
    await untilNone();
  });

  test('withdraws by the key, whatever the route says beside it, and nothing else', async () => {
    const [kept, gone] = [
      macRoute({ ip: '192.0.2.2' as IpAddress, sequence: 7 }),
      macRoute({ ip: '192.0.2.3' as IpAddress, sequence: 7 }),
    ] as const;
    await near().add(kept);
    await near().add(gone);
    await near().remove({ ...gone, sequence: 0, isSticky: false, targets: [] });
    const { routes } = await list(near());
    expect([...routes.keys()]).toEqual([keyOf(kept)]);
    await near().remove(gone);
    await near().remove(kept);
    expect((await list(near())).routes.size).toBe(0);
    await untilNone();
  });

  test('a route of the peer comes and goes, in events and in the list', async () => {
    const route = macRoute({ rd: farRd, nextHop: FAR, mac: '02:00:00:00:00:11' as MacAddress });
    const flood = floodRoute({ rd: farRd, nextHop: FAR6, originator: FAR6 });
    await far().add(route);
    await far().add(flood);
    await until(() => heard.routes.has(keyOf(route)) && heard.routes.has(keyOf(flood)));
    const { routes } = await list(near());
    expect([...routes.values()].map((path) => path.isLocal)).toEqual([false, false]);
    expect(routes.get(keyOf(flood))?.route).toEqual(flood);
    await far().remove(route);
    await far().remove(flood);
    await until(() => heard.routes.size === 0);
  });

  test('lists many routes, each once, and takes many changes at a time', async () => {
    const many = Array.from({ length: 300 }, (_, index) =>
      macRoute({
        mac: `02:00:00:01:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}` as MacAddress,
      }),
    );
    await Promise.all(many.map((route) => near().add(route)));
    const keys: RouteKey[] = [];
    await near().list({
      paths: (paths) => keys.push(...paths.map(({ route }) => keyOf(route))),
      others: () => undefined,
    });
    expect(keys.sort()).toEqual(many.map(keyOf).sort());
    await until(() => farHeard.routes.size === 300);
    await Promise.all(many.map((route) => near().remove(route)));
    await until(() => farHeard.routes.size === 0);
  });

  test('a peer that ends takes its routes with it', async () => {
    const [ours, theirs] = [macRoute(), floodRoute({ rd: farRd, nextHop: FAR, originator: FAR })] as const;
    await near().add(ours);
    await far().add(theirs);
    await until(() => heard.routes.size === 2);
    const changes = heard.peerChanges;
    await pair.endFar();
    await until(() => heard.routes.size === 1 && heard.peerChanges > changes);
    expect((await near().peers()).map(isThere)).toEqual([false]);
    expect((await list(near())).routes.size).toBe(1);
    expect((await far().lost).message).toBe('it closed the connection');
    await expect(far().add(theirs)).rejects.toThrow('it closed the connection');
    await expect(far().list(new Heard())).rejects.toMatchObject({ name: 'SpeakerLost' });
  });

  test('after it was closed, everything fails', async () => {
    near().close();
    expect(await near().lost).toMatchObject({ name: 'SpeakerLost', message: 'it was closed' });
    await expect(near().peers()).rejects.toMatchObject({ name: 'SpeakerLost' });
    await expect(near().remove(macRoute())).rejects.toMatchObject({ name: 'SpeakerLost' });
  });
}
