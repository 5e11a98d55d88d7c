import type { Finding } from '../../control/schemas.ts';
import { failed, faultsOr, ok, warning } from './finding.ts';

/** A vxlan device of the kernel with vtepd's UDP port. */
export interface VxlanDeviceFacts {
  readonly name: string;
  readonly up: boolean;
}

/** @param port the UDP port of a running daemon @param devices those of its families */
export function checkOwnPort(port: number, locals: readonly string[], devices: readonly VxlanDeviceFacts[]): Finding[] {
  const faults = devices.map(({ name, up }) => {
    const message = up
      ? 'the kernel’s vxlan device has the same port'
      : 'the kernel’s vxlan device wants the same port and cannot come up';
    return warning('port', `UDP ${port}`, `${message}: ${name}`, `ip link del ${name}`);
  });
  return faultsOr(faults, ok('port', `UDP ${port}`, `held by vtepd on ${locals.join(', ')}`));
}

/**
 * Whether a daemon could have the port.
 *
 * @param sockets addresses that sockets of others are bound to with it
 */
export function checkFreePort(
  port: number,
  sockets: readonly string[],
  devices: readonly VxlanDeviceFacts[],
): Finding[] {
  const faults = devices
    .filter(({ up }) => up)
    .map(({ name }) =>
      failed('port', `UDP ${port}`, `the kernel's vxlan device ${name} holds it`, `ip link del ${name}`),
    );
  if (faults.length === 0 && sockets.length > 0) {
    const message = `another program, perhaps a vtepd of another --socket, holds it on ${[...new Set(sockets)].join(', ')}`;
    faults.push(failed('port', `UDP ${port}`, message, `ss -ulnp sport = :${port}`));
  }
  return faultsOr(faults, ok('port', `UDP ${port}`, 'free'));
}
