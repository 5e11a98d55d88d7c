import { tapFault } from './tap-status.ts';
import { dependsOnInterface, type Vni } from './vni.ts';

/** "ok", or the first thing that keeps the VNI from working. @param hungWorker one that does not forward its share */
export function vniStatus(vni: Vni, hungWorker?: number): string {
  const { config, underlay, underlays, needsGroup, paths } = vni;
  const fault = tapFault(vni);
  if (fault !== undefined) return fault;
  for (const { interfaceTrouble, sourceTrouble } of underlays) {
    if (interfaceTrouble !== undefined && dependsOnInterface(vni)) return interfaceTrouble;
    if (sourceTrouble !== undefined) return sourceTrouble;
  }
  if (paths?.trouble !== undefined) return paths.trouble;
  if (needsGroup && config.group && !underlay.membership.isJoined(config.group)) return 'group not joined';
  if (hungWorker !== undefined) return `worker ${hungWorker} hangs`;
  return 'ok';
}
