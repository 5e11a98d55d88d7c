import { describe, expect, it } from 'vitest';
import type { PortHolders } from '../../host/port/port-holders.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { checkCapabilities, checkTun } from './device-checks.ts';
import { faultsOr, ok, warning } from './finding.ts';
import { checkMtu, type TapMtuFacts } from './mtu-check.ts';
import { checkFreePort, checkOwnPort } from './port-check.ts';
import { checkAddress, checkInterface } from './underlay-checks.ts';

const node = 'mkdir -p /dev/net && mknod /dev/net/tun c 10 200';

const container = 'docker run --device /dev/net/tun --cap-add NET_ADMIN …';

describe('tun', () => {
  const facts = { error: undefined, isDevice: true, isLoaded: true, mayMakeNode: true, service: undefined };
  it.each([
    [{}, 'ok', null],
    [{ isDevice: false }, 'failed', `mv /dev/net/tun /dev/net/tun.other && ${node}`],
    [{ error: 'ENOENT' }, 'failed', node],
    [{ error: 'ENOENT', mayMakeNode: false }, 'failed', container],
    [{ error: 'ENOENT', isLoaded: false }, 'failed', 'modprobe tun'],
    [{ error: 'ENODEV', isLoaded: false }, 'failed', 'modprobe tun'],
    [{ error: 'EACCES' }, 'failed', 'chmod 0666 /dev/net/tun'],
    [{ error: 'EPERM' }, 'failed', container],
    [
      { error: 'EPERM', service: 'vtepd@blue.service' },
      'failed',
      'systemctl set-property vtepd@blue.service DeviceAllow="/dev/net/tun rw"',
    ],
    // Of what nobody thought of, no remedy is made up.
    [{ error: 'EIO' }, 'failed', null],
  ] as const)('%j: %s', (given, status, remedy) => {
    expect(checkTun({ ...facts, ...given })).toMatchObject({ check: 'tun', status, remedy });
  });
});

describe('capabilities', () => {
  const facts = { isRoot: true, netAdmin: true, isInUserNamespace: false, ownsNetwork: true, service: undefined };
  it.each([
    [{}, 'ok', null],
    [{ isRoot: false }, 'ok', null],
    [{ isInUserNamespace: true }, 'ok', null],
    [{ isInUserNamespace: true, ownsNetwork: false }, 'failed', null],
    [{ isRoot: false, netAdmin: false }, 'failed', 'sudo vtepctl doctor'],
    [{ netAdmin: false }, 'failed', container],
    [{ isRoot: false, netAdmin: false, service: 'vtepd.service' }, 'failed', 'systemctl edit vtepd.service'],
  ] as const)('%j: %s', (given, status, remedy) => {
    expect(checkCapabilities({ whose: 'vtepd', ...facts, ...given })).toMatchObject({
      object: 'vtepd',
      status,
      remedy,
    });
  });
});

describe('interface', () => {
  it.each([
    [{ isGone: false, up: true, carrier: true }, 'ok', null],
    [{ isGone: false, up: true, carrier: false }, 'failed', null],
    [{ isGone: false, up: false, carrier: false }, 'failed', 'ip link set eth0 up'],
    [{ isGone: true, up: false, carrier: false }, 'failed', null],
  ] as const)('%j: %s', (facts, status, remedy) => {
    const all = { name: 'eth0', portOf: undefined, downVrf: undefined, isNeeded: true, ...facts };
    expect(checkInterface(all)).toMatchObject({ object: 'eth0', status, remedy });
    // Unicast that leaves by others does not suffer.
    const other = status === 'ok' ? 'ok' : 'warning';
    expect(checkInterface({ ...all, isNeeded: false })).toMatchObject({ object: 'eth0', status: other, remedy });
  });

  it('names what it is a port of', () => {
    const up = { name: 'eth0', isGone: false, up: true, carrier: true, isNeeded: true };
    const port = { ...up, portOf: 'br0', downVrf: undefined };
    expect(checkInterface(port)).toMatchObject({ status: 'failed', remedy: '--dev br0' });
  });

  it('names its VRF where that is down, whatever way unicast goes: all ways are in it', () => {
    const up = { name: 'eth0', isGone: false, up: true, carrier: true, isNeeded: false };
    const inVrf = { ...up, portOf: undefined, downVrf: 'red' };
    expect(checkInterface(inVrf)).toMatchObject({ status: 'failed', remedy: 'ip link set red up' });
  });
});

describe('address', () => {
  const local = { address: '198.18.0.1' as IpAddress, prefixBits: 24 };
  const fit = { ...local, dev: 'eth0', isGlobal: true, isTentative: false, isDeprecated: false, isDuplicate: false };
  it.each([
    ['there', [fit], 'ok', null],
    ['on another interface', [{ ...fit, dev: 'lo', prefixBits: 32 }], 'ok', null],
    ['absent', [], 'failed', 'ip addr add 198.18.0.1/24 dev eth0'],
    ['tentative', [{ ...fit, isTentative: true }], 'warning', null],
    ['deprecated, of a router', [{ ...fit, isDeprecated: true, keeper: 'router' }], 'warning', null],
    ['a duplicate of a DHCP client', [{ ...fit, isDuplicate: true, keeper: 'other' }], 'failed', null],
    [
      'deprecated',
      [{ ...fit, isDeprecated: true }],
      'warning',
      'ip addr change 198.18.0.1/24 dev eth0 preferred_lft forever valid_lft forever',
    ],
    [
      'duplicate',
      [{ ...fit, isTentative: true, isDuplicate: true }],
      'failed',
      'ip addr del 198.18.0.1/24 dev eth0 && ip addr add 198.18.0.1/24 dev eth0',
    ],
  ] as const)('%s', (_what, addresses, status, remedy) => {
    expect(checkAddress('eth0', local, addresses)).toMatchObject({ object: '198.18.0.1', status, remedy });
  });
});

it.each(['router', 'other'] as const)('leaves an address that went to its keeper: %s', (keeper) => {
  const local = { address: '198.18.0.1' as IpAddress, prefixBits: 24, keeper };
  expect(checkAddress('eth0', local, [])).toMatchObject({ status: 'failed', remedy: null });
});

describe('mtu', () => {
  const tap: TapMtuFacts = {
    ...{ tap: 'vxlan100', ipLink: 'ip link', mtuBytes: 1450, limitBytes: 1450, dev: 'eth0', devMtuBytes: 1500 },
    ...{ bridge: 'br0', ports: [{ name: 'veth1', mtuBytes: 1450 }] },
  };
  const path = { vtep: '198.18.1.2' as IpAddress, mtuBytes: 1400, dev: 'eth0', devMtuBytes: 1500 };

  it('is ok where all fit', () => {
    expect(checkMtu([], [tap], [])).toEqual([ok('mtu', 'eth0 1500', 'vxlan100 1450')]);
  });

  it('fails where the underlay carries less than the TAP', () => {
    expect(checkMtu([], [{ ...tap, mtuBytes: 1500, ports: [] }], [])).toMatchObject([
      { object: 'vxlan100', status: 'failed', remedy: 'ip link set vxlan100 mtu 1450' },
    ]);
  });

  it.each([
    [1500, 'ok', null],
    [1600, 'ok', null],
    [1400, 'failed', 'ip link set eth0 mtu 1500'],
  ])('of an underlay that had 1500 and has %i: %s', (mtuBytes, status, remedy) => {
    expect(checkMtu([{ dev: 'eth0', mtuBytes, firstMtuBytes: 1500 }], [], [])).toMatchObject([{ status, remedy }]);
  });

  it('may be lower than it could be', () => {
    expect(checkMtu([], [{ ...tap, mtuBytes: 1400, ports: [] }], [])).toMatchObject([{ status: 'ok' }]);
  });

  it.each([1400, 1500])('warns of a bridge port of %i', (mtuBytes) => {
    expect(checkMtu([], [{ ...tap, ports: [{ name: 'veth1', mtuBytes }] }], [])).toMatchObject([
      { object: 'veth1', status: 'warning', remedy: 'ip link set veth1 mtu 1450' },
    ]);
  });

  it('says what the underlay needs for ports that are wider', () => {
    const [finding] = checkMtu([], [{ ...tap, ports: [{ name: 'veth1', mtuBytes: 1500 }] }], []);
    expect(finding?.message).toContain('or set MTU 1550 on eth0');
  });

  it('warns of a narrower path, unless the TAP fits it', () => {
    const taps = (mtuBytes: number) => [{ name: 'vxlan100', mtuBytes, limitBytes: 1350 }];
    expect(checkMtu([], [tap], [{ ...path, taps: taps(1450) }])).toMatchObject([
      { object: 'vxlan100', status: 'warning', remedy: 'ip link set vxlan100 mtu 1350' },
    ]);
    expect(checkMtu([], [tap], [{ ...path, taps: taps(1350) }])).toMatchObject([{ status: 'ok' }]);
    expect(checkMtu([], [tap], [{ ...path, mtuBytes: 1500, taps: taps(1450) }])).toMatchObject([{ status: 'ok' }]);
  });

  it.each([
    [
      '198.18.1.2',
      'set',
      'IPv4 without DF and frames that are not IP are lost: with --df inherit routers fragment them',
    ],
    ['198.18.1.2', 'inherit', 'routers fragment all other frames'],
    ['198.18.1.2', 'unset', undefined],
    ['fd00:18::2', 'set', 'IPv4 without DF and frames that are not IP are lost'],
    ['fd00:18::2', 'inherit', 'IPv4 without DF and frames that are not IP are lost'],
    ['fd00:18::2', 'unset', 'IPv4 without DF and frames that are not IP are lost'],
  ] as const)('of a path to %s with --df %s says what becomes of what has no DF: %s', (vtep, df, said) => {
    const taps = [{ name: 'vxlan100', mtuBytes: 1450, limitBytes: 1350 }];
    const [finding] = checkMtu([], [tap], [{ ...path, vtep: vtep as IpAddress, taps }], df);
    if (said === undefined) expect(finding?.status).toBe('ok');
    else
      expect(finding?.message).toMatch(new RegExp(`above 1350 IPv4 with DF and IPv6 are answered "too big", ${said}$`));
  });

  it.each([
    ['198.18.1.2', 'set', '--df unset', 1330],
    ['198.18.1.2', 'inherit', '--df unset', 1330],
    ['fd00:18::2', 'set', null, 1350],
    ['fd00:18::2', 'unset', null, 1350],
  ] as const)(
    'of a path to %s with --df %s that IPv6 does not fit: %s, and never an MTU that takes IPv6 away',
    (vtep, df, remedy, needed) => {
      const limitBytes = vtep.includes(':') ? 1230 : 1250;
      const taps = [{ name: 'vxlan100', mtuBytes: 1450, limitBytes }];
      const narrow = { ...path, vtep: vtep as IpAddress, mtuBytes: 1300, taps };
      const [finding] = checkMtu([], [tap], [narrow], df);
      expect(finding).toMatchObject({ status: 'warning', remedy });
      expect(finding?.message).toContain('also IPv6, which cannot be told less than 1280');
      expect(finding?.message).toContain(`raise the MTU of the path to ${needed}`);
    },
  );

  it.each([
    [1280, 'warning', 'ip link set eth0 mtu 1330'],
    [1500, 'failed', 'ip link set vxlan100 mtu 1280'],
  ])('of an underlay of 1300, and a TAP of %i: %s, and IPv6 stays', (mtuBytes, status, remedy) => {
    const narrow = { ...tap, mtuBytes, limitBytes: 1250, devMtuBytes: 1300, ports: [] };
    expect(checkMtu([], [narrow], [])).toMatchObject([{ object: 'vxlan100', status, remedy }]);
  });

  it('of an underlay that was lowered to 1300, names nothing but what undoes it', () => {
    const narrow = { ...tap, mtuBytes: 1280, limitBytes: 1250, devMtuBytes: 1300, ports: [] };
    const remedies = checkMtu([{ dev: 'eth0', mtuBytes: 1300, firstMtuBytes: 1500 }], [narrow], []).map(
      (each) => each.remedy,
    );
    expect(new Set(remedies)).toEqual(new Set(['ip link set eth0 mtu 1500']));
  });

  it('of a TAP that was given less than IPv6 needs, takes it from no port of the bridge', () => {
    const [finding] = checkMtu([], [{ ...tap, mtuBytes: 1200 }], []);
    expect(finding).toMatchObject({ object: 'veth1', status: 'warning', remedy: null });
  });
});

describe('port', () => {
  it('of a running daemon', () => {
    expect(checkOwnPort(4789, ['198.18.0.1'], [])).toMatchObject([{ status: 'ok' }]);
    expect(checkOwnPort(4789, ['198.18.0.1'], [{ name: 'vx', up: false }])).toMatchObject([
      { object: 'UDP 4789', status: 'ok', message: expect.stringContaining('vx needs it too'), remedy: null },
    ]);
  });

  it('of a daemon that is to be', () => {
    const none: PortHolders = { device: undefined, programs: [], sockets: [], suspects: [], sawAll: true };
    const sockets = [{ address: '0.0.0.0' as IpAddress, uid: 0, inode: 7 }];
    expect(checkFreePort(4789, none)).toMatchObject([{ status: 'ok' }]);
    const device = { name: 'vx', kind: 'vxlan' } as Link;
    expect(checkFreePort(4789, { ...none, sockets, device })).toMatchObject([
      { status: 'failed', remedy: 'ip link set vx down' },
    ]);
    expect(checkFreePort(4789, { ...none, sockets })).toMatchObject([{ status: 'failed', remedy: null }]);
  });
});

describe('findings of one check', () => {
  it('come worst first, and no more than are read', () => {
    const warnings = Array.from({ length: 40 }, (_, i) => warning('mtu', `veth${i}`, 'too wide'));
    const failure = { ...warning('mtu', 'vxlan1', 'too wide'), status: 'failed' as const };
    const shown = faultsOr([...warnings, failure], ok('mtu', '-', 'ok'));
    expect(shown).toHaveLength(17);
    expect(shown[0]).toEqual(failure);
    expect(shown[16]?.message).toBe('too wide (and 24 more)');
    expect(faultsOr(warnings.slice(0, 16), failure)).toHaveLength(16);
  });
});
