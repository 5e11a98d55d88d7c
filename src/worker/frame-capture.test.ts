/** What is captured of the frames that both ladders get, and what is said of them. */

import { describe, expect, it } from 'vitest';
import { CaptureRing, UNIT_BYTES, UNIT_WORDS } from '../forward/capture/capture-ring.ts';
import { type CaptureFilter, NO_VNI, RECORD, RECORD_KIND } from '../forward/capture/capture-writer.ts';
import { FrameCapture } from '../forward/capture/frame-capture.ts';
import { FORWARDED, RX_REASONS, TX_REASONS } from '../forward/drop-reason.ts';
import { naiveFrame, type Packet, scrambled, TCP, UDP, vnetHeader } from '../offload/naive-frames.ts';
import { FLOOD, INNER_VLAN, NO_GROUP, type Segment, UNTAGGED } from '../segment/segment.ts';
import { MEMORY_SOURCE_PORT } from '../underlay/memory-udp-port.ts';
import {
  BROADCAST,
  DESTINATION,
  datagram,
  frame,
  GROUP,
  GROUP_SOCKET,
  ipWord,
  newFloodingRig,
  newRig,
  OTHER_PEER,
  OWN,
  PEER,
  type Rig,
  SEGMENT,
  STATION,
  TAP_MAC,
  THIRD_PEER,
} from './ladder-rig.ts';

const ALL: CaptureFilter = { vni: undefined, mac: undefined, vtep: undefined, dropsOnly: false };
const RING_BYTES = 1 << 19;
const NOW_MS = 1_234.567;

const words = (address: number) => ({ a: 0, b: 0, c: 0xffff, d: address });
const mac = (text: string) => ({
  high: Number.parseInt(text.slice(0, 8), 16),
  low: Number.parseInt(text.slice(8), 16),
});

let captures = 0;

/** Captures in a rig. */
function capture(rig: Rig, filter: Partial<CaptureFilter> = {}, ringBytes = RING_BYTES) {
  const memory = CaptureRing.createMemory(ringBytes);
  const frames = rig.ports.capture ?? new FrameCapture(rig.fdb, () => NOW_MS);
  frames.start(captures++, memory, { ...ALL, ...filter });
  rig.ports.capture = frames;
  const ring = new CaptureRing(memory);
  const records = () => {
    const found = [];
    for (let unit = ring.next(); unit >= 0; unit = ring.next()) {
      found.push(readRecord(ring, unit));
      ring.release();
    }
    return found;
  };
  return { ring, records };
}

/** `tx forwarded 198.18.0.2`, `rx own-mac 198.18.0.2`. */
function short({ direction, verdict, vtep }: ReturnType<typeof readRecord>): string {
  return [direction, verdict, vtep].join(' ').trim();
}

function readRecord(ring: CaptureRing, unit: number) {
  const at = unit * UNIT_WORDS;
  const word = (which: number) => ring.words[at + which] as number;
  const isTx = (word(RECORD.kind) & RECORD_KIND.tx) !== 0;
  const octetsAt = unit * UNIT_BYTES + word(RECORD.at);
  const d = word(RECORD.vtep + 3);
  return {
    direction: isTx ? 'tx' : 'rx',
    verdict: verdictOf(word(RECORD.verdict), isTx, word(RECORD.kind)),
    vtep: d === 0 ? undefined : [d >>> 24, (d >>> 16) & 255, (d >>> 8) & 255, d & 255].join('.'),
    vni: word(RECORD.vni),
    copies: word(RECORD.copies),
    segments: word(RECORD.segments),
    tos: word(RECORD.tos),
    port: word(RECORD.port),
    group: word(RECORD.group),
    timeMs: ring.doubles[unit + RECORD.time / 2],
    length: word(RECORD.length),
    octets: Buffer.from(ring.bytes.subarray(octetsAt, octetsAt + word(RECORD.captured))).toString('hex'),
  };
}

function verdictOf(verdict: number, isTx: boolean, kind: number): string {
  if (verdict === FORWARDED) return kind & RECORD_KIND.flooded ? 'flooded' : 'forwarded';
  return (isTx ? TX_REASONS : RX_REASONS)[verdict] ?? 'no such reason';
}

const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');

const header = (...args: Parameters<typeof vnetHeader>) => Uint8Array.from(vnetHeader(...args));

/** A packet to a MAC. */
function frameTo(dst: string, packet: Packet) {
  const { octets, transportAt } = naiveFrame(packet);
  return { octets: Buffer.concat([Buffer.from(dst, 'hex'), Buffer.from(octets.slice(6))]), transportAt };
}

describe('of the underlay', () => {
  it('what is delivered stands as it came, with all that came with it', () => {
    const rig = newRig();
    const { records } = capture(rig);
    const payload = datagram(frame(), { reserved8: 0x42 });
    rig.receive(payload, { tos: 0xb8, socket: GROUP_SOCKET });
    const { vni } = SEGMENT;
    expect(records()).toEqual([
      {
        ...{ direction: 'rx', verdict: 'forwarded', vtep: '198.18.0.2', vni, copies: 0, segments: 1, tos: 0xb8 },
        ...{
          port: MEMORY_SOURCE_PORT,
          group: GROUP_SOCKET,
          timeMs: NOW_MS,
          length: payload.length,
          octets: hex(payload),
        },
      },
    ]);
  });

  it.each<[string, Uint8Array, Partial<Segment>, object]>([
    ['short', Buffer.alloc(7), {}, {}],
    ['own-packet', datagram(frame()), {}, { source: OWN }],
    ['no-i-flag', datagram(frame(), { flags: 0 }), {}, {}],
    ['unknown-vni', datagram(frame(), { vni: 77 }), {}, {}],
    ['wrong-group', datagram(frame()), { group: NO_GROUP }, { socket: GROUP_SOCKET }],
    ['short-inner', datagram(frame().subarray(0, 13)), {}, {}],
    ['bad-source-mac', datagram(frame({ src: BROADCAST })), {}, {}],
    ['own-mac', datagram(frame({ src: TAP_MAC })), {}, {}],
    ['link-local', datagram(frame({ dst: '0180c2000000' })), {}, {}],
    ['inner-vlan', datagram(frame({ tags: '81000007' })), {}, {}],
    ['tap-down', datagram(frame()), { tapUp: false }, {}],
  ])('what is dropped says why: %s', (reason, payload, segment, how) => {
    const rig = newRig([{ ...SEGMENT, ...segment }]);
    const { records } = capture(rig, { dropsOnly: true });
    rig.receive(payload, how);
    const vni = payload.length < 8 ? NO_VNI : reason === 'unknown-vni' ? 77 : SEGMENT.vni;
    expect(records()).toMatchObject([{ direction: 'rx', verdict: reason, vni, octets: hex(payload) }]);
  });

  it('tags that are stripped, and an ECN field that changes, stand as they came', () => {
    const rig = newRig([{ ...SEGMENT, innerVlan: INNER_VLAN.strip }]);
    const { records } = capture(rig);
    const inner = naiveFrame({ version: 4, protocol: UDP, payload: scrambled(20), tags: [0x81, 0, 0, 5], tos: 2 });
    const payload = datagram(Buffer.from(inner.octets));
    rig.receive(payload, { tos: 3 });
    expect(records()).toMatchObject([{ verdict: 'forwarded', octets: hex(payload) }]);
  });

  it('each datagram of a train is one, also where the ladder is spared', () => {
    const rig = newRig();
    const { records } = capture(rig);
    const payloads = [1, 2, 3].map((i) => datagram(frame({ rest: Buffer.from(`88b5${'0'.repeat(27)}${i}`, 'hex') })));
    rig.receive(Buffer.concat(payloads), { segmentBytes: payloads[0]?.length });
    expect(records()).toMatchObject(payloads.map((payload) => ({ verdict: 'forwarded', octets: hex(payload) })));
  });

  it('a super-datagram of a kernel is one, and says how many it stands for', () => {
    const rig = newRig();
    const { records } = capture(rig);
    const inner = naiveFrame({ version: 4, protocol: TCP, payload: scrambled(5_000), checksum: 'partial' });
    const payload = datagram(Buffer.from(inner.octets));
    rig.receive(payload);
    expect(records()).toMatchObject([{ verdict: 'forwarded', segments: 4, length: payload.length }]);
  });
});

describe('of the TAP', () => {
  it('what is sent stands as it is sent, with where to', () => {
    const rig = newRig([SEGMENT], { tos: 0x28 });
    rig.hear(DESTINATION, PEER);
    const { records } = capture(rig);
    rig.send(frame());
    const [sent] = rig.underlay.sent;
    expect(records()).toEqual([
      {
        ...{ direction: 'tx', verdict: 'forwarded', vtep: '198.18.0.2', vni: SEGMENT.vni, copies: 0, segments: 1 },
        ...{ tos: 0x28, port: sent?.flow, group: NO_GROUP, timeMs: NOW_MS, length: sent?.payload.length },
        octets: hex(sent?.payload ?? new Uint8Array()),
      },
    ]);
  });

  it('a flood says its group and how many copies go beside it', () => {
    const rig = newFloodingRig([PEER, OTHER_PEER]);
    const { records } = capture(rig);
    rig.send(frame({ dst: BROADCAST }));
    expect(records()).toMatchObject([{ verdict: 'flooded', vtep: '239.1.1.1', copies: 2 }]);
    const alone = newFloodingRig([PEER], { ...SEGMENT, group: NO_GROUP });
    const unicast = capture(alone);
    alone.send(frame());
    expect(unicast.records()).toMatchObject([{ verdict: 'flooded', vtep: undefined, copies: 1 }]);
  });

  it.each<[string, string, Partial<Segment>, string | undefined]>([
    ['tags that are stripped', '81000007', { innerVlan: INNER_VLAN.strip }, ''],
    ['the tag of a trunk', '81000064', { vlan: 100 }, ''],
    ['the tag of a trunk, and the one behind it', '8100006481000007', { vlan: 100, innerVlan: INNER_VLAN.strip }, ''],
    ['tags that pass', '81000007', { innerVlan: INNER_VLAN.pass }, '81000007'],
  ])('without %s', (_, tags, segment, left) => {
    const rig = newRig([{ ...SEGMENT, ...segment }]);
    rig.hear(DESTINATION, PEER);
    const { records } = capture(rig);
    rig.send(frame({ tags }));
    expect(records()).toMatchObject([{ verdict: 'forwarded', octets: hex(datagram(frame({ tags: left ?? '' }))) }]);
  });

  it.each<[string, Partial<Segment>, number[]]>([
    ['', {}, []],
    [', behind the tag of a trunk', { vlan: 100 }, [0x81, 0, 0, 100]],
    [', behind tags that are stripped', { innerVlan: INNER_VLAN.strip }, [0x81, 0, 0, 7, 0x81, 0, 0, 8]],
  ])('a checksum that was left to the ladder is there%s', (_, segment, tags) => {
    const rig = newRig([{ ...SEGMENT, ...segment }]);
    rig.hear(DESTINATION, PEER);
    const { records } = capture(rig);
    const { octets, transportAt } = frameTo(DESTINATION, {
      ...{ version: 4, protocol: UDP, payload: scrambled(99), checksum: 'partial', tags },
    });
    rig.send(octets, { vnetHeader: header(0, { start: transportAt, protocol: UDP, segmentBytes: 0 }) });
    const [sent] = rig.underlay.sent;
    expect(records()).toMatchObject([{ octets: hex(sent?.payload ?? new Uint8Array()) }]);
    expect(hex(sent?.payload ?? new Uint8Array())).not.toContain(hex(octets.subarray(transportAt, transportAt + 8)));
  });

  it('a super-frame is one, and says how many it stands for', () => {
    const rig = newRig();
    rig.hear(DESTINATION, PEER);
    const { records } = capture(rig);
    const { octets, transportAt } = frameTo(DESTINATION, {
      version: 4,
      protocol: TCP,
      payload: scrambled(5_000),
      checksum: 'partial',
    });
    rig.send(octets, { vnetHeader: header(1, { start: transportAt, protocol: TCP, segmentBytes: 1_000 }) });
    expect(rig.underlay.sent).toHaveLength(5);
    expect(records()).toMatchObject([{ segments: 5, length: 8 + octets.length, octets: hex(datagram(octets)) }]);
  });

  it.each<[string, Uint8Array, Partial<Segment>, string | undefined]>([
    ['short', frame().subarray(0, 13), {}, undefined],
    ['bad-source-mac', frame({ src: BROADCAST }), {}, '198.18.0.2'],
    ['inner-vlan', frame({ tags: '81000007' }), {}, '198.18.0.2'],
    ['link-local', frame({ dst: '0180c2000000' }), {}, undefined],
    ['local', frame({ dst: STATION }), {}, undefined],
    ['flood-off', frame({ dst: BROADCAST }), { flood: FLOOD.none }, undefined],
    ['no-remote', frame({ dst: BROADCAST }), { group: NO_GROUP }, undefined],
    ['oversize', frame({ rest: Buffer.alloc(1_453) }), {}, '198.18.0.2'],
  ])('what is dropped stands as the TAP gave it, and says why: %s', (reason, octets, segment, vtep) => {
    const rig = newRig([{ ...SEGMENT, ...segment }]);
    rig.hear(DESTINATION, PEER);
    rig.addStatic(STATION, 'local');
    const { records } = capture(rig, { dropsOnly: true });
    rig.send(octets);
    expect(records()).toMatchObject([
      { direction: 'tx', verdict: reason, vtep, vni: SEGMENT.vni, octets: hex(octets), length: octets.length },
    ]);
  });

  it('what a trunk has of no VLAN of a segment is dropped, with its tag', () => {
    const rig = newRig([{ ...SEGMENT, vlan: UNTAGGED }]);
    const { records } = capture(rig);
    const stray = frame({ tags: '810003e7' });
    rig.send(stray);
    rig.send(frame({ dst: BROADCAST }));
    expect(records()).toMatchObject([
      { direction: 'tx', verdict: 'unknown-vlan', vni: NO_VNI, octets: hex(stray) },
      { verdict: 'flooded', vni: SEGMENT.vni },
    ]);
  });
});

describe('a filter', () => {
  const OTHER = { ...SEGMENT, index: 4, vni: 200, tap: 8, group: NO_GROUP };

  /** Seven frames of either direction. */
  function play(filter: Partial<CaptureFilter>): string[] {
    const rig = newFloodingRig([OTHER_PEER], SEGMENT);
    rig.ports.segments.apply({ kind: 'put', segment: OTHER });
    rig.hear(DESTINATION, PEER);
    const { records } = capture(rig, filter);
    rig.receive(datagram(frame({ src: '0200000000aa' })), { source: PEER });
    rig.receive(datagram(frame({ src: '0200000000bb' }), { vni: 200 }), { source: OTHER_PEER });
    rig.receive(datagram(frame({ src: TAP_MAC })), { source: OTHER_PEER });
    rig.receive(Buffer.alloc(3), { source: THIRD_PEER });
    rig.send(frame({ src: '0200000000cc' }));
    rig.send(frame({ src: '0200000000cc', dst: BROADCAST }));
    rig.send(frame({ src: '0200000000dd', dst: BROADCAST }), { tap: 8 });
    return records().map(short);
  }

  const [GOT, GOT_200, OWN_MAC, SHORT] = [
    'rx forwarded 198.18.0.2',
    'rx forwarded 198.18.0.3',
    'rx own-mac 198.18.0.3',
    'rx short 198.18.0.4',
  ];
  const [SENT, FLOODED, NOWHERE] = ['tx forwarded 198.18.0.2', 'tx flooded 239.1.1.1', 'tx no-remote'];

  it.each<[string, Partial<CaptureFilter>, string[]]>([
    ['none', {}, [GOT, GOT_200, OWN_MAC, SHORT, SENT, FLOODED, NOWHERE]],
    ['a VNI', { vni: 200 }, [GOT_200, NOWHERE]],
    ['a source', { mac: mac('0200000000cc') }, [SENT, FLOODED]],
    ['a destination, or source', { mac: mac(TAP_MAC) }, [OWN_MAC]],
    ['a destination', { mac: mac(BROADCAST) }, [FLOODED, NOWHERE]],
    ['a VTEP', { vtep: words(PEER) }, [GOT, SENT]],
    ['a VTEP of the flood list', { vtep: words(OTHER_PEER) }, [GOT_200, OWN_MAC, FLOODED]],
    ['a group', { vtep: words(GROUP) }, [FLOODED]],
    ['drops', { dropsOnly: true }, [OWN_MAC, SHORT, NOWHERE]],
    ['all of them', { vni: SEGMENT.vni, vtep: words(OTHER_PEER), mac: mac(TAP_MAC), dropsOnly: true }, [OWN_MAC]],
    ['what there is not', { vtep: words(ipWord('198.18.0.99')) }, []],
  ])('of %s takes what it says', (_, filter, expected) => {
    expect(play(filter)).toEqual(expected);
  });
});

describe('captures', () => {
  it('at once have frames of their own, and one that ends is the end of none but itself', () => {
    const rig = newRig();
    const [all, drops] = [capture(rig), capture(rig, { dropsOnly: true })];
    rig.receive(datagram(frame()));
    rig.receive(datagram(frame({ src: TAP_MAC })));
    expect([all.records().map(short), drops.records().map(short)]).toEqual([
      ['rx forwarded 198.18.0.2', 'rx own-mac 198.18.0.2'],
      ['rx own-mac 198.18.0.2'],
    ]);
  });

  it('that are not read lose what finds no room, count it, and hold nothing up', () => {
    const rig = newRig();
    const { ring, records } = capture(rig, {}, 1_024);
    const drops = capture(rig, { dropsOnly: true }, 1_024);
    for (let i = 0; i < 100; i++) rig.receive(datagram(frame()));
    expect(rig.taps.delivered).toHaveLength(100);
    const kept = records().length;
    expect(kept).toBeGreaterThan(5);
    expect(ring.lost).toBe(100 - kept);
    // What would not have been captured is not lost.
    expect(drops.ring.lost).toBe(0);
    rig.receive(datagram(frame()));
    expect(records()).toHaveLength(1);
  });

  it('are known by their number', () => {
    const rig = newRig();
    const frames = new FrameCapture(rig.fdb, () => NOW_MS);
    frames.start(1, CaptureRing.createMemory(1_024), ALL);
    frames.start(2, CaptureRing.createMemory(1_024), ALL);
    frames.start(2, CaptureRing.createMemory(1_024), ALL);
    frames.stop(3);
    frames.stop(2);
    expect(frames.isEmpty).toBe(false);
    frames.stop(1);
    expect(frames.isEmpty).toBe(true);
  });
});
