import type { Logger } from '../observe/log.ts';
import { changeLink, deleteLinkGroup, listLinks } from '../sys/links.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';

export interface Leftovers {
  readonly log: Logger;
  /** What is written on vtepd's own TAPs. */
  readonly ownAlias: string;
  /** TAPs that VNIs have. */
  readonly names: ReadonlySet<string>;
  /** A link group without members. */
  readonly linkGroup: number;
}

/** Deletes the TAPs that former runs made, that no VNI has now and no program uses. What fails is told in the log: it harms nobody. */
export function deleteLeftoverTaps(netlink: NetlinkSocket, { log, ownAlias, names, linkGroup }: Leftovers): void {
  try {
    const left = listLinks(netlink).filter(
      ({ isTap, alias, carrier, name }) => isTap && alias === ownAlias && !carrier && !names.has(name),
    );
    if (left.length === 0) return;
    for (const { index, name } of left) changeLink(netlink, index, { group: linkGroup }, `TAP "${name}"`);
    deleteLinkGroup(netlink, linkGroup);
    for (const { name } of left) {
      log.info({ event: 'tap-deleted', tap: name }, 'vtepd made it in a former run, and no VNI has it now');
    }
  } catch (error) {
    log.warn({ event: 'taps-not-deleted', err: error });
  }
}
