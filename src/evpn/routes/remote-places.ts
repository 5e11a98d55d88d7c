import type { RefusalCause } from '../../control/control-plane.ts';
import { Place } from './remote-place.ts';
import type { RemoteRoute } from './remote-route.ts';

/** What differs between MACs, IP addresses and members of the flood list. */
export interface PlaceRules<Key extends string, Route extends RemoteRoute> {
  readonly isPreferred: (one: Route, other: Route) => boolean;
  /** Whether two routes give the same entry of the data path. */
  readonly isSameEntry: (one: Route, other: Route) => boolean;
  /** What is in force stays, whatever the routes say. */
  readonly isHeld?: (place: Place<Key, Route>) => boolean;
  /** Another origin has the entry of the data path. It is told again when that ends (`repeat`). */
  readonly isElsewhere?: (place: Place<Key, Route>) => boolean;
  /** The best route of a key is another one, or says something else. Called when candidates come and go. */
  readonly bestChanged?: (key: Key, before: Route | undefined, best: Route | undefined) => void;
  /** There is something to take. */
  readonly queue: () => void;
}

/** What the data path is to be told of entries of one kind. */
export interface PlaceChanges<Key, Route> {
  readonly placed: Route[];
  readonly withdrawn: Key[];
}

/** The entries of one kind of one VNI, and the differences between what the data path was told of them and what the routes ask for. */
export class Places<Key extends string, Route extends RemoteRoute> {
  readonly #rules: PlaceRules<Key, Route>;
  readonly #all = new Map<Key, Place<Key, Route>>();
  /** To be compared, in the order of the changes. */
  readonly #dirty = new Set<Place<Key, Route>>();
  /** To be compared when what holds them ends, and in no other list. */
  readonly #held = new Set<Place<Key, Route>>();
  readonly #refused = new Set<Place<Key, Route>>();
  /** Those of the refused ones that found a table full, in the order of the refusals. */
  readonly #full = new Set<Place<Key, Route>>();
  #inForce = 0;

  constructor(rules: PlaceRules<Key, Route>) {
    this.#rules = rules;
  }

  /** Entries that the data path was told and did not refuse. */
  get inForce(): number {
    return this.#inForce;
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  get(key: Key): Place<Key, Route> | undefined {
    return this.#all.get(key);
  }

  *keysInForce(): Iterable<Key> {
    for (const { key, said } of this.#all.values()) if (said) yield key;
  }

  /** A route asks for an entry. */
  add(key: Key, route: Route): void {
    const place = this.#need(key);
    const { best } = place;
    place.add(route, this.#rules.isPreferred);
    if (place.best !== best) this.#bestChanged(place, best);
  }

  /** A route that asked for an entry does not any more. */
  remove(key: Key, route: Route): void {
    const place = this.#all.get(key);
    if (!place) return;
    const { best } = place;
    place.remove(route, this.#rules.isPreferred);
    if (place.best !== best) this.#bestChanged(place, best);
  }

  /** Takes at most `limit` changes for the data path, and counts them as told. @returns how many there were */
  take(limit: number, changes: PlaceChanges<Key, Route>): number {
    let count = 0;
    for (const place of this.#dirty) {
      if (count >= limit) break;
      this.#dirty.delete(place);
      if (this.#rules.isHeld?.(place)) this.#held.add(place);
      else if (this.#settle(place, changes)) count++;
    }
    return count;
  }

  /** The data path refused the entry that it was told last. */
  refuse(key: Key, cause: RefusalCause): void {
    const place = this.#all.get(key);
    if (!place?.said) return;
    place.refused = place.said;
    this.#refused.add(place);
    if (cause === 'full') this.#full.add(place);
    this.#say(place, undefined);
    place.mayStand = place.isReplacing;
    this.#mark(place);
  }

  /** Tells the entry again, whether the data path has it or has refused it. */
  repeat(key: Key): void {
    const place = this.#all.get(key);
    if (place) this.#repeat(place);
  }

  /** Tells refused entries again. */
  repeatRefused(): void {
    for (const place of this.#refused) this.#repeat(place);
  }

  /** Tells entries again that found a table full, `limit` at most. @returns how many */
  repeatFull(limit: number): number {
    let count = 0;
    for (const place of this.#full) {
      if (count >= limit) break;
      this.#repeat(place);
      count++;
    }
    return count;
  }

  /** Tells all entries again. @param withdrawn keys that the data path may still have */
  repeatAll(withdrawn: readonly Key[]): void {
    for (const key of withdrawn) this.#need(key).mayStand = true;
    for (const place of this.#all.values()) this.#repeat(place);
  }

  /** Something is not held any more. */
  release(): void {
    for (const place of this.#held) this.#mark(place);
  }

  #need(key: Key): Place<Key, Route> {
    const known = this.#all.get(key);
    if (known) return known;
    const place = new Place<Key, Route>(key);
    this.#all.set(key, place);
    return place;
  }

  #bestChanged(place: Place<Key, Route>, before: Route | undefined): void {
    this.#rules.bestChanged?.(place.key, before, place.best);
    this.#mark(place);
  }

  #mark(place: Place<Key, Route>): void {
    this.#held.delete(place);
    this.#dirty.add(place);
    this.#rules.queue();
  }

  #repeat(place: Place<Key, Route>): void {
    this.#acquit(place);
    this.#say(place, undefined);
    this.#mark(place);
  }

  /** Compares, and notes what the data path is to be told. @returns whether there is something */
  #settle(place: Place<Key, Route>, { placed, withdrawn }: PlaceChanges<Key, Route>): boolean {
    const { best, refused, said } = place;
    if (best !== undefined && this.#rules.isElsewhere?.(place)) {
      this.#say(place, undefined);
      place.mayStand = false;
      return false;
    }
    const isRefused = best !== undefined && refused !== undefined && this.#rules.isSameEntry(best, refused);
    if (!isRefused && refused !== undefined) this.#acquit(place);
    if (best !== undefined && !isRefused) {
      const isTold = said !== undefined && this.#rules.isSameEntry(best, said);
      this.#say(place, best);
      if (isTold) return false;
      place.isReplacing = place.mayStand;
      place.mayStand = true;
      placed.push(best);
      return true;
    }
    this.#say(place, undefined);
    const { mayStand } = place;
    place.mayStand = false;
    if (mayStand) withdrawn.push(place.key);
    if (best === undefined) this.#all.delete(place.key);
    return mayStand;
  }

  /** It is not known any more whether the data path refuses the entry. */
  #acquit(place: Place<Key, Route>): void {
    place.refused = undefined;
    this.#refused.delete(place);
    this.#full.delete(place);
  }

  #say(place: Place<Key, Route>, route: Route | undefined): void {
    this.#inForce += Number(route !== undefined) - Number(place.said !== undefined);
    place.said = route;
  }
}
