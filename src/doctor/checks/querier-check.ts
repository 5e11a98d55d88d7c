import type { Finding } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { ok, unknown, warning } from './finding.ts';

/** What is known of the IGMP or MLD querier of an interface. */
export interface QuerierFacts {
  readonly dev: string;
  readonly family: 4 | 6;
  /** false: vtepd lacks the capability to listen. */
  readonly watching: boolean;
  /** Seconds since vtepd began to listen; null if it cannot. */
  readonly since: number | null;
  /** null: none was heard recently enough to count as present. */
  readonly querier: IpAddress | null;
  /** Seconds since one was last heard; null: never. */
  readonly lastHeard: number | null;
  /** It is this vtepd. */
  readonly own: boolean;
}

/** Group Membership Interval: the time after which a snooping switch that heard no querier forgets a group (RFC 2236 §8.4, RFC 3376 §8.4). */
const MEMBERSHIP_SECONDS = 260;

export function checkQuerier({ dev, family, watching, since, querier, lastHeard, own }: QuerierFacts): Finding {
  const protocol = family === 4 ? 'IGMP' : 'MLD';
  const object = `${dev}, ${protocol}`;
  if (!watching) return unknown('querier', object, 'vtepd cannot hear queries without CAP_NET_RAW');
  if (own) return ok('querier', object, 'this vtepd is the querier');
  if (querier !== null) return ok('querier', object, `${querier}, heard ${lastHeard ?? 0} s ago`);
  const silent = lastHeard ?? since ?? 0;
  if (silent < MEMBERSHIP_SECONDS) return unknown('querier', object, `none heard yet, listening for ${since ?? 0} s`);
  const message = `no querier heard for ${silent} s: a switch that snoops will stop forwarding the floods; run one vtepd with --querier, or let the switch be the querier (a Linux bridge: mcast_querier 1)`;
  return warning('querier', object, message, '--querier');
}
