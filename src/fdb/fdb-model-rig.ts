/**
 * Compares the FDB with a plain Map: random operations, and after each one all possible queries. The model states the rules in a simple way. Where
 * the contract leaves a choice (which entry of a VTEP is evicted), the model follows the FDB after it has checked the rule.
 */
import { expect } from 'vitest';
import { MAX_FDB_ENTRIES, MAX_FDB_EVENTS } from '../lib/limits.ts';
import { CONTROL_EVENT, EVENT_KIND, HAS_FROM, STATIC_EVENT } from './event-ring.ts';
import { type EntryKind, type EntryView, Fdb, LEARNED, PLACED, UNKNOWN } from './fdb.ts';
import { createFdbMemory, EVENT, HEADER, mapFdb, SEGMENT } from './layout.ts';
import {
  byKey,
  describeEvent,
  type Entry,
  eachMac,
  HIGH,
  keyOf,
  SEGMENTS,
  SOURCES,
  sourceOf,
  VNI,
  VTEPS,
} from './model-entries-rig.ts';
import { ModelFlaps } from './model-flaps-rig.ts';
import { LOCAL, NO_REMOTE } from './remotes.ts';

const IDLE = 100;

export type Operation =
  | { readonly kind: 'learn'; segment: number; mac: number; vtep: number; maxMacs: number }
  | { readonly kind: 'add-static'; segment: number; mac: number; vtep: number }
  | { readonly kind: 'delete'; segment: number; mac: number }
  | { readonly kind: 'place'; segment: number; placements: readonly { mac: number; vtep: number; isSticky: boolean }[] }
  | { readonly kind: 'withdraw'; segment: number; macs: readonly number[] }
  | { readonly kind: 'flush'; segment: number; vtep: number; kinds: readonly EntryKind[] }
  | { readonly kind: 'wait'; tenths: number }
  | { readonly kind: 'sweep'; budget: number }
  | { readonly kind: 'pin'; vtep: number }
  | { readonly kind: 'unpin' }
  /** A VTEP of a flood list announces its MACs in a segment from now on, or does not any more. */
  | { readonly kind: 'announce'; segment: number; announces: boolean };

/** Runs each operation on both. */
export class Comparison {
  readonly #ageing: number;
  readonly #fdb: Fdb;
  readonly #cells: Int32Array;
  readonly #flaps = new ModelFlaps();
  /** Events since the last read, and the number of the first of them. */
  readonly #happened: string[] = [];
  readonly #events = new Int32Array(1_000 * EVENT.words);
  #read: number;
  readonly #entries = new Map<string, Entry>();
  readonly #moves = new Array<number>(SEGMENTS).fill(0);
  readonly #evictions = new Array<number>(SEGMENTS).fill(0);
  /** Flood lists: references that must be released. */
  readonly #pins: { vtep: number; id: number; announcesIn: Set<number> }[] = [];
  readonly #references = new Array<number>(VTEPS).fill(0);
  /** For each known VTEP without a reference: since when. */
  readonly #idleSince = new Map<number, number>();
  /** VTEPs that were looked up without success: any sweep may forget them. */
  readonly #asked = new Set<number>();
  #now = 1_000;
  #sweptTo = 0;

  /** @param ageing tenths of a second */
  constructor(ageing: number) {
    this.#ageing = ageing;
    const memory = createFdbMemory(4_711, ageing / 10);
    this.#fdb = new Fdb(memory, 1);
    const { segments, header } = mapFdb(memory);
    this.#cells = segments;
    for (let segment = 0; segment < SEGMENTS; segment++) this.#fdb.nameSegment(segment, VNI + segment);
    // Event numbers wrap, and so does the ring.
    header[HEADER.events] = -MAX_FDB_EVENTS - 3;
    this.#read = this.#fdb.nextEvent;
  }

  run(step: Operation): void {
    const fdb = this.#fdb;
    const now = this.#now;
    switch (step.kind) {
      case 'learn':
        this.#learn(step);
        break;
      case 'add-static':
        this.#addStatic(step);
        break;
      case 'delete': {
        const entry = this.#entries.get(keyOf(step));
        const isDeleted = entry !== undefined && entry.kind !== 'control' && !this.#isExpired(entry);
        expect(fdb.delete(step.segment, HIGH, step.mac, now)).toBe(isDeleted);
        if (entry && entry.kind !== 'control') this.#forget(entry);
        break;
      }
      case 'place':
        this.#place(step);
        break;
      case 'withdraw': {
        const macs = step.macs.map((low) => ({ high: HIGH, low }));
        const placed = step.macs.flatMap((mac) => this.#entries.get(keyOf({ segment: step.segment, mac })) ?? []);
        const doomed = new Set(placed.filter(({ kind }) => kind === 'control'));
        expect(fdb.withdrawAll(step.segment, macs, now)).toBe(doomed.size);
        for (const entry of doomed) this.#forget(entry);
        break;
      }
      case 'flush':
        this.#flush(step);
        break;
      case 'wait':
        this.#now += step.tenths;
        break;
      case 'sweep':
        this.#sweep(step.budget);
        break;
      case 'pin': {
        const id = fdb.retainRemote(sourceOf(step.vtep));
        expect(this.#vtepOf(id)).toBe(step.vtep);
        this.#pins.push({ vtep: step.vtep, id, announcesIn: new Set() });
        break;
      }
      case 'unpin': {
        const pin = this.#pins.pop();
        if (!pin) break;
        for (const segment of pin.announcesIn) this.#announce(segment, pin.vtep, false);
        fdb.releaseRemote(pin.id, now);
        break;
      }
      case 'announce': {
        const pin = this.#pins.at(-1);
        if (pin) this.#announce(step.segment, pin.vtep, step.announces);
        break;
      }
    }
    this.#countReferences();
    this.#compare();
  }

  #announce(segment: number, vtep: number, announces: boolean): void {
    this.#fdb.setAnnouncer(segment, this.#idOf(vtep), announces);
    for (const pin of this.#pins) {
      if (pin.vtep !== vtep) continue;
      if (announces) pin.announcesIn.add(segment);
      else pin.announcesIn.delete(segment);
    }
  }

  #learn({ segment, mac, vtep, maxMacs }: Operation & { kind: 'learn' }): void {
    const key = keyOf({ segment, mac });
    const known = this.#entries.get(key);
    const foretold = this.#fdb.wouldLearn(segment, HIGH, mac, sourceOf(vtep), this.#now);
    const result = this.#fdb.learn(segment, HIGH, mac, sourceOf(vtep), maxMacs, this.#now);
    if (result !== LEARNED.full) expect(foretold).toBe(result);
    const announces = this.#pins.some((pin) => pin.vtep === vtep && pin.announcesIn.has(segment));
    const fresh: Entry = { segment, mac, vtep, kind: 'learned', isSticky: false, heard: this.#now, moves: 0 };
    if (known?.kind === 'static') {
      expect(result).toBe(known.vtep === vtep ? LEARNED.refreshed : LEARNED.conflict);
    } else if (known?.kind === 'control' && (known.vtep === vtep || vtep !== 0 || known.isSticky)) {
      expect(result).toBe(known.vtep === vtep ? LEARNED.refreshed : LEARNED.outranked);
    } else if (announces && (!known || this.#isExpired(known))) {
      expect(result).toBe(LEARNED.announced);
    } else if (known && this.#isExpired(known)) {
      expect(result).toBe(LEARNED.added);
      this.#forget(known);
      this.#add(fresh);
    } else if (known?.vtep === vtep) {
      expect(result).toBe(LEARNED.refreshed);
      known.heard = this.#now;
    } else if (announces) {
      expect(result).toBe(known && this.#flaps.isHeld(key, this.#now) ? LEARNED.held : LEARNED.announced);
    } else if (known && !this.#flaps.mayMove(key, this.#now)) {
      expect(result).toBe(LEARNED.held);
      if (this.#flaps.hold(key, this.#now)) this.#happens('held', known, vtep);
      this.#asked.add(vtep);
    } else if (known) {
      if (known.kind === 'control' && this.#learnedIn(segment).length >= maxMacs) {
        const losers = this.#losers(segment, vtep);
        expect(result).toBe(losers.length > 0 ? LEARNED.moved : LEARNED.full);
        if (result === LEARNED.full) return;
        this.#followEviction(segment, losers);
      }
      expect(result).toBe(LEARNED.moved);
      this.#flaps.move(key, this.#now);
      this.#entries.set(key, { ...fresh, moves: known.moves + 1 });
      this.#happens('moved', fresh, known.vtep);
      this.#moves[segment] = (this.#moves[segment] as number) + 1;
    } else if (this.#learnedIn(segment).length < maxMacs) {
      expect(result).toBe(LEARNED.added);
      this.#add(fresh);
    } else {
      const losers = this.#losers(segment, vtep);
      expect(result).toBe(losers.length > 0 ? LEARNED.added : LEARNED.full);
      if (result === LEARNED.full) this.#asked.add(vtep);
      else {
        this.#followEviction(segment, losers);
        this.#add(fresh);
      }
    }
  }

  #place({ segment, placements }: Operation & { kind: 'place' }): void {
    const asked = placements.map(({ mac, vtep, isSticky }) => ({ high: HIGH, low: mac, at: sourceOf(vtep), isSticky }));
    const results = this.#fdb.placeAll(segment, asked, this.#now);
    const expected = placements.map((placement) => {
      const placed = this.#placed({ segment, ...placement });
      // One call may add and remove the references of a VTEP.
      this.#countReferences();
      return placed;
    });
    expect(results).toEqual(expected);
  }

  /** One of PLACED. */
  #placed(placement: Pick<Entry, 'segment' | 'mac' | 'vtep' | 'isSticky'>): number {
    const key = keyOf(placement);
    const known = this.#entries.get(key);
    if (known?.kind === 'static') return PLACED.outranked;
    const isKnown = known !== undefined && !this.#isExpired(known);
    if (known && !isKnown) this.#forget(known);
    const entry: Entry = { ...placement, kind: 'control', heard: 0, moves: isKnown ? known.moves : 0 };
    this.#entries.set(key, entry);
    if (isKnown && known.vtep !== entry.vtep) {
      this.#happens('moved', entry, known.vtep);
      return PLACED.moved;
    }
    if (isKnown && known.kind === 'control') return PLACED.same;
    this.#happens('added', entry, known && isKnown ? known.vtep : undefined);
    return PLACED.added;
  }

  #add(entry: Entry, from?: number): void {
    this.#entries.set(keyOf(entry), entry);
    this.#happens('added', entry, from);
  }

  #forget(entry: Entry): void {
    this.#happens(this.#isExpired(entry) ? 'aged' : 'deleted', entry);
    this.#entries.delete(keyOf(entry));
    this.#flaps.forget(keyOf(entry));
  }

  #happens(event: keyof typeof EVENT_KIND, { segment, mac, vtep, kind }: Entry, from: number | 'nowhere' = 'nowhere') {
    this.#happened.push(describeEvent({ event, vni: VNI + segment, mac, at: vtep, from, kind, time: this.#now }));
  }

  /** The VTEPs of which one loses an entry to a new one of `learner`: contract §1, --max-macs. */
  #losers(segment: number, learner: number): number[] {
    const counts = new Map<number, number>();
    for (const { vtep } of this.#learnedIn(segment)) counts.set(vtep, (counts.get(vtep) ?? 0) + 1);
    if (learner !== 0) counts.delete(0);
    const most = Math.max(...counts.values());
    const tied = [...counts].filter(([, count]) => count === most).map(([vtep]) => vtep);
    return tied.length > 1 ? tied.filter((vtep) => vtep !== learner) : tied;
  }

  #followEviction(segment: number, losers: readonly number[]): void {
    const present = new Set(this.#dump().map(keyOf));
    const lost = [...this.#entries.values()].filter((entry) => !present.has(keyOf(entry)));
    expect(lost).toHaveLength(1);
    const [victim] = lost as [Entry];
    expect(victim).toMatchObject({ segment, kind: 'learned' });
    expect(losers).toContain(victim.vtep);
    this.#forget(victim);
    this.#evictions[segment] = (this.#evictions[segment] as number) + 1;
  }

  #addStatic({ segment, mac, vtep }: Operation & { kind: 'add-static' }): void {
    const key = keyOf({ segment, mac });
    const known = this.#entries.get(key);
    const result = this.#fdb.addStatic(segment, HIGH, mac, sourceOf(vtep), this.#now);
    if (known?.kind === 'static') {
      expect(result).toBe(known.vtep === vtep ? LEARNED.refreshed : LEARNED.conflict);
      this.#asked.add(vtep);
      return;
    }
    expect(result).toBe(LEARNED.added);
    const isReplaced = known !== undefined && !this.#isExpired(known);
    if (known && !isReplaced) this.#forget(known);
    this.#flaps.forget(key);
    const entry: Entry = { segment, mac, vtep, kind: 'static', isSticky: false, heard: 0, moves: 0 };
    this.#add(entry, isReplaced ? known.vtep : undefined);
  }

  #flush({ segment, vtep, kinds }: Operation & { kind: 'flush' }): void {
    // One above the highest value means any.
    const isMeant = (entry: Pick<Entry, 'segment' | 'vtep' | 'kind'>) =>
      (segment === SEGMENTS || entry.segment === segment) &&
      (vtep === VTEPS || entry.vtep === vtep) &&
      kinds.includes(entry.kind);
    const doomed = [...this.#entries.values()].filter(isMeant);
    const alive = doomed.filter((entry) => !this.#isExpired(entry));
    const matches = (view: EntryView) => isMeant({ ...view, vtep: this.#vtepOf(view.remote) });
    expect(this.#fdb.flush(matches, this.#now)).toBe(alive.length);
    for (const entry of doomed) this.#forget(entry);
  }

  #sweep(budget: number): void {
    this.#sweptTo = this.#fdb.sweep(this.#sweptTo, budget, this.#now);
    const left = new Set(this.#dump().map(keyOf));
    const taken = [...this.#entries.values()].filter((entry) => !left.has(keyOf(entry)));
    expect(taken.every((entry) => this.#isExpired(entry))).toBe(true);
    expect(taken.length).toBeLessThanOrEqual(budget);
    for (const entry of taken) this.#forget(entry);
    this.#countReferences();
    if (this.#sweptTo !== 0) return;
    for (const [vtep, since] of this.#idleSince) if (this.#now - since >= IDLE) this.#idleSince.delete(vtep);
    for (const vtep of this.#asked) if (this.#idOf(vtep) === NO_REMOTE) this.#asked.delete(vtep);
  }

  #countReferences(): void {
    for (let vtep = 1; vtep < VTEPS; vtep++) {
      const named = [...this.#entries.values(), ...this.#pins].filter((each) => each.vtep === vtep).length;
      if (named === 0 && (this.#references[vtep] as number) > 0) this.#idleSince.set(vtep, this.#now);
      if (named > 0) {
        this.#idleSince.delete(vtep);
        this.#asked.delete(vtep);
      }
      this.#references[vtep] = named;
    }
  }

  #compare(): void {
    const fdb = this.#fdb;
    // A sweep or a flush is in the order of records, which the model does not know.
    expect(this.#readEvents().sort()).toEqual(this.#happened.splice(0).sort());
    const model = [...this.#entries.values()];
    const alive = model.filter((entry) => !this.#isExpired(entry));
    expect(this.#dump().sort(byKey)).toEqual(model.sort(byKey));
    const shown: Entry[] = [];
    fdb.forEachSlice(0, MAX_FDB_ENTRIES, (view) => shown.push(this.#entryOf(view)), this.#now);
    expect(shown.sort(byKey)).toEqual(alive.sort(byKey));

    const counts = (at: number) => Array.from({ length: SEGMENTS }, (_, i) => this.#cells[i * SEGMENT.words + at]);
    const perSegment = (entries: Entry[]) =>
      Array.from({ length: SEGMENTS }, (_, i) => entries.filter(({ segment }) => segment === i).length);
    expect({
      all: fdb.count,
      total: perSegment([]).map((_, i) => fdb.counts.totalOf(i)),
      moves: perSegment([]).map((_, i) => fdb.counts.movesOf(i)),
      learned: counts(SEGMENT.learned),
      statics: counts(SEGMENT.statics),
      controls: perSegment([]).map((_, i) => fdb.counts.controlsOf(i)),
      locals: perSegment([]).map((_, i) => fdb.counts.localsOf(i)),
      evictions: counts(SEGMENT.evictions),
    }).toEqual({
      all: model.length,
      total: perSegment(model),
      moves: this.#moves,
      learned: perSegment(model.filter(({ kind }) => kind === 'learned')),
      statics: perSegment(model.filter(({ kind }) => kind === 'static')),
      controls: perSegment(model.filter(({ kind }) => kind === 'control')),
      locals: perSegment(model.filter(({ vtep }) => vtep === 0)),
      evictions: this.#evictions,
    });
    expect(this.#answers()).toEqual(this.#expectedAnswers());

    const known = Array.from({ length: VTEPS }, (_, vtep) => this.#asked.has(vtep) || this.#idOf(vtep) !== NO_REMOTE);
    const named = this.#references.map((count) => count > 0);
    expect(known.slice(1)).toEqual(
      named.map((isNamed, vtep) => isNamed || this.#asked.has(vtep) || this.#idleSince.has(vtep)).slice(1),
    );
    expect(fdb.remotes.count).toBe(named.filter(Boolean).length);
  }

  #readEvents(): string[] {
    const { lost, count } = this.#fdb.copyEvents(this.#read, this.#events);
    expect(lost).toBe(0);
    this.#read = (this.#read + count) | 0;
    expect(this.#fdb.nextEvent).toBe(this.#read);
    const names = new Map(Object.entries(EVENT_KIND).map(([name, kind]) => [kind as number, name]));
    return Array.from({ length: count }, (_, i) => {
      const word = (number: number) => this.#events[i * EVENT.words + number] as number;
      const vtepAt = (at: number) => (word(at + 3) === 0 ? 0 : SOURCES.findIndex(({ d }) => d === word(at + 3)));
      const kind = word(EVENT.macLowAndKind);
      expect(word(EVENT.macHigh)).toBe(HIGH);
      return describeEvent({
        event: names.get(kind & 0xff) ?? '',
        vni: word(EVENT.vni),
        mac: kind >>> 16,
        at: vtepAt(EVENT.at),
        from: (kind & HAS_FROM) === 0 ? 'nowhere' : vtepAt(EVENT.from),
        kind: (kind & STATIC_EVENT) !== 0 ? 'static' : (kind & CONTROL_EVENT) !== 0 ? 'control' : 'learned',
        time: word(EVENT.time),
      });
    });
  }

  /** For each MAC of each segment: the VTEP that lookup returns, then whether the MAC conflicts at each VTEP. */
  #answers(): (number | boolean)[][] {
    return eachMac(({ segment, mac }) => {
      const found = this.#fdb.lookup(segment, HIGH, mac, this.#now);
      const conflicts = SOURCES.map((source) => this.#fdb.conflicts(segment, HIGH, mac, source));
      return [found === UNKNOWN ? UNKNOWN : this.#vtepOf(found), ...conflicts];
    });
  }

  #expectedAnswers(): (number | boolean)[][] {
    return eachMac((where) => {
      const entry = this.#entries.get(keyOf(where));
      const conflicts = SOURCES.map((_, vtep) => entry?.kind === 'static' && entry.vtep !== vtep);
      return [entry && !this.#isExpired(entry) ? entry.vtep : UNKNOWN, ...conflicts];
    });
  }

  /** All records, also expired ones: the entries that a flush without a match visits. */
  #dump(): Entry[] {
    const entries: Entry[] = [];
    this.#fdb.flush((view) => {
      entries.push(this.#entryOf(view));
      return false;
    }, this.#now);
    return entries;
  }

  #entryOf({ segment, high, low, remote, kind, isSticky, heard, moves }: EntryView): Entry {
    expect(high).toBe(HIGH);
    const age = kind === 'learned' ? heard : 0;
    return { segment, mac: low, vtep: this.#vtepOf(remote), kind, isSticky, heard: age, moves };
  }

  #vtepOf(id: number): number {
    if (id === LOCAL) return 0;
    return SOURCES.findIndex(({ d }, vtep) => vtep > 0 && d === this.#fdb.remotes.word(id, 3));
  }

  #idOf(vtep: number): number {
    const { a, b, c, d } = sourceOf(vtep);
    return this.#fdb.remotes.find(a, b, c, d);
  }

  #learnedIn(segment: number): Entry[] {
    return [...this.#entries.values()].filter((entry) => entry.segment === segment && entry.kind === 'learned');
  }

  #isExpired({ kind, heard }: Entry): boolean {
    return kind === 'learned' && this.#now - heard >= this.#ageing;
  }
}
