import type { Config, VniConfig } from '../../config/config.ts';
import { type ConfigKey, KEYS } from '../../config/config-diff.ts';
import { notifySystemd } from '../../host/notify.ts';
import { VtepError } from '../../lib/errors.ts';
import { Serial } from '../../lib/serial.ts';
import type { Logger } from '../../observe/log.ts';
import { type Left, planReload, type ReloadedFile, type ReloadedVtep } from './reload-plan.ts';
import { type Step, takeAll, takePossible } from './reload-steps.ts';

export interface ReloadOptions {
  /** The configuration in force at the start. */
  readonly config: Config;
  /** Reads the file. Throws VtepError ERR_VTEP_USAGE for any fault in it. undefined: there is no file. */
  readonly reread: (() => Promise<Config>) | undefined;
  readonly log: Logger;
  readonly changeHttp: ReloadedFile['changeHttp'];
}

/** Whether a reload may leave out what cannot be applied. If not, one fault refuses the whole reload. */
export interface ReloadMode {
  readonly partial: boolean;
}

/** Brings the running VTEP from the configuration file as it was last read to the file as it is now. */
export class Reload {
  readonly #vtep: ReloadedVtep;
  readonly #log: Logger;
  readonly #reread: (() => Promise<Config>) | undefined;
  readonly #changeHttp: ReloadedFile['changeHttp'];
  readonly #serial = new Serial();
  /** The file as it is in force now. */
  #config: Config;
  #waiting = 0;

  constructor(vtep: ReloadedVtep, { config, reread, log, changeHttp }: ReloadOptions) {
    this.#vtep = vtep;
    this.#config = config;
    this.#reread = reread;
    this.#log = log;
    this.#changeHttp = changeHttp;
  }

  /**
   * @returns what was left out, one line each; always empty unless `partial`
   * @throws VtepError why the file is refused; the previous file then stays in force
   */
  run(mode: ReloadMode = { partial: false }): Promise<readonly string[]> {
    return this.#serial.run(() => this.#apply(mode));
  }

  /** Called on SIGHUP. Several signals before the reload begins cause one reload: the file is read when it begins. */
  signalled(): void {
    if (this.#waiting > 0) return;
    this.#waiting++;
    void this.#serial
      .run(() => {
        this.#waiting--;
        return this.#apply({ partial: false });
      })
      .catch(() => {});
  }

  async #apply({ partial }: ReloadMode): Promise<readonly string[]> {
    notifySystemd('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      const file = { before: this.#config, after: await this.#read(), changeHttp: this.#changeHttp };
      const { steps, left, config, isLevelChanged } = planReload(this.#vtep, file);
      if (left.length > 0 && !partial) throw refusalOf(left);
      const all = [...left, ...(await this.#take(steps, partial))];
      this.#vtep.upkeep.assertAll();
      if (isLevelChanged) this.#log.level = config.logLevel;
      this.#config = withoutLeft(this.#config, config, all);
      for (const { error } of all) this.#log.warn({ event: 'reload-left-out', reason: error.message });
      const [vnis, leftOut] = [this.#vtep.vnis.length, all.length];
      this.#log.info({ event: 'reloaded', vnis, leftOut }, 'the configuration file is in force');
      return all.map(({ error }) => error.message);
    } catch (error) {
      this.#tell(error);
      throw error;
    } finally {
      notifySystemd('READY=1');
    }
  }

  /** Takes the steps. Returns what the host refused in a partial reload. */
  async #take(steps: readonly Step[], partial: boolean): Promise<Left[]> {
    if (steps.length === 0) return [];
    const release = await this.#vtep.changes.holdGroups();
    try {
      if (partial) return [...(await takePossible(steps, this.#log))].map(([of, error]) => ({ of, error }));
      await takeAll(steps, this.#log);
      return [];
    } finally {
      await release();
    }
  }

  /** Logs one line for each reason. */
  #tell(error: unknown): void {
    const text = 'the configuration in force stays';
    if (!(error instanceof VtepError)) this.#log.error({ event: 'reload-refused', err: error }, text);
    else
      for (const reason of [error.message, ...error.others]) this.#log.error({ event: 'reload-refused', reason }, text);
  }

  async #read(): Promise<Config> {
    if (this.#reread) return this.#reread();
    throw new VtepError('ERR_VTEP_CONFLICT', {
      object: 'reload',
      cause: 'vtepd was started without --config',
      remedy: 'start it with one, or use `vtepctl vni add` and similar commands',
    });
  }
}

function refusalOf(left: readonly Left[]): VtepError {
  const [first, ...others] = left.map(({ error }) => error);
  return Object.assign(first as VtepError, { others: others.map(({ message }) => message) });
}

/** The part of the file that is in force. What was left out keeps its previous value, and is tried again at the next reload. */
function withoutLeft(before: Config, after: Config, left: readonly Left[]): Config {
  const isLeft = new Set<ConfigKey | number>(left.flatMap<ConfigKey | number>(({ of }) => of));
  const keys = (Object.keys(KEYS) as ConfigKey[]).filter((key) => isLeft.has(key));
  const inForce = ({ vni }: VniConfig) => !isLeft.has(vni);
  return {
    ...after,
    ...Object.fromEntries(keys.map((key) => [key, before[key]])),
    vnis: [...after.vnis.filter(inForce), ...before.vnis.filter((vni) => !inForce(vni))],
  };
}
