import type { SourceAddress } from '../fdb/fdb.ts';
import { isHostIp } from '../lib/addresses.ts';
import { ADDRESS_MARK, AddressMarks } from './address-marks.ts';
import { FORWARDED, RX_DROP } from './drop-reason.ts';
import type { SourceFilter } from './source-filter.ts';

/**
 * Whether datagrams from an outer source are accepted, whatever they contain.
 *
 * @param marks bits of ADDRESS_MARK that the address has
 * @param allowed accepted sources; undefined: all
 * @returns FORWARDED, or an RX_DROP reason
 */
export function sourceVerdict(source: SourceAddress, marks: number, allowed: SourceFilter | undefined): number {
  if (!isHostIp(source) || (marks & ADDRESS_MARK.broadcast) !== 0) return RX_DROP['vtep-not-allowed'];
  if (allowed !== undefined && !allowed.allows(source)) return RX_DROP['vtep-not-allowed'];
  return (marks & ADDRESS_MARK.own) === 0 ? FORWARDED : RX_DROP['own-packet'];
}

/** A worker's check of outer sources. Datagrams of one VTEP mostly arrive in sequence, so the verdict on the last source is cached. */
export class SourceCheck {
  readonly #marks = new AddressMarks();
  #allowed: SourceFilter | undefined;
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;
  /** This is always the verdict on the unspecified address. */
  #verdict: number = RX_DROP['vtep-not-allowed'];

  /** @see sourceVerdict */
  verdict(source: SourceAddress): number {
    const { a, b, c, d } = source;
    if (d === this.#d && c === this.#c && b === this.#b && a === this.#a) return this.#verdict;
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#d = d;
    this.#verdict = sourceVerdict(source, this.#marks.of(source), this.#allowed);
    return this.#verdict;
  }

  /** Accepts only datagrams of these sources from now on, or of all. */
  allow(allowed: SourceFilter | undefined): void {
    this.#allowed = allowed;
    this.#forgetLast();
  }

  /** Sets or clears a mark of ADDRESS_MARK for addresses. Four words each. */
  mark(mark: number, { added, removed }: { readonly added: Int32Array; readonly removed: Int32Array }): void {
    this.#marks.removeAll(removed, mark);
    this.#marks.addAll(added, mark);
    this.#forgetLast();
  }

  #forgetLast(): void {
    this.#a = 0;
    this.#b = 0;
    this.#c = 0;
    this.#d = 0;
    this.#verdict = RX_DROP['vtep-not-allowed'];
  }
}
