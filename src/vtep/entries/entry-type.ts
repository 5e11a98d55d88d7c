import type { FdbEntry } from '../../api/schemas.ts';
import type { EntryKind } from '../../fdb/fdb.ts';

/** What users call the kinds of entries. EVPN is the control plane that there is. */
export const ENTRY_TYPE = {
  learned: 'dynamic',
  static: 'static',
  control: 'evpn',
} as const satisfies Record<EntryKind, FdbEntry['type']>;
