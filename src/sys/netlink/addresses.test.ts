import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { isLinkLocalIpv6 } from '../../lib/addresses.ts';
import { addressEvents, listAddresses } from './addresses.ts';
import { type NetlinkMessage, splitMessages } from './netlink-message.ts';
import { NetlinkSocket } from './netlink-socket.ts';

/** What the kernel sends of eth0, index 2, octet by octet. */
const RECORDED = {
  /** `ip addr add 198.18.0.11/24 dev eth0` */
  added4:
    '58000000140000000000000000000000021880000200000008000100c612000b08000200c612000b08000400c61200ff0900030065746830000000000800080080000000140006' +
    '00ffffffffffffffff1234000012340000',
  /** `ip addr del 198.18.0.11/24 dev eth0` */
  deleted4:
    '58000000150000000000000000000000021880000200000008000100c612000b08000200c612000b08000400c61200ff0900030065746830000000000800080080000000140006' +
    '00ffffffffffffffff1234000012340000',
};

const [NEW, DELETED] = [20, 21];

function address6(octets: string, { type = NEW, scope = 0, flags = 0x80 } = {}): NetlinkMessage {
  const payload = Buffer.alloc(8 + 20 + 8);
  payload.set([10, 64, flags & 0xff, scope]);
  payload.writeUInt32LE(2, 4);
  payload.writeUInt16LE(20, 8);
  payload.writeUInt16LE(1, 10);
  payload.set(Buffer.from(octets, 'hex'), 12);
  payload.writeUInt16LE(8, 28);
  payload.writeUInt16LE(8, 30);
  payload.writeUInt32LE(flags, 32);
  return { type, flags: 0, sequence: 0, payload };
}

const messages = (hex: string) => [...splitMessages(Buffer.from(hex, 'hex'))];
const FD18 = 'fd000018000000000000000000000001';

describe('addressEvents', () => {
  it('reads what came and what went', () => {
    const [added, deleted] = addressEvents([...messages(RECORDED.added4), ...messages(RECORDED.deleted4)]);
    expect(added).toEqual({
      deleted: false,
      address: {
        ...{ address: '198.18.0.11', index: 2, prefixBits: 24, isGlobal: true, isTemporary: false },
        ...{ isDeprecated: false, isTentative: false, isDuplicate: false },
      },
    });
    expect(deleted).toEqual({ ...added, deleted: true });
  });

  it.each([
    ['fit', 0x80, {}],
    ['tentative', 0xc0, { isTentative: true }],
    ['tentative and used all the same (optimistic)', 0xc4, {}],
    ['a duplicate', 0xc8, { isTentative: true, isDuplicate: true }],
    ['deprecated', 0xa0, { isDeprecated: true }],
    ['temporary', 0x301, { isTemporary: true, keeper: 'other' }],
  ])('tells an IPv6 address that is %s', (_state, flags, differs) => {
    const [event] = addressEvents([address6(FD18, { flags })]);
    const fit = { isGlobal: true, isTemporary: false, isDeprecated: false, isTentative: false, isDuplicate: false };
    expect(event?.address).toEqual({ address: 'fd00:18::1', index: 2, prefixBits: 64, ...fit, ...differs });
  });

  it('leaves other messages alone, and those that are cut', () => {
    const [whole] = messages(RECORDED.added4) as [NetlinkMessage];
    expect(addressEvents([{ ...whole, type: 16 }])).toEqual([]);
    for (let length = 0; length < 16; length++) {
      expect(addressEvents([{ ...whole, payload: whole.payload.subarray(0, length) }])).toEqual([]);
    }
    expect(addressEvents([address6(FD18, { type: DELETED })])).toMatchObject([{ deleted: true }]);
  });
});

describe('listAddresses', () => {
  it('has every address that Node knows, and tells those that are of the host or the link alone', () => {
    const netlink = new NetlinkSocket();
    try {
      const listed = listAddresses(netlink);
      const known = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
      expect(listed.map(({ address }) => address)).toEqual(expect.arrayContaining(known));
      for (const { address, isGlobal } of listed) {
        if (address === '127.0.0.1' || address === '::1' || isLinkLocalIpv6(address)) expect(isGlobal).toBe(false);
      }
    } finally {
      netlink.close();
    }
  });
});
