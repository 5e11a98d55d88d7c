/** The forwarding database at a given size: MACs of one segment, behind a handful of VTEPs, asked for in random order. */

import { Fdb } from '../dist/fdb/fdb.js';
import { createFdbMemory } from '../dist/fdb/layout.js';
import { SLICE_RECORDS, SLICE_REMOVALS } from '../dist/vtep/entries/fdb-sweep.js';
import { longestStep, perOperation, perOperationUndone } from './micro-timing.mjs';

const SEGMENT = 0;
const REMOTES = 16;
const NO_BOUND = 1_048_576;
const AGEING_SECONDS = 300;
const NOW = 1_000;
const EXPIRED = NOW + 10 * AGEING_SECONDS;

/** Inserted in one sample: enough to be timed, too few to make it another table. */
const MAX_INSERTED = 10_000;
const SWEEPS = 3;

const SOURCES = Array.from({ length: REMOTES }, (_, i) => ({ a: 0, b: 0, c: 0xffff, d: 0x0a_00_00_01 + i }));
const macHigh = (station) => 0x0200_0000 + (station >>> 16);
const macLow = (station) => station & 0xffff;
const sourceOf = (station) => SOURCES[station % REMOTES];

/** A database with `entries` learned MACs, made when it is first asked for. */
export class FilledFdb {
  #entries;
  #fdb;
  #order;
  #octetsPerEntry;

  constructor(entries) {
    this.#entries = entries;
  }

  /** Resident octets per entry, indexes included. */
  memory() {
    this.#fill();
    return [this.#octetsPerEntry];
  }

  lookup() {
    const [fdb, order] = this.#fill();
    let next = 0;
    return perOperation((count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        const station = order[next];
        next = next + 1 === order.length ? 0 : next + 1;
        sum += fdb.lookup(SEGMENT, macHigh(station), macLow(station), NOW);
      }
      return sum;
    });
  }

  /** A MAC that is known is heard again, at another time than before. */
  refresh() {
    const [fdb, order] = this.#fill();
    let [next, now] = [0, NOW];
    return perOperation((count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        const station = order[next];
        next = next + 1 === order.length ? 0 : next + 1;
        if (next === 0) now = now === NOW ? NOW + 1 : NOW;
        sum += fdb.learn(SEGMENT, macHigh(station), macLow(station), sourceOf(station), NO_BOUND, now);
      }
      return sum;
    });
  }

  /** MACs that are not known, in a table that has its entries already. */
  insert() {
    const [fdb] = this.#fill();
    const count = Math.min(MAX_INSERTED, this.#entries / 10);
    const [first, end] = [this.#entries, this.#entries + count];
    return perOperationUndone({
      count,
      run: () => learnAll(fdb, first, end),
      undo: () => {
        for (let i = first; i < end; i++) fdb.delete(SEGMENT, macHigh(i), macLow(i), NOW);
      },
    });
  }

  /** Milliseconds that the longest slice of a sweep through all entries takes. @param {{ isExpired: boolean }} options of all entries */
  sweep({ isExpired }) {
    const [fdb] = this.#fill();
    let from = 0;
    return longestStep(
      {
        // After a sweep of expired entries there are none; in any case all are as young as each other.
        prepare: () => learnAll(fdb, 0, this.#entries),
        step: () => {
          from = fdb.sweep(from, SLICE_RECORDS, isExpired ? EXPIRED + 1 : NOW, SLICE_REMOVALS);
          return from !== 0;
        },
      },
      SWEEPS,
    );
  }

  #fill() {
    if (!this.#fdb) {
      this.#order = shuffled(this.#entries);
      const before = process.memoryUsage.rss();
      this.#fdb = new Fdb(createFdbMemory(1, AGEING_SECONDS), 1);
      learnAll(this.#fdb, 0, this.#entries);
      this.#octetsPerEntry = (process.memoryUsage.rss() - before) / this.#entries;
    }
    return [this.#fdb, this.#order];
  }
}

function learnAll(fdb, first, end) {
  let sum = 0;
  for (let i = first; i < end; i++) sum += fdb.learn(SEGMENT, macHigh(i), macLow(i), sourceOf(i), NO_BOUND, NOW);
  return sum;
}

/** 0 to `count` - 1, always in the same random order. */
export function shuffled(count) {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  let state = 1;
  for (let i = count - 1; i > 0; i--) {
    // A linear congruential generator (Numerical Recipes), of which the high bits are the better ones.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
