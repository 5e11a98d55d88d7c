import { MAX_LOG_LINES_PER_HOUR } from '../lib/limits.ts';

const HOUR_MS = 3_600_000;

/** Events that an operator causes, and wants to find in the log. */
const ASKED_FOR: ReadonlySet<string> = new Set([
  ...['vni-added', 'vni-deleted', 'vni-changed', 'remote-added', 'remote-deleted', 'reloaded', 'reload-refused'],
  ...['reload-left-out', 'log-level'],
]);

/** How many lines of each event the log takes in an hour; those beyond are counted. */
export class LogBudget {
  /** Number of lines of each event in this hour. */
  readonly #lines = new Map<string, number>();
  #endMs: number;

  constructor(nowMs: number) {
    this.#endMs = nowMs + HOUR_MS;
  }

  /** Whether a further line of the event may be written. Lines without an event name count as one event. */
  takes(event: string, nowMs: number): boolean {
    if (ASKED_FOR.has(event) || nowMs >= this.#endMs) return true;
    const lines = (this.#lines.get(event) ?? 0) + 1;
    this.#lines.set(event, lines);
    return lines <= MAX_LOG_LINES_PER_HOUR;
  }

  /** Returns what was left out if the hour is over, and begins a new hour. */
  leftOut(nowMs: number): readonly { readonly of: string; readonly lines: number }[] {
    if (nowMs < this.#endMs) return [];
    const beyond = [...this.#lines].map(([of, lines]) => ({ of, lines: lines - MAX_LOG_LINES_PER_HOUR }));
    this.#lines.clear();
    this.#endMs = nowMs + HOUR_MS;
    return beyond.filter(({ lines }) => lines > 0);
  }
}
