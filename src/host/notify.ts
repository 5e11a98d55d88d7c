import { sendUnixDatagram } from '../sys/socket/unix-datagram.ts';

/**
 * Tells systemd about the service's state (sd_notify(3)); silent where nobody asked to be told.
 *
 * @param state lines such as `READY=1` or `STOPPING=1`
 */
export function notifySystemd(...state: readonly string[]): void {
  const path = process.env.NOTIFY_SOCKET;
  if (path) sendUnixDatagram(path, state.join('\n'));
}

/** What `systemctl status` shows of the daemon. */
export function statusLine({ vnis, underlays }: Running): string {
  const names = [...new Set(underlays.map(({ name }) => name))];
  return `STATUS=${vnis.length} VNI${vnis.length === 1 ? '' : 's'} on ${names.join(', ')}`;
}

interface Running {
  readonly vnis: { readonly length: number };
  readonly underlays: readonly { readonly name: string }[];
}
