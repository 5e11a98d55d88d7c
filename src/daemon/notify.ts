import { sendUnixDatagram } from '../sys/unix-datagram.ts';

/**
 * Tells systemd about the service's state (sd_notify(3)); silent where nobody asked to be told.
 *
 * @param state lines such as `READY=1` or `STOPPING=1`
 */
export function notifySystemd(...state: readonly string[]): void {
  const path = process.env.NOTIFY_SOCKET;
  if (path) sendUnixDatagram(path, state.join('\n'));
}
