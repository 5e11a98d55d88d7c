/** What `npm run bench:micro` measures. A row is a name, a unit, and a function that gives samples of which the median is shown. */
import { ENCAP } from '../dist/encap/encapsulation.js';
import { SegmentMap } from '../dist/segment/segment-map.js';
import { octetSums } from '../dist/sys/simd-sums.js';
import { Slab } from '../dist/sys/slab.js';
import { portableSums } from '../dist/wire/octet-sums.js';
import { FilledFdb, shuffled } from './micro-fdb.mjs';
import { floodTimes, mergeTimes, receiveTimes, sendTimes, splitTimes } from './micro-forwarding.mjs';
import { perOperation } from './micro-timing.mjs';

const many = (count) => count.toLocaleString('en');

export const ROWS = [
  ...[64, 1_448, 65_000].flatMap((octets) => [
    row(`sum of ${many(octets)} octets, JavaScript`, 'ns', () => sumTimes(octets, portable)),
    row(`sum of ${many(octets)} octets, SIMD`, 'ns', () => sumTimes(octets, octetSums)),
    row(`copy and sum of ${many(octets)} octets, SIMD`, 'ns', () => copySumTimes(octets, octetSums)),
  ]),

  row('split of 45 × 1,398 octets of TCP', 'ns', () => splitTimes(45 * 1_398, 1_398)),
  row('merge of 45 × 1,398 octets of TCP', 'ns', () => mergeTimes(45, 1_398)),

  ...[64, 1_464].flatMap((octets) => [
    row(`send ladder, ${many(octets)} octets`, 'ns', () => sendTimes(octets, { isFinished: true })),
    row(`send ladder, ${many(octets)} octets, checksum to do`, 'ns', () => sendTimes(octets, { isFinished: false })),
    row(`receive ladder, ${many(octets)} octets`, 'ns', () => receiveTimes(octets)),
    row(`receive ladder, ${many(octets)} octets, of 8 VTEPs in turn`, 'ns', () => receiveTimes(octets, { vteps: 8 })),
  ]),
  ...[1, 10, 100, 1_000].map((remotes) =>
    row(`send ladder, 64 octets, flood list of ${many(remotes)}`, 'ns', () => floodTimes(64, { remotes })),
  ),

  ...[1, 100, 10_000].map((vnis) => row(`VNI lookup among ${many(vnis)}`, 'ns', () => vniLookup(vnis))),

  ...[1_000, 100_000, 1_000_000].flatMap((entries) => {
    const fdb = new FilledFdb(entries);
    const named = (text) => `FDB of ${many(entries)}: ${text}`;
    return [
      row(named('memory per entry'), 'B', () => fdb.memory()),
      row(named('lookup'), 'ns', () => fdb.lookup()),
      row(named('learn, refresh'), 'ns', () => fdb.refresh()),
      row(named('learn, insert'), 'ns', () => fdb.insert()),
      row(named('longest sweep slice, none expired'), 'ms', () => fdb.sweep({ isExpired: false })),
      row(named('longest sweep slice, all expired'), 'ms', () => fdb.sweep({ isExpired: true })),
    ];
  }),
];

function row(name, unit, samples) {
  return { name, unit, samples };
}

const portable = (slab) => portableSums(slab.bytes);

function sumTimes(octets, kind) {
  const { slab, sums, from } = filledSlab(octets, kind);
  return perOperation((count) => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      // Each depends on the one before, whose result is in the data.
      sum = sums.sum(from, octets);
      slab.view.setUint16(from, sum);
    }
    return sum;
  });
}

function copySumTimes(octets, kind) {
  const { slab, sums, from } = filledSlab(octets, kind);
  const to = slab.allocate(octets);
  return perOperation((count) => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      sum = sums.copySum(to, from, octets);
      slab.view.setUint16(from, sum);
    }
    return sum;
  });
}

function filledSlab(octets, kind) {
  const slab = new Slab(4 * octets + 65_536);
  const from = slab.allocate(octets);
  for (let i = 0; i < octets; i++) slab.bytes[from + i] = 31 * i;
  return { slab, sums: kind(slab), from };
}

function vniLookup(vnis) {
  const map = new SegmentMap();
  const encap = ENCAP.vxlan;
  for (let i = 0; i < vnis; i++) map.apply({ kind: 'put', segment: { encap, index: i, vni: 7 * i, tap: i } });
  const order = shuffled(vnis);
  let next = 0;
  return perOperation((count) => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      sum += map.byVni(encap, 7 * order[next]).index;
      next = next + 1 === vnis ? 0 : next + 1;
    }
    return sum;
  });
}
