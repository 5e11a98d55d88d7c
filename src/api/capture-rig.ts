/** Captured frames for tests of the API and of vtepctl. */
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import type { CapturedFrame } from './daemon-view.ts';

const ip = (text: string) => parseIp(text) as IpAddress;

/** 2026-01-02T03:04:05.600123Z. */
export const TIME_US = 1_767_323_045_600_123;

/** Who has 192.0.2.2? */
const ARP = 'ffffffffffff0200000000010806' + '0001080006040001' + '020000000001c0000201' + '000000000000c0000202';
const VXLAN = '0800000000006400';
const HEADERS = {
  ...{ source: ip('198.18.0.1'), destination: ip('239.1.1.1'), sourcePort: 50_001, port: 4789 },
  ...{ tos: 0, ttl: 1, dontFragment: true },
};

const octets = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

/** Sent to a group and to two remotes. */
export const FLOODED: CapturedFrame = {
  ...{ timeUs: TIME_US, direction: 'tx', verdict: 'flooded', reason: null, vni: 100, vtep: ip('239.1.1.1') },
  ...{ copies: 2, segments: 1, outer: HEADERS, octets: octets(VXLAN + ARP), headerBytes: 8, length: 50 },
};

/** Received, of a VTEP, and dropped. */
export const REFUSED: CapturedFrame = {
  ...{
    timeUs: TIME_US + 900,
    direction: 'rx',
    verdict: 'dropped',
    reason: 'own-mac',
    vni: 100,
    vtep: ip('198.18.0.2'),
  },
  ...{ copies: 0, segments: 1, octets: octets(VXLAN + ARP), headerBytes: 8, length: 50 },
  outer: { ...HEADERS, source: ip('198.18.0.2'), destination: ip('198.18.0.1') },
};

/** A super-frame to one VTEP, of which only the beginning is there. */
export const SUPER: CapturedFrame = {
  ...{ ...FLOODED, verdict: 'forwarded', vtep: ip('198.18.0.2'), copies: 0, segments: 45, length: 65_050 },
  outer: { ...HEADERS, destination: ip('198.18.0.2') },
};

/** Out of the TAP, and in no datagram. */
export const UNSENT: CapturedFrame = {
  ...{ ...FLOODED, verdict: 'dropped', reason: 'no-remote', vtep: null, copies: 0, outer: undefined },
  ...{ octets: octets(ARP), headerBytes: 0, length: 42 },
};

/** A datagram of five octets. */
export const SHORT: CapturedFrame = {
  ...{ ...REFUSED, reason: 'short', vni: null, octets: octets('0800000000'), headerBytes: 5, length: 5 },
};
