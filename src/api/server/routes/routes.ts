/** The resources of the API, each with its `summary` for `/openapi.json`. Reads are apart: `--http` offers them alone. */

import { Readable } from 'node:stream';
import { Type } from 'typebox';
import type { IpAddress } from '../../../lib/addresses.ts';
import { VtepError } from '../../../lib/errors.ts';
import { METRICS_CONTENT_TYPE } from '../../../observe/metrics.ts';
import type { DaemonView } from '../../daemon-view.ts';
import {
  DropsSchema,
  EntryPathSchema,
  FdbEntriesSchema,
  FdbQuerySchema,
  FindingsSchema,
  FloodMembersSchema,
  FlushedSchema,
  FlushQuerySchema,
  NewRemoteSchema,
  NewVniSchema,
  NoQuerySchema,
  RemotePathSchema,
  StaticEntrySchema,
  StatsSchema,
  StatusSchema,
  VniPathSchema,
  VniQuerySchema,
  VniStatusesSchema,
  VniStatusSchema,
  type Vtep,
  VtepsQuerySchema,
  VtepsSchema,
} from '../../schemas.ts';
import { unknownVni } from '../../unknown-vni.ts';
import type { TypedApi } from '../requests/api.ts';
import { Listings } from '../requests/listings.ts';
import { readFilter, readMac, readNewRemote, readRemote, readStaticEntry } from '../requests/request-values.ts';
import { addEventRoute } from '../streams/event-streams.ts';
import { addEvpnRoutes } from './evpn-routes.ts';
import { sendListing } from './listing-answer.ts';
import { addOpenApiRoute } from './openapi.ts';

/**
 * The read routes, and `/openapi.json`, which describes the routes added after it: call this first. They change nothing, and show nothing that
 * clients of `--http` must not see.
 */
export function addReadRoutes(api: TypedApi, view: DaemonView): void {
  addOpenApiRoute(api, view);
  const entryListings = new Listings('/v1/fdb');
  const vtepListings = new Listings('/v1/vteps');
  const memberListings = new Listings('/v1/remotes');

  api.get(
    '/v1/fdb',
    {
      schema: {
        summary: 'The forwarding database, sorted by VNI and MAC.',
        querystring: FdbQuerySchema,
        response: { 200: FdbEntriesSchema },
      },
    },
    async (request, reply): Promise<void> => {
      const filter = readFilter(request.query);
      return sendListing(entryListings, () => view.fdbEntries(filter), { request, reply });
    },
  );

  api.get(
    '/v1/vnis',
    { schema: { summary: 'The VNIs, sorted.', querystring: VniQuerySchema, response: { 200: VniStatusesSchema } } },
    async (request) => {
      const { vni } = request.query;
      const vnis = (await view.vnis()).filter((status) => vni === undefined || status.vni === vni);
      if (vni !== undefined && vnis.length === 0) throw unknownVni(vni);
      return vnis;
    },
  );

  api.get(
    '/v1/remotes',
    {
      schema: {
        summary: 'The unicast flood lists, sorted by VNI.',
        querystring: VniQuerySchema,
        response: { 200: FloodMembersSchema },
      },
    },
    async (request, reply): Promise<void> => {
      const { vni } = request.query;
      return sendListing(memberListings, () => view.floodMembers(vni), { request, reply });
    },
  );

  api.get(
    '/v1/vteps',
    {
      schema: {
        summary: 'The remote VTEPs, sorted, with their counters.',
        querystring: VtepsQuerySchema,
        response: { 200: VtepsSchema },
      },
    },
    async (request, reply): Promise<void> => {
      if (request.query.vtep === undefined) {
        return sendListing(vtepListings, () => view.vteps(undefined), { request, reply });
      }
      const asked = readRemote(request.query.vtep);
      const found: Vtep[] = [];
      for await (const vteps of view.vteps(asked)) found.push(...vteps);
      if (found.length === 0) throw unknownVtep(asked);
      return reply.send(found as never);
    },
  );

  api.get(
    '/v1/stats',
    {
      schema: {
        summary: 'The counters of each VNI, and how busy each worker is.',
        querystring: VniQuerySchema,
        response: { 200: StatsSchema },
      },
    },
    async (request) => view.stats(request.query.vni),
  );

  api.get(
    '/v1/drops',
    {
      schema: {
        summary: 'Every drop by direction and reason.',
        querystring: VniQuerySchema,
        response: { 200: DropsSchema },
      },
    },
    async (request) => view.drops(request.query.vni),
  );

  api.get(
    '/v1/status',
    {
      schema: {
        summary: 'The state of the daemon: workers, offloads in force, limits, queriers.',
        querystring: NoQuerySchema,
        response: { 200: StatusSchema },
      },
    },
    async () => view.status(),
  );

  api.get(
    '/metrics',
    {
      schema: {
        summary: 'All counters, for Prometheus.',
        querystring: NoQuerySchema,
        response: { 200: { content: { 'text/plain': { schema: Type.String() } } } },
      },
    },
    async (_request, reply): Promise<void> => {
      return reply.type(METRICS_CONTENT_TYPE).send(Readable.from(view.metrics()) as never);
    },
  );

  addEvpnRoutes(api, view);
  addEventRoute(api, view);
}

/** Routes for clients on the host only: those that change the daemon or examine its host. */
export function addHostRoutes(api: TypedApi, view: DaemonView): void {
  addFdbRoutes(api, view);
  addVniRoutes(api, view);
  api.get(
    '/v1/doctor',
    {
      schema: {
        summary: 'Checks of the daemon and its host.',
        querystring: NoQuerySchema,
        response: { 200: FindingsSchema },
      },
    },
    async () => [...(await view.doctor())],
  );
}

/** `POST /v1/fdb`, `DELETE /v1/fdb?…` and `DELETE /v1/fdb/:vni/:mac`. */
function addFdbRoutes(api: TypedApi, view: DaemonView): void {
  api.post(
    '/v1/fdb',
    { schema: { summary: 'Add a static entry.', querystring: NoQuerySchema, body: StaticEntrySchema } },
    async (request, reply): Promise<void> => {
      await view.addStatic(readStaticEntry(request.body));
      return reply.code(204).send();
    },
  );

  api.delete(
    '/v1/fdb',
    {
      schema: {
        summary: 'Delete entries, static ones only with `all`.',
        querystring: FlushQuerySchema,
        response: { 200: FlushedSchema },
      },
    },
    async (request) => {
      const { all = false, ...filter } = request.query;
      return { removed: await view.flush({ ...readFilter(filter), all }) };
    },
  );

  api.delete(
    '/v1/fdb/:vni/:mac',
    { schema: { summary: 'Delete an entry.', querystring: NoQuerySchema, params: EntryPathSchema } },
    async (request, reply): Promise<void> => {
      const { vni, mac } = request.params;
      await view.deleteEntry({ vni, mac: readMac(mac) });
      return reply.code(204).send();
    },
  );
}

/** `POST /v1/vnis`, `DELETE /v1/vnis/:vni`, `POST /v1/vnis/:vni/remotes` and `DELETE /v1/vnis/:vni/remotes/:remote`. */
function addVniRoutes(api: TypedApi, view: DaemonView): void {
  api.post(
    '/v1/vnis',
    {
      schema: {
        summary: 'Add a VNI.',
        querystring: NoQuerySchema,
        body: NewVniSchema,
        response: { 201: VniStatusSchema },
      },
    },
    async (request, reply) => {
      const vni = await view.addVni(request.body.entry);
      return reply.code(201).send(vni);
    },
  );

  api.delete(
    '/v1/vnis/:vni',
    { schema: { summary: 'Delete a VNI.', querystring: NoQuerySchema, params: VniPathSchema } },
    async (request, reply): Promise<void> => {
      await view.deleteVni(request.params.vni);
      return reply.code(204).send();
    },
  );

  api.post(
    '/v1/vnis/:vni/remotes',
    {
      schema: {
        summary: 'Add a remote to the unicast flood list of a VNI.',
        querystring: NoQuerySchema,
        params: VniPathSchema,
        body: NewRemoteSchema,
      },
    },
    async (request, reply): Promise<void> => {
      await view.addRemote({ vni: request.params.vni, remote: readNewRemote(request.body.remote) });
      return reply.code(204).send();
    },
  );

  api.delete(
    '/v1/vnis/:vni/remotes/:remote',
    {
      schema: { summary: 'Delete a remote from the flood list.', querystring: NoQuerySchema, params: RemotePathSchema },
    },
    async (request, reply): Promise<void> => {
      const { vni, remote } = request.params;
      await view.deleteRemote({ vni, remote: readRemote(remote) });
      return reply.code(204).send();
    },
  );
}

function unknownVtep(vtep: IpAddress): VtepError {
  return new VtepError('ERR_VTEP_NOT_FOUND', {
    object: `VTEP ${vtep}`,
    cause: 'it is in no entry and no flood list of this vtepd',
    remedy: '`vtepctl vtep show` lists the known VTEPs',
  });
}
