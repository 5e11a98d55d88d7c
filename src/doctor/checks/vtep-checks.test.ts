import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import { checkGroups, checkMembershipLimit, checkMulticastRoute } from './group-checks.ts';
import { checkPeerPorts } from './peer-port-check.ts';
import { checkQuerier, type QuerierFacts } from './querier-check.ts';
import { checkRemotesInGroup, checkVnis, type VniFacts } from './vni-checks.ts';
import { checkReversePath, checkTtl } from './vtep-checks.ts';

const ip = (text: string) => text as IpAddress;

const REMEDIES = { raise: 'sysctl -w net.ipv4.igmp_max_memberships=20', restart: 'systemctl restart vtepd' };
const LOOSEN = 'sysctl -w net.ipv4.conf.eth0/10.rp_filter=2';

describe('groups', () => {
  const group = { group: ip('239.1.1.1'), dev: 'eth0', vnis: [100], isNeeded: true, isJoined: true, routeDev: 'eth0' };
  it.each([
    ['joined', {}, 20, 'ok', null],
    ['not joined', { isJoined: false }, 20, 'failed', 'systemctl restart vtepd'],
    ['not joined, since none may be', { isJoined: false }, 0, 'failed', 'sysctl -w net.ipv4.igmp_max_memberships=20'],
    [
      'an IPv6 group, which that does not concern',
      { group: ip('ff05::1'), isJoined: false },
      0,
      'failed',
      'systemctl restart vtepd',
    ],
    ['not asked for', { isNeeded: false, isJoined: false }, 20, 'ok', null],
    ['not to be read', { isJoined: undefined }, 20, 'unknown', null],
  ] as const)('%s', (_what, facts, limit, status, remedy) => {
    expect(checkGroups([{ ...group, ...facts }], limit, REMEDIES)).toMatchObject([{ check: 'groups', status, remedy }]);
  });

  it.each([
    [20, 'ok'],
    [0, 'failed'],
    [undefined, 'unknown'],
  ])('limit of memberships %s: %s', (limit, status) => {
    expect(checkMembershipLimit(limit, REMEDIES.raise).status).toBe(status);
  });

  it.each([
    ['239.1.1.1', 'eth0', 'ok', null],
    ['239.1.1.1', undefined, 'warning', 'ip route add 224.0.0.0/4 dev eth0'],
    ['239.1.1.1', 'eth1', 'warning', 'ip route add 239.1.1.1/32 dev eth0'],
    ['ff05::1', undefined, 'warning', 'ip -6 route add multicast ff00::/8 dev eth0 table local'],
    ['ff05::1', 'eth1', 'ok', null],
  ])('%s leaves by %s: %s', (text, routeDev, status, remedy) => {
    expect(checkMulticastRoute([{ group: ip(text), dev: 'eth0', routeDev }])).toMatchObject([{ status, remedy }]);
  });

  it('asks for one route for all groups', () => {
    const groups = ['239.1.1.1', '239.1.1.2'].map((text) => ({ group: ip(text), dev: 'eth0', routeDev: undefined }));
    expect(checkMulticastRoute(groups)).toHaveLength(1);
  });
});

describe('ttl', () => {
  const far = { vtep: ip('198.18.1.2'), dev: 'eth0', groupVnis: [100], listVnis: [], routeDev: 'eth0', isRouted: true };
  const near = { ...far, vtep: ip('198.18.0.2'), isRouted: false };
  it.each([
    ['all near', 1, [near], [], 'ok', null],
    ['one behind a router', 1, [near, far], [], 'failed', '--mcast-ttl 16'],
    ['one behind a router, enough TTL', 2, [far], [100], 'ok', null],
    [
      'one behind a router that remote= reaches',
      1,
      [{ ...far, groupVnis: [], listVnis: [100] }],
      [],
      'warning',
      '--mcast-ttl 16',
    ],
    ['one behind a router, in VNIs without group', 1, [{ ...far, groupVnis: [] }], [], 'ok', null],
    ['nobody heard', 1, [], [100], 'warning', '--mcast-ttl 16'],
  ] as const)('%s', (_what, ttl, vteps, silent, status, remedy) => {
    expect(checkTtl(ttl, vteps, silent)).toMatchObject([{ check: 'ttl', status, remedy }]);
  });

  it.each([
    [undefined, 'eth1', 'unknown'],
    [0, 'eth1', 'ok'],
    [2, 'eth1', 'ok'],
    [1, 'eth0', 'ok'],
    [1, 'eth1', 'warning'],
    [1, undefined, 'warning'],
  ])('rp_filter %s, route by %s: %s', (rpFilter, routeDev, status) => {
    const remedy = status !== 'warning' ? null : 'sysctl -w net.ipv4.conf.eth0/10.rp_filter=2';
    const vtep = { ...near, dev: 'eth0.10', routeDev: routeDev === 'eth0' ? 'eth0.10' : routeDev };
    expect(checkReversePath('eth0.10', rpFilter, [vtep], LOOSEN)).toMatchObject([{ status, remedy }]);
  });
});

describe('querier', () => {
  const heard: QuerierFacts = {
    ...{ dev: 'eth0', family: 4 as const, watching: true, since: 900 },
    ...{ querier: ip('198.18.0.254'), lastHeard: 5, own: false },
  };
  it.each([
    ['heard', {}, 'ok'],
    ['its own', { own: true, querier: ip('198.18.0.1'), lastHeard: null }, 'ok'],
    ['no capability', { watching: false, since: null, querier: null, lastHeard: null }, 'unknown'],
    ['none yet', { since: 259, querier: null, lastHeard: null }, 'unknown'],
    ['none for long', { since: 260, querier: null, lastHeard: null }, 'warning'],
    ['gone', { querier: null, lastHeard: 260 }, 'warning'],
  ] as const)('%s', (_what, facts, status) => {
    const finding = checkQuerier({ ...heard, ...facts });
    expect(finding).toMatchObject({ check: 'querier', object: 'eth0, IGMP', status });
    expect(finding.remedy === null).toBe(status !== 'warning');
  });

  it('of IPv6 is one of MLD', () => {
    expect(checkQuerier({ ...heard, family: 6 }).object).toBe('eth0, MLD');
  });
});

describe('vni', () => {
  const vni: VniFacts = {
    ...{ vni: 100, tap: 'vxlan100', isTapGone: false, refusal: undefined, timesPutBack: 0, elsewhere: undefined },
    ...{ isSeen: true, isTapUp: true, bridge: 'br0', isBridgeMissing: false, actualBridge: 'br0', isBridgeUp: true },
    ...{ port: undefined, settings: [], entry: '100=239.1.1.1,bridge=br0', group: ip('239.1.1.1'), remotesInGroup: [] },
    pathTrouble: undefined,
    floodTrouble: undefined,
  };
  const tree = { isOn: true, isRoot: true, forwardDelaySeconds: 15 };
  const away = { bridge: undefined, actualBridge: undefined, elsewhere: { namespace: 'c1' } };
  const unnamed = { ...away, elsewhere: { namespace: undefined } };
  it.each<[string, Partial<VniFacts>, string, string | null]>([
    ['well', {}, 'ok', null],
    ['in another bridge than nobody asked for', { bridge: undefined, actualBridge: 'br1' }, 'ok', null],
    ['in none, as nobody asked for one', { bridge: undefined, actualBridge: undefined, isBridgeUp: false }, 'ok', null],
    ['without a route', { pathTrouble: 'no route to 203.0.113.9' }, 'failed', null],
    [
      'whose floods reach nobody',
      { floodTrouble: 'no remote: all are own' },
      'warning',
      'vtepctl remote add IP --vni 100',
    ],
    ['gone', { isTapGone: true }, 'failed', 'vtepctl vni del 100 && vtepctl vni add 100=239.1.1.1,bridge=br0'],
    [
      'gone, its name in need of quotes',
      { isTapGone: true, entry: "100,name=Bob's lab" },
      'failed',
      "vtepctl vni del 100 && vtepctl vni add '100,name=Bob'\\''s lab'",
    ],
    ['gone, and the trunk of others', { isTapGone: true, entry: undefined }, 'failed', null],
    ['gone, and its name taken', { isTapGone: true, refusal: 'the name is in use' }, 'failed', null],
    ['in a bridge that is down', { isBridgeUp: false }, 'failed', 'ip link set br0 up'],
    ['down', { isTapUp: false }, 'failed', 'ip link set vxlan100 up'],
    ['out of its bridge', { actualBridge: undefined }, 'failed', 'ip link set vxlan100 master br0'],
    ['in another bridge, from which nothing takes it', { actualBridge: 'br1' }, 'failed', null],
    [
      'without its bridge',
      { actualBridge: undefined, isBridgeMissing: true },
      'failed',
      'ip link add br0 up type bridge',
    ],
    ['in another namespace', away, 'ok', null],
    ['down in another namespace', { ...away, isTapUp: false }, 'failed', 'ip -n c1 link set vxlan100 up'],
    ['down in a namespace without a name', { ...unnamed, isTapUp: false }, 'failed', null],
    ['in another namespace, not in its bridge', { ...away, bridge: 'br0' }, 'failed', null],
    ['where vtepd may not look', { ...unnamed, isSeen: false }, 'unknown', null],
    [
      'listening',
      { port: { state: 'listening', spanningTree: tree } },
      'warning',
      'ip link set br0 type bridge forward_delay 400',
    ],
    [
      'learning, as another bridge says',
      { port: { state: 'learning', spanningTree: { ...tree, isRoot: false } } },
      'warning',
      null,
    ],
    [
      'learning, as short as it may be',
      { port: { state: 'learning', spanningTree: { ...tree, forwardDelaySeconds: 4 } } },
      'warning',
      null,
    ],
    ['blocked for a loop', { port: { state: 'blocking', spanningTree: tree } }, 'warning', null],
    [
      'blocked by hand',
      { port: { state: 'blocking', spanningTree: { ...tree, isOn: false } } },
      'warning',
      'bridge link set dev vxlan100 state 3',
    ],
    [
      'with another MAC',
      { settings: [{ key: 'address', wanted: '02:00:00:00:00:01', now: '02:00:00:00:00:02' }] },
      'warning',
      'ip link set vxlan100 address 02:00:00:00:00:01',
    ],
    [
      'with another MTU in another namespace',
      { ...away, settings: [{ key: 'mtu', wanted: '1400', now: '900' }] },
      'warning',
      'ip -n c1 link set vxlan100 mtu 1400',
    ],
  ])('%s', (_what, facts, status, remedy) => {
    expect(checkVnis([{ ...vni, ...facts }], 'vtepctl')).toMatchObject([{ check: 'vni', status, remedy }]);
  });

  it('says that somebody keeps changing it', () => {
    const [finding] = checkVnis([{ ...vni, actualBridge: undefined, timesPutBack: 3 }], 'vtepctl');
    expect(finding?.message).toContain('restored it 3 times within a minute');
  });

  it('a remote in the group', () => {
    expect(checkRemotesInGroup([vni], 'vtepctl')).toEqual([]);
    expect(checkRemotesInGroup([{ ...vni, remotesInGroup: [ip('198.18.0.2')] }], 'vtepctl --socket /s')).toMatchObject([
      { object: '198.18.0.2', status: 'warning', remedy: 'vtepctl --socket /s remote del 198.18.0.2 --vni 100' },
    ]);
  });
});

describe('VTEPs that send to another port', () => {
  const vtep = '198.18.0.2' as IpAddress;
  const heard = [
    { vtep, port: 8472, vni: 100 },
    { vtep, port: 8472, vni: 200 },
    { vtep, port: 4790, vni: 999 },
    { vtep: '198.18.0.1' as IpAddress, port: 8472, vni: 100 },
  ];

  it('are named with their port, once each, for the VNIs that are here', () => {
    const findings = checkPeerPorts(4789, heard, [100, 200], (address) => address === '198.18.0.1');
    expect(findings).toMatchObject([{ status: 'warning', object: vtep, remedy: '--port 8472' }]);
    expect(findings[0]?.message).toContain('VNI 100, 200 to UDP 8472');
  });

  it('are nobody where nothing was heard', () => {
    expect(checkPeerPorts(4789, [], [100], () => false)).toEqual([]);
  });
});
