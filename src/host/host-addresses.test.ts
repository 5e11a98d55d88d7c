/** The host's addresses, from one list and the events after it. */
import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../lib/addresses.ts';
import type { HostAddress } from '../sys/netlink/addresses.ts';
import type { Link } from '../sys/netlink/links.ts';
import type { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import { HostAddresses } from './host-addresses.ts';
import { OwnAddresses } from './underlay/own-addresses.ts';
import type { Underlay } from './underlay/underlay.ts';

const ETH0 = 2;
const ETH1 = 3;

/** A kernel that has no addresses but those that events tell of. */
const EMPTY = { query: () => [] } as unknown as NetlinkSocket;

const ip = (text: string) => text as IpAddress;

function address(text: string, differs: Partial<HostAddress> = {}): HostAddress {
  return {
    ...{ address: ip(text), index: ETH0, prefixBits: text.includes(':') ? 64 : 24, isGlobal: true },
    ...{ isTemporary: false, isDeprecated: false, isTentative: false, isDuplicate: false },
    ...differs,
  };
}

function host(...present: HostAddress[]): HostAddresses {
  const addresses = new HostAddresses(EMPTY);
  for (const each of present) addresses.take({ address: each, deleted: false });
  return addresses;
}

it('an address is own while it is on some interface', () => {
  const addresses = host(address('198.18.0.9'), address('198.18.0.9', { index: ETH1, prefixBits: 32 }));
  addresses.take({ address: address('198.18.0.9'), deleted: true });
  expect(addresses.has(ip('198.18.0.9'))).toBe(true);
  addresses.take({ address: address('198.18.0.9', { index: ETH1, prefixBits: 32 }), deleted: true });
  expect(addresses.has(ip('198.18.0.9'))).toBe(false);
});

it('one whose prefix is changed by adding the other first stays', () => {
  const addresses = host(address('198.18.0.9'), address('198.18.0.9', { prefixBits: 16 }));
  addresses.take({ address: address('198.18.0.9'), deleted: true });
  expect(addresses.find(ip('198.18.0.9'))?.prefixBits).toBe(16);
});

it.each([{ isTentative: true }, { isTentative: true, isDuplicate: true }])(
  'one that is %j is nobody’s own',
  (state) => {
    const addresses = host(address('fd00:18::1', state));
    expect(addresses.has(ip('fd00:18::1'))).toBe(false);
    expect(addresses.find(ip('fd00:18::1'))).toMatchObject(state);
    addresses.take({ address: address('fd00:18::1'), deleted: false });
    expect(addresses.has(ip('fd00:18::1'))).toBe(true);
  },
);

it('keeps the kernel’s order: a further IPv4 address is the last, a further IPv6 address the first', () => {
  const order = (...texts: string[]) =>
    host(...texts.map((text) => address(text)))
      .on(ETH0)
      .map((each) => each.address);
  expect(order('198.18.0.1', '198.18.0.2')).toEqual(['198.18.0.1', '198.18.0.2']);
  expect(order('fd00:18::1', 'fd00:18::2')).toEqual(['fd00:18::2', 'fd00:18::1']);
});

it('an address that is told again stays where it is in that order', () => {
  const addresses = host(address('198.18.0.1'), address('198.18.0.2'));
  addresses.take({ address: address('198.18.0.1', { isDeprecated: true }), deleted: false });
  expect(addresses.on(ETH0).map((each) => each.address)).toEqual(['198.18.0.1', '198.18.0.2']);
});

it('a list that lacks what was there takes it away', () => {
  const addresses = host(address('198.18.0.1'));
  addresses.takeTouched();
  addresses.list([]);
  expect([addresses.has(ip('198.18.0.1')), addresses.takeTouched().has(ip('198.18.0.1'))]).toEqual([false, true]);
});

it('changes of own addresses are told once, and not what came and went in between', () => {
  const addresses = host(address('198.18.0.1'));
  const own = new OwnAddresses('any', addresses, []);
  expect(own.takeChanges().own).toEqual({ added: ['198.18.0.1'], removed: [] });
  for (const deleted of [false, true]) addresses.take({ address: address('198.18.0.50'), deleted });
  addresses.take({ address: address('198.18.0.1'), deleted: true });
  expect(own.takeChanges().own).toEqual({ added: [], removed: ['198.18.0.1'] });
  expect(own.takeChanges().own).toEqual({ added: [], removed: [] });
});

it('with --listen local those alone are own that are sent from', () => {
  const underlays = [{ source: { address: ip('198.18.0.1') } }] as unknown as { source: unknown }[];
  const own = new OwnAddresses('local', host(address('198.18.0.1'), address('198.18.0.2')), underlays as Underlay[]);
  expect([own.has(ip('198.18.0.1')), own.has(ip('198.18.0.2'))]).toEqual([true, false]);
  expect(own.takeChanges().own).toEqual({ added: ['198.18.0.1'], removed: [] });
  underlays.pop();
  expect(own.takeChanges().own).toEqual({ added: [], removed: ['198.18.0.1'] });
});

it('broadcast addresses are those of the IPv4 prefixes that the host is in, of one and two hosts aside', () => {
  const [first, second] = [address('198.18.0.1'), address('198.18.0.2')];
  const addresses = host(
    first,
    second,
    address('192.0.2.1', { prefixBits: 31 }),
    address('203.0.113.9', { prefixBits: 29 }),
  );
  const own = new OwnAddresses('any', addresses, []);
  expect(own.takeChanges().broadcasts).toEqual({ added: ['198.18.0.255', '203.0.113.15'], removed: [] });
  addresses.take({ address: first, deleted: true });
  expect(own.takeChanges().broadcasts).toEqual({ added: [], removed: [] });
  addresses.take({ address: second, deleted: true });
  expect(own.takeChanges().broadcasts).toEqual({ added: [], removed: ['198.18.0.255'] });
  expect(own.toldBroadcasts).toEqual(['203.0.113.15']);
});

describe('in VRFs', () => {
  const [RED, ETH2] = [9, 4];
  const link = (index: number, master: number) =>
    ({ index, kind: index === RED ? 'vrf' : '', master, masterKind: master === 0 ? '' : 'vrf' }) as Link;
  const enslave = (addresses: HostAddresses, index: number, master: number) =>
    addresses.takeLink({ link: link(index, master), deleted: false });

  it('an address is own in its VRF alone, whatever else is on the host, and after each change of it', () => {
    const addresses = host(address('198.18.0.1'), address('198.18.0.1', { index: ETH1 }));
    enslave(addresses, ETH0, RED);
    const inVrf = () => [0, RED].map((vrf) => addresses.has(ip('198.18.0.1'), vrf));
    expect(inVrf()).toEqual([true, true]);
    addresses.take({ address: address('198.18.0.1', { index: ETH1 }), deleted: true });
    expect(inVrf()).toEqual([false, true]);
    expect([addresses.find(ip('198.18.0.1')), addresses.isAnywhere(ip('198.18.0.1'))]).toEqual([undefined, true]);
    enslave(addresses, ETH0, 0);
    expect(inVrf()).toEqual([true, false]);
  });

  it('those of the VRF itself are in it, and those of a link that was deleted in none', () => {
    const addresses = host(address('192.0.2.9', { index: RED, prefixBits: 32 }), address('198.18.0.1'));
    addresses.list([link(RED, 0), link(ETH0, RED)]);
    expect(addresses.has(ip('192.0.2.9'), RED)).toBe(false);
    addresses.take({ address: address('192.0.2.9', { index: RED, prefixBits: 32 }), deleted: false });
    addresses.take({ address: address('198.18.0.1'), deleted: false });
    expect([addresses.has(ip('192.0.2.9'), RED), addresses.has(ip('198.18.0.1'), RED)]).toEqual([true, true]);
    addresses.takeLink({ link: link(ETH0, RED), deleted: true });
    expect([addresses.has(ip('198.18.0.1'), RED), addresses.has(ip('198.18.0.1'))]).toEqual([false, true]);
  });

  it('a peer may have an address, or a broadcast address, of another VRF; all is told anew where the underlay moves', () => {
    const addresses = host(address('198.18.0.1'), address('198.18.1.1', { index: ETH1 }));
    enslave(addresses, ETH0, RED);
    addresses.take({ address: address('203.0.113.1', { index: ETH2 }), deleted: false });
    const underlay = { vrf: { index: RED }, source: undefined } as { vrf: unknown; source: undefined };
    const own = new OwnAddresses('any', addresses, [underlay as unknown as Underlay]);
    expect(own.takeChanges()).toEqual({
      own: { added: ['198.18.0.1'], removed: [] },
      broadcasts: { added: ['198.18.0.255'], removed: [] },
    });
    underlay.vrf = undefined;
    expect(own.takeChanges()).toEqual({
      own: { added: ['198.18.1.1', '203.0.113.1'], removed: ['198.18.0.1'] },
      broadcasts: { added: ['198.18.1.255', '203.0.113.255'], removed: ['198.18.0.255'] },
    });
    enslave(addresses, ETH0, 0);
    expect(own.takeChanges()).toEqual({
      own: { added: ['198.18.0.1'], removed: [] },
      broadcasts: { added: ['198.18.0.255'], removed: [] },
    });
  });
});

it('says that the host has more than it knows, and when to list them again', () => {
  const addresses = new HostAddresses(EMPTY, 10);
  const all = Array.from({ length: 11 }, (_, i) => address(`198.18.0.${i + 1}`));
  for (const each of all) addresses.take({ address: each, deleted: false });
  expect([addresses.count, addresses.isCut, addresses.hasRoomAgain]).toEqual([10, true, false]);
  for (const each of all.slice(0, 2)) addresses.take({ address: each, deleted: true });
  expect([addresses.count, addresses.isCut, addresses.hasRoomAgain]).toEqual([8, true, true]);
  addresses.list([]);
  expect([addresses.count, addresses.isCut, addresses.hasRoomAgain]).toEqual([0, false, false]);
});
