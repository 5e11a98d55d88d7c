/**
 * Every value that crosses the API, as a schema and as the type derived from it. Checks of requests, the types of the
 * daemon, of vtepctl and `/openapi.json` all come from here.
 *
 * Answers may gain properties in later releases, so their schemas are open; requests are closed, because an ignored misspelt filter would flush the
 * whole table.
 */

import { type Static, type TProperties, Type } from 'typebox';
import { LOG_LEVELS } from '../config/config.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { ErrorCode } from '../lib/errors.ts';
import { MAX_TRACED_FRAME_BYTES, MAX_VLAN, MAX_VNI, MIN_TRACED_FRAME_BYTES } from '../lib/limits.ts';

/** The description of a request property is also the text of its error: `query vni="x": not a VNI, 0 to 16777215`. */
export const Vni = Type.Integer({ minimum: 0, maximum: MAX_VNI, description: `a VNI, 0 to ${MAX_VNI}` });
const MacText = Type.String({ description: 'a MAC address such as 02:00:00:00:00:01' });
const VtepText = Type.String({ description: "an IP address without zone, or 'local'" });
const RemoteText = Type.String({ description: 'an IP address without zone' });

export const Mac = Type.Unsafe<MacAddress>({ type: 'string', description: 'lower-case MAC address' });
export const Ip = Type.Unsafe<IpAddress>({ type: 'string', description: 'IPv4, or IPv6 as in RFC 5952' });
const VtepName = Type.Unsafe<IpAddress | 'local'>({
  type: 'string',
  description: 'outer IP address of the VTEP, `local` if the MAC is behind the TAP',
});
export const Count = Type.Integer({ minimum: 0 });
export const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

const FdbEntryTypeSchema = Type.Union([Type.Literal('dynamic'), Type.Literal('static'), Type.Literal('evpn')]);

/** One line of `GET /v1/fdb`. */
export const FdbEntrySchema = Type.Object({
  vni: Vni,
  mac: Mac,
  vtep: VtepName,
  type: FdbEntryTypeSchema,
  age: Type.Union([Count, Type.Null()], { description: 'whole seconds since last heard, null unless dynamic' }),
  moves: Count,
  unsent: Type.Optional(
    Type.Literal(true, {
      description: 'nothing is sent to the VTEP now: its address is this host’s own, or a broadcast address',
    }),
  ),
});
export type FdbEntry = Static<typeof FdbEntrySchema>;
export const FdbEntriesSchema = Type.Array(FdbEntrySchema);

/** One event of `GET /v1/events`. */
export const FdbEventSchema = Type.Object({
  time: Type.String({ description: 'RFC 3339, UTC, to a tenth of a second' }),
  event: Type.Union(
    [Type.Literal('add'), Type.Literal('move'), Type.Literal('age'), Type.Literal('delete'), Type.Literal('lost')],
    { description: '`lost`: events were lost: read the table again' },
  ),
  vni: orNull(Vni),
  mac: orNull(Mac),
  vtep: orNull(VtepName),
  from: Type.Union([VtepName, Type.Null()], { description: 'VTEP that the MAC was at before, null if none' }),
  type: orNull(FdbEntryTypeSchema),
  count: Type.Optional(Type.Integer({ minimum: 1, description: 'number of lost ones; only with `lost`' })),
});
export type FdbEvent = Static<typeof FdbEventSchema>;

/** The status of a VNI changed. */
export const VniStatusEventSchema = Type.Object({
  time: Type.String({ description: 'RFC 3339, UTC' }),
  event: Type.Literal('status'),
  vni: Vni,
  status: Type.String({ description: 'as in `GET /v1/vnis`: `ok`, or the reason why not' }),
  from: Type.Union([Type.String(), Type.Null()], { description: 'the status before; null: the VNI is new' }),
});
export type VniStatusEvent = Static<typeof VniStatusEventSchema>;

/** One of `GET /v1/events`. */
export const DaemonEventSchema = Type.Union([FdbEventSchema, VniStatusEventSchema]);
export type DaemonEvent = Static<typeof DaemonEventSchema>;

/** One line of `GET /v1/vnis`. */
export const VniStatusSchema = Type.Object({
  vni: Vni,
  name: orNull(Type.String()),
  group: orNull(Ip),
  remotes: Type.Array(Ip),
  tap: Type.Union([Type.String(), Type.Null()], { description: 'as configured; the trunk if the VNI is a VLAN of it' }),
  device: Type.Union([Type.String(), Type.Null()], { description: 'the name that the TAP has now; null: it is gone' }),
  namespace: Type.Union([Type.String(), Type.Null()], {
    description: 'the network namespace that the TAP was moved to, `?` if it has no name; null: vtepd’s own',
  }),
  mtu: Type.Integer({ minimum: 0, description: 'bytes' }),
  bridge: orNull(Type.String()),
  vlan: orNull(Type.Integer({ minimum: 0, maximum: MAX_VLAN })),
  learning: Type.Boolean(),
  macs: Count,
  joined: Type.Boolean({ description: 'whether the host is a member of the group now; false if there is no group' }),
  status: Type.String({ description: '`ok`, or the reason why not' }),
});
export type VniStatus = Static<typeof VniStatusSchema>;
export const VniStatusesSchema = Type.Array(VniStatusSchema);

const DropCounts = Type.Record(Type.String(), Count);
/** `GET /v1/drops`: every reason of each direction, zeros too, in the order in which they are tested. */
export const DropsSchema = Type.Object({ rx: DropCounts, tx: DropCounts });
export type Drops = Static<typeof DropsSchema>;

const Passages = {
  rxPackets: Count,
  rxBytes: Type.Integer({ minimum: 0, description: 'bytes of inner frames, like all byte counters here' }),
  txPackets: Count,
  txBytes: Count,
};

/** One line of `GET /v1/vteps`. */
export const VtepSchema = Type.Object({
  vtep: Ip,
  macs: Count,
  ...Passages,
  lastHeard: Type.Union([Count, Type.Null()], { description: 'whole seconds ago, null if never' }),
  drops: Type.Integer({ minimum: 0, description: 'datagrams that came from it or were for it, and were dropped' }),
  pathMtu: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
    description: 'MTU of the path to it if known to be narrower than the underlay, else null',
  }),
});
export type Vtep = Static<typeof VtepSchema>;
export const VtepsSchema = Type.Array(VtepSchema);

/** A VTEP that is to get the floods of a VNI by unicast: one line of `GET /v1/remotes`. */
export const FloodMemberSchema = Type.Object({
  vni: Vni,
  remote: Ip,
  origin: Type.Union([Type.Literal('static'), Type.Literal('evpn')], {
    description: 'who names it: the configuration or a command, or a control plane; the first of these if both do',
  }),
  sent: Type.Boolean({
    description:
      'whether unicast copies are sent to it: not to an own or broadcast address of this host, and not to one of a control plane that is in the group',
  }),
  inGroup: Type.Boolean({
    description:
      'it was heard in the multicast group of the VNI too: it gets each flood twice if `sent` is true, and otherwise by the group',
  }),
});
export type FloodMember = Static<typeof FloodMemberSchema>;
export const FloodMembersSchema = Type.Array(FloodMemberSchema);

/** What is counted of one VNI. */
export const VniStatsSchema = Type.Object({
  vni: Vni,
  name: orNull(Type.String()),
  macs: Count,
  ...Passages,
  flooded: Type.Integer({ minimum: 0, description: 'packets sent as floods, each copy counted' }),
  moves: Count,
  evictions: Count,
  full: Type.Integer({ minimum: 0, description: 'frames whose source was not learned, since there was no room' }),
  held: Type.Integer({ minimum: 0, description: 'frames whose source MAC moved too often and is held where it was' }),
  rxDrops: Count,
  txDrops: Count,
});
export type VniStats = Static<typeof VniStatsSchema>;

/** `GET /v1/stats`. */
export const StatsSchema = Type.Object({
  vnis: Type.Array(VniStatsSchema),
  workers: Type.Array(
    Type.Object({
      worker: Count,
      busy: Type.Number({ minimum: 0, maximum: 1, description: 'share of the last second that the worker was busy' }),
    }),
  ),
});
export type Stats = Static<typeof StatsSchema>;

/** The querier of one underlay interface and family, if a VNI has a group. */
export const QuerierSchema = Type.Object({
  dev: Type.String(),
  family: Type.Union([Type.Literal(4), Type.Literal(6)]),
  watching: Type.Boolean({ description: 'false: queries cannot be heard, and the rest is null' }),
  since: orNull(Type.Integer({ minimum: 0, description: 'whole seconds since vtepd began to listen for queries' })),
  querier: Type.Union([Ip, Type.Null()], { description: 'null if none was heard recently enough to count as present' }),
  lastHeard: Type.Union([Count, Type.Null()], {
    description: 'whole seconds since another querier was heard, null if never',
  }),
  own: Type.Boolean({ description: 'this daemon is the querier' }),
});
export type Querier = Static<typeof QuerierSchema>;

/** `GET /v1/status`. */
const LimitSchema = Type.Object({
  limit: Type.String({ description: 'a bounded table' }),
  used: Count,
  max: Count,
});
export type Limit = Static<typeof LimitSchema>;

export const StatusSchema = Type.Object({
  version: Type.String(),
  pid: Count,
  uptime: Type.Integer({ minimum: 0, description: 'whole seconds' }),
  local: Type.Array(Ip),
  dev: Type.Array(Type.String()),
  port: Count,
  workers: Count,
  workerStates: Type.Array(
    Type.Object({
      worker: Count,
      state: Type.Union([Type.Literal('ok'), Type.Literal('hung'), Type.Literal('dead')], {
        description: 'state of the thread; dead: it has no successor yet',
      }),
      deaths: Type.Integer({ minimum: 0, description: 'threads of this worker that died' }),
    }),
  ),
  offload: Type.Object({ tapGso: Type.Boolean(), udpGso: Type.Boolean(), udpGro: Type.Boolean() }),
  unmerged: Type.Object(
    {
      sockets: Count,
      vteps: Type.Array(Ip, { description: 'VTEP that the last such message came from, for each worker' }),
    },
    { description: 'sockets that receive without UDP_GRO for a minute after a message with datagrams of several VNIs' },
  ),
  vnis: Count,
  macs: Count,
  vteps: Count,
  queriers: Type.Array(QuerierSchema),
  limits: Type.Array(LimitSchema),
});
export type Status = Static<typeof StatusSchema>;

/** One line of `GET /v1/doctor`. */
export const FindingSchema = Type.Object({
  check: Type.String({ description: 'name of the check, e.g. `mtu`; rows of one check follow each other' }),
  status: Type.Union([Type.Literal('ok'), Type.Literal('warning'), Type.Literal('failed'), Type.Literal('unknown')], {
    description: '`unknown`: the doctor could not find out',
  }),
  object: Type.String({ description: 'what was checked, e.g. `vxlan100`' }),
  message: Type.String(),
  remedy: Type.Union([Type.String(), Type.Null()], { description: 'the command that corrects the fault' }),
});
export type Finding = Static<typeof FindingSchema>;
export const FindingsSchema = Type.Array(FindingSchema);

/** `GET /v1/trace`: what would happen to a frame. */
export const TraceSchema = Type.Object({
  direction: Type.Union([Type.Literal('tx'), Type.Literal('rx')], {
    description: '`tx`: out of the TAP to the underlay; `rx`: from a VTEP to the TAP',
  }),
  verdict: Type.Union([Type.Literal('forwarded'), Type.Literal('flooded'), Type.Literal('dropped')]),
  reason: Type.Union([Type.String(), Type.Null()], { description: 'the drop reason, null unless dropped' }),
  detail: Type.Union([Type.String(), Type.Null()], {
    description: 'kind of the dropped frame and the key that lets it pass, in words, if known',
  }),
  destinations: Type.Array(Type.String(), { description: 'VTEPs and groups; for `rx` the TAP; none if dropped' }),
  steps: Type.Array(Type.String(), { description: 'in words, in order' }),
});
export type Trace = Static<typeof TraceSchema>;

/** One event of `GET /v1/capture`: a frame, or how many of them are missing. */
export const CaptureEventSchema = Type.Object({
  time: Type.String({ description: 'RFC 3339, UTC, to a microsecond' }),
  event: Type.Union([Type.Literal('frame'), Type.Literal('lost')], {
    description: '`lost`: frames came faster than they were read; then only `count` has a meaning',
  }),
  direction: Type.Union([Type.Literal('tx'), Type.Literal('rx'), Type.Null()], {
    description: '`tx`: out of the TAP; `rx`: from the underlay',
  }),
  verdict: Type.Union([Type.Literal('forwarded'), Type.Literal('flooded'), Type.Literal('dropped'), Type.Null()]),
  reason: Type.Union([Type.String(), Type.Null()], { description: 'the drop reason, null unless dropped' }),
  vni: orNull(Vni),
  vtep: Type.Union([Ip, Type.Null()], {
    description: 'VTEP that it came from or is for; of a flood the group',
  }),
  copies: Type.Integer({ minimum: 0, description: 'remotes that a flood is sent to in addition to the group' }),
  segments: Type.Integer({ minimum: 0, description: 'number of frames in it: above 1 it is a super-frame' }),
  src: orNull(Mac),
  dst: orNull(Mac),
  length: Type.Integer({ minimum: 0, description: 'octets of the inner frame' }),
  summary: Type.String({ description: 'summary of its contents' }),
  count: Type.Optional(Type.Integer({ minimum: 1, description: 'number of lost ones; only with `lost`' })),
});
export type CaptureEvent = Static<typeof CaptureEventSchema>;

/** `GET /v1/config`: keys and values of a file that `--config` accepts. */
export const ConfigSchema = Type.Record(Type.String(), Type.Unknown());
export type ConfigFile = Static<typeof ConfigSchema>;

/** The body of every answer that is not 2xx. */
export const ErrorBodySchema = Type.Object({
  error: Type.Object({
    code: Type.Unsafe<ErrorCode>({ type: 'string' }),
    message: Type.String(),
    /** Further errors. */
    others: Type.Optional(Type.Array(Type.String())),
  }),
});
export type ErrorBody = Static<typeof ErrorBodySchema>;

/** `GET /openapi.json`: OpenAPI 3.1. */
export const OpenApiSchema = Type.Object({
  openapi: Type.String(),
  info: Type.Object({ title: Type.String(), version: Type.String() }),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown())),
  components: Type.Record(Type.String(), Type.Unknown()),
});
export type OpenApi = Static<typeof OpenApiSchema>;

/** `POST /v1/reload?partial=true` answers with what was left out, a line for each. */
export const ReloadedSchema = Type.Object({ refused: Type.Array(Type.String()) });
export type Reloaded = Static<typeof ReloadedSchema>;

/** `DELETE /v1/fdb` answers with the number of entries that went. */
export const FlushedSchema = Type.Object({ removed: Count });
export type Flushed = Static<typeof FlushedSchema>;

export const closed = <P extends TProperties>(properties: P) =>
  Type.Object(properties, { additionalProperties: false });

/** `GET /v1/fdb?…`; filters combine with AND. */
export const FdbQuerySchema = closed({
  vni: Type.Optional(Vni),
  mac: Type.Optional(MacText),
  vtep: Type.Optional(VtepText),
  type: Type.Optional(
    Type.Union([Type.Literal('static'), Type.Literal('dynamic'), Type.Literal('evpn')], {
      description: "'static', 'dynamic' or 'evpn'",
    }),
  ),
});

/** `DELETE /v1/fdb?…`; static entries stay unless `all` is true, and those of a control plane in any case. */
export const FlushQuerySchema = closed({
  vni: Type.Optional(Vni),
  mac: Type.Optional(MacText),
  vtep: Type.Optional(VtepText),
  all: Type.Optional(Type.Boolean({ description: "'true' or 'false'" })),
});

/** `GET /v1/trace?…`; with `vtep` it is a datagram from there, without it a frame out of the TAP. */
export const TraceQuerySchema = closed({
  vni: Vni,
  src: MacText,
  dst: MacText,
  vtep: Type.Optional(RemoteText),
  vlan: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_VLAN, description: `a VLAN, 0 to ${MAX_VLAN}` })),
  size: Type.Optional(
    Type.Integer({
      minimum: MIN_TRACED_FRAME_BYTES,
      maximum: MAX_TRACED_FRAME_BYTES,
      description: `the octets of a frame, ${MIN_TRACED_FRAME_BYTES} to ${MAX_TRACED_FRAME_BYTES}`,
    }),
  ),
});
export type TraceQuery = Static<typeof TraceQuerySchema>;

/** `GET /v1/capture?…`; filters combine with AND. */
export const CaptureQuerySchema = closed({
  vni: Type.Optional(Vni),
  mac: Type.Optional(MacText),
  vtep: Type.Optional(RemoteText),
  drops: Type.Optional(Type.Boolean({ description: "'true' or 'false'" })),
  format: Type.Optional(
    Type.Union([Type.Literal('events'), Type.Literal('pcapng')], { description: "'events' or 'pcapng'" }),
  ),
});
export type CaptureQueryText = Static<typeof CaptureQuerySchema>;

/** `POST /v1/fdb`. */
export const StaticEntrySchema = closed({ vni: Vni, mac: MacText, vtep: VtepText });
export type StaticEntry = Static<typeof StaticEntrySchema>;

/** `DELETE /v1/fdb/:vni/:mac`. */
export const EntryPathSchema = closed({ vni: Vni, mac: MacText });

/** `POST /v1/vnis`. */
export const NewVniSchema = closed({
  entry: Type.String({ description: 'a VNI as written for --vni, e.g. 100=239.1.1.1,bridge=br0' }),
});

/** `DELETE /v1/vnis/:vni`. */
export const VniPathSchema = closed({ vni: Vni });

/** `POST /v1/vnis/:vni/remotes`. */
export const NewRemoteSchema = closed({ remote: RemoteText });

/** `DELETE /v1/vnis/:vni/remotes/:remote`. */
export const RemotePathSchema = closed({ vni: Vni, remote: RemoteText });

/** `POST /v1/log-level`. */
export const LogLevelSchema = closed({
  level: Type.Union(
    LOG_LEVELS.map((level) => Type.Literal(level)),
    { description: `one of ${LOG_LEVELS.join(', ')}` },
  ),
});

/** `POST /v1/reload?…`. */
export const ReloadQuerySchema = closed({ partial: Type.Optional(Type.Boolean({ description: "'true' or 'false'" })) });

/** `GET /v1/vteps?…`. */
export const VtepsQuerySchema = closed({ vtep: Type.Optional(RemoteText) });

/** `GET /v1/vnis?…`, `GET /v1/remotes?…`, `GET /v1/drops?…` and `GET /v1/stats?…`. */
export const VniQuerySchema = closed({ vni: Type.Optional(Vni) });

/** A resource that takes no query. */
export const NoQuerySchema = closed({});
