/** MTU arithmetic and what the data path is told of a VNI, on an underlay whose sockets are on loopback. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { VniConfig } from '../../config/config.ts';
import { parseConfig } from '../../config/parse.ts';
import { ENCAP } from '../../encap/encapsulation.ts';
import { NO_REMOTE } from '../../fdb/remotes.ts';
import type { Tap } from '../../host/tap/tap.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { openUnderlay } from '../../host/underlay/underlay-rig.ts';
import { type IpAddress, parseIp } from '../../lib/addresses.ts';
import { MAX_SEGMENTS } from '../../lib/limits.ts';
import { FLOOD, INNER_VLAN, NO_GROUP, NO_UNDERLAY, NO_VLAN } from '../../segment/segment.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { BARE_LINK } from '../../sys/netlink/netlink-rig.ts';
import { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { NO_CONTROL } from '../../wire/link-local.ts';
import { FloodList } from './flood-list.ts';
import { mtuLimit, tapMtu, trunkMtuLimit } from './tap-mtu.ts';
import { tapNumber, tapOverrun, toSegment, type Vni } from './vni.ts';
import { vniStatus } from './vni-status.ts';

const LOCAL = parseIp('127.6.0.1') as IpAddress;

/** A flood list of members with these remote ids. */
function floodingTo(...ids: readonly number[]): FloodList {
  const list = new FloodList();
  list.sent = new Map(ids.map((id) => [parseIp(`198.18.0.${id}`) as IpAddress, id]));
  return list;
}

/** Loopback, by its index, in the guise of an Ethernet interface. */
const UNDERLAY_LINK: Link = {
  ...BARE_LINK,
  index: 1,
  name: 'eth0',
  mtuBytes: 1_500,
  mac: '02:00:00:00:00:99',
  up: true,
  carrier: true,
};

const TAP_LINK: Link = {
  ...UNDERLAY_LINK,
  index: 40,
  name: 'vxlan100',
  mtuBytes: 1_450,
  mac: 'fe:01:02:03:04:05',
  kind: 'tun',
  isTap: true,
};

let netlink: NetlinkSocket;
const underlays: Underlay[] = [];

beforeEach(() => {
  netlink = new NetlinkSocket();
});

afterEach(() => {
  for (const underlay of underlays.splice(0)) underlay.close();
  netlink.close();
});

async function newUnderlay(mtuBytes = 1_500, address: string = LOCAL): Promise<Underlay> {
  const link = { ...UNDERLAY_LINK, mtuBytes };
  const { underlay } = await openUnderlay(netlink, { local: address as IpAddress, number: 2, link });
  underlays.push(underlay);
  return underlay;
}

function vniConfig(written: string): VniConfig {
  const [vni] = parseConfig({ vni: [written], local: [], check: false, scalars: { trunk: 'trunk0' } }).vnis;
  return vni as VniConfig;
}

async function newVni(written: string, differs: Partial<Vni> = {}): Promise<Vni> {
  const tap: Tap = { fds: [-1], gso: false, mergesUdp: false, isOwn: true, link: TAP_LINK, overrunBefore: 0 };
  const underlay = differs.underlay ?? (await newUnderlay());
  return {
    config: vniConfig(written),
    index: 6,
    underlays: [underlay],
    reach: { ipv4: underlay.number, ipv6: NO_UNDERLAY },
    group: NO_GROUP,
    needsGroup: false,
    groupRemote: NO_REMOTE,
    flood: new FloodList(),
    paths: undefined,
    tap,
    link: TAP_LINK,
    elsewhere: undefined,
    master: undefined,
    ...differs,
    underlay,
  };
}

describe('the MTU of a TAP', () => {
  it.each([
    [1_500, '100', 1_450],
    [1_500, '100,inner-vlan=strip', 1_450],
    [1_500, '100,inner-vlan=pass', 1_446],
    [9_000, '100', 8_950],
    [9_000, '100,inner-vlan=pass', 8_946],
    [1_330, '100', 1_280],
    [65_536, '100', 65_486],
  ])(
    'is, on an underlay of %i and with --vni %s, %i: the underlay less 50, less 4 for tags that pass (T27)',
    async (mtuBytes, written, expected) => {
      const underlay = await newUnderlay(mtuBytes);
      const config = vniConfig(written);
      expect([mtuLimit(config, [underlay]), tapMtu(config, [underlay])]).toEqual([expected, expected]);
    },
  );

  it.each([
    [1_500, '100', 1_430],
    [9_000, '100', 8_930],
    [9_000, '100,inner-vlan=pass', 8_926],
  ])('is, over IPv6 or both, on an underlay of %i and with --vni %s, %i (T27)', async (mtuBytes, written, expected) => {
    const [ipv4, ipv6] = [await newUnderlay(mtuBytes), await newUnderlay(mtuBytes, '::1')];
    const config = vniConfig(written);
    expect([mtuLimit(config, [ipv6]), tapMtu(config, [ipv4, ipv6])]).toEqual([expected, expected]);
    expect(() => tapMtu(vniConfig(`${written},mtu=${expected + 1}`), [ipv4, ipv6])).toThrow(
      `at most ${expected} inside`,
    );
  });

  it.each([
    [1_329, '100', 1_279],
    [1_300, '100', 1_250],
    [1_333, '100,inner-vlan=pass', 1_279],
    [576, '100', 526],
    [68, '100', 18],
  ])(
    'is, on an underlay of %i and with --vni %s, 1280, though that carries %i alone: the kernel would take IPv6 away',
    async (mtuBytes, written, limit) => {
      const underlay = await newUnderlay(mtuBytes);
      const config = vniConfig(written);
      expect([mtuLimit(config, [underlay]), tapMtu(config, [underlay])]).toEqual([limit, 1_280]);
      expect(tapMtu(vniConfig(`${written},mtu=1280`), [underlay])).toBe(1_280);
      expect(tapMtu(vniConfig(`${written},mtu=68`), [underlay])).toBe(68);
      expect(() => tapMtu(vniConfig(`${written},mtu=1281`), [underlay])).toThrow(
        `leaves at most ${limit} inside VXLAN: lower mtu= to ${limit}, or to 1280 if IPv6 is needed, or raise`,
      );
    },
  );

  it.each([
    ['100,mtu=1450', 1_450],
    ['100,mtu=1400', 1_400],
    ['100,mtu=68', 68],
    ['100,mtu=1446,inner-vlan=pass', 1_446],
  ])('is what was asked for, if it fits: --vni %s', async (written, expected) => {
    expect(tapMtu(vniConfig(written), [await newUnderlay()])).toBe(expected);
  });

  it.each([
    [
      '100,mtu=1451',
      '--vni 100,mtu=1451: eth0 has MTU 1500, which leaves at most 1450 inside VXLAN: lower mtu= to 1450, or raise the MTU of eth0',
    ],
    [
      '100,mtu=1447,inner-vlan=pass',
      '--vni 100,mtu=1447: eth0 has MTU 1500, which leaves at most 1446 inside VXLAN: lower mtu= to 1446, or raise the MTU of eth0',
    ],
  ])('is refused if it does not: --vni %s', async (written, message) => {
    const underlay = await newUnderlay();
    expect(() => tapMtu(vniConfig(written), [underlay])).toThrow(expect.objectContaining({ message, exitCode: 1 }));
  });

  it('follows the underlay as it is now', async () => {
    const underlay = await newUnderlay();
    underlay.see({ ...UNDERLAY_LINK, mtuBytes: 9_000 });
    expect(mtuLimit(vniConfig('100'), [underlay])).toBe(8_950);
  });
});

describe('the MTU of a trunk', () => {
  it('is what all of its VNIs can carry: the tag stays behind, one inside does not', async () => {
    const [narrow, wide] = [await newUnderlay(1_500), await newUnderlay(9_000)];
    const vnis = (...all: [string, Underlay][]) =>
      all.map(([written, underlay]) => ({ config: vniConfig(written), underlays: [underlay] as const }));
    expect(trunkMtuLimit(vnis(['1,vlan=1', narrow], ['2,vlan=2', narrow]))).toBe(1_450);
    expect(trunkMtuLimit(vnis(['1,vlan=1', narrow], ['2,vlan=2,inner-vlan=pass', narrow]))).toBe(1_446);
    expect(trunkMtuLimit(vnis(['1,vlan=1', wide], ['2,vlan=2', narrow]))).toBe(1_450);
    // What has a TAP of its own does not count.
    expect(trunkMtuLimit(vnis(['1,vlan=0', wide], ['2', narrow]))).toBe(8_950);
  });
});

describe('what the data path is told', () => {
  it('is the VLAN of a VNI on the trunk, and one number of its TAP for all of them', async () => {
    const underlay = await newUnderlay();
    const [ten, untagged, own] = [
      await newVni('1010,vlan=10', { underlay, index: 0 }),
      await newVni('1000,vlan=0', { underlay, index: 1 }),
      await newVni('100', { underlay, index: 2 }),
    ];
    expect([ten, untagged, own].map((vni) => toSegment(vni).vlan)).toEqual([10, 0, NO_VLAN]);
    expect(tapNumber(ten)).toBe(tapNumber(untagged));
    expect([toSegment(ten).tap, toSegment(own).tap]).toEqual([tapNumber(ten), 2]);
    expect(tapNumber(ten)).toBeGreaterThanOrEqual(MAX_SEGMENTS);
  });

  it('is all of the VNI', async () => {
    const vni = await newVni('4660=239.1.2.3,max-macs=77', { group: 9, groupRemote: 3, flood: floodingTo(4, 5) });
    expect(toSegment(vni)).toEqual({
      index: 6,
      encap: ENCAP.vxlan,
      vni: 4_660,
      ipv4Underlay: 2,
      ipv6Underlay: NO_UNDERLAY,
      group: 9,
      groupRemote: 3,
      floodRemotes: [4, 5],
      tap: 6,
      vlan: NO_VLAN,
      tapUp: true,
      tapMtuBytes: 1_450,
      tapMacHigh: 0xfe01_0203,
      tapMacLow: 0x0405,
      // 1500 less outer IPv4, UDP and VXLAN: the inner Ethernet header is the frame's own.
      maxFrameBytes: 1_464,
      suppress: false,
      learning: true,
      maxMacs: 77,
      innerVlan: INNER_VLAN.drop,
      control: NO_CONTROL,
      flood: FLOOD.all,
      stormPps: 0,
    });
  });

  it.each([
    ['drop', INNER_VLAN.drop],
    ['strip', INNER_VLAN.strip],
    ['pass', INNER_VLAN.pass],
  ])('says inner-vlan=%s by its number', async (name, innerVlan) => {
    expect(toSegment(await newVni(`100,inner-vlan=${name},learning=off`))).toMatchObject({
      innerVlan,
      learning: false,
    });
  });

  it.each([
    ['all', FLOOD.all],
    ['no-unknown', FLOOD['no-unknown']],
    ['none', FLOOD.none],
  ])('says flood=%s by its number, and storm= in frames per second', async (name, flood) => {
    expect(toSegment(await newVni(`100,flood=${name},storm=250`))).toMatchObject({ flood, stormPps: 250 });
  });

  it('says whether neighbours are answered for', async () => {
    expect(toSegment(await newVni('100,suppress=on'))).toMatchObject({ suppress: true });
  });

  it('has the TAP down when it is down or gone, then with what was last known of it', async () => {
    const down = await newVni('100', { link: { ...TAP_LINK, up: false, mtuBytes: 1_200 } });
    expect(toSegment(down)).toMatchObject({ tapUp: false, tapMtuBytes: 1_200 });
    const gone = await newVni('100', { link: undefined });
    expect(toSegment(gone)).toMatchObject({ tapUp: false, tapMtuBytes: 1_450, tapMacLow: 0x0405 });
  });
});

it('counts what a TAP lost since vtepd has it, and nothing that came before', async () => {
  const vni = await newVni('100');
  const adopted = { ...vni, tap: { ...vni.tap, link: { ...TAP_LINK, txDropped: 7 } } };
  expect(tapOverrun(adopted.tap, { ...TAP_LINK, txDropped: 7 })).toBe(0);
  expect(tapOverrun(adopted.tap, { ...TAP_LINK, txDropped: 12 })).toBe(5);
  expect(tapOverrun(adopted.tap, undefined)).toBe(0);
});

const NO_TROUBLE = { trouble: undefined, unseen: undefined, isElsewhere: false };

describe('the status of a VNI', () => {
  it('names the first thing that keeps it from working', async () => {
    const vni = await newVni('100=239.1.1.1', { group: 17, needsGroup: true });
    expect(vniStatus({ ...vni, link: undefined })).toBe('vxlan100 is gone');
    expect(vniStatus({ ...vni, link: { ...TAP_LINK, up: false } })).toBe('vxlan100 is down');
    expect(vniStatus(vni)).toBe('group not joined');
    // join=lazy, and nobody there.
    expect(vniStatus({ ...vni, needsGroup: false })).toBe('ok');
  });

  it('tells of a flood list that reaches nobody, unless MACs are known elsewhere', async () => {
    const status = async (entry: string, elsewhere = false, ids: number[] = []) =>
      vniStatus(
        { ...(await newVni(entry)), flood: floodingTo(...ids), paths: NO_TROUBLE },
        { hasMacsElsewhere: () => elsewhere },
      );
    const list = '100,remote=198.18.0.1';
    expect(await status(list)).toBe('no remote: 198.18.0.1 is an own or broadcast address of this host');
    expect(await status(`${list},remote=198.18.0.9`)).toBe(
      'no remote: all are own or broadcast addresses of this host',
    );
    expect(await status(`${list},remote=198.18.0.9`, false, [3])).toBe('ok');
    expect(await status(list, true)).toBe('ok');
    expect(await status(`${list},flood=none`)).toBe('ok');
    expect(await status('100')).toBe('ok');
  });

  it('is that of its underlay while that is down or gone', async () => {
    const vni = await newVni('100');
    vni.underlay.see({ ...UNDERLAY_LINK, up: false });
    expect(vniStatus(vni)).toBe('eth0 is down');
    vni.underlay.lose();
    expect(vniStatus(vni)).toBe('eth0 is gone');
    vni.underlay.see(UNDERLAY_LINK);
    expect(vniStatus(vni)).toBe('ok');
  });
});
