import type { Dialect } from '../speaker.ts';
import { Message } from './message.ts';

/**
 * What differs between the two APIs of GoBGP: v3 (`api/gobgp.proto`, up to 3.37) and v4 (`proto/api/gobgp.proto`). All else has the same field
 * numbers in both.
 */
interface DialectFacts {
  /** Path of the service in HTTP/2. */
  readonly service: string;
  /** TableType GLOBAL. */
  readonly globalTable: number;
  /** WatchEventRequest.Table.Filter.Type BEST. */
  readonly bestFilter: number;
  /** ListPathRequest.batch_size; before 3.32 routes are missing from an answer in batches. */
  readonly listBatch: number;
}

export const DIALECTS: Readonly<Record<Dialect, DialectFacts>> = {
  v3: { service: '/apipb.GobgpApi', globalTable: 0, bestFilter: 0, listBatch: 0 },
  v4: { service: '/api.GoBgpService', globalTable: 1, bestFilter: 1, listBatch: 256 },
};

/** A message that is one of several: which one, by its field number in the `oneof` of v4, and its octets. */
export interface Choice {
  readonly field: number;
  readonly octets: Uint8Array;
}

/** Names of the messages in v3, and their fields in v4. Those that are not read are not here. */
const FIELDS = {
  nlri: {
    EVPNEthernetAutoDiscoveryRoute: 5,
    EVPNMACIPAdvertisementRoute: 6,
    EVPNInclusiveMulticastEthernetTagRoute: 7,
    EVPNEthernetSegmentRoute: 8,
    EVPNIPPrefixRoute: 9,
    EVPNIPMSIRoute: 10,
  },
  attribute: {
    NextHopAttribute: 4,
    MpReachNLRIAttribute: 12,
    ExtendedCommunitiesAttribute: 14,
    PmsiTunnelAttribute: 17,
  },
  community: {
    TwoOctetAsSpecificExtended: 2,
    IPv4AddressSpecificExtended: 3,
    FourOctetAsSpecificExtended: 4,
    EncapExtended: 8,
    DefaultGatewayExtended: 9,
    MacMobilityExtended: 13,
  },
  rd: {
    RouteDistinguisherTwoOctetASN: 1,
    RouteDistinguisherIPAddress: 2,
    RouteDistinguisherFourOctetASN: 3,
  },
} as const satisfies Record<string, Record<string, number>>;

export type ChoiceKind = keyof typeof FIELDS;

const TYPE_URL_PREFIX = 'type.googleapis.com/apipb.';

/** By type URL of v3. */
const FIELDS_BY_URL: Readonly<Record<ChoiceKind, ReadonlyMap<string, number>>> = {
  nlri: byUrl(FIELDS.nlri),
  attribute: byUrl(FIELDS.attribute),
  community: byUrl(FIELDS.community),
  rd: byUrl(FIELDS.rd),
};

function byUrl(fields: Readonly<Record<string, number>>): ReadonlyMap<string, number> {
  return new Map(Object.entries(fields).map(([name, field]) => [TYPE_URL_PREFIX + name, field]));
}

/**
 * Reads a `google.protobuf.Any` {type_url = 1, value = 2} of v3, or a `oneof` of v4. undefined: none that is known in v3, or there is none.
 *
 * @throws Unreadable
 */
export function readChoice(dialect: Dialect, kind: ChoiceKind, octets: Uint8Array): Choice | undefined {
  const message = new Message(octets);
  if (dialect === 'v4') return message.only();
  const field = FIELDS_BY_URL[kind].get(message.text(1));
  return field === undefined ? undefined : { field, octets: message.bytes(2) ?? new Uint8Array(0) };
}
