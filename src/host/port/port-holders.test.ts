import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import type { Link } from '../../sys/netlink/links.ts';
import {
  adviceOn,
  clashing,
  describeHolders,
  holdsPort,
  type PortHolders,
  programName,
  readUdpSockets,
} from './port-holders.ts';
import { deviceRemedy, likelyOwner } from './port-owners.ts';

const NONE: PortHolders = { device: undefined, programs: [], sockets: [], suspects: [], sawAll: true };
const socket = { address: '0.0.0.0' as IpAddress, uid: 0, inode: 7 };
const device = (kind: string, name: string) => ({ kind, name }) as Link;

describe('who has a port', () => {
  it.each([
    ['a device that was seen', { device: device('vxlan', 'vx0') }, "the kernel's vxlan device vx0 holds UDP port 4789"],
    [
      'programs that were seen',
      {
        programs: [
          { pid: 7, name: 'node' },
          { pid: 8, name: 'nc' },
        ],
      },
      'node (pid 7) and nc (pid 8) hold UDP port 4789',
    ],
    [
      'a socket of root that no process has',
      { sockets: [socket] },
      'a socket of user 0 on 0.0.0.0 holds UDP port 4789, and its owner cannot be seen from here: perhaps a tunnel device of the kernel ' +
        'that was made in this network namespace and then moved to another (such as those of Docker overlay networks), or a program in another PID namespace',
    ],
    [
      'one beside a device whose port cannot be seen',
      { sockets: [socket], suspects: [device('wireguard', 'wg0')] },
      "a socket of user 0 on 0.0.0.0 holds UDP port 4789, and its owner cannot be seen from here: perhaps the kernel's wireguard device wg0, " +
        'or a tunnel device of the kernel that was made in this network namespace and then moved to another (such as those of Docker overlay networks), or a program in another PID namespace',
    ],
    [
      'one where not all processes may be looked at',
      { sockets: [{ ...socket, uid: 1000 }], sawAll: false },
      'a socket of user 1000 on 0.0.0.0 holds UDP port 4789, and its owner cannot be seen from here: perhaps another program, perhaps a second vtepd',
    ],
  ] as [string, Partial<PortHolders>, string][])('%s', (_what, holders, text) => {
    expect(describeHolders({ ...NONE, ...holders }, 4789)).toBe(text);
  });

  it('is told how to go on', () => {
    expect(adviceOn({ ...NONE, device: device('vxlan', 'vx0') }, 4789)).toContain('`ip link set vx0 down`');
    expect(adviceOn({ ...NONE, sockets: [socket], sawAll: false }, 4789)).toContain('`ss -ulnp sport = :4789` as root');
    expect(adviceOn({ ...NONE, sockets: [socket] }, 4789)).not.toContain('ss -ulnp');
  });
});

it.each([
  [{}, [4] as const, true],
  [{ isFromAbroad: true }, [4] as const, false],
  [{}, [6] as const, false],
  [{ vxlanPort: 8472 }, [4] as const, false],
])('a vxlan device %j with its port in %j: %s', (given, families, expected) => {
  const link = { vxlanPort: 4789, vxlanFamilies: [4], isFromAbroad: false, ...given } as unknown as Link;
  expect(holdsPort(link, 4789, families)).toBe(expected);
});

describe('whose socket is in the way', () => {
  const at = (...addresses: string[]) =>
    addresses.map((address) => ({ address: address as IpAddress, uid: 0, inode: 1 }));
  it.each([
    [[4], undefined, at('0.0.0.0', '198.18.0.1', '::'), at('0.0.0.0', '198.18.0.1')],
    [[4], '198.18.0.1', at('198.18.0.1', '198.18.0.2', 'fd00::1'), at('198.18.0.1')],
    [[4], '198.18.0.1', at('0.0.0.0', '198.18.0.2'), at('0.0.0.0')],
    [[4], '198.18.0.1', at('::', '198.18.0.2'), at('::')],
    [[6], 'fd00::1', at('0.0.0.0', 'fd00::2', '::', 'fd00::1'), at('::', 'fd00::1')],
    [[4, 6], undefined, at('198.18.0.2', 'fd00::2'), at('198.18.0.2', 'fd00::2')],
  ] as const)('of families %j, at %s: of %j %j', (families, local, sockets, expected) => {
    expect(clashing(sockets, { port: 4789, families, local: local as IpAddress | undefined })).toEqual(expected);
  });
});

describe('a device whose name tells of its owner', () => {
  it.each([
    [
      'vxlan_sys_4789',
      'Open vSwitch',
      'options:dst_port',
      'ovs-vsctl --columns=name,options find interface type=vxlan',
    ],
    ['flannel.1', 'flannel', 'net-conf.json', null],
    ['cilium_vxlan', 'Cilium', 'tunnel-port', null],
    ['vxlan.calico', 'Calico', 'vxlanPort', null],
  ])('%s: %s', (name, program, advice, remedy) => {
    const holders = { ...NONE, device: device('vxlan', name) };
    expect(describeHolders(holders, 4789)).toBe(
      `the kernel's vxlan device ${name} holds UDP port 4789 (by its name most likely of ${program})`,
    );
    expect(adviceOn(holders, 4789)).toContain(advice);
    expect(adviceOn(holders, 4789)).not.toContain('ip link set');
    expect(deviceRemedy(device('vxlan', name))).toBe(remedy);
  });

  it.each(['vxlan_sys', 'xflannel.1', 'vxlan100'])('%s tells of nobody', (name) => {
    expect(likelyOwner(device('vxlan', name))).toBe('');
  });
});

it('reads /proc/net/udp', () => {
  const text = [
    '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops',
    ' 7507: 010012C6:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 291004 2 00000000c3fad1ff 0',
    ' 7508: 00000000000000000000000000000000:12B5 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3 2 0 0',
    ' 7509: 00000000:12B6 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4 2 0 0',
  ].join('\n');
  expect(readUdpSockets(text, 4789)).toEqual([
    { address: '198.18.0.1', uid: 1000, inode: 291004 },
    { address: '::', uid: 0, inode: 3 },
  ]);
});

it.each([
  ['/usr/bin/node\0--enable-source-maps\0/usr/bin/vtepd\0--dev\0eth0\0', 'vtepd'],
  ['/usr/sbin/ovs-vswitchd\0unix:x\0', 'ovs-vswitchd'],
  ['python3\0-u\0/x/y.py\0', 'y.py'],
  ['bash\0', 'bash'],
])('the program of %j is %s', (cmdline, name) => {
  expect(programName(cmdline)).toBe(name);
});
