import type { Fdb } from '../../fdb/fdb.ts';
import type { OwnAddresses } from '../../host/underlay/own-addresses.ts';
import { tapFault } from './tap-status.ts';
import { dependsOnInterface, type Vni } from './vni.ts';

const NOT_ASKED = 'its routes were not read yet';

/** The state of the daemon on which the status of every VNI depends. */
export interface StatusGround {
  /** A worker that hangs and so does not forward its share. */
  readonly hungWorker?: number | undefined;
  /** Why the host cannot be read now. undefined: it can. */
  readonly unseen?: string | undefined;
  /** Whether the VNI has MACs that are behind other VTEPs. */
  readonly hasMacsElsewhere?: (vni: Vni) => boolean;
}

/** Whether a VNI has MACs behind remote VTEPs that are sent to. */
export function hasMacsElsewhere({ fdb, own }: { fdb: Fdb; own: OwnAddresses }, { index, config }: Vni): boolean {
  const unsent = config.statics.filter(({ vtep }) => vtep !== 'local' && own.barOf(vtep) !== undefined).length;
  return fdb.counts.totalOf(index) - fdb.counts.localsOf(index) - unsent > 0;
}

/**
 * Why the requested flood list reaches no VTEP. undefined: it does, or no list is requested. A VNI that knows MACs behind other VTEPs works with
 * them.
 */
export function floodTrouble({ config, flood }: Vni, hasMacsElsewhere: boolean): string | undefined {
  const members = flood.members(config.remotes);
  if (config.group !== undefined || members.length === 0 || flood.sent.size > 0) return undefined;
  if (config.flood === 'none' || hasMacsElsewhere) return undefined;
  return members.length === 1
    ? `no remote: ${members[0]?.vtep} is an own or broadcast address of this host`
    : 'no remote: all are own or broadcast addresses of this host';
}

/**
 * "ok" if everything was examined and is good. Otherwise the first fault that keeps the VNI from working, or `?:` and why the state is unknown. A
 * fault stands until a later look finds otherwise.
 */
export function vniStatus(vni: Vni, { hungWorker, unseen, hasMacsElsewhere = () => false }: StatusGround = {}): string {
  const { config, underlay, underlays, needsGroup, paths } = vni;
  const fault = tapFault(vni);
  if (fault !== undefined) return fault;
  for (const { interfaceTrouble, sourceTrouble } of underlays) {
    if (interfaceTrouble !== undefined && dependsOnInterface(vni)) return interfaceTrouble;
    if (sourceTrouble !== undefined) return sourceTrouble;
  }
  if (paths?.trouble !== undefined) return paths.trouble;
  const unheard = floodTrouble(vni, hasMacsElsewhere(vni));
  if (unheard !== undefined) return unheard;
  if (needsGroup && config.group && !underlay.membership.isJoined(config.group)) return 'group not joined';
  if (hungWorker !== undefined) return `worker ${hungWorker} hangs`;
  const isUnasked = !paths && config.group === undefined && config.remotes.length > 0;
  const notLookedAt = unseen ?? paths?.unseen ?? (isUnasked ? NOT_ASKED : undefined);
  return notLookedAt === undefined ? 'ok' : `?: ${notLookedAt}`;
}
