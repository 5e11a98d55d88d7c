import type { DaemonListener } from '../../api/daemon-view.ts';
import type { VniStatusEvent } from '../../api/schemas.ts';
import { STATUS_SLICE } from '../../lib/limits.ts';
import { formatRanges } from '../../lib/ranges.ts';
import type { Logger } from '../../observe/log.ts';
import type { Vni } from './vni.ts';
import { vniStatus } from './vni-status.ts';

/** A status depends on many things that send no event. So all statuses are examined twice a second. */
const LOOK_MS = 500;

/**
 * Reports every change of the status of a VNI, whatever its cause. Listeners receive one event per change. The log has one line for all equal
 * changes.
 */
export class VniStatuses {
  readonly #vnis: readonly Vni[];
  readonly #log: Logger;
  readonly #statusOf: (vni: Vni) => string;
  readonly #listeners = new Set<DaemonListener>();
  /** The status that was last reported. */
  #told = new WeakMap<Vni, string>();
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** The changes that this look writes to the log. */
  #changes = new Map<string, Change>();

  constructor({
    vnis,
    log,
    statusOf = (vni) => vniStatus(vni),
  }: { vnis: readonly Vni[]; log: Logger; statusOf?: (vni: Vni) => string }) {
    this.#vnis = vnis;
    this.#log = log;
    this.#statusOf = statusOf;
  }

  /** The status at the time of the call. */
  of(vni: Vni): string {
    return this.#statusOf(vni);
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#look();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearImmediate(this.#immediate);
    this.#writeLog();
    this.#timer = undefined;
  }

  /** Something has happened. If there was no look for a while, the next one runs at once. */
  lookSoon(): void {
    if (this.#timer && performance.now() - this.#lookedMs >= LOOK_MS) this.#look();
  }

  /** Reports later changes to the listener, until the returned function is called. */
  watch(listener: DaemonListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Many VNIs change at once with their underlay. Other tasks run between the slices. */
  #look(from = 0): void {
    clearImmediate(this.#immediate);
    this.#lookedMs = performance.now();
    const events: VniStatusEvent[] = [];
    for (const vni of this.#vnis.slice(from, from + STATUS_SLICE)) {
      const status = this.#statusOf(vni);
      const before = this.#told.get(vni);
      if (status === before) continue;
      this.#told.set(vni, status);
      // The status of a new VNI is `ok` at first, which is not reported.
      if (before !== undefined || status !== 'ok') events.push(this.#tell(vni, status, before ?? null));
    }
    if (events.length > 0) for (const listener of this.#listeners) listener(events);
    const next = from + STATUS_SLICE;
    if (next < this.#vnis.length) this.#immediate = setImmediate(() => this.#look(next));
    else this.#writeLog();
  }

  #tell(vni: Vni, status: string, from: string | null): VniStatusEvent {
    const number = vni.config.vni;
    const key = JSON.stringify([from, status]);
    const change = this.#changes.get(key);
    if (change) change.vnis.push(number);
    else this.#changes.set(key, { from, to: status, vnis: [number] });
    return { time: new Date().toISOString(), event: 'status', vni: number, status, from };
  }

  /** A change of an underlay affects all its VNIs. The log has one line for it, not one per VNI. */
  #writeLog(): void {
    for (const { from, to, vnis } of this.#changes.values()) {
      const [first] = vnis;
      const which = vnis.length === 1 ? { vni: first } : { vnis: formatRanges(vnis), count: vnis.length };
      if (to === 'ok') this.#log.info({ event: 'vni-status', ...which, from, to });
      else this.#log.warn({ event: 'vni-status', ...which, from, to });
    }
    this.#changes.clear();
  }
}

interface Change {
  readonly from: string | null;
  readonly to: string;
  readonly vnis: number[];
}
