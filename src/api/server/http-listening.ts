/** Where `--http` listens. Apart from the server, so that an address can be refused before the API is loaded. */

import { createServer } from 'node:http';
import type { Server } from 'node:net';
import type { HttpAddress } from '../../config/config.ts';
import { formatHttpAddress } from '../../config/http-address.ts';
import { VtepError } from '../../lib/errors.ts';

/** Refuses early what `openHttp` would refuse at the end of a start. @throws VtepError ERR_VTEP_HTTP */
export async function checkHttpAddress(http: HttpAddress): Promise<void> {
  const probe = createServer();
  await listenHttp(probe, http);
  await new Promise((resolve) => probe.close(resolve));
}

/** @throws VtepError ERR_VTEP_HTTP */
export async function listenHttp(server: Server, { address, port }: HttpAddress): Promise<void> {
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
  EADDRINUSE: ['another program already listens there', '`ss -ltnp` names it; stop it or choose another port'],
  EADDRNOTAVAIL: ['no interface of this host has the address', 'choose one that `ip address` lists'],
  EACCES: ['no permission for this port', 'choose one of 1024 or above'],
};
