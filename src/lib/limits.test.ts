import { describe, expect, it } from 'vitest';
import {
  DEFAULT_MAX_MACS,
  MAX_AGEING_SECONDS,
  MAX_DATAGRAM_BYTES,
  MAX_FDB_ENTRIES,
  MAX_FLOOD_REMOTES,
  MAX_MTU_BYTES,
  MAX_REMOTES,
  MAX_UDP_PAYLOAD_BYTES,
  MAX_VNI,
} from './limits.ts';

describe('limits that rest on a width', () => {
  it('a VNI has 24 bits', () => expect(MAX_VNI).toBe(2 ** 24 - 1));
  it('a remote id has 16 bits, and 0 is taken', () => expect(MAX_REMOTES).toBe(2 ** 16 - 1));
  it('ageing fits the clock of tenths of a second, half of whose 32 bits tell earlier from later', () =>
    expect(MAX_AGEING_SECONDS * 10).toBeLessThan(2 ** 31));
  it('a UDP payload is 65,535 less IPv4 and UDP headers, and a receive buffer holds it', () => {
    expect(MAX_UDP_PAYLOAD_BYTES).toBe(65_535 - 20 - 8);
    expect(MAX_DATAGRAM_BYTES).toBeGreaterThan(MAX_UDP_PAYLOAD_BYTES);
  });
  it('a TAP frame is at most 65,535 octets', () => expect(MAX_MTU_BYTES + 14).toBe(65_535));
  it('a flood list and one VNI fit into the tables of all', () => {
    expect(MAX_FLOOD_REMOTES).toBeLessThanOrEqual(MAX_REMOTES);
    expect(DEFAULT_MAX_MACS).toBeLessThanOrEqual(MAX_FDB_ENTRIES);
  });
});
