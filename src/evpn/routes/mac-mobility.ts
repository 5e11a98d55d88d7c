import type { MacAddress } from '../../lib/addresses.ts';
import {
  MAC_HOLD_SECONDS,
  MAC_MOVE_WINDOW_SECONDS,
  MAX_MAC_MOVES,
  MAX_REMEMBERED_SEQUENCES,
  MAX_SEQUENCE_RAISES,
} from '../../lib/limits.ts';
import { laterSequence, nextSequence } from './sequence.ts';

const WINDOW_MS = MAC_MOVE_WINDOW_SECONDS * 1_000;
const HOLD_MS = MAC_HOLD_SECONDS * 1_000;

/**
 * What the moves of one MAC leave behind: its sequence number, and how often it moved (RFC 7432 §15, §15.1). It outlives the route, since a number
 * that was used before would lose against the routes of other VTEPs.
 *
 * Moves are counted in both directions, and as in the forwarding database: the first move opens a window, and a further one after MAX_MAC_MOVES in
 * that window begins a hold. After the hold, the next move opens a new window.
 */
export class Mobility {
  /** The number of the route while the MAC is learned. */
  sequence = 0;
  /** Whether `sequence` was chosen. Until then, a serial comparison with it means nothing. */
  #isNumbered = false;
  /** The number of the sticky route while the MAC is static. 0, unless the speaker refuses that. */
  stickySequence = 0;
  #moves = 0;
  /** Milliseconds. */
  #windowEnd = Number.NEGATIVE_INFINITY;
  /** How often the speaker refused the number in succession. */
  #raises = 0;

  /**
   * The MAC was learned here while another VTEP announces it with `rival`. Takes a later number.
   *
   * @param now milliseconds
   * @returns undefined: done; else the time at which a hold ends that begins now, in milliseconds. The number stays.
   */
  claim(rival: number, now: number): number | undefined {
    if (now < this.#windowEnd && this.#moves >= MAX_MAC_MOVES) {
      this.#windowEnd = Number.NEGATIVE_INFINITY;
      return now + HOLD_MS;
    }
    this.countMove(now);
    this.adopt(nextSequence(rival));
    return undefined;
  }

  /** The MAC moved here, or to another VTEP. */
  countMove(now: number): void {
    if (now >= this.#windowEnd) {
      this.#windowEnd = now + WINDOW_MS;
      this.#moves = 0;
    }
    this.#moves++;
  }

  /**
   * The speaker refused the number as too low. The steps double, since the speaker does not say what it wants.
   *
   * @param rival number of the other VTEP; undefined: none is known
   * @returns whether there is a new number to try at once
   */
  raise(isSticky: boolean, rival: number | undefined): boolean {
    if (this.#raises >= MAX_SEQUENCE_RAISES) {
      this.#raises = 0;
      return false;
    }
    const step = 2 ** this.#raises++;
    const raised = nextSequence(isSticky ? this.stickySequence : this.sequence, step);
    const next = rival === undefined ? raised : laterSequence(raised, nextSequence(rival));
    if (isSticky) this.stickySequence = next;
    else this.adopt(next);
    return true;
  }

  /** Takes a number that is not to be undercut. */
  adopt(sequence: number): void {
    this.sequence = this.#isNumbered ? laterSequence(this.sequence, sequence) : sequence;
    this.#isNumbered = true;
  }

  /** Whether a new object would do as well. */
  isForgettable(now: number): boolean {
    return this.sequence === 0 && this.stickySequence === 0 && now >= this.#windowEnd;
  }

  /** The speaker accepted the number. */
  accepted(): void {
    this.#raises = 0;
  }
}

/** The mobility of MACs that are not here now. When full, the one that is away for longest is forgotten, and begins at 0 again. */
export class MobilityMemory {
  readonly #kept = new Map<string, Mobility>();

  keep(vni: number, mac: MacAddress, mobility: Mobility, now: number): void {
    if (mobility.isForgettable(now)) return;
    const key = `${vni} ${mac}`;
    this.#kept.delete(key);
    this.#kept.set(key, mobility);
    if (this.#kept.size <= MAX_REMEMBERED_SEQUENCES) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      break;
    }
  }

  take(vni: number, mac: MacAddress): Mobility | undefined {
    if (this.#kept.size === 0) return undefined;
    const key = `${vni} ${mac}`;
    const mobility = this.#kept.get(key);
    this.#kept.delete(key);
    return mobility;
  }
}
