/** `vtepctl status`: the daemon as a whole. */

import type { Status } from '../control/schemas.ts';
import { keyValueLines, type Style } from './table.ts';
import type { Command } from './vtepctl-command.ts';

const status: Command<void, Status> = {
  words: 'status',
  summary: 'Show version, uptime, offloads in force and what is in use',
  flags: {},
  parse: () => undefined,
  call: (client) => client.status(),
  render: renderStatus,
};

export const STATUS_COMMANDS: readonly Command[] = [status];

export function renderStatus(value: Status, style: Style): string {
  const offloads = Object.entries(value.offload).filter(([, inForce]) => inForce);
  return keyValueLines(
    [
      ['version', value.version],
      ['pid', value.pid],
      ['uptime', `${value.uptime}s`],
      ['local', value.local.join(', ')],
      ['dev', value.dev.join(', ')],
      ['port', value.port],
      ['workers', value.workers],
      ['offload', offloads.map(([name]) => name).join(', ')],
      ['vnis', value.vnis],
      ['macs', value.macs],
      ['vteps', value.vteps],
    ],
    style,
  );
}
