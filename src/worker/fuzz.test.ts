/**
 * Mutated datagrams, trains, frames and super-frames through both ladders. Whatever comes: nothing throws, each is forwarded or counted under one
 * reason, and nothing of one VNI comes out in another. `npm run fuzz` runs it longer.
 */
import { expect, it } from 'vitest';
import { NO_SEGMENT } from '../forward/counters.ts';
import { INNER_VLAN } from '../segment/segment.ts';
import { ALL_CONTROL } from '../wire/link-local.ts';
import { BROADCAST, datagram, frame, newRig, PEER, SEGMENT, STATION } from './ladder-rig.ts';

const SECONDS = Number(process.env.VTEPD_FUZZ_SECONDS ?? 1);
const SEED = Number(process.env.VTEPD_FUZZ_SEED ?? 1);

const SEGMENTS = [
  SEGMENT,
  { ...SEGMENT, index: SEGMENT.index + 1, vni: SEGMENT.vni + 1, tap: SEGMENT.tap + 1, innerVlan: INNER_VLAN.strip },
  {
    ...SEGMENT,
    index: SEGMENT.index + 2,
    vni: SEGMENT.vni + 2,
    tap: SEGMENT.tap + 2,
    innerVlan: INNER_VLAN.pass,
    control: ALL_CONTROL,
    suppress: true,
  },
];
const TAP_OF_VNI = new Map(SEGMENTS.map(({ vni, tap }) => [vni, tap]));

/** mulberry32: all of a run follows from its seed. */
function random(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const hex = (text: string) => Buffer.from(text, 'hex');
const IPV4_UDP = hex(
  `0800 4500 0024 0001 4000 4011 0000 c0000201 c0000202 1000 2000 0010 0000 0102030405060708`.replaceAll(' ', ''),
);
const IPV4_TCP = hex(
  `0800 4500 0030 0001 4000 4006 0000 c0000201 c0000202 1000 2000 00000001 00000002 5018 ffff 0000 0000 0102030405060708`.replaceAll(
    ' ',
    '',
  ),
);
const IPV6_UDP = hex(
  `86dd 6000 0000 0010 11 40 20010db8000000000000000000000001 20010db8000000000000000000000002 1000 2000 0010 0000 0102030405060708`.replaceAll(
    ' ',
    '',
  ),
);
const ARP = hex(`0806 0001 0800 0604 0001 020000000001 c0000201 000000000000 c0000202`.replaceAll(' ', ''));
const RESTS = [IPV4_UDP, IPV4_TCP, IPV6_UDP, ARP];
const DESTINATIONS = [BROADCAST, '0180c2000000', '333300000001', '020000000002'];
const TAGS = ['', '', '81000005', '88a8000581000006', '81000000'];

type Random = ReturnType<typeof random>;
const pick = <T>(next: Random, items: readonly T[]) => items[next(items.length)] as T;

function seedFrame(next: Random): Buffer {
  return frame({ dst: pick(next, DESTINATIONS), src: STATION, tags: pick(next, TAGS), rest: pick(next, RESTS) });
}

/** Bits flipped, numbers at their limits, cut, made longer. */
function mutated(next: Random, octets: Buffer): Buffer {
  let bytes = Buffer.from(octets);
  for (let times = next(4); times > 0; times--) {
    const at = bytes.length === 0 ? 0 : next(bytes.length);
    const how = next(5);
    if (how === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
    else if (how === 1) bytes[at] = pick(next, [0, 1, 0x7f, 0x80, 0xff]);
    else if (how === 2) bytes = bytes.subarray(0, at);
    else if (how === 3) bytes = Buffer.concat([bytes, Buffer.alloc(next(64), next(256))]);
    else if (at + 2 <= bytes.length) bytes.writeUInt16BE(pick(next, [0, 1, bytes.length, 0xffff]), at);
  }
  return bytes;
}

it(`holds what it promises, seed ${SEED}`, { timeout: SECONDS * 1000 + 60_000 }, () => {
  const rig = newRig(SEGMENTS);
  const next = random(SEED);
  const counted = () => {
    let [rx, tx] = [0, 0];
    for (const index of [NO_SEGMENT, ...SEGMENTS.map((segment) => segment.index)]) {
      const drops = rig.counters.drops(index);
      for (const count of drops.rx) rx += count;
      for (const count of drops.tx) tx += count;
    }
    return { rx, tx };
  };
  const end = performance.now() + SECONDS * 1000;
  let cases = 0;
  while (cases < 100 || performance.now() < end) {
    const id = `seed ${SEED}, case ${cases++}`;
    const before = counted();
    rig.taps.delivered.length = 0;
    rig.underlay.sent.length = 0;
    const vni = pick(next, [...TAP_OF_VNI.keys()]);
    const how = next(3);
    try {
      if (how === 0) {
        const payload = mutated(next, datagram(seedFrame(next), { vni }));
        rig.receive(payload, { source: PEER, tos: next(256) });
        const told = payload.length >= 8 ? payload.readUIntBE(4, 3) : -1;
        for (const { tap } of rig.taps.delivered) expect(tap, id).toBe(TAP_OF_VNI.get(told));
        expect(rig.taps.delivered.length + counted().rx - before.rx, id).toBe(1);
        expect(rig.underlay.sent, id).toEqual([]);
      } else if (how === 1) {
        const first = datagram(seedFrame(next), { vni });
        const others = Array.from({ length: next(5) }, () =>
          mutated(next, datagram(seedFrame(next), { vni: pick(next, [...TAP_OF_VNI.keys()]) })),
        );
        const train = Buffer.concat(
          [first, ...others].map((each) => Buffer.concat([each, Buffer.alloc(128)]).subarray(0, first.length)),
        );
        const payload = mutated(next, train);
        rig.receive(payload, { segmentBytes: first.length });
        // Without the flag in front it can only be a train of a sender's own making, not what a kernel made of a tenant's frame.
        const mayMix = payload.length <= first.length || ((payload[0] ?? 0) & 8) === 0;
        if (!mayMix) expect(new Set(rig.taps.delivered.map(({ tap }) => tap)).size, id).toBeLessThanOrEqual(1);
        expect(rig.taps.delivered.length + counted().rx - before.rx, id).toBeGreaterThan(0);
        expect(rig.underlay.sent, id).toEqual([]);
      } else {
        const vnetHeader = new Uint8Array(
          mutated(next, Buffer.from([next(4), next(6), 54, 0, 1 + next(8), 0, 34, 0, 16, 0])).subarray(0, 10),
        );
        const inner = mutated(next, seedFrame(next));
        const header = new Uint8Array(10);
        header.set(vnetHeader);
        rig.send(inner, { tap: TAP_OF_VNI.get(vni) as number, vnetHeader: header });
        for (const { payload } of rig.underlay.sent) expect(Buffer.from(payload).readUIntBE(4, 3), id).toBe(vni);
        expect(rig.underlay.sent.length + counted().tx - before.tx, id).toBeGreaterThan(0);
      }
    } catch (error) {
      throw new Error(`${id}: ${(error as Error).message}`, { cause: error });
    }
  }
  console.log(`fuzz: ${cases} cases, seed ${SEED}`);
});
