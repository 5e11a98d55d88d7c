import { type IpAddress, ipWords, isHostIp, isLoopbackIp } from '../../lib/addresses.ts';
import { MAX_REMOTES } from '../../lib/limits.ts';
import type { RouteDistinguisher, RouteTarget } from '../../lib/route-numbers.ts';

/**
 * Values that many routes have in common, kept once: a hundred thousand routes of one VNI have one list of route targets. This only saves memory.
 * When a table is full, it is emptied, and values that are received later are kept a second time.
 */
export class SharedParts {
  readonly #rds = new Map<string, RouteDistinguisher>();
  readonly #targets = new Map<string, readonly RouteTarget[]>();
  readonly #tunnels = new Map<string, readonly number[]>();
  readonly #esis = new Map<string, string>();
  readonly #addresses = new Map<IpAddress, IpAddress>();
  /** Whether an address is that of another host: reading an address is slow, and most routes have one of few next hops. */
  readonly #usable = new Map<IpAddress, boolean>();

  rd(rd: RouteDistinguisher): RouteDistinguisher {
    return shared(this.#rds, `${rd.form} ${rd.admin} ${rd.value}`, rd);
  }

  targets(targets: readonly RouteTarget[]): readonly RouteTarget[] {
    let key = '';
    for (const { form, admin, value } of targets) key += `${form} ${admin} ${value},`;
    return shared(this.#targets, key, targets);
  }

  tunnels(tunnels: readonly number[]): readonly number[] {
    return shared(this.#tunnels, tunnels.join(), tunnels);
  }

  esi(esi: string): string {
    return shared(this.#esis, esi, esi);
  }

  address(address: IpAddress | undefined): IpAddress | undefined {
    return address && shared(this.#addresses, address, address);
  }

  /** Whether another host can have the address. */
  isUsable(address: IpAddress): boolean {
    const known = this.#usable.get(address);
    return known ?? shared(this.#usable, address, isHostIp(ipWords(address)) && !isLoopbackIp(address));
  }
}

function shared<Key, Value>(table: Map<Key, Value>, key: Key, value: Value): Value {
  const known = table.get(key);
  if (known !== undefined) return known;
  if (table.size >= MAX_REMOTES) table.clear();
  table.set(key, value);
  return value;
}
