import { setImmediate } from 'node:timers/promises';
import type { Evpn, EvpnRoute, EvpnRoutesQuery } from '../api/evpn-schemas.ts';
import type { EvpnRouteRow, EvpnStatus, EvpnVni } from '../evpn/evpn-status.ts';
import type { EvpnReading } from '../observe/evpn-metrics.ts';

/** Rows of one slice: filtering and describing them holds the event loop for about a millisecond. */
const SLICE_ROWS = 1_000;

/** @param nowMs milliseconds since 1970 */
export function describeEvpn({ session, vnis, ...counts }: EvpnStatus, nowMs: number): Evpn {
  const { address, state, since, error = null, dialect = null, asn = null, routerId = null, connections } = session;
  return {
    session: {
      ...{ address, state, since: Math.max(0, Math.floor((nowMs - since) / 1000)), error, dialect, asn, routerId },
      peers: session.peers.map(({ address, isEstablished, hasEvpn, isEndOfRib }) => ({
        ...{ address, established: isEstablished, evpn: hasEvpn, endOfRib: isEndOfRib },
      })),
      connections,
    },
    ...counts,
    vnis: vnis.map(describeVni).sort((a, b) => a.vni - b.vni),
  };
}

export function readEvpn({ session, routesIn, routesOut, vnis, pending, refused }: EvpnStatus): EvpnReading {
  const { state, connections, peers } = session;
  return {
    ...{ isUp: state === 'up', connections, pending, refused, vnis: vnis.map(readVni) },
    peers: peers.filter(({ hasEvpn, isEstablished }) => hasEvpn && isEstablished).length,
    routes: [
      { direction: 'in', type: '2', count: routesIn.type2 },
      { direction: 'in', type: '3', count: routesIn.type3 },
      { direction: 'in', type: 'other', count: routesIn.other },
      { direction: 'out', type: '2', count: routesOut.type2 },
      { direction: 'out', type: '3', count: routesOut.type3 },
    ],
  };
}

/** The rows that match, in the order of the source, a slice at a time. Other tasks run in between. */
export async function* listRoutes(
  rows: Iterable<EvpnRouteRow>,
  { vni, type, unused }: EvpnRoutesQuery,
): AsyncGenerator<readonly EvpnRoute[], void, undefined> {
  let slice: EvpnRoute[] = [];
  let count = 0;
  for (const row of rows) {
    const isMeant =
      (vni === undefined || row.vni === vni) &&
      (type === undefined || row.type === type) &&
      (unused === undefined || (row.unused !== undefined) === unused);
    if (isMeant) slice.push(describeRoute(row));
    count += 1;
    if (count % SLICE_ROWS !== 0) continue;
    yield slice;
    await setImmediate();
    slice = [];
  }
  yield slice;
}

function describeVni({ rd, importTargets, exportTargets, vteps, isAnnounced, ...vni }: EvpnVni): Evpn['vnis'][number] {
  return {
    ...vni,
    ...{ rd: rd ?? null, importTargets: [...importTargets], exportTargets: [...exportTargets] },
    ...{ vteps: vteps.length, announced: isAnnounced },
  };
}

function readVni({ vni, vteps, macsIn, macsOut, isAnnounced }: EvpnVni): EvpnReading['vnis'][number] {
  return { vni, vteps: vteps.length, macsIn, macsOut, isAnnounced };
}

function describeRoute(row: EvpnRouteRow): EvpnRoute {
  const { type, vni = null, rd = null, mac = null, ip = null, vtep = null, label = null, sequence = null } = row;
  const { targets, isSticky, unused = null } = row;
  return { type, vni, rd, mac, ip, vtep, label, targets: [...targets], sequence, sticky: isSticky, unused };
}
