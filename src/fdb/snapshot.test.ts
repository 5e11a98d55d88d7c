import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IpAddress, ipWords, isHostIp, parseIp } from '../lib/addresses.ts';
import { MAX_VNI } from '../lib/limits.ts';
import { LOCAL_SOURCE } from './remotes.ts';
import {
  hasSnapshotHeader,
  readSnapshotEntry,
  SNAPSHOT_ENTRY_BYTES,
  SNAPSHOT_HEADER_BYTES,
  type SnapshotEntry,
  writeSnapshotEntry,
  writeSnapshotHeader,
} from './snapshot.ts';

const AT = 5;
const ENTRY: SnapshotEntry = {
  vni: 100,
  high: 0x0200_0000,
  low: 0x0a0b,
  vtep: ipWords('198.18.0.2' as IpAddress),
  heardSeconds: 1_700_000_000,
};

/** Octets around what is written, and under it, are 0xa5. */
function written(entry: SnapshotEntry): DataView {
  const view = new DataView(new Uint8Array(AT + SNAPSHOT_ENTRY_BYTES + 3).fill(0xa5).buffer);
  writeSnapshotEntry(view, AT, entry);
  return view;
}

const address = fc
  .oneof(fc.ipV4(), fc.ipV6())
  .map((text) => parseIp(text))
  .filter((ip): ip is IpAddress => ip !== undefined && isHostIp(ipWords(ip)));
const entries: fc.Arbitrary<SnapshotEntry> = fc.record({
  vni: fc.integer({ min: 0, max: MAX_VNI }),
  high: fc.nat(0xffff_ffff).map((word) => (word & 0xfeff_ffff) >>> 0),
  low: fc.integer({ min: 1, max: 0xffff }),
  vtep: fc.oneof(fc.constant(LOCAL_SOURCE), address.map(ipWords)),
  heardSeconds: fc.nat(0xffff_ffff),
});

describe('an entry', () => {
  it('stands in network order, octet by octet', () => {
    const octets = Buffer.from(written(ENTRY).buffer).toString('hex');
    const expected = '00000064 02000000 0a0b0000 00000000 00000000 0000ffff c6120002 6553f100'.replaceAll(' ', '');
    expect(octets).toBe(`${'a5'.repeat(AT)}${expected}a5a5a5`);
  });

  it('reads back as it was written', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        expect(readSnapshotEntry(written(entry), AT)).toEqual(entry);
      }),
    );
    expect(readSnapshotEntry(written({ ...ENTRY, vtep: LOCAL_SOURCE }), AT)?.vtep).toBe(LOCAL_SOURCE);
  });

  it.each<[what: string, differs: Partial<SnapshotEntry>]>([
    ['a VNI of 25 bits', { vni: MAX_VNI + 1 }],
    ['a group MAC', { high: 0x0300_0000 }],
    ['the zero MAC', { high: 0, low: 0 }],
    ['0.0.0.0', { vtep: ipWords('0.0.0.0' as IpAddress) }],
    ['the broadcast address', { vtep: ipWords('255.255.255.255' as IpAddress) }],
    ['an IPv4 group', { vtep: ipWords('239.1.1.1' as IpAddress) }],
    ['the unspecified IPv6 address', { vtep: ipWords('::' as IpAddress) }],
    ['an IPv6 group', { vtep: ipWords('ff05::1' as IpAddress) }],
  ])('is refused with %s', (_, differs) => {
    expect(readSnapshotEntry(written({ ...ENTRY, ...differs }), AT)).toBeUndefined();
  });

  it('is refused with another place than behind the own TAP or a VTEP, or if its address contradicts it', () => {
    for (const place of [1, 2, 0x100]) {
      const view = written(ENTRY);
      view.setUint16(AT + 10, place);
      expect(readSnapshotEntry(view, AT), `${place}`).toBeUndefined();
    }
    const local = written({ ...ENTRY, vtep: LOCAL_SOURCE });
    local.setUint16(AT + 10, 0);
    expect(readSnapshotEntry(local, AT)).toBeUndefined();
  });

  it('of any octets is refused, or is one that is written the same', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: SNAPSHOT_ENTRY_BYTES, maxLength: SNAPSHOT_ENTRY_BYTES }), (octets) => {
        octets[0] = 0;
        const entry = readSnapshotEntry(new DataView(octets.buffer), 0);
        if (!entry) return;
        const again = new DataView(new ArrayBuffer(SNAPSHOT_ENTRY_BYTES));
        writeSnapshotEntry(again, 0, entry);
        expect(new Uint8Array(again.buffer)).toEqual(octets);
      }),
    );
  });
});

describe('the header', () => {
  const header = new DataView(new Uint8Array(SNAPSHOT_HEADER_BYTES).fill(0xa5).buffer);
  writeSnapshotHeader(header);

  it('names the format and its version', () => {
    expect(Buffer.from(header.buffer).toString('latin1')).toBe('vtepdfdb\0\0\0\x02\0\0\0\0');
    expect(hasSnapshotHeader(header)).toBe(true);
  });

  it('is none when it is cut, or differs in any octet', () => {
    for (let length = 0; length < SNAPSHOT_HEADER_BYTES; length++) {
      expect(hasSnapshotHeader(new DataView(header.buffer, 0, length))).toBe(false);
      const other = new DataView(header.buffer.slice(0));
      other.setUint8(length, other.getUint8(length) ^ 0x10);
      expect(hasSnapshotHeader(other)).toBe(false);
    }
  });
});
