import { type IpAddress, parseIp } from '../../lib/addresses.ts';
import type { Peer } from '../speaker.ts';
import { Message } from './message.ts';
import { EVPN_FAMILY } from './requests.ts';

/** Global {asn = 1, router_id = 2} of a GetBgpResponse {global = 1}. undefined: GoBGP has no configuration yet. @throws Unreadable */
export function readGlobal(response: Uint8Array): { asn: number; routerId: IpAddress } | undefined {
  const global = new Message(response).message(1);
  const asn = global?.number(1) ?? 0;
  const routerId = parseIp(global?.text(2) ?? '');
  return asn === 0 || routerId === undefined ? undefined : { asn, routerId };
}

const ESTABLISHED = 6;

/** ListPeerResponse {peer = 1 {conf = 2 {neighbor_address = 4}, state = 5 {neighbor_address = 5, session_state = 13}, afi_safis = 10}}. @throws Unreadable */
export function readPeer(response: Uint8Array): Peer {
  const peer = new Message(response).message(1);
  const [conf, state] = [peer?.message(2), peer?.message(5)];
  const evpn = (peer?.all(10) ?? []).map((octets) => new Message(octets)).find(isEvpn);
  return {
    address: state?.text(5) || conf?.text(4) || '',
    isEstablished: state?.number(13) === ESTABLISHED,
    hasEvpn: evpn !== undefined,
    // MpGracefulRestart {state = 2 {end_of_rib_received = 4}}.
    isEndOfRib: evpn?.message(1)?.message(2)?.flag(4) ?? false,
  };
}

/** AfiSafi {mp_graceful_restart = 1, config = 2 {family = 1}}. */
function isEvpn(afiSafi: Message): boolean {
  const family = afiSafi.message(2)?.message(1);
  return family?.number(1) === EVPN_FAMILY.afi && family.number(2) === EVPN_FAMILY.safi;
}
