import type { FdbEvent } from './schemas.ts';

export function lostEvents(count: number): FdbEvent {
  const nothing = { vni: null, mac: null, vtep: null, from: null, type: null };
  return { time: new Date().toISOString(), event: 'lost', ...nothing, count };
}
