/** Netlink messages that are cut or wrong: each reader takes them, or throws the error that the watch of the host knows, and ends. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type IpAddress, parseIp } from '../../lib/addresses.ts';
import { ERRNO, SysError } from '../sys-error.ts';
import { addressEvents, listAddresses } from './addresses.ts';
import { findLink, linkEvents, listLinks, portEvents } from './links.ts';
import { namespaceId } from './net-namespace.ts';
import { attribute, message, type NetlinkMessage, splitMessages, uint32 } from './netlink-message.ts';
import { RECORDED } from './netlink-rig.ts';
import type { NetlinkSocket } from './netlink-socket.ts';
import { hasRefusingRules, packetHooks } from './packet-hooks.ts';
import { findRoute, isLocalAddress } from './routes.ts';

const DESTINATION = parseIp('198.18.2.2') as IpAddress;
const HEADER_BYTES = 16;

/** eth0.5 on interface 3, and the number of a network namespace. */
const BUILT = [
  message(16, 0, 1, [
    Buffer.alloc(16),
    attribute(5, uint32(3)),
    attribute(18, Buffer.concat([attribute(1, Buffer.from('vlan\0'))])),
  ]),
  message(88, 0, 1, [Buffer.alloc(4), attribute(1, uint32(5))]),
];

const octetsOf = (name: keyof typeof RECORDED) => Buffer.from(RECORDED[name], 'base64');
const ALL = [...(Object.keys(RECORDED) as (keyof typeof RECORDED)[]).map(octetsOf), ...BUILT];

/** A socket that answers every request with these messages. */
function answering(messages: readonly NetlinkMessage[]): NetlinkSocket {
  return { query: () => messages, change: () => {} } as unknown as NetlinkSocket;
}

const recorded = (...names: (keyof typeof RECORDED)[]) => names.flatMap((name) => [...splitMessages(octetsOf(name))]);

type Reader = (messages: readonly NetlinkMessage[]) => unknown;

/** What was heard unasked: a cut message is left out. */
const EVENT_READERS: Readonly<Record<string, Reader>> = { linkEvents, portEvents, addressEvents };

const ANSWER_READERS: Readonly<Record<string, Reader>> = {
  listLinks: (messages) => listLinks(answering(messages)),
  findLink: (messages) => findLink(answering(messages), 3),
  listAddresses: (messages) => listAddresses(answering(messages)),
  findRoute: (messages) => findRoute(answering(messages), DESTINATION),
  isLocalAddress: (messages) => isLocalAddress(answering(messages), DESTINATION),
  hasRefusingRules: (messages) => hasRefusingRules(answering(messages)),
  packetHooks: (messages) => packetHooks(answering(messages), { index: 3, name: 'eth0' }),
  namespaceId: (messages) => namespaceId(answering(messages), 0),
};

/** Octets changed at a place that is a fraction of the length: one, or the four of a length and type. */
const change = fc.tuple(
  fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 1 }), fc.uint8Array({ minLength: 4, maxLength: 4 })),
  fc.boolean(),
);

function changed(octets: Buffer, changes: readonly [number, Uint8Array, boolean][]): Buffer {
  const copy = Buffer.from(octets);
  for (const [where, value, isAligned] of changes) {
    const at = Math.floor(where * copy.length) & (isAligned ? ~3 : ~0);
    copy.set(value.subarray(0, copy.length - at), at);
  }
  return copy;
}

/** Messages whose payload was changed or cut, so that each is read as what it says it is. */
const hostileMessage = fc
  .tuple(fc.constantFrom(...ALL), fc.array(change, { maxLength: 4 }), fc.option(fc.nat(1_000)))
  .map(([octets, changes, cut]): NetlinkMessage[] => {
    const payload = changed(octets.subarray(HEADER_BYTES), changes);
    return [{ type: octets.readUInt16LE(4), flags: 0, sequence: 1, payload: payload.subarray(0, cut ?? undefined) }];
  });

/** Likewise, but the header is changed too: what is read is what is left of it. */
const hostileDatagram = fc
  .tuple(fc.array(fc.constantFrom(...ALL), { minLength: 1, maxLength: 3 }), fc.array(change, { maxLength: 6 }))
  .map(([datagram, changes]) => [...splitMessages(changed(Buffer.concat(datagram), changes))]);

/** More than any reader needs for what is read here: a loop without end could not be stopped. */
const MAX_READS = 20_000;
let reads = 0;

beforeEach(() => {
  const { readUInt16LE } = Buffer.prototype;
  vi.spyOn(Buffer.prototype, 'readUInt16LE').mockImplementation(function (this: Buffer, offset) {
    if (++reads > MAX_READS) throw new Error('it reads without end');
    return readUInt16LE.call(this, offset);
  });
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** What the reader throws, if it does. */
function thrownBy(reader: Reader, messages: readonly NetlinkMessage[]): unknown {
  reads = 0;
  try {
    reader(messages);
    return undefined;
  } catch (error) {
    return error;
  }
}

function expectRefused(name: string, error: unknown): void {
  if (error === undefined) return;
  expect(error, name).toBeInstanceOf(SysError);
  // A namespace without a number is not one that is malformed.
  expect([ERRNO.EBADMSG, ERRNO.ENOENT]).toContain((error as SysError).errno);
}

describe('whole', () => {
  it('each is read as what it is', () => {
    expect(linkEvents(recorded('bridge', 'port', 'tap', 'vxlan')).map(({ link }) => link)).toMatchObject([
      { name: 'br0', kind: 'bridge', spanningTree: { isOn: true, forwardDelaySeconds: 15 } },
      { name: 'eth1', kind: 'veth', masterKind: 'bridge', portState: expect.any(String) },
      { name: 'vxlan100', alias: 'vtepd', isTap: true, isMultiQueue: true },
      { name: 'vx6', kind: 'vxlan', vxlanPort: 4789, vxlanFamilies: [6] },
    ]);
    expect(portEvents(recorded('portState'))).toHaveLength(1);
    expect(addressEvents(recorded('address4', 'address6')).map(({ address }) => address.address)).toEqual([
      '198.18.0.1',
      'fd00::1',
    ]);
    for (const name of ['route4', 'route6'] as const) {
      expect(findRoute(answering(recorded(name)), DESTINATION)).toMatchObject({ isRouted: true, mtuBytes: 1_400 });
    }
    expect(hasRefusingRules(answering(recorded('rule')))).toBe(false);
    expect(hasRefusingRules(answering(recorded('rule', 'refusingRule')))).toBe(true);
    expect(linkEvents([...splitMessages(BUILT[0] as Buffer)])[0]?.link).toMatchObject({ kind: 'vlan', lower: 3 });
    expect(namespaceId(answering([...splitMessages(BUILT[1] as Buffer)]), 0)).toBe(5);
  });
});

describe('cut at every length, or with an attribute that has no value', () => {
  it.each(Object.entries({ ...EVENT_READERS, ...ANSWER_READERS }))(
    '%s throws only what says that the answer is malformed',
    (name, reader) => {
      for (const octets of ALL) {
        const type = octets.readUInt16LE(4);
        const payload = octets.subarray(HEADER_BYTES);
        for (let length = 0; length <= payload.length; length++) {
          const cut = { type, flags: 0, sequence: 1, payload: payload.subarray(0, length) };
          expectRefused(name, thrownBy(reader, [cut]));
          if (length % 4 !== 0 || length + 4 > payload.length) continue;
          // Where a length of an attribute is, it becomes that of one without a value.
          const short = Buffer.from(payload);
          short.writeUInt16LE(4, length);
          expectRefused(name, thrownBy(reader, [{ ...cut, payload: short }]));
        }
      }
    },
  );
});

describe('changed at random', () => {
  it.each(Object.entries(EVENT_READERS))('%s throws nothing', (_name, reader) => {
    fc.assert(
      fc.property(fc.oneof(hostileMessage, hostileDatagram), (messages) => {
        expect(thrownBy(reader, messages)).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(Object.entries(ANSWER_READERS))('%s throws only what says that the answer is malformed', (name, reader) => {
    fc.assert(
      fc.property(fc.oneof(hostileMessage, hostileDatagram), (messages) => {
        expectRefused(name, thrownBy(reader, messages));
      }),
      { numRuns: 1_000 },
    );
  });
});
