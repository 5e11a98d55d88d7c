import type { Finding } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { someOf, warning } from './finding.ts';

/** A VTEP that was heard sending VXLAN to a port that is not vtepd's. */
export interface PeerOnAnotherPort {
  readonly vtep: IpAddress;
  readonly port: number;
  readonly vni: number;
}

/** Only of VNIs that are configured here: other VNIs on another port are not for this vtepd. */
export function checkPeerPorts(
  port: number,
  heard: readonly PeerOnAnotherPort[],
  vnis: readonly number[],
  isOwn: (address: IpAddress) => boolean,
): Finding[] {
  const byPeer = new Map<string, PeerOnAnotherPort[]>();
  for (const each of heard) {
    if (!vnis.includes(each.vni) || isOwn(each.vtep)) continue;
    const key = `${each.vtep} ${each.port}`;
    byPeer.set(key, [...(byPeer.get(key) ?? []), each]);
  }
  return [...byPeer.values()].map((all) => {
    const [{ vtep, port: theirs }] = all as [PeerOnAnotherPort];
    const message =
      `it sends VXLAN of VNI ${someOf(all.map(({ vni }) => vni))} to UDP ${theirs}, and vtepd listens on ${port}: ` +
      `give its device \`dstport ${port}\`, or restart vtepd with its port`;
    return warning('peer-port', vtep, message, `--port ${theirs}`);
  });
}
