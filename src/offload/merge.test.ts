/** Which frames can be merged at all, and what a run takes. What comes of it is tested where it is written, in src/overlay/. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { locateHeaders, newFrameHeaders } from '../wire/ip.ts';
import { portableSums } from '../wire/octet-sums.ts';
import { MAX_HEADER_BYTES, MergeRun, mergeablePayload } from './merge.ts';
import { FLAG, naiveFrame, type Packet, put16, scrambled, TCP, UDP } from './naive-frames.ts';

/** A run's mask stands in front of the frames. */
const AT = MAX_HEADER_BYTES + 6;
const tcp4: Packet = { version: 4, protocol: TCP, payload: scrambled(50) };
const tcp6: Packet = { ...tcp4, version: 6 };
const udp4: Packet = { ...tcp4, protocol: UDP };
const udp6: Packet = { ...tcp6, protocol: UDP };

/** The frames one behind the other in a buffer that ends with them; they begin at AT. */
function placed(...frames: readonly (readonly number[])[]) {
  const bytes = Uint8Array.from([...Array<number>(AT).fill(0xa5), ...frames.flat()]);
  return { bytes, view: new DataView(bytes.buffer) };
}

function payloadOf(octets: readonly number[]): number {
  const { bytes, view } = placed(octets);
  const headers = newFrameHeaders();
  locateHeaders(view, AT, octets.length, headers);
  const before = bytes.slice();
  const payloadBytes = mergeablePayload(view, AT, octets.length, headers);
  expect(bytes).toEqual(before);
  return payloadBytes;
}

describe('mergeablePayload', () => {
  it.each<[string, Packet, number]>([
    ['TCP over IPv4', tcp4, 50],
    ['TCP over IPv6', tcp6, 50],
    ['UDP over IPv4', udp4, 50],
    ['UDP over IPv6', udp6, 50],
    ['one octet', { ...tcp4, payload: [9] }, 1],
    ['a push', { ...tcp4, flags: FLAG.ack | FLAG.psh }, 50],
    ['all TCP options there can be', { ...tcp6, tcpOptions: scrambled(40) }, 50],
    ['two tags', { ...udp4, tags: [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2] }, 50],
    ['a wrong checksum, which is looked at later', { ...tcp4, checksum: 'wrong' }, 50],
    ['no TCP payload', { ...tcp4, payload: [] }, 0],
    ['no UDP payload', { ...udp4, payload: [] }, 0],
    ['no UDP checksum', { ...udp4, checksum: 'none' }, 0],
    ['no ACK', { ...tcp4, flags: FLAG.psh }, 0],
    ['SYN', { ...tcp4, flags: FLAG.ack | FLAG.syn }, 0],
    ['NS', { ...tcp6, flags: FLAG.ack | FLAG.ns }, 0],
    ['a reserved TCP bit', { ...tcp6, flags: FLAG.ack | 0x800 }, 0],
    ['IP options', { ...tcp4, ipOptions: [1, 1, 1, 0] }, 0],
    ['an extension header', { ...tcp6, extensionUnits: 1 }, 0],
    ['more fragments', { ...udp4, fragment: 0x2000 }, 0],
    ['padding', { ...udp4, padding: 1 }, 0],
    ['three tags', { ...udp4, tags: [0x81, 0, 0, 1, 0x88, 0xa8, 0, 2, 0x81, 0, 0, 3] }, 50],
    ['four tags', { ...udp4, tags: [1, 2, 3, 4].flatMap((vlan) => [0x81, 0, 0, vlan]) }, 0],
  ])('%s', (_what, packet, payloadBytes) => {
    expect(payloadOf(naiveFrame(packet).octets)).toBe(payloadBytes);
  });

  it.each([0, 7, 57, 59, 0xffff])('is none of UDP that says it has %i octets', (length) => {
    const { octets, transportAt } = naiveFrame(udp6);
    put16(octets, transportAt + 4, length);
    expect(payloadOf(octets)).toBe(0);
  });

  it.each([tcp4, tcp6, udp4, udp6])(
    'is none of a frame that is cut anywhere: IPv$version, protocol $protocol',
    (packet) => {
      const { octets } = naiveFrame(packet);
      for (let length = 0; length < octets.length; length++) expect(payloadOf(octets.slice(0, length))).toBe(0);
    },
  );

  it('never throws, and is never more than the frame has, whatever its octets', () => {
    const noise = fc.array(fc.nat({ max: 255 }), { maxLength: 120, size: 'max' });
    const damaged = fc
      .tuple(fc.constantFrom(tcp4, tcp6, udp4, udp6), fc.nat({ max: 80 }), fc.nat({ max: 255 }))
      .map(([packet, at, octet]) => naiveFrame(packet).octets.map((was, i) => (i === at ? octet : was)));
    fc.assert(
      fc.property(fc.oneof(noise, damaged), (octets) => {
        expect(payloadOf(octets)).toBeLessThanOrEqual(Math.max(octets.length - 42, 0));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('MergeRun', () => {
  /** A run that holds the first frame, and what it says to the second; both directions of `append`. */
  function offer(first: Packet, second: Packet, { tap = 1 } = {}) {
    const [one, other] = [naiveFrame(first).octets, naiveFrame(second).octets];
    const { bytes, view } = placed(one, other);
    const run = new MergeRun(view, portableSums(bytes), 0);
    const headers = newFrameHeaders();
    locateHeaders(view, AT, one.length, headers);
    const before = bytes.slice();
    expect(run.isFlowOf(1, AT, headers)).toBe(false);
    run.open(9, 1, AT, first.payload.length, headers);
    expect(run.isFlowOf(1, AT, headers)).toBe(true);
    locateHeaders(view, AT + one.length, other.length, headers);
    const isFlow = run.isFlowOf(tap, AT + one.length, headers);
    const isTaken = isFlow && run.append(tap, AT + one.length, other.length);
    expect(bytes.subarray(AT)).toEqual(before.subarray(AT));
    return { run, isFlow, isTaken };
  }

  it('tells where the pieces of its one frame stand', () => {
    const { run, isTaken } = offer(tcp4, { ...tcp4, sequence: 50, payload: scrambled(20) });
    expect(isTaken).toBe(true);
    const { count, segmentIndex, tap, headerBytes, payloadBytes } = run;
    expect({ count, segmentIndex, tap, headerBytes, payloadBytes }).toEqual({
      count: 2,
      segmentIndex: 9,
      tap: 1,
      headerBytes: 54,
      payloadBytes: 70,
    });
    expect([...run.pieceAt.subarray(0, 2)]).toEqual([AT, AT + 104 + 54]);
    expect([...run.pieceBytes.subarray(0, 2)]).toEqual([104, 20]);
  });

  it('is one flow’s: what differs in window or sequence belongs to it, though it is not taken', () => {
    expect(offer(tcp4, { ...tcp4, sequence: 51, window: 2 })).toMatchObject({ isFlow: true, isTaken: false });
    expect(offer(tcp4, { ...tcp4, sourcePort: 9 })).toMatchObject({ isFlow: false });
    expect(offer(tcp4, udp4)).toMatchObject({ isFlow: false });
    expect(offer(tcp4, tcp6)).toMatchObject({ isFlow: false });
    expect(offer(tcp4, { ...tcp4, sequence: 50 }, { tap: 2 })).toMatchObject({ isFlow: false });
  });
});
