import type { Logger } from '../../observe/log.ts';
import { changeLink, deleteLinkGroup, type Link, listLinks } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { readAlias } from '../state-dir.ts';

export interface Leftovers {
  readonly log: Logger;
  /** The alias of vtepd's own TAPs. */
  readonly ownAlias: string;
  /** Indexes of the TAPs that VNIs have. */
  readonly kept: ReadonlySet<number>;
  /** A link group without members. */
  readonly linkGroup: number;
}

/** The TAPs that former runs made and no program uses. */
export function formerTaps(netlink: NetlinkSocket, ownAlias: string): Link[] {
  const isFormer = ({ isTap, alias, carrier }: Link) => isTap && !carrier && readAlias(alias, ownAlias) !== undefined;
  return listLinks(netlink).filter(isFormer);
}

/** Deletes the TAPs that former runs made, that no VNI has now and no program uses. Failures are logged and do no harm. */
export function deleteLeftoverTaps(netlink: NetlinkSocket, { log, ownAlias, kept, linkGroup }: Leftovers): void {
  try {
    const left = formerTaps(netlink, ownAlias).filter(({ index }) => !kept.has(index));
    if (left.length === 0) return;
    for (const { index, name } of left) changeLink(netlink, index, { group: linkGroup }, `TAP "${name}"`);
    deleteLinkGroup(netlink, linkGroup);
    for (const { name } of left) {
      log.info({ event: 'tap-deleted', tap: name }, 'vtepd made it in a former run, and no VNI uses it now');
    }
  } catch (error) {
    log.warn({ event: 'taps-not-deleted', err: error });
  }
}
