import type { FdbEntry } from '../../api/schemas.ts';
import type { EntryKind } from '../../fdb/fdb.ts';

/** The user-visible names of the kinds of entries. EVPN is the only dynamic control plane. */
export const ENTRY_TYPE = {
  learned: 'dynamic',
  static: 'static',
  control: 'evpn',
} as const satisfies Record<EntryKind, FdbEntry['type']>;
