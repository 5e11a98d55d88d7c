/** To be captured changes nothing, whatever comes; and each frame is captured once, with the reason it is counted by. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CaptureRing, UNIT_BYTES, UNIT_WORDS } from '../forward/capture/capture-ring.ts';
import { RECORD, RECORD_KIND } from '../forward/capture/capture-writer.ts';
import { FrameCapture } from '../forward/capture/frame-capture.ts';
import { FORWARDED, RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { INNER_VLAN, NO_GROUP, type Segment } from '../segment/segment.ts';
import {
  BROADCAST,
  DESTINATION,
  datagram,
  frame,
  GROUP_SOCKET,
  newRig,
  OWN,
  PEER,
  type Rig,
  SEGMENT,
  STATION,
  TAP_MAC,
  UNICAST_SOCKET,
} from './ladder-rig.ts';

const SEGMENTS: Segment[] = [
  SEGMENT,
  { ...SEGMENT, index: 4, vni: 200, tap: 8, vlan: 100, innerVlan: INNER_VLAN.strip },
  { ...SEGMENT, index: 5, vni: 300, tap: 8, vlan: 0, innerVlan: INNER_VLAN.pass },
  { ...SEGMENT, index: 6, vni: 400, tap: 9, group: NO_GROUP },
];

const mac = fc.constantFrom(STATION, DESTINATION, BROADCAST, TAP_MAC, '0180c2000000', '020000000099');
const tags = fc.constantFrom('', '', '81000007', '81000064', '8100006481000007', '88a80001', '810003e7');
const inner = fc
  .record({ dst: mac, src: mac, tags, rest: fc.uint8Array({ minLength: 40, maxLength: 60 }), cut: fc.nat(9) })
  .map(({ cut, ...parts }) => (cut === 0 ? frame(parts).subarray(0, 13) : frame(parts)));

/** Says that the checksum is unfinished: perhaps of octets that are not there. */
const unfinished = fc
  .record({ start: fc.integer({ min: 26, max: 90 }), offset: fc.nat(20) })
  .map(({ start, offset }) => Uint8Array.of(1, 0, 0, 0, 0, 0, start, 0, offset, 0));

const sent = fc.record({
  tap: fc.constantFrom(SEGMENT.tap, 8, 9),
  octets: inner,
  vnetHeader: fc.oneof(fc.constant(new Uint8Array(10)), unfinished),
});

const payload = fc
  .record({ inner, vni: fc.constantFrom(SEGMENT.vni, 200, 300, 77), flags: fc.constantFrom(8, 8, 8, 0) })
  .map(({ inner: octets, ...header }) => datagram(octets, header));
const received = fc.record({
  /** One, some that may be told apart or not, or the same several times. */
  payloads: fc.oneof(
    fc.array(payload, { minLength: 1, maxLength: 3 }),
    fc.tuple(payload, fc.integer({ min: 2, max: 4 })).map(([octets, times]) => Array<Buffer>(times).fill(octets)),
  ),
  isMerged: fc.boolean(),
  source: fc.constantFrom(PEER, PEER, OWN),
  socket: fc.constantFrom(UNICAST_SOCKET, GROUP_SOCKET),
  tos: fc.nat(255),
});

type Value<A> = A extends fc.Arbitrary<infer V> ? V : never;

function play(rig: Rig, steps: readonly (Value<typeof sent> | Value<typeof received>)[]): void {
  rig.addStatic(DESTINATION, PEER);
  for (const step of steps) {
    if ('payloads' in step) {
      const { payloads, isMerged, ...how } = step;
      if (isMerged) rig.receive(Buffer.concat(payloads), { ...how, segmentBytes: payloads[0]?.length });
      else for (const each of payloads) rig.receive(each, how);
    } else {
      const { octets, ...how } = step;
      rig.send(octets, how);
    }
  }
}

/** Dropped frames by direction and reason, and the octets of those that are sent. */
function readAll(ring: CaptureRing) {
  const drops: Record<string, number> = {};
  const payloads: Uint8Array[] = [];
  let delivered = 0;
  for (let unit = ring.next(); unit >= 0; unit = ring.next()) {
    const word = (which: number) => ring.words[unit * UNIT_WORDS + which] as number;
    const isTx = (word(RECORD.kind) & RECORD_KIND.tx) !== 0;
    const verdict = word(RECORD.verdict);
    const name = isTx ? `tx ${TX_REASONS[verdict]}` : `rx ${RX_REASONS[verdict]}`;
    const at = unit * UNIT_BYTES + word(RECORD.at);
    if (verdict !== FORWARDED) drops[name] = (drops[name] ?? 0) + 1;
    else if (isTx) payloads.push(Uint8Array.from(ring.bytes.subarray(at, at + word(RECORD.captured))));
    else delivered++;
    ring.release();
  }
  return { drops, payloads, delivered };
}

/** Of all segments together. */
function countedBy(rig: Rig): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const [name, count] of Object.entries(rig.drops())) {
    const reason = name.slice(name.indexOf(' ') + 1);
    drops[reason] = (drops[reason] ?? 0) + count;
  }
  return drops;
}

test('whatever comes', () => {
  const counts = { sent: 0, delivered: 0 };
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(fc.oneof(sent, received), { minLength: 30, maxLength: 60 }), (steps) => {
      const [plain, captured] = [newRig(SEGMENTS), newRig(SEGMENTS)];
      const memory = CaptureRing.createMemory(1 << 20);
      captured.ports.capture = new FrameCapture(captured.fdb, () => 0);
      captured.ports.capture.start(0, memory, { vni: undefined, mac: undefined, vtep: undefined, dropsOnly: false });
      play(plain, steps);
      play(captured, steps);
      expect(captured.underlay.sent).toEqual(plain.underlay.sent);
      expect(captured.taps.delivered).toEqual(plain.taps.delivered);
      expect(captured.drops()).toEqual(plain.drops());
      const ring = new CaptureRing(memory);
      expect(ring.lost).toBe(0);
      const { drops, payloads, delivered } = readAll(ring);
      expect(drops).toEqual(countedBy(plain));
      expect(payloads).toEqual(plain.underlay.sent.map(({ payload: octets }) => octets));
      expect(delivered).toBe(plain.taps.delivered.length);
      counts.sent += payloads.length;
      counts.delivered += delivered;
      for (const name of Object.keys(drops)) seen.add(name);
    }),
    { numRuns: 60 },
  );
  // That much came about, at least.
  expect(Math.min(counts.sent, counts.delivered)).toBeGreaterThan(50);
  expect([...seen]).toEqual(
    expect.arrayContaining(['rx own-packet', 'rx unknown-vni', 'rx inner-vlan', 'tx no-remote', 'tx unknown-vlan']),
  );
});
