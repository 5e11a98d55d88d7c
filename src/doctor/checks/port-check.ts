import type { Finding } from '../../api/schemas.ts';
import { describeHolders, type PortHolders } from '../../host/port/port-holders.ts';
import { deviceAdvice, deviceRemedy, likelyOwner } from '../../host/port/port-owners.ts';
import { failed, ok, warning } from './finding.ts';

/** A vxlan device of the kernel with vtepd's UDP port. */
export interface VxlanDeviceFacts {
  readonly name: string;
  readonly up: boolean;
}

/**
 * @param port the UDP port of a running daemon, so that no other can have it
 * @param locals addresses that it is bound to now
 * @param devices those with the same port; they cannot be set up meanwhile, which does not affect vtepd
 */
export function checkOwnPort(port: number, locals: readonly string[], devices: readonly VxlanDeviceFacts[]): Finding[] {
  if (locals.length === 0) {
    return [warning('port', `UDP ${port}`, 'not bound for unicast, since there is no source address')];
  }
  const waiting = devices.map(({ name }) => name).join(', ');
  const note = waiting && `; the kernel's vxlan device ${waiting} needs it too, and cannot be set up while vtepd runs`;
  return [ok('port', `UDP ${port}`, `held by vtepd on ${locals.join(', ')}${note}`)];
}

/** Whether a daemon could have the port. Only a device without a known owner has a remedy that destroys nothing: it can be set up again. */
export function checkFreePort(port: number, holders: PortHolders): Finding[] {
  const { device, sockets } = holders;
  if (!device && sockets.length === 0) return [ok('port', `UDP ${port}`, 'free')];
  const advice = device && likelyOwner(device) !== '' ? `: ${deviceAdvice(device)}` : '';
  const remedy = device ? deviceRemedy(device) : null;
  return [failed('port', `UDP ${port}`, `${describeHolders(holders, port)}${advice}`, remedy)];
}
