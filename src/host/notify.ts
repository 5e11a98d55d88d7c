import { sendUnixDatagram } from '../sys/socket/unix-datagram.ts';

/**
 * Tells systemd the state of the service (sd_notify(3)). Does nothing without NOTIFY_SOCKET.
 *
 * @param state lines such as `READY=1` or `STOPPING=1`
 */
export function notifySystemd(...state: readonly string[]): void {
  const path = process.env.NOTIFY_SOCKET;
  if (path) sendUnixDatagram(path, state.join('\n'));
}

/** The status text for `systemctl status`. */
export function statusLine({ vnis, underlays }: Running): string {
  const names = [...new Set(underlays.map(({ name }) => name))];
  return `STATUS=${vnis.length} VNI${vnis.length === 1 ? '' : 's'} on ${names.join(', ')}`;
}

interface Running {
  readonly vnis: { readonly length: number };
  readonly underlays: readonly { readonly name: string }[];
}
