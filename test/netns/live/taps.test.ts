/**
 * The TAPs of a VTEP, made on the kernel and let go:
 *
 *     host: vxlan100, vxlan200 (vtepd's own), tap9 (somebody else's)
 */
import { pino } from 'pino';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { VniConfig } from '../../../src/config/config.ts';
import { parseConfig } from '../../../src/config/parse.ts';
import { Fdb } from '../../../src/fdb/fdb.ts';
import { createFdbMemory } from '../../../src/fdb/layout.ts';
import { tapAlias } from '../../../src/host/state-dir.ts';
import type { Tap } from '../../../src/host/tap/tap.ts';
import type { Underlay } from '../../../src/host/underlay/underlay.ts';
import type { IpAddress } from '../../../src/lib/addresses.ts';
import { readAttributes } from '../../../src/sys/netlink/netlink-message.ts';
import { NetlinkSocket } from '../../../src/sys/netlink/netlink-socket.ts';
import { ERRNO, SysError } from '../../../src/sys/sys-error.ts';
import { setUpVni, type VniGround, type VniPlace } from '../../../src/vtep/changes/vni-setup.ts';
import { Taps } from '../../../src/vtep/vni/taps.ts';
import type { Vni } from '../../../src/vtep/vni/vni.ts';
import { createNamespace, deleteNamespace, inNamespace, ip, ipJson } from '../../support/host/namespaces.ts';
import { describeSystem } from '../../support/lab/lab.ts';

const IFLA_GROUP = 27;
const STATE_DIR = '/run/vtepd-taps';
const PLACE = { local: '198.18.0.1' as IpAddress, mtuBytes: 1_450 };

/** Refuses to put a link into a group, as often as it is told to, or to tell anything. */
class RefusingNetlink extends NetlinkSocket {
  refusals = 0;
  isSilent = false;

  override query(...options: Parameters<NetlinkSocket['query']>): ReturnType<NetlinkSocket['query']> {
    if (this.isSilent) throw new SysError(options[2], ERRNO.ENOBUFS);
    return super.query(...options);
  }

  override change(...[type, parts, object]: Parameters<NetlinkSocket['change']>): void {
    if (this.refusals > 0 && readAttributes(Buffer.concat(parts.slice(1))).has(IFLA_GROUP)) {
      this.refusals--;
      throw new SysError(object, ERRNO.EBUSY);
    }
    super.change(type, parts, object);
  }
}

describeSystem('the TAPs of all VNIs', () => {
  let namespace: string;
  let netlink: RefusingNetlink;
  let vnis: Vni[];

  beforeEach(() => {
    namespace = createNamespace('taps');
    netlink = inNamespace(namespace, () => new RefusingNetlink());
    vnis = [];
    onTestFinished(() => {
      netlink.close();
      deleteNamespace(namespace);
    });
  });

  const names = () => ipJson<{ ifname: string }[]>('-n', namespace, 'link').map(({ ifname }) => ifname);
  const configs = (...written: string[]): readonly VniConfig[] =>
    parseConfig({ vni: written, local: [], check: false, scalars: {} }).vnis;

  function newTaps(persist = false): Taps {
    const offload = { tapGso: false, udpGso: false, udpGro: false };
    const log = pino({ level: 'silent' });
    const config = { persist, stateDir: STATE_DIR, workers: 1 };
    return new Taps({ netlink, log, vnis, config, offload });
  }

  function make(taps: Taps, config: VniConfig): Tap {
    const tap = inNamespace(namespace, () => taps.make(config, PLACE));
    vnis.push({ config, tap, link: tap.link } as unknown as Vni);
    return tap;
  }

  test.each([
    ['that goes with vtepd is deleted', { persist: false, isStarted: true, stays: false }],
    ['that outlives vtepd stays', { persist: true, isStarted: true, stays: true }],
    [
      'of a start that failed is deleted, though it was to outlive vtepd',
      { persist: true, isStarted: false, stays: false },
    ],
  ])('one %s, and another program’s stays', (_name, { persist, isStarted, stays }) => {
    ip('-n', namespace, 'tuntap', 'add', 'dev', 'tap9', 'mode', 'tap');
    const taps = newTaps(persist);
    const [first, second] = configs('100', '200') as [VniConfig, VniConfig];
    make(taps, first);
    if (isStarted) taps.settle();
    // While it runs, one is settled as soon as it is made.
    make(taps, second);
    expect([...taps.links().values()].map(({ name }) => name)).toEqual(['vxlan100', 'vxlan200']);
    taps.release();
    expect(names()).toEqual(['lo', 'tap9', ...(stays ? ['vxlan100', 'vxlan200'] : [])]);
  });

  test('one that cannot be settled is let go, so that the next attempt finds it free', () => {
    const taps = newTaps();
    taps.settle();
    // One of a former run, which had --persist.
    ip('-n', namespace, 'tuntap', 'add', 'dev', 'vxlan100', 'mode', 'tap');
    ip('-n', namespace, 'link', 'set', 'vxlan100', 'alias', tapAlias(STATE_DIR));
    const [config] = configs('100') as [VniConfig];
    netlink.refusals = 1;
    expect(() => make(taps, config)).toThrow('EBUSY');
    expect(netlink.refusals).toBe(0);
    expect(make(taps, config).isOwn).toBe(true);
    taps.release();
    expect(names()).toEqual(['lo']);
  });

  test('one whose VNI cannot be made is gone, with all that the forwarding database has of it', () => {
    const taps = newTaps();
    ip('-n', namespace, 'link', 'add', 'br0', 'type', 'bridge');
    const [config] = configs('100,bridge=br0,remote=198.18.0.2,static=02:00:00:00:00:02@198.18.0.2') as [VniConfig];
    const fdb = new Fdb(createFdbMemory(1, 300), 1);
    const underlay = { family: 4, local: PLACE.local, link: { index: 1 }, maxFrameBytes: 1_464 } as unknown as Underlay;
    const ground = {
      ...{ netlink, fdb, now: () => 0, barOf: () => undefined, vnis },
      taps: {
        existing: (...asked: Parameters<Taps['existing']>) => taps.existing(...asked),
        make: (...asked: Parameters<Taps['make']>) => {
          const tap = taps.make(...asked);
          netlink.isSilent = true;
          return tap;
        },
      },
    } as VniGround;
    const place: VniPlace = {
      config,
      index: 0,
      underlays: [underlay],
      reach: { ipv4: 0, ipv6: -1 },
      trunkMtuBytes: Infinity,
    };
    expect(() => inNamespace(namespace, () => setUpVni(ground, place))).toThrow('ENOBUFS');
    netlink.isSilent = false;
    expect(names()).toEqual(['lo', 'br0']);
    expect([fdb.counts.totalOf(0), fdb.count]).toEqual([0, 0]);
  });
});
