/** The reads of the API over TCP, for `--http`: whoever reaches the address may read. Decision 016 says what that means. */

import { createServer } from 'node:http';
import type { Server } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import type { HttpAddress } from '../config/config.ts';
import { formatHttpAddress } from '../config/http-address.ts';
import { parseIp } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { closeApi, createApi } from './api.ts';
import type { DaemonView } from './daemon-view.ts';
import { addReadRoutes } from './routes.ts';

/** Refuses early what {@link openHttp} would refuse at the end of a start. @throws VtepError ERR_VTEP_HTTP */
export async function checkHttpAddress(http: HttpAddress): Promise<void> {
  const probe = createServer();
  await listen(probe, http);
  await new Promise((resolve) => probe.close(resolve));
}

/**
 * Listens and answers.
 * @param logger gets unforeseen errors; absent: silence
 * @returns lets requests under way end within half a second. Never fails.  @throws VtepError ERR_VTEP_HTTP
 */
export async function openHttp(
  http: HttpAddress,
  view: DaemonView,
  logger?: FastifyBaseLogger,
): Promise<{ close(): Promise<void> }> {
  const name = formatHttpAddress(http);
  const api = createApi(`--http ${name}`, logger);
  if (isLoopback(http)) {
    api.addHook('onRequest', async ({ headers }) => refuseForeignName(headers.host, name));
  }
  addReadRoutes(api, view);
  await api.ready();
  await listen(api.server, http).catch(async (error: unknown) => {
    await api.close();
    throw error;
  });
  logger?.info({ event: 'http', address: name }, 'whoever reaches this address may read the API');
  return { close: () => closeApi(api) };
}

async function listen(server: Server, { address, port }: HttpAddress): Promise<void> {
  const outcome = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', reject);
  });
  server.listen({ host: address, port });
  await outcome.catch(({ code = '', message }: NodeJS.ErrnoException) => {
    const [cause, remedy] = REFUSALS[code] ?? [message, 'choose another address'];
    throw new VtepError('ERR_VTEP_HTTP', { object: `--http ${formatHttpAddress({ address, port })}`, cause, remedy });
  });
}

const REFUSALS: Readonly<Record<string, readonly [cause: string, remedy: string] | undefined>> = {
  EADDRINUSE: ['somebody listens there already', '`ss -ltnp` says who; stop it or choose another port'],
  EADDRNOTAVAIL: ['no interface of this host has the address', 'choose one that `ip address` lists'],
  EACCES: ['no permission for this port', 'choose one from 1024 on'],
};

function isLoopback({ address }: HttpAddress): boolean {
  return address === '::1' || address.startsWith('127.');
}

/**
 * A page of some site can let its own name point to 127.0.0.1, so that a browser on this host reads there for it (DNS rebinding).
 * Then the site's name is asked for; nobody else asks for a loopback address by a name but this one.
 */
function refuseForeignName(host: string | undefined, own: string): void {
  // No browser leaves it out.
  if (host === undefined) return;
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : '';
  if (name === 'localhost' || parseIp(name.replace(/^\[|\]$/g, '')) !== undefined) return;
  throw new VtepError('ERR_VTEP_USAGE', {
    object: `Host: ${host.slice(0, 100)}`,
    cause: 'not a name of this host',
    remedy: `ask for http://${own}`,
  });
}
