import type { DaemonListener } from '../../api/daemon-view.ts';
import type { VniStatusEvent } from '../../api/schemas.ts';
import { STATUS_SLICE } from '../../lib/limits.ts';
import { formatRanges } from '../../lib/ranges.ts';
import type { Logger } from '../../observe/log.ts';
import type { Vni } from './vni.ts';
import { vniStatus } from './vni-status.ts';

/** A status depends on much that tells nobody when it changes: so all are looked at, twice a second. */
const LOOK_MS = 500;

/** Tells of every change of a VNI's status, whatever its cause: each as an event to those that watch, and in the log those that are equal in one line. */
export class VniStatuses {
  readonly #vnis: readonly Vni[];
  readonly #log: Logger;
  readonly #statusOf: (vni: Vni) => string;
  readonly #listeners = new Set<DaemonListener>();
  /** What was told last. */
  #told = new WeakMap<Vni, string>();
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** What the log is to say of this look. */
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

  /** As it is now. */
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

  /** Something has happened: what has been quiet for a while is told of at once. */
  lookSoon(): void {
    if (this.#timer && performance.now() - this.#lookedMs >= LOOK_MS) this.#look();
  }

  /** Tells the listener of what changes from now on, until the function that it returns is called. */
  watch(listener: DaemonListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Many VNIs change at once with their underlay: others have their turn between slices. */
  #look(from = 0): void {
    clearImmediate(this.#immediate);
    this.#lookedMs = performance.now();
    const events: VniStatusEvent[] = [];
    for (const vni of this.#vnis.slice(from, from + STATUS_SLICE)) {
      const status = this.#statusOf(vni);
      const before = this.#told.get(vni);
      if (status === before) continue;
      this.#told.set(vni, status);
      // A VNI begins as what it should be: that needs no words.
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

  /** An underlay that changes takes all its VNIs along: that is one line, not one for each. */
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
