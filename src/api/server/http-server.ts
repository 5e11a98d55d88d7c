/** The read requests of the API over TCP, for `--http`, without authentication. Decision 016 has the consequences. */

import type { FastifyBaseLogger } from 'fastify';
import type { HttpAddress } from '../../config/config.ts';
import { formatHttpAddress } from '../../config/http-address.ts';
import { parseIp } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import type { ApiServer, DaemonView } from '../daemon-view.ts';
import { listenHttp } from './http-listening.ts';
import { closeApi, connectionsOf, createApi } from './requests/api.ts';
import { addReadRoutes } from './routes/routes.ts';

/**
 * Listens and answers.
 * @param logger gets unforeseen errors; absent: silence
 * @returns lets requests in progress end within half a second. Never fails.  @throws VtepError ERR_VTEP_HTTP
 */
export async function openHttp(http: HttpAddress, view: DaemonView, logger?: FastifyBaseLogger): Promise<ApiServer> {
  const name = formatHttpAddress(http);
  const api = createApi(`--http ${name}`, logger);
  if (isLoopback(http)) {
    api.addHook('onRequest', async ({ headers }) => refuseForeignName(headers.host, name));
  }
  addReadRoutes(api, view);
  await api.ready();
  await listenHttp(api.server, http).catch(async (error: unknown) => {
    await api.close();
    throw error;
  });
  logger?.info({ event: 'http', address: name }, 'everyone who reaches this address can read the API');
  return { name: 'http', connections: () => connectionsOf(api), close: () => closeApi(api) };
}

function isLoopback({ address }: HttpAddress): boolean {
  return address === '::1' || address.startsWith('127.');
}

/**
 * The name of a web site can resolve to 127.0.0.1, so that a browser on this host reads from there for the site (DNS rebinding). The Host header
 * then has the name of the site, while regular clients of a loopback address use only this name.
 */
function refuseForeignName(host: string | undefined, own: string): void {
  // All browsers send it.
  if (host === undefined) return;
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
  if (name === 'localhost' || parseIp(name.replace(/^\[|\]$/g, '')) !== undefined) return;
  throw new VtepError('ERR_VTEP_USAGE', {
    object: `Host: ${host.slice(0, 100)}`,
    cause: 'not a name of this host',
    remedy: `ask for http://${own}`,
  });
}
