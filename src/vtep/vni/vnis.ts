import { unknownVni } from '../../api/unknown-vni.ts';
import { NumberPool } from '../../lib/number-pool.ts';
import type { Vni } from './vni.ts';

/** The VNIs of the running VTEP, and the index of each VNI in all tables. Only this class writes the list. */
export class Vnis {
  readonly #list: Vni[] = [];
  readonly #leaving = new Set<Vni>();
  readonly #indexes = new NumberPool();

  /** All VNIs in the order of their addition. All callers share this list, and it changes. */
  get list(): readonly Vni[] {
    return this.#list;
  }

  /** VNIs that are removed from the list but keep their index. Drops that workers count for them meanwhile are not lost. */
  get leaving(): ReadonlySet<Vni> {
    return this.#leaving;
  }

  /** Adds the VNI that `make` creates with a free index. @throws what `make` throws; nothing is added then */
  add(make: (index: number) => Vni): Vni {
    const index = this.#indexes.take();
    try {
      const vni = make(index);
      this.#list.push(vni);
      return vni;
    } catch (error) {
      this.#indexes.give(index);
      throw error;
    }
  }

  /** Removes a VNI from the list. No other VNI gets its index until it is released. */
  remove(vni: Vni): void {
    const at = this.#list.indexOf(vni);
    if (at < 0) throw new Error(`VNI ${vni.config.vni} is not in the list`);
    this.#list.splice(at, 1);
    this.#leaving.add(vni);
  }

  /** No worker and no table knows a removed VNI any more: another VNI may get its index. */
  release(vni: Vni): void {
    if (this.#leaving.delete(vni)) this.#indexes.give(vni.index);
  }

  /** Removes all VNIs at the end of the daemon. */
  clear(): void {
    this.#list.length = 0;
  }

  find(number: number): Vni | undefined {
    return this.#list.find(({ config }) => config.vni === number);
  }

  /** @throws VtepError ERR_VTEP_NOT_FOUND */
  need(number: number): Vni {
    const vni = this.find(number);
    if (vni) return vni;
    throw unknownVni(number);
  }

  /** The VNI of each index. A VNI that is leaving is not in the map, so its entries belong to no VNI. */
  numbers(): ReadonlyMap<number, number> {
    return new Map(this.#list.map(({ index, config }) => [index, config.vni]));
  }
}
