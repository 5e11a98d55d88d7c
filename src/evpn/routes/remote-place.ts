import type { RemoteRoute } from './remote-route.ts';

/**
 * One entry of the data path, by its key: a MAC, an IP address or a member of the flood list. It has the routes that ask for the entry, and what the
 * data path was told. Most entries have one or two routes, hence no list for those.
 */
export class Place<Key extends string, Route extends RemoteRoute> {
  readonly key: Key;
  /** The preferred one of the candidates. */
  best: Route | undefined = undefined;
  /** The other candidates. */
  #rest: Route | Set<Route> | undefined = undefined;
  /** The route that the data path was told last. It may be withdrawn already. undefined: none, or it was refused. */
  said: Route | undefined = undefined;
  /** The route that the data path refused last. It is not told again while it, or another one to the same effect, is the best. */
  refused: Route | undefined = undefined;
  /** The data path may have an entry from here, so that it must be told if there is to be none. */
  mayStand = false;
  /** `said` was to replace an entry, which stands if that was refused. */
  isReplacing = false;

  constructor(key: Key) {
    this.key = key;
  }

  /** Adds a candidate that is not one yet. `best` may change. */
  add(route: Route, isPreferred: (one: Route, other: Route) => boolean): void {
    const { best } = this;
    if (best === undefined) this.best = route;
    else if (isPreferred(route, best)) {
      this.best = route;
      this.#push(best);
    } else this.#push(route);
  }

  /** Removes a candidate. `best` may change. */
  remove(route: Route, isPreferred: (one: Route, other: Route) => boolean): void {
    if (route !== this.best) {
      this.#drop(route);
      return;
    }
    this.best = this.#preferred(route, isPreferred);
    if (this.best) this.#drop(this.best);
  }

  #push(route: Route): void {
    if (this.#rest === undefined) this.#rest = route;
    else if (this.#rest instanceof Set) this.#rest.add(route);
    else this.#rest = new Set([this.#rest, route]);
  }

  #drop(route: Route): void {
    if (this.#rest === route) this.#rest = undefined;
    else if (this.#rest instanceof Set) this.#rest.delete(route);
  }

  #preferred(former: Route, isPreferred: (one: Route, other: Route) => boolean): Route | undefined {
    if (!(this.#rest instanceof Set)) return this.#rest;
    let found: Route | undefined;
    for (const route of this.#rest) {
      if (found === undefined || isPreferred(route, found)) found = route;
      // Nothing is better than the former best one, so an equal one ends the search: a MAC can have thousands of addresses.
      if (!isPreferred(former, found)) break;
    }
    return found;
  }
}
