import { ApiServers } from '../api/server/api-servers.ts';
import { checkHttpAddress } from '../api/server/http-listening.ts';
import { checkControlSocket } from '../api/server/socket-file.ts';
import type { Config } from '../config/config.ts';
import { connectGobgp } from '../evpn/gobgp/connect-gobgp.ts';
import { Evpn } from '../evpn/plane/evpn.ts';
import { rdFileOf } from '../evpn/plane/rd-file.ts';
import { notifySystemd, statusLine } from '../host/notify.ts';
import { VtepError } from '../lib/errors.ts';
import { type Log, type Logger, openLog } from '../observe/log.ts';
import { exitNow } from '../sys/libc.ts';
import { VtepView } from '../view/view.ts';
import { Reload } from '../vtep/changes/reload.ts';
import { Stopping } from '../vtep/stopping.ts';
import { Vtep } from '../vtep/vtep.ts';
import { HangUps, ignoreSignals } from './signals.ts';
import { Watchdog } from './watchdog.ts';

/** Exit code of a daemon that was running and could not continue. */
const DIED = 2;

/** After this time the process ends, whatever is still in progress. */
const LAST_RESORT_MS = 1_900;

/** API connections are cut half a second after they were asked to end. */
const API_PATIENCE_MS = 700;

/** How long the stop waits for the withdrawal of the own EVPN routes. Routes that are left are withdrawn by the next start. */
const EVPN_PATIENCE_MS = 900;

/**
 * Runs the daemon until it is asked to stop: the composition root.
 *
 * @param reread reads the configuration file again, under the same flags; throws VtepError; undefined: there is none
 * @returns the exit code: 0 asked to stop, 1 the host refuses, 2 died while running; `isCut`: a thread may hang, which an ordinary exit waits for
 */
export async function runDaemon(
  { config, reread }: { config: Config; reread: (() => Promise<Config>) | undefined },
  version: string,
  complain: (message: string) => void,
): Promise<{ readonly exitCode: number; readonly isCut: boolean }> {
  const hangUps = new HangUps();
  const output = await openLog(config.logLevel, config.logFormat);
  ignoreSignals(output.log);
  const stopping = new Stopping(output.log);
  const exitCode = await run({ config, reread, version, complain, hangUps, output, stopping });
  const isOut = await output.drain(stopping.logPatienceMs);
  return { exitCode, isCut: stopping.isCut || !isOut };
}

interface Run {
  readonly config: Config;
  readonly reread: (() => Promise<Config>) | undefined;
  readonly version: string;
  readonly complain: (message: string) => void;
  readonly hangUps: HangUps;
  readonly output: Log;
  readonly stopping: Stopping;
}

async function run({ config, reread, version, complain, hangUps, output, stopping }: Run): Promise<number> {
  const { log } = output;
  const ending = endingOf(log);
  // Nothing above this line touches the host. ---------------------------------------------------------------------------
  try {
    await checkControlSocket(config.socketPath);
    if (config.http) await checkHttpAddress(config.http);
    const servers = new ApiServers(log);
    const vtep = await Vtep.start(config, log, { onDeath: ending.fail, stopping });
    try {
      const { settings, changes, upkeep } = vtep;
      const vnis = vtep.vnis.list;
      const changeHttp = servers.changeHttp.bind(servers);
      const reload = new Reload({ vnis, settings, changes, upkeep }, { config, reread, log, changeHttp });
      const evpn = startEvpn(config, vtep, log);
      const view = new VtepView(vtep, { version, reload, log, lostLogLines: output.lost, servers, evpn });
      const watchdog = new Watchdog(() => vtep.workers.answered());
      try {
        await servers.start(config, view);
        log.info({ event: 'ready', version, vnis: vnis.length, port: config.port }, 'forwarding');
        notifySystemd('READY=1', statusLine({ vnis, underlays: vtep.underlays.list }));
        watchdog.start();
        hangUps.heard(() => reload.signalled());
        const exitCode = await ending.reached;
        hangUps.heard(() => {});
        stopping.begin();
        notifySystemd('STOPPING=1');
        return exitCode;
      } finally {
        watchdog.stop();
        // Other hosts must not send here any more when the TAPs go.
        const withdrawn = evpn?.stop(EVPN_PATIENCE_MS);
        await stopping.wait('API clients', servers.close(), API_PATIENCE_MS);
        if (withdrawn) await stopping.wait('EVPN routes', withdrawn);
      }
    } finally {
      await vtep.stop(stopping);
      log.info({ event: 'stopped' }, 'left the groups');
    }
  } catch (error) {
    if (error instanceof VtepError) {
      complain(error.message);
      return error.exitCode;
    }
    log.fatal({ event: 'died', err: error });
    complain(`internal error: ${String(error)}: please report it with the log`);
    return DIED;
  }
}

/** The control plane of `--evpn`. undefined: there is none. */
function startEvpn({ evpn: address, evpnHoldSeconds: holdSeconds, stateDir }: Config, vtep: Vtep, log: Logger) {
  if (!address) return undefined;
  const numbers = rdFileOf(stateDir, log);
  const evpn = new Evpn({ address, holdSeconds, log, numbers, connect: connectGobgp });
  evpn.start(vtep.control);
  return evpn;
}

/** How the daemon ends: by SIGTERM or SIGINT, or by a fatal failure. */
function endingOf(log: Logger): { reached: Promise<number>; fail: (error: Error) => void } {
  let end: (exitCode: number) => void = () => {};
  const reached = new Promise<number>((resolve) => {
    end = (exitCode) => {
      // Whatever is in progress, also during the start.
      setTimeout(() => exitNow(exitCode), LAST_RESORT_MS).unref();
      resolve(exitCode);
    };
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ event: 'stopping', signal }, 'asked to stop');
      // A second signal finds Node's own handler again, and ends the process at once.
      end(0);
    });
  }
  const fail = (error: Error) => {
    log.fatal({ event: 'died', err: error });
    end(DIED);
  };
  process.on('uncaughtException', (error) => {
    // The host refused an operation that no command waited for. Its effect is missing or it is tried again, and the daemon continues.
    if (error instanceof VtepError && error.exitCode !== DIED) log.error({ event: 'refused', err: error });
    else fail(error);
  });
  return { reached, fail };
}
