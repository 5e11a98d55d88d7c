import { describe, expect, it } from 'vitest';
import type { EvpnRouteRow, EvpnSession, EvpnStatus, EvpnVni } from '../../evpn/evpn-status.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { checkEvpn, type EvpnFacts } from './evpn-checks.ts';

const ip = (text: string) => text as IpAddress;
const PEER = { address: '198.18.0.9', isEstablished: true, hasEvpn: true, isEndOfRib: true };

const SESSION: EvpnSession = {
  ...{ address: '127.0.0.1:50051', state: 'up', since: 0, error: undefined, dialect: 'v4', asn: 65_000 },
  ...{ routerId: ip('198.18.0.1'), connections: 1, peers: [PEER] },
};
const VNI: EvpnVni = {
  ...{ vni: 100, control: 'evpn', rd: '198.18.0.1:1', importTargets: ['*:100'], exportTargets: ['65000:100'] },
  ...{ vteps: [], macsIn: 0, neighboursIn: 0, macsOut: 0, neighboursOut: 0, isAnnounced: true },
};
const STATUS: EvpnStatus = {
  session: SESSION,
  ...{ routesIn: { type2: 0, type3: 0, other: 0 }, routesOut: { type2: 0, type3: 1 } },
  ...{ pending: 0, refused: 0, vnis: [VNI] },
};
const ROUTE: EvpnRouteRow = {
  ...{ type: 2, vni: undefined, rd: '198.18.0.2:7', mac: undefined, ip: undefined, vtep: ip('198.18.0.2') },
  ...{ label: 7, targets: ['65000:7'], sequence: undefined, isSticky: false, unused: 'no-target' },
};

const facts = (status: Partial<EvpnStatus> = {}, differs: Partial<EvpnFacts> = {}): EvpnFacts => ({
  ...{
    status: { ...STATUS, ...status },
    exposed: [],
    unimported: { count: 0, example: undefined },
    version: undefined,
  },
  ...differs,
});
const session = (differs: Partial<EvpnSession>) => facts({ session: { ...SESSION, ...differs } });
const lost = { dialect: undefined, asn: undefined, routerId: undefined, peers: [] };
const found = (given: EvpnFacts, check: string) =>
  checkEvpn(given, 'vtepctl')
    .filter((finding) => finding.check === check)
    .map(({ status, object, message, remedy }) => [status, object, message, remedy]);

it('finds no fault where there is none', () => {
  expect(checkEvpn(facts(), 'vtepctl').map(({ check, status }) => `${check} ${status}`)).toEqual([
    ...['evpn ok', 'evpn-api ok', 'evpn-peers ok', 'evpn-vni ok', 'evpn-routes ok'],
  ]);
});

describe('the session', () => {
  it.each<[Partial<EvpnSession>, string, string, string | null]>([
    [
      { ...lost, state: 'connecting', error: 'ECONNREFUSED' },
      'failed',
      'vtepd is not connected to the BGP speaker: ECONNREFUSED',
      'systemctl status gobgpd',
    ],
    [{ ...lost, state: 'connecting' }, 'unknown', 'vtepd connects to the BGP speaker for the first time', null],
    [
      { ...lost, state: 'stale', error: 'it was closed' },
      'failed',
      'the connection to the BGP speaker was lost, and its routes are kept for the hold time: it was closed',
      'systemctl status gobgpd',
    ],
    [
      { state: 'syncing', peers: [PEER, { ...PEER, address: '198.18.0.8', isEndOfRib: false }] },
      'unknown',
      'connected to the BGP speaker, and not all routes were sent yet by 198.18.0.8',
      null,
    ],
    [{}, 'ok', 'connected to the BGP speaker (API v4, AS 65000)', null],
  ])('%j', (differs, status, message, remedy) => {
    expect(found(session(differs), 'evpn')).toEqual([[status, SESSION.address, message, remedy]]);
  });

  it('without a connection nothing is said of peers, VNIs and routes', () => {
    const checks = checkEvpn(session({ ...lost, state: 'stale', error: 'x' }), 'vtepctl').map(({ check }) => check);
    expect(checks).toEqual(['evpn', 'evpn-api']);
  });
});

it.each([
  [['198.18.0.1'], '198.18.0.1'],
  [['198.18.0.1', '::'], 'every address'],
  [['0.0.0.0'], 'every address'],
])('an API on %j is open on %s', (exposed, where) => {
  const message = `the API of the BGP speaker is open to the network on ${where}: whoever reaches it controls the routes of all hosts`;
  expect(found(facts({}, { exposed: exposed.map(ip) }), 'evpn-api')).toEqual([
    ['failed', SESSION.address, message, 'gobgpd --api-hosts 127.0.0.1:50051'],
  ]);
});

it.each([
  [[], 'no BGP peer of the speaker has l2vpn-evpn; other hosts do not learn of this one'],
  [[{ ...PEER, hasEvpn: false }], 'no BGP peer of the speaker has l2vpn-evpn; other hosts do not learn of this one'],
  [
    [{ ...PEER, isEstablished: false }],
    'no BGP peer with l2vpn-evpn is established: 198.18.0.9; other hosts do not learn of this one',
  ],
])('peers %j', (peers, message) => {
  expect(found(session({ peers }), 'evpn-peers')).toEqual([['failed', SESSION.address, message, 'gobgp neighbor']]);
});

it('names each VNI that is not announced, and refused routes', () => {
  const vnis = [VNI, { ...VNI, vni: 200, isAnnounced: false }];
  expect(found(facts({ vnis, refused: 3 }), 'evpn-vni')).toEqual([
    [
      'failed',
      'VNI 200',
      'the BGP speaker does not have its type 3 route: other VTEPs send it no floods by EVPN',
      'vtepctl vni show 200',
    ],
    [
      'warning',
      SESSION.address,
      'the BGP speaker refuses 3 routes of vtepd: the log has the reason',
      'vtepctl evpn show',
    ],
  ]);
});

it.each([
  [3, 10, true],
  [3, 27, true],
  [2, 30, true],
  [3, 28, false],
  [4, 0, false],
])('GoBGP %i.%i: a warning is %s', (major, minor, isWarned) => {
  const findings = found(facts({}, { version: { major, minor } }), 'evpn-version');
  expect(findings.map(([status, object]) => [status, object])).toEqual(
    isWarned ? [['warning', `gobgpd ${major}.${minor}`]] : [],
  );
});

describe('routes that no VNI imports', () => {
  const warned = (targets: readonly string[], count = 2) =>
    found(facts({}, { unimported: { count, example: { ...ROUTE, targets } } }), 'evpn-routes');
  const SUCH = 'such as one of type 2 (198.18.0.2:7) from 198.18.0.2 with';

  it('are counted, with an example', () => {
    expect(warned(['65000:7'])).toEqual([
      ['warning', SESSION.address, `no VNI imports 2 received routes, ${SUCH} 65000:7`, 'vtepctl evpn routes --unused'],
    ]);
    expect(warned(['65000:7'], 1)[0]?.[2]).toContain('no VNI imports 1 received route, such as');
  });

  it('are told by their form if they are meant for a VNI of this host', () => {
    const message = `no VNI imports 2 received routes, ${SUCH} 65000:268435556, which is VNI 100 in the form of RFC 8365`;
    expect(warned([`65000:${0x1000_0064}`])).toEqual([
      ['warning', SESSION.address, message, '--vni 100,rt=65000:268435556'],
    ]);
    // Another VNI, another type of tunnel, and the top bit, which says that the number was not computed.
    for (const value of [0x1000_0065, 0x2000_0064, 0x9000_0064]) {
      expect(warned([`65000:${value}`])[0]?.[3]).toBe('vtepctl evpn routes --unused');
    }
  });
});
