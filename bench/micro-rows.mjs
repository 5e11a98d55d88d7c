/** What `npm run bench:micro` measures. A row is a name, a unit, and a function that gives samples of which the median is shown. */
import { SegmentMap } from '../dist/segment/segment-map.js';
import { completeChecksum } from '../dist/wire/checksum.js';
import { FilledFdb, shuffled } from './micro-fdb.mjs';
import { floodTimes, receiveTimes, sendTimes } from './micro-forwarding.mjs';
import { perOperation } from './micro-timing.mjs';

const many = (count) => count.toLocaleString('en');

export const ROWS = [
  ...[64, 1_448, 65_000].map((octets) => row(`checksum of ${many(octets)} octets`, 'ns', () => checksum(octets))),

  ...[64, 1_464].flatMap((octets) => [
    row(`send ladder, ${many(octets)} octets`, 'ns', () => sendTimes(octets, { isFinished: true })),
    row(`send ladder, ${many(octets)} octets, checksum to do`, 'ns', () => sendTimes(octets, { isFinished: false })),
    row(`receive ladder, ${many(octets)} octets`, 'ns', () => receiveTimes(octets)),
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

function checksum(octets) {
  const view = new DataView(new ArrayBuffer(octets));
  for (let i = 0; i < octets; i++) view.setUint8(i, 31 * i);
  return perOperation((count) => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      // Each depends on the one before, whose result is in the data.
      completeChecksum(view, 0, octets, 16);
      sum += view.getUint16(16);
    }
    return sum;
  });
}

function vniLookup(vnis) {
  const map = new SegmentMap();
  for (let i = 0; i < vnis; i++) map.apply({ kind: 'put', segment: { index: i, vni: 7 * i, tap: i } });
  const order = shuffled(vnis);
  let next = 0;
  return perOperation((count) => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      sum += map.byVni(7 * order[next]).index;
      next = next + 1 === vnis ? 0 : next + 1;
    }
    return sum;
  });
}
