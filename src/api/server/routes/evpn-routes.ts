import type { DaemonView } from '../../daemon-view.ts';
import { EvpnRoutesQuerySchema, EvpnRoutesSchema, EvpnSchema } from '../../evpn-schemas.ts';
import { NoQuerySchema } from '../../schemas.ts';
import type { TypedApi } from '../requests/api.ts';
import { Listings } from '../requests/listings.ts';
import { sendListing } from './listing-answer.ts';

/** `GET /v1/evpn` and `GET /v1/evpn/routes`. */
export function addEvpnRoutes(api: TypedApi, view: DaemonView): void {
  const listings = new Listings('/v1/evpn/routes');

  api.get(
    '/v1/evpn',
    {
      schema: {
        summary: 'BGP EVPN: the session with the speaker, and each VNI.',
        querystring: NoQuerySchema,
        response: { 200: EvpnSchema },
      },
    },
    async () => view.evpn(),
  );

  api.get(
    '/v1/evpn/routes',
    {
      schema: {
        summary: 'The received EVPN routes, and why those that are not used are not.',
        querystring: EvpnRoutesQuerySchema,
        response: { 200: EvpnRoutesSchema },
      },
    },
    async (request, reply): Promise<void> => {
      const { query } = request;
      return sendListing(listings, () => view.evpnRoutes(query), { request, reply });
    },
  );
}
