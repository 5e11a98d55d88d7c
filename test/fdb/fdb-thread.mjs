/**
 * One thread of the FDB's concurrency tests, over the compiled FDB and memory shared with the others. It runs the task it is given and
 * reports a value of numbers and texts.
 *
 * MACs and VTEPs are chosen so that a wrong answer shows by itself: MAC n of segment s is ever only at two VTEPs, `addressesOf(s, n)`.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Fdb, LEARNED, PLACED, UNKNOWN } from '../../dist/fdb/fdb.js';
import { ENTRY, HEADER, mapFdb } from '../../dist/fdb/layout.js';

const { task, memory, stopMemory, owner, epochMs, plan } = workerData;
const { segments, macs, maxMacs, high, firstAddress, ownMacs, ageingTenths } = plan;
const mayPin = owner < 20;
const PLACED_TOGETHER = 4;

const fdb = new Fdb(memory, owner);
const stop = new Int32Array(stopMemory);
/** The same in all threads, as the daemon's is. */
const clock = () => Math.floor((performance.timeOrigin + performance.now() - epochMs) / 100);

// A segment of this thread alone: what it learns there, nobody else touches.
const ownSegment = segments + owner;

function run() {
  if (task === 'churn') return churn();
  if (task === 'fill') return fill();
  return dieWithLock();
}

/** Learns, moves, places, withdraws, looks up, pins, deletes and sweeps until told to stop. */
function churn() {
  const random = xorshift(owner * 7_919 + 1);
  const done = { learned: 0, moved: 0, refreshed: 0, hits: 0, misses: 0, deleted: 0, placed: 0, withdrawn: 0 };
  const faults = [];
  let refreshedAt = refreshOwn(faults, undefined);
  let sweptTo = 0;
  parentPort?.postMessage({ kind: 'started' });
  for (let round = 0; Atomics.load(stop, 0) === 0; round++) {
    const segment = random() % segments;
    const mac = random() % macs;
    const choice = random() % 100;
    const now = clock();
    if (choice < 60) {
      const found = fdb.lookup(segment, high, mac, now);
      if (found === UNKNOWN) done.misses++;
      else done.hits++;
      if (found !== UNKNOWN) checkRemote(found, segment, mac, faults);
    } else if (choice < 85) {
      const result = fdb.learn(segment, high, mac, sourceOf(segment, mac, random() & 1), maxMacs, now);
      if (result === LEARNED.added) done.learned++;
      if (result === LEARNED.moved) done.moved++;
      if (result === LEARNED.refreshed) done.refreshed++;
    } else if (choice < 94) {
      if (fdb.delete(segment, high, mac, now)) done.deleted++;
    } else if (choice < 96) {
      const placements = macsFrom(mac).map((low) => ({
        ...{ high, low, at: sourceOf(segment, low, random() & 1), isSticky: false },
      }));
      const answers = fdb.placeAll(segment, placements, now);
      done.placed += answers.filter((answer) => answer !== PLACED.outranked && answer !== PLACED.full).length;
    } else if (choice < 97) {
      const doomed = [0, 1, 2].flatMap((far) => macsFrom((mac + PLACED_TOGETHER * far) % macs));
      done.withdrawn += fdb.withdrawAll(
        segment,
        doomed.map((low) => ({ high, low })),
        now,
      );
    } else if (choice < 98) {
      fdb.addStatic(segment, high, mac, sourceOf(segment, mac, 0), now);
    } else if (choice < 99) {
      // What a thread pins and does not live to give back stays pinned: the daemon pins on its main thread alone.
      if (mayPin) fdb.releaseRemote(fdb.retainRemote(sourceOf(segment, mac, 1)), now);
    } else {
      sweptTo = fdb.sweep(sweptTo, 50, now);
    }
    if (round % 1_000 === 0) refreshedAt = refreshOwn(faults, refreshedAt);
  }
  refreshOwn(faults, refreshedAt);
  return { ...done, faults };
}

/** Hears the own MACs again. They must still be there unless so much time went by that they may have aged out. */
function refreshOwn(faults, lastAt) {
  const now = clock();
  for (let mac = 0; mac < ownMacs; mac++) {
    const result = fdb.learn(ownSegment, high, mac, sourceOf(ownSegment, mac, 0), ownMacs, now);
    if (lastAt === undefined || result === LEARNED.refreshed || now - lastAt >= ageingTenths) continue;
    fault(faults, `own MAC ${mac} was lost: ${result}`);
  }
  return now;
}

/** Some that follow one another. */
function macsFrom(mac) {
  return Array.from({ length: PLACED_TOGETHER }, (_, i) => (mac + i) % macs);
}

function checkRemote(remote, segment, mac, faults) {
  const address = fdb.remotes.word(remote, 3);
  for (const index of [0, 1]) if (address === sourceOf(segment, mac, index).d) return;
  fault(faults, `MAC ${mac} of segment ${segment} at ${address - firstAddress}`);
}

function fault(faults, text) {
  if (faults.length < 20) faults.push(text);
}

function sourceOf(segment, mac, index) {
  return { a: 0, b: 0, c: 0xffff, d: firstAddress + 2 * (segment * macs + mac) + index };
}

/** Fills all records but one with MACs of one VTEP: 65,536 a segment. */
function fill() {
  const source = { a: 0, b: 0, c: 0xffff, d: firstAddress };
  const count = plan.records - 1;
  for (let n = 0; n < count; n++) fdb.learn(n >>> 16, high, n & 0xffff, source, plan.records, clock());
  return { count };
}

/** Takes the lock, leaves an entry and the index half-written, and ends. */
function dieWithLock() {
  const { header, entries, entryIndex } = mapFdb(memory);
  while (Atomics.compareExchange(header, HEADER.lock, 0, owner) !== 0);
  for (let record = 0; record < 10; record++) Atomics.add(entries, record * ENTRY.words + ENTRY.version, 1);
  let emptied = 0;
  for (let slot = 0; slot < entryIndex.length && emptied < 10; slot++) {
    if (entryIndex[slot] === 0) continue;
    Atomics.store(entryIndex, slot, 0);
    emptied++;
  }
  Atomics.store(header, HEADER.entries, -5);
  return { emptied };
}

/** Marsaglia's xorshift32, unsigned. */
function xorshift(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

parentPort?.postMessage({ kind: 'result', value: run() });
