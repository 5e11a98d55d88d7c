/** The API on the control socket. Opened last in a start: a socket that answers means a daemon that forwards. */

import type { FastifyBaseLogger } from 'fastify';
import { createApi } from './api.ts';
import { addConfigRoutes } from './config-routes.ts';
import type { DaemonView } from './daemon-view.ts';
import { addHostRoutes, addReadRoutes } from './routes.ts';
import { releaseSocketFile, takeSocketFile } from './socket-file.ts';

export { checkControlSocket } from './socket-file.ts';

/** On closing, requests under way have this long; then their connections are cut. vtepd stops within 2 s in all. */
const CLOSE_GRACE_MS = 500;

export interface ControlServerOptions {
  /** Gets unforeseen errors; absent: silence. */
  readonly logger?: FastifyBaseLogger;
  /** In the form of /etc/group, which is the default. */
  readonly groupFile?: string;
}

/** A control socket that answers. */
export interface ControlServer {
  readonly path: string;
  /** Takes the socket's name away at once, lets requests under way end within half a second. Never fails. */
  close(): Promise<void>;
}

/**
 * Opens the control socket and answers on it. Call `checkControlSocket(path)` at the beginning of a start, before the
 * host is touched, and this at its end; this one checks again.
 * @throws VtepError ERR_VTEP_CONTROL_SOCKET
 */
export async function openControlSocket(
  path: string,
  view: DaemonView,
  { logger, groupFile = '/etc/group' }: ControlServerOptions = {},
): Promise<ControlServer> {
  const api = createApi(logger);
  addReadRoutes(api, view);
  addHostRoutes(api, view);
  addConfigRoutes(api, view);
  await api.ready();
  // Not api.listen(): it cannot bind with another umask, nor under another name.
  const own = await takeSocketFile(api.server, path, groupFile).catch(async (error: unknown) => {
    await api.close();
    throw error;
  });
  // accept(2) fails where fds run out; without a listener that would end the daemon.
  api.server.on('error', (error) => logger?.warn({ err: error }, `control socket ${path} failed to accept`));
  let closing: Promise<void> | undefined;
  return {
    path,
    close: () => {
      closing ??= (async () => {
        releaseSocketFile(path, own);
        const cut = setTimeout(() => api.server.closeAllConnections(), CLOSE_GRACE_MS);
        await api.close();
        clearTimeout(cut);
      })();
      return closing;
    },
  };
}
