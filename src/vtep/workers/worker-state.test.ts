/** What each worker is told to take over, of an underlay whose sockets are on loopback. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../config/parse.ts';
import { ENCAP } from '../../encap/encapsulation.ts';
import { NO_REMOTE } from '../../fdb/remotes.ts';
import type { Underlay } from '../../host/underlay/underlay.ts';
import { openUnderlay } from '../../host/underlay/underlay-rig.ts';
import { type IpAddress, parseIp } from '../../lib/addresses.ts';
import { NO_GROUP, NO_UNDERLAY } from '../../segment/segment.ts';
import { findLink, type Link } from '../../sys/netlink/links.ts';
import { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import type { Listeners } from '../../underlay/listeners.ts';
import type { Order } from '../../worker/messages.ts';
import { FloodList } from '../vni/flood-list.ts';
import type { Vni } from '../vni/vni.ts';
import { workerState } from './worker-state.ts';

const LOCAL = parseIp('127.6.0.2') as IpAddress;
const GROUPS = ['239.83.2.1', '239.83.2.2', '239.83.2.3'].map((text) => parseIp(text) as IpAddress);

let netlink: NetlinkSocket;
let underlay: Underlay;
let listeners: Listeners;

const unicastFds = () => listeners.all.flatMap(({ fds }) => fds);

beforeEach(() => {
  netlink = new NetlinkSocket();
});

afterEach(() => {
  underlay.close();
  netlink.close();
});

/** An underlay that has joined GROUPS, numbered 1, 2, 3, and two VNIs, the TAP of the second deleted. */
async function newState(workers: number, vni = ['100', '200']): Promise<(worker: number) => Order[]> {
  const scalars = { 'source-ports': '2', workers: `${workers}`, trunk: 'trunk0' };
  const config = parseConfig({ vni, local: [], check: false, scalars });
  const link = findLink(netlink, 'lo') as Link;
  const rig = await openUnderlay(netlink, { local: LOCAL, scalars, udpGro: true });
  ({ underlay, listeners } = rig);
  for (const group of GROUPS) underlay.membership.join(group);
  const vnis = config.vnis.map((vni, index): Vni => {
    const fds = [1_000, 1_001, 1_002].map((fd) => fd + 10 * index) as [number, ...number[]];
    const tap = { fds, gso: true, mergesUdp: true, isOwn: true, link, overrunBefore: 0 };
    const place = { elsewhere: undefined, master: undefined };
    const flooding = { group: NO_GROUP, groupRemote: NO_REMOTE, needsGroup: false, ...lists() };
    const sending = { underlay, underlays: [underlay] as const, reach: { ipv4: underlay.number, ipv6: NO_UNDERLAY } };
    return { config: vni, index, ...sending, ...flooding, tap, ...place, link: index ? undefined : link };
  });
  return (worker) =>
    workerState(worker, workers, {
      config,
      own: [LOCAL],
      broadcasts: [],
      listeners: listeners.all,
      underlays: [underlay],
      vnis,
    });
}

const lists = () => ({ flood: new FloodList(), paths: undefined });

function ofKind<Kind extends Order['kind']>(orders: readonly Order[], kind: Kind): Extract<Order, { kind: Kind }>[] {
  return orders.filter((order): order is Extract<Order, { kind: Kind }> => order.kind === kind);
}

describe('what a worker is told', () => {
  it('is all, where it is the only one', async () => {
    const orders = (await newState(1))(0);
    expect(ofKind(orders, 'add-socket')).toEqual([
      { kind: 'add-socket', socket: 0, fd: unicastFds()[0], group: NO_GROUP, encap: ENCAP.vxlan },
      ...underlay.membership.joined.map(({ number, fd }) => ({
        kind: 'add-socket',
        socket: number,
        fd,
        group: number,
        encap: ENCAP.vxlan,
      })),
    ]);
    expect(unicastFds()).toHaveLength(1);
    expect(ofKind(orders, 'add-tap')).toEqual([{ kind: 'add-tap', tap: 0, fd: 1_000, mergesUdp: true }]);
  });

  it('is, where there are several, its own unicast socket, its own queues, and its share of the groups', async () => {
    const state = await newState(2);
    const sockets = [0, 1].map((worker) => ofKind(state(worker), 'add-socket').map(({ socket, fd }) => [socket, fd]));
    const [one, two, three] = underlay.membership.joined.map(({ number, fd }) => [number, fd]);
    expect(sockets).toEqual([
      [[0, unicastFds()[0]], two],
      [[0, unicastFds()[1]], one, three],
    ]);
    expect(new Set(unicastFds()).size).toBe(2);
    const queues = [0, 1].map((worker) => ofKind(state(worker), 'add-tap').map(({ tap, fd }) => [tap, fd]));
    expect(queues).toEqual([[[0, 1_000]], [[0, 1_001]]]);
  });

  it('is the trunk once, however many VNIs it carries', async () => {
    const orders = (await newState(2, ['300,vlan=10', '100']))(1);
    const trunk = ofKind(orders, 'segment').flatMap(({ update }) => (update.kind === 'put' ? [update.segment] : []))[0];
    expect(ofKind(orders, 'add-tap')).toEqual([{ kind: 'add-tap', tap: trunk?.tap, fd: 1_001, mergesUdp: true }]);
  });

  it('is the same to all of what they share: VNIs, source ports and own addresses', async () => {
    const state = await newState(3);
    for (const kind of ['settings', 'segment', 'add-pool', 'own-addresses', 'broadcast-addresses'] as const) {
      const [first, ...others] = [0, 1, 2].map((worker) => ofKind(state(worker), kind));
      expect(first).not.toEqual([]);
      for (const other of others) expect(other).toEqual(first);
    }
    expect(ofKind(state(0), 'segment')).toHaveLength(2);
    expect(ofKind(state(0), 'add-pool')).toEqual([
      {
        kind: 'add-pool',
        underlay: 0,
        family: 4,
        scope: underlay.link.index,
        fds: underlay.source?.fds,
        fragmentable: 0,
      },
    ]);
  });
});
