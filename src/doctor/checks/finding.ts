import type { Finding } from '../../api/schemas.ts';
import { MAX_FINDINGS_PER_CHECK } from '../../lib/limits.ts';

/** The result of a check: one line, and for a fault the command that corrects it. */

export function ok(check: string, object: string, message: string): Finding {
  return { check, status: 'ok', object, message, remedy: null };
}

/** It works, or may work, but not as it should. */
export function warning(check: string, object: string, message: string, remedy: string | null = null): Finding {
  return { check, status: 'warning', object, message, remedy };
}

export function failed(check: string, object: string, message: string, remedy: string | null = null): Finding {
  return { check, status: 'failed', object, message, remedy };
}

/** The doctor could not find out. */
export function unknown(check: string, object: string, message: string): Finding {
  return { check, status: 'unknown', object, message, remedy: null };
}

/** The faults, the worst first and a limited number; or the finding that there are none. */
export function faultsOr(faults: readonly Finding[], healthy: Finding): Finding[] {
  if (faults.length === 0) return [healthy];
  const ranked = faults.toSorted((a, b) => rank(a) - rank(b));
  const left = ranked.length - MAX_FINDINGS_PER_CHECK;
  if (left <= 0) return ranked;
  const last = ranked[MAX_FINDINGS_PER_CHECK] as Finding;
  return [...ranked.slice(0, MAX_FINDINGS_PER_CHECK), { ...last, message: `${last.message} (and ${left - 1} more)` }];
}

function rank({ status }: Finding): number {
  return ['failed', 'warning', 'unknown', 'ok'].indexOf(status);
}

/** A few of them, for a message. */
export function someOf(items: readonly (string | number)[], most = 4): string {
  const rest = items.length - most;
  return items.slice(0, most).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}
