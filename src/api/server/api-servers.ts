import type { Config, HttpAddress } from '../../config/config.ts';
import { VtepError } from '../../lib/errors.ts';
import { Serial } from '../../lib/serial.ts';
import type { Logger } from '../../observe/log.ts';
import { startRefusal } from '../../sys/start-refusal.ts';
import type { ApiServer, DaemonView } from '../daemon-view.ts';

const ANY: readonly string[] = ['0.0.0.0', '::'];

/** The servers of the API: the control socket, and with `--http` one over TCP, which may change while they serve. */
export class ApiServers {
  readonly #log: Logger;
  readonly #serial = new Serial();
  /** Most of the code that a start loads. It loads while the workers start on their own threads. */
  readonly #loading = Promise.all([import('./server.ts'), import('./http-server.ts')]).catch((error: Error) => {
    throw startRefusal('API', error);
  });
  #view: DaemonView | undefined;
  #control: ApiServer | undefined;
  #http: { readonly at: HttpAddress; readonly server: ApiServer } | undefined;
  #isClosed = false;

  constructor(log: Logger) {
    this.#log = log;
    // Reported when the servers are opened.
    this.#loading.catch(() => {});
  }

  /** Those that are open. */
  get open(): readonly ApiServer[] {
    return [this.#http?.server, this.#control].filter((server) => server !== undefined);
  }

  /** @throws VtepError ERR_VTEP_HTTP, or the error of the control socket */
  async start({ http, socketPath }: Pick<Config, 'http' | 'socketPath'>, view: DaemonView): Promise<void> {
    this.#view = view;
    if (http) this.#http = await this.#openHttp(http);
    const [{ openControlSocket }] = await this.#loading;
    this.#control = await openControlSocket(socketPath, view, { logger: this.#log });
  }

  /**
   * Serves at another address, or at none, from now on. Requests in progress at the old one may end.
   *
   * @throws VtepError ERR_VTEP_HTTP if it cannot be served there; the old one is then served as before
   */
  changeHttp(http: HttpAddress | undefined): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#isClosed) throw new VtepError('ERR_VTEP_UNREACHABLE', { object: 'vtepd', cause: 'it is stopping' });
      const before = this.#http;
      if (before && http && overlap(before.at, http)) {
        await this.#giveWay(before, http);
      } else {
        this.#http = http && (await this.#openHttp(http));
        await before?.server.close();
      }
    });
  }

  /** Lets requests under way end within half a second. */
  close(): Promise<unknown> {
    this.#isClosed = true;
    const control = this.#control?.close();
    return this.#serial.run(() => Promise.all([control, this.#http?.server.close()]));
  }

  /** The kernel takes only one of both at a time. */
  async #giveWay(before: { at: HttpAddress; server: ApiServer }, http: HttpAddress): Promise<void> {
    this.#http = undefined;
    await before.server.close();
    try {
      this.#http = await this.#openHttp(http);
    } catch (error) {
      this.#http = await this.#openHttp(before.at);
      throw error;
    }
  }

  async #openHttp(at: HttpAddress): Promise<{ at: HttpAddress; server: ApiServer }> {
    const [, { openHttp }] = await this.#loading;
    return { at, server: await openHttp(at, this.#view as DaemonView, this.#log) };
  }
}

/** Whether an address and all of the host want the same port. */
function overlap(one: HttpAddress, other: HttpAddress): boolean {
  return one.port === other.port && [one, other].some(({ address }) => ANY.includes(address));
}
