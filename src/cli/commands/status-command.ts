/** `vtepctl status`: the daemon as a whole. */

import type { Querier, Status } from '../../api/schemas.ts';
import { keyValueLines, type Style } from '../terminal/table.ts';
import type { Command } from '../terminal/vtepctl-command.ts';

const status: Command<void, Status> = {
  words: 'status',
  summary: 'Show version, uptime, workers, offloads in force, limits and queriers',
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
      ...value.workerStates
        .filter(({ state }) => state !== 'ok')
        .map(({ worker, state }): [string, string] => [`worker ${worker}`, state]),
      ['offload', offloads.map(([name]) => name).join(', ')],
      ...(value.unmerged.sockets > 0 ? [['unmerged', describeUnmerged(value.unmerged)] as [string, string]] : []),
      ['vnis', value.vnis],
      ['macs', value.macs],
      ['vteps', value.vteps],
      ['limits', value.limits.map(({ limit, used, max }) => `${limit} ${used} of ${max}`).join(', ')],
      ...value.queriers.map((querier): [string, string] => ['querier', describeQuerier(querier)]),
    ],
    style,
  );
}

function describeUnmerged({ sockets, vteps }: Status['unmerged']): string {
  const count = `${sockets} ${sockets === 1 ? 'socket' : 'sockets'} for now`;
  return `${count}, after a message of several VNIs${vteps.length > 0 ? ` from ${vteps.join(', ')}` : ''}`;
}

function describeQuerier({ dev, family, ...querier }: Querier): string {
  return `${dev} IPv${family}: ${querierText(querier)}`;
}

function querierText({ watching, since, querier, lastHeard, own }: Omit<Querier, 'dev' | 'family'>): string {
  if (!watching) return 'unknown: vtepd lacks CAP_NET_RAW';
  if (querier === null) return `none heard for ${lastHeard ?? since} s`;
  return own ? `${querier}, this daemon` : `${querier}, heard ${lastHeard} s ago`;
}
