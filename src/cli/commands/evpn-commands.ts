/** `vtepctl evpn …`: BGP EVPN. */

import type { Evpn, EvpnRoute, EvpnRoutesQuery } from '../../api/evpn-schemas.ts';
import { UNUSED_REASONS } from '../../evpn/evpn-status.ts';
import { keyValueLines, type Style, table } from '../terminal/table.ts';
import { type Command, readNumber, readVni } from '../terminal/vtepctl-command.ts';

const evpnShow: Command<void, Evpn> = {
  words: 'evpn show',
  summary: 'Show the session with the BGP speaker, and EVPN of each VNI',
  flags: {},
  parse: () => undefined,
  call: (client) => client.evpn(),
  render: renderEvpn,
};

const evpnRoutes: Command<EvpnRoutesQuery, EvpnRoute[]> = {
  words: 'evpn routes',
  summary: 'Show the received EVPN routes, and why those that are not used are not',
  flags: {
    vni: { describe: 'only routes that this VNI imports', value: 'N' },
    type: { describe: 'only routes of this type: 2 are MACs, 3 are VTEPs', value: '2|3' },
    unused: { describe: 'only routes that are not used' },
  },
  parse: ({ values: { vni, type }, switches }) => ({
    ...(vni !== undefined && { vni: readVni('--vni', vni) }),
    ...(type !== undefined && { type: readNumber('--type', type, { first: 2, last: 3 }) }),
    ...(switches.has('unused') && { unused: true }),
  }),
  call: (client, filter) => client.evpnRoutes(filter),
  render: renderRoutes,
};

export const EVPN_COMMANDS: readonly Command[] = [evpnShow, evpnRoutes];

export function renderEvpn({ session, routesIn, routesOut, pending, refused, vnis }: Evpn, style: Style): string {
  const { address, state, since, error, dialect, asn, routerId, peers, connections } = session;
  const lines = keyValueLines(
    [
      ['speaker', address],
      ['session', `${state} for ${since}s`],
      ...(error === null ? [] : [['last error', error] as const]),
      ['api', dialect],
      ['as', asn],
      ['router id', routerId],
      ['connections', connections],
      ...peers.map((peer) => ['peer', describePeer(peer)] as const),
      ['routes in', `${routesIn.type2} of type 2, ${routesIn.type3} of type 3, ${routesIn.other} others`],
      ['routes out', `${routesOut.type2} of type 2, ${routesOut.type3} of type 3`],
      ['pending', pending],
      ['refused', refused],
    ],
    style,
  );
  const rows = vnis.map((vni) => [
    ...[vni.vni, vni.control, vni.rd, vni.importTargets.join(','), vni.exportTargets.join(','), vni.vteps],
    ...[vni.macsIn, vni.neighboursIn, vni.macsOut, vni.neighboursOut, vni.announced ? 'yes' : 'no'],
  ]);
  const headings = ['VNI', 'CONTROL', 'RD', 'IMPORT', 'EXPORT', 'VTEPS', 'MACS IN', 'IPS IN', 'MACS OUT', 'IPS OUT'];
  return `${lines}\n${table([...headings, 'ANNOUNCED'], rows, style)}`;
}

function describePeer({ address, established, evpn, endOfRib }: Evpn['session']['peers'][number]): string {
  if (!evpn) return `${address}, without l2vpn-evpn`;
  if (!established) return `${address}, down`;
  return `${address}, established${endOfRib ? '' : ', has not sent all routes'}`;
}

/** WHY is last, because it is a sentence. */
export function renderRoutes(routes: readonly EvpnRoute[], style: Style): string {
  return table(
    ['TYPE', 'VNI', 'MAC', 'IP', 'VTEP', 'LABEL', 'SEQUENCE', 'RD', 'TARGETS', 'UNUSED BECAUSE'],
    routes.map(({ type, vni, mac, ip, vtep, label, sequence, sticky, rd, targets, unused }) => [
      ...[type, vni, mac, ip, vtep, label, sticky ? `${sequence ?? 0} sticky` : sequence, rd, targets.join(',')],
      // A newer daemon may have further reasons.
      unused && (UNUSED_REASONS[unused] ?? unused),
    ]),
    style,
  );
}
