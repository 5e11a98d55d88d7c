/** The API on the control socket. Opened last in a start: a socket that answers means a daemon that forwards. */

import type { FastifyBaseLogger } from 'fastify';
import type { ApiServer, DaemonView } from '../daemon-view.ts';
import { closeApi, connectionsOf, createApi } from './requests/api.ts';
import { addConfigRoutes } from './routes/config-routes.ts';
import { addHostRoutes, addReadRoutes } from './routes/routes.ts';
import { addTraceRoutes } from './routes/trace-routes.ts';
import { releaseSocketFile, takeSocketFile } from './socket-file.ts';
import { addCaptureRoute } from './streams/capture-streams.ts';

export interface ControlServerOptions {
  /** Gets unforeseen errors; absent: silence. */
  readonly logger?: FastifyBaseLogger;
  /** In the form of /etc/group, which is the default. */
  readonly groupFile?: string;
}

/** A control socket that answers. */
export interface ControlServer extends ApiServer {
  readonly path: string;
  /** Removes the name of the socket at once, lets requests in progress end within half a second. Never fails. */
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
  const api = createApi(`control socket ${path}`, logger);
  addReadRoutes(api, view);
  addHostRoutes(api, view);
  addConfigRoutes(api, view);
  addTraceRoutes(api, view);
  addCaptureRoute(api, view);
  await api.ready();
  // Not api.listen(): it cannot bind with another umask, nor under another name.
  const own = await takeSocketFile(api.server, path, groupFile).catch(async (error: unknown) => {
    await api.close();
    throw error;
  });
  let closing: Promise<void> | undefined;
  return {
    path,
    name: 'control',
    connections: () => connectionsOf(api),
    close: () => {
      if (!closing) releaseSocketFile(path, own);
      closing ??= closeApi(api);
      return closing;
    },
  };
}
