import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { formatIp, ipBytes } from '../../lib/addresses.ts';
import type { RouteNumber } from '../../lib/route-numbers.ts';
import type { EvpnRoute } from '../route.ts';
import type { Dialect, Peer } from '../speaker.ts';

/** The messages that GoBGP sends, as gobgpd 3.36 and 4.8 write them. For the fake only. */

/** Writes the fields of a message. */
type Fields = (writer: BinaryWriter) => void;

function message(fields: Fields): Uint8Array {
  const writer = new BinaryWriter();
  fields(writer);
  return writer.finish();
}

function nested(writer: BinaryWriter, field: number, octets: Uint8Array | Fields): void {
  writer.tag(field, WireType.LengthDelimited).bytes(typeof octets === 'function' ? message(octets) : octets);
}

function number(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).uint32(value);
}

function text(writer: BinaryWriter, field: number, value: string): void {
  if (value !== '') writer.tag(field, WireType.LengthDelimited).string(value);
}

/** One of several messages: an Any by its name in v3, a field in v4. */
function chosen(dialect: Dialect, name: string, field: number, fields: Fields): Fields {
  return (writer) => {
    if (dialect === 'v4') return nested(writer, field, fields);
    text(writer, 1, `type.googleapis.com/apipb.${name}`);
    nested(writer, 2, fields);
  };
}

/** A path as the fake has it. */
export interface FakePath {
  /** A number is a route of that type that has nothing to read. */
  readonly route: EvpnRoute | number;
  /** Address of the peer. undefined: local. */
  readonly from: string | undefined;
}

export function pathMessage(
  dialect: Dialect,
  { route, from }: FakePath,
  { isBest = true, isWithdrawn = false }: { isBest?: boolean; isWithdrawn?: boolean } = {},
): Fields {
  return (writer) => {
    nested(writer, 1, typeof route === 'number' ? otherNlri(dialect, route) : nlri(dialect, route));
    if (typeof route !== 'number') {
      for (const attribute of attributes(dialect, route)) nested(writer, 2, attribute);
    }
    // A time far in the past, and fields that are not read.
    nested(writer, 3, (age) => number(age, 1, 1_700_000_000));
    number(writer, 4, isBest ? 1 : 0);
    number(writer, 5, isWithdrawn ? 1 : 0);
    nested(writer, 9, family);
    number(writer, 10, 65_000);
    text(writer, 11, from ?? (dialect === 'v3' ? '<nil>' : 'invalid IP'));
    text(writer, 15, from ?? (dialect === 'v3' ? '<nil>' : 'invalid IP'));
  };
}

function family(writer: BinaryWriter): void {
  number(writer, 1, 25);
  number(writer, 2, 70);
}

function nlri(dialect: Dialect, route: EvpnRoute): Fields {
  if (route.type === 3) {
    return chosen(dialect, 'EVPNInclusiveMulticastEthernetTagRoute', 7, (writer) => {
      nested(writer, 1, distinguisher(dialect, route.rd));
      number(writer, 2, route.ethernetTag);
      text(writer, 3, route.originator);
    });
  }
  return chosen(dialect, 'EVPNMACIPAdvertisementRoute', 6, (writer) => {
    const esi = Buffer.from(route.esi, 'hex');
    nested(writer, 1, distinguisher(dialect, route.rd));
    nested(writer, 2, (segment) => {
      number(segment, 1, esi[0] as number);
      nested(segment, 2, esi.subarray(1));
    });
    number(writer, 3, route.ethernetTag);
    text(writer, 4, route.mac);
    text(writer, 5, route.ip ?? (dialect === 'v3' ? '<nil>' : ''));
    nested(
      writer,
      6,
      message((labels) => labels.uint32(route.label)),
    );
  });
}

function otherNlri(dialect: Dialect, type: number): Fields {
  const names: Readonly<Record<number, [string, number]>> = {
    1: ['EVPNEthernetAutoDiscoveryRoute', 5],
    2: ['EVPNMACIPAdvertisementRoute', 6],
    3: ['EVPNInclusiveMulticastEthernetTagRoute', 7],
    4: ['EVPNEthernetSegmentRoute', 8],
    5: ['EVPNIPPrefixRoute', 9],
  };
  const [name, field] = names[type] ?? ['EVPNRouteOfTheFuture', 99];
  return chosen(dialect, name, field, () => undefined);
}

function distinguisher(dialect: Dialect, { form, admin, value }: RouteNumber): Fields {
  const [name, field] = {
    as2: ['RouteDistinguisherTwoOctetASN', 1] as const,
    ipv4: ['RouteDistinguisherIPAddress', 2] as const,
    as4: ['RouteDistinguisherFourOctetASN', 3] as const,
  }[form];
  return chosen(dialect, name, field, (writer) => {
    if (form === 'ipv4') text(writer, 1, ipv4(admin));
    else number(writer, 1, admin);
    number(writer, 2, value);
  });
}

function attributes(dialect: Dialect, route: EvpnRoute): Fields[] {
  const written = [
    chosen(dialect, 'OriginAttribute', 2, () => undefined),
    chosen(dialect, 'MpReachNLRIAttribute', 12, (writer) => {
      nested(writer, 1, family);
      text(writer, 2, route.nextHop ?? '');
      nested(writer, 3, nlri(dialect, route));
    }),
    chosen(dialect, 'LocalPrefAttribute', 6, (writer) => number(writer, 1, 100)),
    chosen(dialect, 'ExtendedCommunitiesAttribute', 14, (writer) => {
      for (const community of communities(dialect, route)) nested(writer, 1, community);
    }),
  ];
  if (route.type !== 3 || !route.pmsi) return written;
  const { tunnel, label, endpoint } = route.pmsi;
  written.push(
    chosen(dialect, 'PmsiTunnelAttribute', 17, (writer) => {
      number(writer, 2, tunnel);
      number(writer, 3, label);
      if (endpoint !== undefined) nested(writer, 4, ipBytes(endpoint));
    }),
  );
  return written;
}

function communities(dialect: Dialect, route: EvpnRoute): Fields[] {
  const written = route.targets.map((target) => routeTarget(dialect, target));
  for (const tunnel of route.tunnels) {
    written.push(chosen(dialect, 'EncapExtended', 8, (writer) => number(writer, 1, tunnel)));
  }
  // Of no interest to a VTEP: a route origin, and a community that GoBGP does not know.
  written.push(
    chosen(dialect, 'TwoOctetAsSpecificExtended', 2, (writer) => {
      for (const [field, value] of [1, 3, 65_000, 1].entries()) number(writer, field + 1, value);
    }),
    chosen(dialect, 'UnknownExtended', 1, (writer) => {
      number(writer, 1, 0x43);
      nested(writer, 2, new Uint8Array(7));
    }),
  );
  if (route.type === 2 && (route.sequence > 0 || route.isSticky)) {
    const { sequence, isSticky } = route;
    written.push(
      chosen(dialect, 'MacMobilityExtended', 13, (writer) => {
        number(writer, 1, isSticky ? 1 : 0);
        number(writer, 2, sequence);
      }),
    );
  }
  return written;
}

function routeTarget(dialect: Dialect, { form, admin, value }: RouteNumber): Fields {
  const [name, field] = {
    as2: ['TwoOctetAsSpecificExtended', 2] as const,
    ipv4: ['IPv4AddressSpecificExtended', 3] as const,
    as4: ['FourOctetAsSpecificExtended', 4] as const,
  }[form];
  return chosen(dialect, name, field, (writer) => {
    number(writer, 1, 1);
    number(writer, 2, 2);
    if (form === 'ipv4') text(writer, 3, ipv4(admin));
    else number(writer, 3, admin);
    number(writer, 4, value);
  });
}

function ipv4(address: number): string {
  return formatIp(Uint8Array.from([24, 16, 8, 0], (shift) => (address >>> shift) & 0xff));
}

/** GetBgpResponse. */
export function globalMessage({ asn, routerId }: { asn: number; routerId: string }): Uint8Array {
  return message((writer) =>
    nested(writer, 1, (global) => {
      number(global, 1, asn);
      text(global, 2, asn === 0 ? '' : routerId);
      number(global, 3, asn === 0 ? 0 : 179);
    }),
  );
}

/** AddPathResponse. */
export function uuidMessage(uuid: Uint8Array): Uint8Array {
  return message((writer) => nested(writer, 1, uuid));
}

/** ListPathResponse, a Destination. */
export function destinationMessage(paths: readonly Fields[]): Uint8Array {
  return message((writer) =>
    nested(writer, 1, (destination) => {
      text(destination, 1, '[a prefix in text, which is not read]');
      for (const path of paths) nested(destination, 2, path);
    }),
  );
}

/** WatchEventResponse with paths. */
export function tableEvent(paths: readonly Fields[]): Uint8Array {
  return message((writer) =>
    nested(writer, 3, (table) => {
      for (const path of paths) nested(table, 2, path);
    }),
  );
}

/** WatchEventResponse of a peer. @param type 1 INIT, 2 END_OF_INIT, 3 STATE */
export function peerEvent(type: 1 | 2 | 3, peer?: Peer): Uint8Array {
  return message((writer) =>
    nested(writer, 2, (event) => {
      number(event, 1, type);
      if (peer) nested(event, 2, peerFields(peer));
    }),
  );
}

/** ListPeerResponse. */
export function peerMessage(peer: Peer): Uint8Array {
  return message((writer) => nested(writer, 1, peerFields(peer)));
}

function peerFields({ address, isEstablished, hasEvpn, isEndOfRib }: Peer): Fields {
  return (writer) => {
    nested(writer, 2, (conf) => text(conf, 4, address));
    nested(writer, 5, (state) => {
      text(state, 5, address);
      number(state, 13, isEstablished ? 6 : 3);
    });
    const afiSafi = (afi: number, safi: number, isReceived: boolean) => (fields: BinaryWriter) => {
      nested(fields, 1, (restart) => nested(restart, 2, (state) => number(state, 4, isReceived ? 1 : 0)));
      nested(fields, 2, (config) =>
        nested(config, 1, (pair) => {
          number(pair, 1, afi);
          number(pair, 2, safi);
        }),
      );
    };
    nested(writer, 10, afiSafi(1, 1, true));
    if (hasEvpn) nested(writer, 10, afiSafi(25, 70, isEndOfRib));
  };
}
