/**
 * What the host refuses at one moment ends nothing: each part that asks it is refused once, in each way that there is, and does at its next turn
 * what it is for. The kernel is the real one, behind a socket that refuses on demand.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { askServer, openServer } from '../api/server/server-rig.ts';
import { parseConfig } from '../config/parse.ts';
import { Fdb, LOCAL_SOURCE } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { LockTimeout } from '../fdb/lock.ts';
import { HostAddresses } from '../host/host-addresses.ts';
import type { Underlay } from '../host/underlay/underlay.ts';
import type { IpAddress } from '../lib/addresses.ts';
import { findLink, type Link } from '../sys/netlink/links.ts';
import { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import { ERRNO, SysError } from '../sys/sys-error.ts';
import { DropHistory } from './drop-history.ts';
import { HostWatch, type WatchedHost } from './upkeep/host-watch.ts';
import { LazyJoin } from './upkeep/lazy-join.ts';
import { PathWatch } from './upkeep/path-watch.ts';
import { QuerierWatch } from './upkeep/querier-watch.ts';
import { SourceWatch } from './upkeep/source-watch.ts';
import { TapWatch } from './upkeep/tap-watch.ts';
import { FloodList } from './vni/flood-list.ts';
import type { Vni } from './vni/vni.ts';
import { VniStatuses } from './vni/vni-statuses.ts';

const ERRORS: readonly [string, () => Error][] = [
  ...(['EAGAIN', 'EBUSY', 'ENOBUFS', 'EMFILE', 'ENOMEM', 'EINTR'] as const).map(
    (name) => [name, () => new SysError('the host', name === 'EMFILE' ? 24 : ERRNO[name])] as [string, () => Error],
  ),
  ['ERR_VTEP_BUSY', () => new LockTimeout(2)],
];

/** Throws once what it is armed with. */
class Refusing {
  refusals = 0;
  #armed: (() => Error) | undefined;

  arm(error: () => Error): void {
    this.#armed = error;
  }

  maybe(): void {
    const error = this.#armed;
    this.#armed = undefined;
    if (!error) return;
    this.refusals++;
    throw error();
  }
}

class RefusingNetlink extends NetlinkSocket {
  readonly #refusing: Refusing;

  constructor(refusing: Refusing) {
    super();
    this.#refusing = refusing;
  }

  override query(...args: Parameters<NetlinkSocket['query']>): ReturnType<NetlinkSocket['query']> {
    this.#refusing.maybe();
    return super.query(...args);
  }
}

const NOTHING = { added: [], removed: [] };
const log = pino({ level: 'silent' });
const ip = (text: string) => text as IpAddress;
const workers = { size: 1, orderAll: async () => {}, orderOne: async () => {}, tellAll: () => {}, tellOne: () => {} };
const TAP = { index: 5, name: 'vxlan100', mac: 'fe:00:00:00:00:01', master: 0 } as Link;
const LOCALHOST = ip('127.0.0.1');

function vniOf(written: string, differs: object): Vni {
  const [config] = parseConfig({ vni: [written], local: [], check: false, scalars: {} }).vnis;
  return { config, index: 0, flood: new FloodList(), ...differs } as unknown as Vni;
}

/** A part of the daemon. `after` is called once it is armed; `works` tells that a later turn did what the part is for. */
interface Place {
  readonly works: () => boolean | Promise<boolean>;
  readonly after?: () => void | Promise<void>;
  readonly close?: () => void | Promise<void>;
}

type Setup = (refusing: Refusing) => Place | Promise<Place>;

function hostOf(netlink: NetlinkSocket, differs: object): WatchedHost {
  return {
    ...{ netlink, log, workers, vnis: [], underlays: [], addresses: new HostAddresses(netlink) },
    ...{ own: { takeChanges: () => ({ own: NOTHING, broadcasts: NOTHING }) }, ownChanged: async () => {} },
    ...{ touchPaths: () => {}, onHeard: () => {}, ...differs },
  } as unknown as WatchedHost;
}

const PLACES: Readonly<Record<string, Setup>> = {
  'a look at all links and addresses': (refusing) => {
    let heard = 0;
    const host = new HostWatch(hostOf(new RefusingNetlink(refusing), { onHeard: () => heard++ }));
    return { after: () => host.start(), works: () => heard > 0, close: () => host.stop() };
  },
  'events of links': (refusing) => {
    let events = 0;
    const seeMaster = () => {
      refusing.maybe();
      events++;
    };
    const underlay = {
      seeMaster,
      isOn: () => false,
      link: { index: 1 },
      retry: () => [],
      followAddresses: () => undefined,
    };
    const host = new HostWatch(hostOf(new NetlinkSocket(), { underlays: [underlay] }));
    return { after: () => host.start(), works: () => events > 0, close: () => host.stop() };
  },
  'the list of addresses': (refusing) => {
    const addresses = new HostAddresses(new RefusingNetlink(refusing));
    const list = () => {
      try {
        addresses.list([]);
      } catch (error) {
        expect(error).toHaveProperty('code');
      }
    };
    return {
      after: list,
      works: () => {
        list();
        return addresses.has(LOCALHOST);
      },
    };
  },
  'the sources of an underlay': (refusing) => {
    let followed = 0;
    const followAddresses = () => {
      refusing.maybe();
      followed++;
    };
    const underlay = {
      link: { index: 1 },
      status: 'no address',
      sourceTrouble: 'no address',
      followAddresses,
      retry: () => [],
    };
    const host = new HostWatch(
      hostOf(new NetlinkSocket(), { underlays: [{ ...underlay, seeMaster: () => {}, isOn: () => false }] }),
    );
    return { after: () => host.start(), works: () => followed > 0, close: () => host.stop() };
  },
  'another try at a source': (refusing) => {
    let followed = 0;
    const followAddresses = () => {
      refusing.maybe();
      followed++;
    };
    const underlay = { sourceTrouble: 'no address', followAddresses, status: '' } as unknown as Underlay;
    const sources = new SourceWatch({ log, workers, underlays: [underlay], listeners: {} } as never);
    return {
      after: () => expect(() => sources.retry()).toThrow(),
      works: () => {
        sources.retry();
        return followed > 0;
      },
    };
  },
  routes: async (refusing) => {
    const netlink = new RefusingNetlink(refusing);
    const underlay = { link: { index: 1 }, name: 'lo', family: 4, vrf: undefined };
    const vni = vniOf('100,remote=198.18.0.9', { underlay, underlays: [underlay] });
    const config = { local: [], dev: 'lo' } as never;
    const addresses = new HostAddresses(netlink);
    const paths = new PathWatch({ netlink, addresses, log, vnis: [vni], config, move: async () => {} });
    const isSeen = () => vni.paths !== undefined && vni.paths.unseen === undefined;
    return { after: () => paths.start(), works: isSeen, close: () => paths.stop() };
  },
  'a TAP that is looked at': (refusing) => {
    let looks = 0;
    const tap = {
      link: TAP,
      get fds(): number[] {
        refusing.maybe();
        looks++;
        // There is no TAP: it is asked for at each turn.
        throw new SysError('TAP', ERRNO.EAGAIN);
      },
    };
    const vni = vniOf('100', { tap, elsewhere: { namespace: 'a', link: TAP }, link: undefined });
    const taps = new TapWatch(hostOf(new NetlinkSocket(), { vnis: [vni] }));
    return { after: () => taps.start(), works: () => looks > 0, close: () => taps.stop() };
  },
  'groups of VNIs that join lazily': (refusing) => {
    const fdb = new Fdb(createFdbMemory(1, 30), 1);
    fdb.learn(0, 0x0200_0000, 1, LOCAL_SOURCE, 100, 100);
    const vni = vniOf('100=239.1.1.1,join=lazy', {
      needsGroup: false,
      tap: { link: TAP },
      link: TAP,
      master: undefined,
    });
    const needGroup = () => {
      refusing.maybe();
      vni.needsGroup = true;
    };
    const lazyJoin = new LazyJoin({ fdb, log, vnis: [vni], host: { linkChanges: 0, needGroup } });
    return { after: () => void lazyJoin.run(), works: () => vni.needsGroup, close: () => lazyJoin.stop() };
  },
  queriers: (refusing) => {
    const underlay = { name: 'lo', family: 4, link: findLink(new NetlinkSocket(), 'lo') as Link };
    const real = underlay.link;
    let looks = 0;
    Object.defineProperty(underlay, 'link', {
      get: () => {
        refusing.maybe();
        looks++;
        return real;
      },
    });
    const vni = vniOf('100=239.1.1.1', { underlay });
    const addresses = { on: () => [] };
    const queriers = new QuerierWatch({
      ...{ addresses, log, underlays: [underlay as unknown as Underlay], vnis: [vni], isCandidate: () => false },
    });
    return { after: () => queriers.start(), works: () => looks > 1, close: () => queriers.stop() };
  },
  'what is dropped': (refusing) => {
    const drops = new DropHistory(async () => {
      refusing.maybe();
      return new Map();
    });
    return {
      after: () => expect(drops.take()).rejects.toThrow(),
      works: async () => {
        await drops.take();
        return (await drops.recent()).drops.length === 0;
      },
    };
  },
  'a request to the API': async (refusing) => {
    const { daemon, path, close } = await openServer();
    const status = daemon.status.bind(daemon);
    daemon.status = () => {
      refusing.maybe();
      return status();
    };
    const ask = async () => (await askServer(path, 'GET', '/v1/status')).status;
    return {
      after: async () => expect(await ask()).toBeGreaterThanOrEqual(500),
      works: async () => (await ask()) === 200,
      close,
    };
  },
};

describe.each(Object.entries(PLACES))('%s', (_place, setUp) => {
  // All at once: each waits for a turn of its own part of the daemon.
  it.concurrent.for(ERRORS)('refused once by %s is done at a later turn', async ([_name, error], { expect }) => {
    const refusing = new Refusing();
    const { after, works, close } = await setUp(refusing);
    try {
      refusing.arm(error);
      await after?.();
      await expect.poll(async () => refusing.refusals === 1 && (await works()), { timeout: 5_000 }).toBe(true);
      // Nor did it leave anything behind that fails later.
      await sleep(0);
    } finally {
      await close?.();
    }
  });
});

describe('statuses', () => {
  it.each(ERRORS)('refused once by %s are told at the next look', (_name, error) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const refusing = new Refusing();
    const told: unknown[] = [];
    let status = 'eth0 is down';
    const statusOf = () => {
      refusing.maybe();
      return status;
    };
    const statuses = new VniStatuses({ vnis: [vniOf('100', {})], log, statusOf });
    statuses.watch((events) => told.push(...events));
    try {
      statuses.start();
      refusing.arm(error);
      // The daemon takes it as an uncaught refusal, and goes on.
      expect(() => vi.advanceTimersByTime(500)).toThrow();
      status = 'ok';
      vi.advanceTimersByTime(500);
      expect(told).toHaveLength(2);
    } finally {
      statuses.stop();
      vi.useRealTimers();
    }
  });
});
