import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { EvpnRoute } from '../route.ts';
import type { Dialect } from '../speaker.ts';
import { writeAttributes, writeMinimalAttributes } from '../wire/attributes.ts';
import { writeNlri } from '../wire/nlri.ts';
import { DIALECTS } from './dialect.ts';
import { Message } from './message.ts';

/** AFI 25, SAFI 70 (RFC 7432 §7). */
export const EVPN_FAMILY = { afi: 25, safi: 70 } as const;

/** GetBgpRequest, ListPeerRequest of all peers. */
export const EMPTY_REQUEST = new Uint8Array(0);

/** AddPathRequest {table_type = 1, path = 3}. @param now milliseconds since 1970, which GoBGP shows as the age of the route */
export function addPathRequest(dialect: Dialect, route: EvpnRoute, now: number): Uint8Array {
  const writer = new BinaryWriter();
  number(writer, 1, DIALECTS[dialect].globalTable);
  writer.tag(3, WireType.LengthDelimited).fork();
  // Path.age, a google.protobuf.Timestamp {seconds = 1}.
  writer.tag(3, WireType.LengthDelimited).fork();
  number(writer, 1, Math.floor(now / 1_000));
  writer.join();
  path(writer, writeNlri(route), writeAttributes(route));
  return writer.join().finish();
}

/**
 * DeletePathRequest {table_type = 1, family = 3, path = 4}. The path has no communities, since GoBGP checks a MAC mobility also here.
 *
 * GoBGP deletes all local routes of the family, also those of other programs, if the request has no path.
 */
export function deletePathRequest(dialect: Dialect, route: EvpnRoute): Uint8Array {
  const writer = new BinaryWriter();
  number(writer, 1, DIALECTS[dialect].globalTable);
  family(writer, 3);
  writer.tag(4, WireType.LengthDelimited).fork();
  path(writer, writeNlri(route), writeMinimalAttributes(route));
  const request = writer.join().finish();
  assertNamesPath(request);
  return request;
}

/** Reads the octets as the speaker does. */
function assertNamesPath(request: Uint8Array): void {
  const nlri = new Message(request).message(4)?.bytes(NLRI_BINARY);
  if (nlri === undefined || nlri.length < 2)
    throw new Error('a DeletePathRequest without a path would delete all routes');
}

/** Path.nlri_binary, Path.pattrs_binary. */
const [NLRI_BINARY, PATTRS_BINARY] = [20, 21];

/** Path {family = 9, nlri_binary = 20, pattrs_binary = 21}. */
function path(writer: BinaryWriter, nlri: Uint8Array, attributes: readonly Uint8Array[]): void {
  family(writer, 9);
  writer.tag(NLRI_BINARY, WireType.LengthDelimited).bytes(nlri);
  for (const attribute of attributes) writer.tag(PATTRS_BINARY, WireType.LengthDelimited).bytes(attribute);
}

/** ListPathRequest {table_type = 1, family = 3, batch_size = 10}. */
export function listPathRequest(dialect: Dialect): Uint8Array {
  const { globalTable, listBatch } = DIALECTS[dialect];
  const writer = new BinaryWriter();
  number(writer, 1, globalTable);
  family(writer, 3);
  number(writer, 10, listBatch);
  return writer.finish();
}

/**
 * WatchEventRequest {peer = 1, table = 2 {filters = 1 {type = 1, init = 2}}, batch_size = 3}. Without `init`: GoBGP before 3.28 would send the whole
 * table as one message.
 */
export function watchEventRequest(dialect: Dialect, batch: number): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).fork().join();
  writer.tag(2, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).fork();
  number(writer, 1, DIALECTS[dialect].bestFilter);
  writer.join().join();
  number(writer, 3, batch);
  return writer.finish();
}

/** Family {afi = 1, safi = 2}. */
function family(writer: BinaryWriter, field: number): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  number(writer, 1, EVPN_FAMILY.afi);
  number(writer, 2, EVPN_FAMILY.safi);
  writer.join();
}

/** proto3 does not write a zero. */
function number(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).uint32(value);
}
