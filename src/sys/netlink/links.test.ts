import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MacAddress } from '../../lib/addresses.ts';
import { ERRNO, SysError } from '../sys-error.ts';
import { changeLink, findLink, linkEvents, listLinks, portEvents } from './links.ts';
import { attribute, message, type NetlinkMessage, splitMessages, uint32 } from './netlink-message.ts';
import { BARE_LINK } from './netlink-rig.ts';
import { NetlinkSocket } from './netlink-socket.ts';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_NEWADDR = 20;
const IFF_UP = 1;
const IFF_RUNNING = 0x40;

const isRoot = process.getuid?.() === 0;

/** An index that no interface has: they are given from 1 upwards. */
const NO_INDEX = 0x7fff_fff0;

const sysfs = (name: string, file: string): string => readFileSync(`/sys/class/net/${name}/${file}`, 'utf8').trim();

function openSockets(): number {
  let count = 0;
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')) count++;
    } catch {
      // The fd of the listing itself is closed by now.
    }
  }
  return count;
}

function errorOf(call: () => unknown): SysError {
  try {
    call();
  } catch (error) {
    if (error instanceof SysError) return error;
    throw error;
  }
  throw new Error('the kernel agreed');
}

let netlink: NetlinkSocket;

beforeEach(() => {
  netlink = new NetlinkSocket();
});

afterEach(() => netlink.close());

describe('listLinks', () => {
  it('tells of lo what sysfs tells', () => {
    const lo = listLinks(netlink).find(({ name }) => name === 'lo');
    expect(lo).toMatchObject({
      index: Number(sysfs('lo', 'ifindex')),
      mtuBytes: Number(sysfs('lo', 'mtu')),
      mac: sysfs('lo', 'address'),
      up: (Number(sysfs('lo', 'flags')) & IFF_UP) !== 0,
      group: Number(sysfs('lo', 'netdev_group')),
      master: 0,
      masterKind: '',
      kind: '',
      isTap: false,
      isMultiQueue: false,
      vxlanPort: 0,
    });
  });

  it('lists the interfaces that are there, each once', () => {
    const names = (): string[] =>
      readdirSync('/sys/class/net', { withFileTypes: true }).flatMap((one) => (one.isSymbolicLink() ? [one.name] : []));
    // Others may make and delete interfaces meanwhile.
    const before = names();
    const listed = listLinks(netlink).map(({ name }) => name);
    const after = names();
    expect(new Set(listed).size).toBe(listed.length);
    expect(listed).toEqual(expect.arrayContaining(before.filter((name) => after.includes(name))));
    expect([...before, ...after]).toEqual(expect.arrayContaining(listed));
  });
});

describe('findLink', () => {
  it('finds lo, as the list has it', () => {
    const listed = listLinks(netlink).find(({ name }) => name === 'lo');
    const found = findLink(netlink, 'lo');
    expect(found?.index).toBeGreaterThan(0);
    expect({ ...found, txDropped: 0 }).toEqual({ ...listed, txDropped: 0 });
  });

  it.each(['vtepd-none', 'vtepd-none-15ch', 'Lo'])('answers undefined to the unknown name %j', (name) => {
    expect(findLink(netlink, name)).toBeUndefined();
  });

  it('throws about a name longer than the kernel takes', () => {
    const error = errorOf(() => findLink(netlink, 'vtepd-16-chars--'));
    expect(error.message).toMatch(/^vtepd-16-chars--: E/);
  });

  it('finds lo by its index too, and nothing by an index that no interface has', () => {
    expect(findLink(netlink, findLink(netlink, 'lo')?.index ?? 0)?.name).toBe('lo');
    expect(findLink(netlink, NO_INDEX)).toBeUndefined();
  });

  it('answers the next question after one that failed', () => {
    for (let i = 0; i < 3; i++) {
      expect(findLink(netlink, 'vtepd-none')).toBeUndefined();
      expect(findLink(netlink, 'lo')?.name).toBe('lo');
    }
  });
});

describe('changeLink', () => {
  const mac = '02:00:00:00:00:01' as MacAddress;

  it.skipIf(!isRoot).each([
    ['mtuBytes', { mtuBytes: 1500 }],
    ['mac', { mac }],
    ['up', { up: true }],
    ['down', { up: false }],
    ['group', { group: 7 }],
    ['master', { master: 1 }],
  ])('throws ENODEV about the object, for %s of an interface that does not exist', (_what, change) => {
    const error = errorOf(() => changeLink(netlink, NO_INDEX, change, 'TAP "vxlan100"'));
    expect(error.errno).toBe(ERRNO.ENODEV);
    expect(error.message).toBe('TAP "vxlan100": ENODEV (no such device): name an interface that exists');
  });
});

describe('NetlinkSocket', () => {
  it('throws what the kernel says about the object to a request it does not know, and goes on', () => {
    expect(errorOf(() => netlink.change(0xfff0, [uint32(0)], 'something')).message).toMatch(/^something: E/);
    expect(findLink(netlink, 'lo')?.name).toBe('lo');
  });

  it('leaves no socket open', () => {
    const before = openSockets();
    const other = new NetlinkSocket();
    expect(openSockets()).toBe(before + 1);
    other.close();
    expect(openSockets()).toBe(before);
  });
});

describe('linkEvents', () => {
  const IFLA_ADDRESS = 1;
  const IFLA_IFNAME = 3;
  const IFLA_MTU = 4;
  const IFLA_MASTER = 10;
  const IFLA_LINKINFO = 18;
  const IFLA_STATS64 = 23;
  const IFLA_GROUP = 27;
  const IFLA_CARRIER = 33;
  const NESTED = 0x8000;

  function ifinfomsg(index: number, flags: number): Buffer {
    return Buffer.concat([uint32(0), uint32(index), uint32(flags), uint32(0)]);
  }

  function linkInfo(kind: string, ...data: readonly Buffer[]): Buffer {
    const parts = [attribute(1, Buffer.from(`${kind}\0`)), attribute(2 | NESTED, Buffer.concat(data))];
    return attribute(IFLA_LINKINFO | NESTED, Buffer.concat(parts));
  }

  function received(type: number, ...parts: readonly Buffer[]): NetlinkMessage[] {
    return [...splitMessages(message(type, 0, 0, parts))];
  }

  function only(type: number, ...parts: readonly Buffer[]) {
    const events = linkEvents(received(type, ...parts));
    expect(events).toHaveLength(1);
    return events[0];
  }

  const stats = Buffer.alloc(192);
  stats.writeBigUInt64LE(123n, 56);

  it('reads every field of a TAP', () => {
    const event = only(
      RTM_NEWLINK,
      ifinfomsg(42, IFF_UP | IFF_RUNNING),
      attribute(IFLA_IFNAME, Buffer.from('vxlan100\0')),
      attribute(IFLA_ADDRESS, Buffer.from('02aabbccddee', 'hex')),
      attribute(IFLA_MTU, uint32(1450)),
      attribute(IFLA_MASTER, uint32(9)),
      attribute(IFLA_GROUP, uint32(4789)),
      attribute(20, Buffer.from('vtepd /var/lib/vtepd\0')),
      attribute(IFLA_CARRIER, Buffer.from([1])),
      attribute(IFLA_STATS64, stats),
      linkInfo('tun', attribute(3, Buffer.from([2])), attribute(7, Buffer.from([1]))),
    );
    expect(event).toEqual({
      deleted: false,
      link: {
        index: 42,
        name: 'vxlan100',
        mtuBytes: 1450,
        mac: '02:aa:bb:cc:dd:ee',
        alias: 'vtepd /var/lib/vtepd',
        up: true,
        carrier: true,
        group: 4789,
        master: 9,
        lower: 0,
        masterKind: '',
        kind: 'tun',
        isTap: true,
        isMultiQueue: true,
        vxlanPort: 0,
        vxlanFamilies: [],
        isFromAbroad: false,
        txDropped: 123,
      },
    });
  });

  it.each(['bridge', 'bond', 'team', 'vrf', 'openvswitch'])('says that it is a part of a %s', (kind) => {
    const IFLA_INFO_SLAVE_KIND = 4;
    const info = linkInfo('veth', attribute(1, Buffer.alloc(4)));
    const slave = attribute(
      18,
      Buffer.concat([info.subarray(4), attribute(IFLA_INFO_SLAVE_KIND, Buffer.from(`${kind}\0`))]),
    );
    const event = only(RTM_NEWLINK, ifinfomsg(2, IFF_UP), attribute(10, uint32(7)), slave);
    expect(event?.link).toMatchObject({ master: 7, masterKind: kind, kind: 'veth' });
  });

  it('knows a TUN from a TAP', () => {
    const event = only(RTM_NEWLINK, ifinfomsg(1, 0), linkInfo('tun', attribute(3, Buffer.from([1]))));
    expect(event?.link).toMatchObject({ kind: 'tun', isTap: false, isMultiQueue: false });
  });

  it('reads the port of a kernel vxlan device in network order', () => {
    const event = only(RTM_NEWLINK, ifinfomsg(1, IFF_UP), linkInfo('vxlan', attribute(15, Buffer.from('12b5', 'hex'))));
    expect(event?.link).toMatchObject({ kind: 'vxlan', vxlanPort: 4789, vxlanFamilies: [4], isTap: false });
  });

  it.each([
    ['a local IPv4 address', attribute(4, Buffer.alloc(4, 1)), [4]],
    ['an IPv6 group', attribute(16, Buffer.alloc(16, 1)), [6]],
    ['a local IPv6 address', attribute(17, Buffer.alloc(16, 1)), [6]],
    ['metadata of the flow', attribute(25, Buffer.from([1])), [4, 6]],
  ])('tells by %s in which families a vxlan device has its port', (_name, given, vxlanFamilies) => {
    const event = only(RTM_NEWLINK, ifinfomsg(1, IFF_UP), linkInfo('vxlan', given));
    expect(event?.link).toMatchObject({ vxlanFamilies });
  });

  it('takes no port from an attribute of another kind of device', () => {
    const event = only(
      RTM_NEWLINK,
      ifinfomsg(1, IFF_UP),
      linkInfo('geneve', attribute(15, Buffer.from('12b5', 'hex'))),
    );
    expect(event?.link).toMatchObject({ kind: 'geneve', vxlanPort: 0 });
  });

  it.each([
    ['vlan', [], 7],
    ['macvlan', [], 7],
    // Its number is of another network namespace.
    ['macvlan', [attribute(37, uint32(0))], 0],
    // It names its other end.
    ['veth', [], 0],
  ] as const)('of a %s, %j: it is stacked on %i', (kind, more, lower) => {
    const event = only(RTM_NEWLINK, ifinfomsg(8, IFF_UP), attribute(5, uint32(7)), linkInfo(kind), ...more);
    expect(event?.link.lower).toBe(lower);
  });

  it('is down and bare where the kernel says nothing', () => {
    expect(only(RTM_NEWLINK, ifinfomsg(3, IFF_RUNNING))?.link).toEqual({ ...BARE_LINK, index: 3 });
  });

  it('tells deletions from changes, in order, and passes over other messages', () => {
    const name = (text: string) => attribute(IFLA_IFNAME, Buffer.from(`${text}\0`));
    const events = linkEvents([
      ...received(RTM_NEWLINK, ifinfomsg(5, 0), name('a')),
      ...received(RTM_NEWADDR, ifinfomsg(6, 0), name('b')),
      ...received(RTM_DELLINK, ifinfomsg(7, 0), name('c')),
      ...received(RTM_NEWLINK, ifinfomsg(8, 0), name('d')),
    ]);
    expect(events.map(({ link, deleted }) => [link.index, link.name, deleted])).toEqual([
      [5, 'a', false],
      [7, 'c', true],
      [8, 'd', false],
    ]);
  });

  it('passes over a port that leaves its bridge, which the kernel tells as a link of the bridge family deleted', () => {
    const AF_BRIDGE = 7;
    const port = Buffer.concat([uint32(AF_BRIDGE), uint32(5), uint32(IFF_UP), uint32(0)]);
    expect(linkEvents(received(RTM_DELLINK, port, attribute(IFLA_IFNAME, Buffer.from('a\0'))))).toEqual([]);
  });

  it('reads the state of a bridge port, and the spanning tree of a bridge', () => {
    const info = (kind: string, data: number, ...parts: Buffer[]) =>
      attribute(
        IFLA_LINKINFO | NESTED,
        Buffer.concat([
          attribute(data === 5 ? 4 : 1, Buffer.from(`${kind}\0`)),
          attribute(data | NESTED, Buffer.concat(parts)),
        ]),
      );
    const state = attribute(1, Buffer.from([2]));
    expect(only(RTM_NEWLINK, ifinfomsg(42, IFF_UP), info('bridge', 5, state))?.link).toMatchObject({
      portState: 'learning',
    });
    // A bond has states of its own.
    expect(only(RTM_NEWLINK, ifinfomsg(42, IFF_UP), info('bond', 5, state))?.link.portState).toBeUndefined();
    const [own, other] = [Buffer.from('8000020000000001', 'hex'), Buffer.from('1000020000000002', 'hex')];
    for (const [root, isRoot] of [
      [own, true],
      [other, false],
    ] as const) {
      const tree = [attribute(1, uint32(500)), attribute(5, uint32(1)), attribute(10, root), attribute(11, own)];
      expect(only(RTM_NEWLINK, ifinfomsg(9, IFF_UP), info('bridge', 2, ...tree))?.link.spanningTree).toEqual({
        isOn: true,
        isRoot,
        forwardDelaySeconds: 5,
      });
    }
  });

  it('tells of ports that their bridge has go on, and of nothing else', () => {
    const AF_BRIDGE = Buffer.from([7]);
    const port = Buffer.concat([AF_BRIDGE, ifinfomsg(42, IFF_UP).subarray(1)]);
    const protinfo = (state: number) => attribute(12 | NESTED, attribute(1, Buffer.from([state])));
    expect(portEvents(received(RTM_NEWLINK, port, protinfo(3)))).toEqual([{ index: 42, state: 'forwarding' }]);
    expect(portEvents(received(RTM_NEWLINK, port, protinfo(9)))).toEqual([]);
    expect(portEvents(received(RTM_NEWLINK, port))).toEqual([]);
    expect(portEvents(received(RTM_DELLINK, port, protinfo(3)))).toEqual([]);
    expect(portEvents(received(RTM_NEWLINK, ifinfomsg(42, IFF_UP), protinfo(3)))).toEqual([]);
    for (let length = 0; length < port.length; length++) {
      expect(portEvents(received(RTM_NEWLINK, port.subarray(0, length)))).toEqual([]);
    }
  });

  it('passes over a link message shorter than its fixed part, and reads the rest cut at every length', () => {
    const whole = Buffer.concat([ifinfomsg(5, IFF_UP), attribute(IFLA_IFNAME, Buffer.from('a\0')), linkInfo('bridge')]);
    for (let length = 0; length <= whole.length; length++) {
      const events = linkEvents(received(RTM_NEWLINK, whole.subarray(0, length)));
      expect(
        events.map(({ link }) => link.index),
        `cut at ${length}`,
      ).toEqual(length < 16 ? [] : [5]);
    }
  });
});
