import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IpAddress, isGroupMac, parseIp, parseMac } from '../../lib/addresses.ts';
import { MAX_VNI } from '../../lib/limits.ts';
import { defaultMac } from './tap.ts';

const ip = (text: string) => parseIp(text) as IpAddress;

describe('the MAC of a TAP that nobody named one for', () => {
  /** From `printf '198.18.0.1 100' | sha256sum`. If these change, every TAP of every host has another MAC after the upgrade, and neighbours must learn anew. */
  it.each([
    ['198.18.0.1', 100, 'fe:7e:9c:dd:90:bf'],
    ['198.18.0.2', 100, 'fe:d7:e7:84:6d:78'],
    ['198.18.0.1', 0, 'fe:95:2e:b8:69:87'],
    ['198.18.0.1', 'trunk', 'fe:b8:c4:c1:9e:d2'],
  ] as const)('is stable from release to release: %s, %s', (local, vni, mac) => {
    expect(defaultMac(ip(local), vni)).toBe(mac);
  });

  it('is a unicast MAC that starts with fe, written canonically, and the same each time', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: MAX_VNI }), (local, vni) => {
        const mac = defaultMac(ip(local), vni);
        expect(mac).toMatch(/^fe(:[0-9a-f]{2}){5}$/);
        expect(parseMac(mac)).toBe(mac);
        expect(isGroupMac(mac)).toBe(false);
        expect(defaultMac(ip(local), vni)).toBe(mac);
      }),
    );
  });

  it('differs between the VTEPs of a network and between their VNIs', () => {
    const macs = new Set<string>();
    for (let host = 1; host <= 50; host++) {
      for (let vni = 0; vni < 50; vni++) macs.add(defaultMac(ip(`198.18.0.${host}`), vni));
    }
    // Neither may the digits run together: 198.18.0.1 with VNI 11, 198.18.0.11 with VNI 1.
    for (const [local, vni] of [
      ['10.0.0.1', 11],
      ['10.0.0.11', 1],
    ] as const) {
      macs.add(defaultMac(ip(local), vni));
    }
    expect(macs.size).toBe(50 * 50 + 2);
  });
});
