import { SPEAKER_RETRY_SECONDS } from '../../lib/limits.ts';
import { type EvpnRoute, keyOf, type RouteKey } from '../route.ts';
import { rdKey } from './own-numbers.ts';
import { isSameRoute } from './same-route.ts';

const RETRY_MS = SPEAKER_RETRY_SECONDS * 1_000;

/** A request to the speaker. Its identity counts: the result is reported with the same object. */
export interface Change {
  readonly kind: 'add' | 'remove';
  readonly route: EvpnRoute;
}

/** The routes of one route distinguisher, as far as the speaker has them. */
export interface SentCounts {
  floods: number;
  macs: number;
  neighbours: number;
}

interface Group extends SentCounts {
  readonly key: string;
  /** All slots of the group. */
  slots: number;
  /** Slots of type 2 with a change that is not confirmed. */
  busyMacs: number;
}

/** One route key: what is wanted, and what the speaker has. */
export interface Slot {
  readonly key: RouteKey;
  readonly type: EvpnRoute['type'];
  readonly group: Group;
  wanted: EvpnRoute | undefined;
  /** What the speaker has. */
  sent: EvpnRoute | undefined;
  /** Whether the speaker may have another route with the key than `sent`, or none. */
  isUncertain: boolean;
  inFlight: Change | undefined;
  isBusy: boolean;
}

/**
 * Finds the changes from the routes that the speaker has to those that are wanted. There is one slot per key, and at most one request under way for
 * it. So a route that changes often costs only its last state, and what waits is bounded by the number of routes.
 *
 * A route that the speaker refuses is tried again after SPEAKER_RETRY_SECONDS, when another route is wanted with its key, and after a reconnect.
 */
export class OwnTable {
  readonly #slots = new Map<RouteKey, Slot>();
  readonly #groups = new Map<string, Group>();
  /** Slots with a change to do, by type. The oldest first. */
  readonly #dirty: Record<EvpnRoute['type'], Set<Slot>> = { 2: new Set(), 3: new Set() };
  /** When a slot is tried again, in milliseconds. The next one first. */
  readonly #refused = new Map<Slot, number>();
  readonly #totals: SentCounts = { floods: 0, macs: 0, neighbours: 0 };
  #inFlight = 0;
  #isConnected = false;

  /** Changes that are not confirmed, without those that are refused. */
  get pending(): number {
    return this.#dirty[2].size + this.#dirty[3].size + this.#inFlight;
  }

  get refused(): number {
    return this.#refused.size;
  }

  /** Routes that the speaker has. */
  get totals(): Readonly<SentCounts> {
    return this.#totals;
  }

  sentOf(rd: EvpnRoute['rd']): Readonly<SentCounts> {
    return this.#groups.get(rdKey(rd)) ?? NOTHING_SENT;
  }

  /** @param former slot of the same owner, whose route is not wanted any more if the key differs */
  want(route: EvpnRoute, former: Slot | undefined): Slot {
    const key = keyOf(route);
    if (former && former.key !== key) this.unwant(former);
    const slot = former?.key === key ? former : this.#slotOf(key, route);
    if (slot.wanted && isSameRoute(slot.wanted, route)) return slot;
    slot.wanted = route;
    this.#refused.delete(slot);
    this.#review(slot);
    return slot;
  }

  unwant(slot: Slot | undefined): undefined {
    if (!slot?.wanted) return;
    slot.wanted = undefined;
    this.#refused.delete(slot);
    this.#review(slot);
  }

  connected(): void {
    this.#isConnected = true;
  }

  /** Nothing is known about the speaker any more. Results of requests under way are ignored. */
  lost(): void {
    this.#isConnected = false;
    this.#refused.clear();
    this.#inFlight = 0;
    for (const slot of this.#slots.values()) {
      const route = slot.inFlight?.route ?? slot.sent;
      slot.inFlight = undefined;
      if (route) this.#setSent(slot, route, true);
      this.#review(slot);
    }
  }

  /** The speaker has the route. No request is under way. */
  found(route: EvpnRoute): void {
    const slot = this.#slotOf(keyOf(route), route);
    this.#setSent(slot, route);
    this.#review(slot);
  }

  /** The speaker does not have the route, though nobody asked it to withdraw it. */
  missed(route: EvpnRoute): void {
    const slot = this.#slots.get(keyOf(route));
    if (!slot || slot.inFlight) return;
    this.#setSent(slot, undefined);
    this.#review(slot);
  }

  /**
   * Takes changes to request. A VTEP's type 3 is announced before its MACs, and withdrawn after the withdrawal of its MACs.
   *
   * @returns at most `limit`; none while there is no connection
   */
  take(limit: number): Change[] {
    const changes: Change[] = [];
    if (!this.#isConnected) return changes;
    const { 2: macs, 3: floods } = this.#dirty;
    for (const slot of floods) {
      if (changes.length >= limit) return changes;
      if (slot.wanted) changes.push(this.#start(slot));
    }
    for (const slot of macs) {
      if (changes.length >= limit) return changes;
      changes.push(this.#start(slot));
    }
    for (const slot of floods) {
      if (changes.length >= limit) return changes;
      if (slot.group.busyMacs === 0) changes.push(this.#start(slot));
    }
    return changes;
  }

  done(change: Change): void {
    const slot = this.#finish(change);
    if (!slot) return;
    this.#setSent(slot, change.kind === 'add' ? change.route : undefined);
    this.#review(slot);
  }

  /** There was no answer. */
  failed(change: Change): void {
    const slot = this.#finish(change);
    if (!slot) return;
    this.#setSent(slot, change.route, true);
    this.#review(slot);
  }

  /** @param isFinal whether to wait, if the same is still wanted; else it is requested again at once */
  refuse(change: Change, isFinal: boolean, now: number): void {
    const slot = this.#finish(change);
    if (!slot) return;
    if (isFinal && slot.wanted === (change.kind === 'add' ? change.route : undefined)) {
      this.#refused.set(slot, now + RETRY_MS);
    }
    this.#review(slot);
  }

  tick(now: number): void {
    for (const [slot, at] of this.#refused) {
      if (now < at) return;
      this.#refused.delete(slot);
      this.#review(slot);
    }
  }

  #slotOf(key: RouteKey, { type, rd }: EvpnRoute): Slot {
    const known = this.#slots.get(key);
    if (known) return known;
    const group = this.#groupOf(rdKey(rd));
    group.slots++;
    const slot: Slot = {
      key,
      type,
      group,
      wanted: undefined,
      sent: undefined,
      isUncertain: false,
      inFlight: undefined,
      isBusy: false,
    };
    this.#slots.set(key, slot);
    return slot;
  }

  #groupOf(key: string): Group {
    const known = this.#groups.get(key);
    if (known) return known;
    const group: Group = { key, slots: 0, busyMacs: 0, floods: 0, macs: 0, neighbours: 0 };
    this.#groups.set(key, group);
    return group;
  }

  #start(slot: Slot): Change {
    const change: Change = slot.wanted
      ? { kind: 'add', route: slot.wanted }
      : { kind: 'remove', route: slot.sent as EvpnRoute };
    this.#dirty[slot.type].delete(slot);
    slot.inFlight = change;
    this.#inFlight++;
    return change;
  }

  /** undefined: the connection was lost since. */
  #finish(change: Change): Slot | undefined {
    const slot = this.#slots.get(keyOf(change.route));
    if (slot?.inFlight !== change) return undefined;
    slot.inFlight = undefined;
    this.#inFlight--;
    return slot;
  }

  #setSent(slot: Slot, sent: EvpnRoute | undefined, isUncertain = false): void {
    this.#count(slot, -1);
    // One object instead of two equal ones.
    slot.sent = sent && slot.wanted && isSameRoute(sent, slot.wanted) ? slot.wanted : sent;
    slot.isUncertain = isUncertain;
    this.#count(slot, 1);
  }

  #count({ sent, isUncertain, group }: Slot, step: 1 | -1): void {
    if (!sent || isUncertain) return;
    const kind = sent.type === 3 ? 'floods' : sent.ip === undefined ? 'macs' : 'neighbours';
    group[kind] += step;
    this.#totals[kind] += step;
  }

  /** Finds the change of a slot, and forgets it if there is no route. */
  #review(slot: Slot): void {
    const isBehind = slot.wanted
      ? slot.isUncertain || !slot.sent || !isSameRoute(slot.sent, slot.wanted)
      : slot.sent !== undefined;
    const isDirty = isBehind && !slot.inFlight && !this.#refused.has(slot);
    const dirty = this.#dirty[slot.type];
    if (isDirty) dirty.add(slot);
    else dirty.delete(slot);
    if (!isBehind) this.#refused.delete(slot);
    this.#setBusy(slot, isDirty || slot.inFlight !== undefined);
    if (!slot.wanted && !slot.sent && !slot.inFlight) this.#forget(slot);
  }

  #setBusy(slot: Slot, isBusy: boolean): void {
    if (slot.isBusy === isBusy) return;
    slot.isBusy = isBusy;
    if (slot.type === 2) slot.group.busyMacs += isBusy ? 1 : -1;
  }

  #forget({ key, group }: Slot): void {
    if (this.#slots.delete(key) && --group.slots === 0) this.#groups.delete(group.key);
  }
}

const NOTHING_SENT: SentCounts = { floods: 0, macs: 0, neighbours: 0 };
