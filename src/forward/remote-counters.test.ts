import { describe, expect, it } from 'vitest';
import { Fdb, type SourceAddress } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { RemoteCounters } from './remote-counters.ts';

const NOTHING = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, drops: 0, heard: undefined };

const source = (d: number): SourceAddress => ({ a: 0, b: 0, c: 0xffff, d });
const [A, B] = [source(0x0a00_0001), source(0x0a00_0002)];

function newRig() {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  const newCounters = () => new RemoteCounters(RemoteCounters.createMemory(), fdb.remotes);
  const counters = newCounters();
  return {
    fdb,
    counters,
    newCounters,
    of: (remote: number) => RemoteCounters.total([counters], remote),
    hear(from: SourceAddress, { inner = [60], drops = 0, now = 0 } = {}) {
      for (const bytes of inner) counters.forwarded(bytes);
      for (let i = 0; i < drops; i++) counters.dropped();
      counters.settle(from, now);
    },
  };
}

/** Has the table forget a remote that nobody names any more. */
function forget(fdb: Fdb, remote: number): void {
  fdb.releaseRemote(remote, 0);
  fdb.sweep(0, 1, 1_000);
}

describe('counters of remotes', () => {
  it('start at zero, and never heard', () => {
    const { fdb, of } = newRig();
    expect(of(fdb.retainRemote(A))).toEqual(NOTHING);
  });

  it('count what was sent to and received from each', () => {
    const { fdb, counters, of, hear } = newRig();
    const [a, b] = [fdb.retainRemote(A), fdb.retainRemote(B)];
    hear(A, { inner: [60, 1_450], drops: 1, now: 7 });
    hear(A, { now: 9 });
    hear(B, { now: 8 });
    counters.sent(a, 3_000, 2);
    counters.sent(b, 100, 1);
    counters.notSent(b, 3);
    expect(of(a)).toEqual({ rxPackets: 3, rxBytes: 1_570, txPackets: 2, txBytes: 3_000, drops: 1, heard: 9 });
    expect(of(b)).toEqual({ rxPackets: 1, rxBytes: 60, txPackets: 1, txBytes: 100, drops: 3, heard: 8 });
  });

  it('do not take a dropped datagram for a sign of life, and time 0 is one', () => {
    const { fdb, of, hear } = newRig();
    const [a, b] = [fdb.retainRemote(A), fdb.retainRemote(B)];
    hear(A, { inner: [], drops: 2, now: 5 });
    hear(B, { now: 0 });
    expect(of(a)).toEqual({ ...NOTHING, drops: 2 });
    expect(of(b).heard).toBe(0);
  });

  it('leave out who is not known, and count him from when he is', () => {
    const { fdb, of, hear } = newRig();
    hear(A);
    const a = fdb.retainRemote(A);
    expect(of(a)).toEqual(NOTHING);
    hear(A);
    expect(of(a).rxPackets).toBe(1);
  });

  it('start at zero for the next remote that gets the id, whoever counted before', () => {
    const { fdb, counters, of, hear } = newRig();
    const a = fdb.retainRemote(A);
    hear(A);
    counters.sent(a, 100, 1);
    forget(fdb, a);
    expect(of(a)).toEqual(NOTHING);
    // The same sender as before, whom nothing names now.
    hear(A);
    const b = fdb.retainRemote(B);
    expect(b).toBe(a);
    expect(of(b)).toEqual(NOTHING);
    hear(A);
    expect(of(b)).toEqual(NOTHING);
    hear(B, { inner: [99] });
    expect(of(b)).toEqual({ ...NOTHING, rxPackets: 1, rxBytes: 99, heard: 0 });
  });

  it('start at zero for a remote that comes back', () => {
    const { fdb, of, hear } = newRig();
    const a = fdb.retainRemote(A);
    hear(A);
    forget(fdb, a);
    expect(fdb.retainRemote(A)).toBe(a);
    expect(of(a)).toEqual(NOTHING);
  });

  it('of several workers are added up, but for the time last heard', () => {
    const { fdb, newCounters } = newRig();
    const a = fdb.retainRemote(A);
    const workers = [newCounters(), newCounters(), newCounters()];
    for (const [i, worker] of workers.entries()) {
      if (i < 2) {
        worker.forwarded(100);
        worker.settle(A, 20 - i);
      }
      worker.sent(a, 10, 1);
    }
    expect(RemoteCounters.total(workers, a)).toEqual({
      ...{ rxPackets: 2, rxBytes: 200, txPackets: 3, txBytes: 30, drops: 0, heard: 20 },
    });
  });
});
