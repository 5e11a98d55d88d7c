import type { Config, StaticEntry, VniConfig } from '../config/config.ts';
import { diffConfig, isSame } from '../config/config-diff.ts';
import { checkVniSet, type NamedVni } from '../config/vni-set.ts';
import type { MacAddress } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { LiveChanges } from './live-changes.ts';
import { notifySystemd } from './notify.ts';
import { Serial } from './serial.ts';
import type { Vni } from './vni.ts';

/** The running VTEP, as far as a reload needs it. */
export interface ReloadedVtep {
  readonly vnis: readonly Pick<Vni, 'config'>[];
  readonly changes: Pick<LiveChanges, 'addVni' | 'removeVni' | 'adjustVni'>;
}

export interface ReloadOptions {
  /** What is in force at the start. */
  readonly config: Config;
  /** Reads the file; throws VtepError ERR_VTEP_USAGE for any fault in it. undefined: there is no file. */
  readonly reread: (() => Config) | undefined;
  readonly log: Logger;
}

/** One change and the way back. */
interface Step {
  readonly take: () => Promise<unknown>;
  readonly undo: () => Promise<unknown>;
  /** One that fails may have been taken in part, and has to be undone too. */
  readonly isPartial?: true;
}

/**
 * Brings the running VTEP from the configuration file as it was last read to the file as it is now: all of the difference or nothing. What
 * was changed while running is no part of the difference, and stays.
 */
export class Reload {
  readonly #vtep: ReloadedVtep;
  readonly #log: Logger;
  readonly #reread: (() => Config) | undefined;
  readonly #serial = new Serial();
  /** The file as it is in force. */
  #config: Config;
  #waiting = 0;

  constructor(vtep: ReloadedVtep, { config, reread, log }: ReloadOptions) {
    this.#vtep = vtep;
    this.#config = config;
    this.#reread = reread;
    this.#log = log;
  }

  /** @throws VtepError why the file is refused; the one before is then in force as it was */
  run(): Promise<void> {
    return this.#serial.run(() => this.#apply());
  }

  /** On SIGHUP. Of many at once, those that have not begun are one: the file is read when it begins. */
  signalled(): void {
    if (this.#waiting > 0) return;
    this.#waiting++;
    void this.#serial
      .run(() => {
        this.#waiting--;
        return this.#apply();
      })
      .catch(() => {});
  }

  async #apply(): Promise<void> {
    notifySystemd('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      const config = this.#read();
      await takeAll(this.#steps(config), this.#log);
      this.#log.level = config.logLevel;
      this.#config = config;
      this.#log.info({ event: 'reloaded', vnis: this.#vtep.vnis.length }, 'the configuration file is in force');
    } catch (error) {
      const reason = error instanceof VtepError ? { reason: error.message } : { err: error };
      this.#log.error({ event: 'reload-refused', ...reason }, 'what was in force before is so still');
      throw error;
    } finally {
      notifySystemd('READY=1');
    }
  }

  #read(): Config {
    if (this.#reread) return this.#reread();
    throw new VtepError('ERR_VTEP_CONFLICT', {
      object: 'reload',
      cause: 'vtepd was started without --config',
      remedy: 'start it with one, or use `vtepctl vni add` and the like',
    });
  }

  /**
   * VNIs that clash with nothing that runs come first, since they are the likeliest to be refused by the host. One that was added while
   * running and now stands in the file alike is there already.
   */
  #steps(config: Config): Step[] {
    const diff = diffConfig(this.#config, config);
    const old = new Map(this.#config.vnis.map((vni) => [vni.vni, vni]));
    const running = new Map(this.#vtep.vnis.map((vni) => [vni.config.vni, vni.config]));
    const isRunning = ({ vni }: VniConfig) => running.has(vni);
    // What was deleted while running comes back where the file says something new of it.
    const returning = [...diff.adjusted, ...diff.remade].filter((vni) => !isRunning(vni));
    const leftAs = new Map<number, VniConfig>();
    const added = [...diff.added.filter((vni) => !isSame(vni, running.get(vni.vni))), ...returning];
    const adjusted = diff.adjusted.filter(isRunning);
    const remade = diff.remade.filter(isRunning);
    const leaving = [...diff.removed.filter(isRunning), ...remade];
    const left = new Set(leaving.map(({ vni }) => vni));
    const staying = this.#vtep.vnis.filter(({ config: { vni } }) => !left.has(vni));
    checkVniSet([...staying.map(runningVni), ...[...added, ...remade].map(vniInFile)], config);
    const early = added.filter((vni) => !this.#clashes(config, vni));
    const late = added.filter((vni) => !early.includes(vni));
    return [
      ...early.map((vni) => this.#addition(vni)),
      ...adjusted.map((vni) => this.#adjustment(old.get(vni.vni) as VniConfig, vni)),
      ...leaving.map(({ vni }) => this.#removal(vni, leftAs)),
      ...remade.map((vni) => this.#addition(vni, () => withLive(vni, old.get(vni.vni), leftAs.get(vni.vni)))),
      ...late.map((vni) => this.#addition(vni)),
    ];
  }

  #clashes(config: Config, vni: VniConfig): boolean {
    try {
      checkVniSet([...this.#vtep.vnis.map(runningVni), vniInFile(vni)], config);
      return false;
    } catch {
      return true;
    }
  }

  /** @param whole the configuration, asked for once what leaves has left */
  #addition(config: VniConfig, whole = () => config): Step {
    const { changes } = this.#vtep;
    return { take: () => changes.addVni(whole(), vniInFile(config).object), undo: () => changes.removeVni(config.vni) };
  }

  /** @param leftAs where it is written down as it was, so that the way back brings what was added while running */
  #removal(vni: number, leftAs: Map<number, VniConfig>): Step {
    const { changes } = this.#vtep;
    return {
      take: async () => leftAs.set(vni, await changes.removeVni(vni)),
      undo: () => changes.addVni(leftAs.get(vni) as VniConfig, `VNI ${vni}`),
    };
  }

  #adjustment(before: VniConfig, after: VniConfig): Step {
    const { changes } = this.#vtep;
    return {
      take: () => changes.adjustVni(before, after),
      undo: () => changes.adjustVni(after, before),
      isPartial: true,
    };
  }
}

/** Takes all steps; if one fails, goes back to where it began. */
async function takeAll(steps: readonly Step[], log: Logger): Promise<void> {
  const taken: Step[] = [];
  for (const step of steps) {
    try {
      await step.take();
      taken.push(step);
    } catch (error) {
      if (step.isPartial) taken.push(step);
      for (const { undo } of taken.toReversed()) {
        // The host has changed meanwhile: what it refuses now is missing, and the log says so.
        await undo().catch((err: unknown) => log.error({ event: 'reload-not-undone', err }));
      }
      throw error;
    }
  }
}

/** What a file says of a VNI that is made anew, and the remotes and static entries that were added to it while it ran. */
function withLive(after: VniConfig, before: VniConfig | undefined, left: VniConfig | undefined): VniConfig {
  const remotes = (left?.remotes ?? []).filter((remote) => !before?.remotes.includes(remote));
  const isIn = (list: readonly StaticEntry[] = [], mac: MacAddress) => list.some((entry) => entry.mac === mac);
  const statics = (left?.statics ?? []).filter(({ mac }) => !isIn(before?.statics, mac) && !isIn(after.statics, mac));
  return {
    ...after,
    remotes: [...new Set([...after.remotes, ...remotes])],
    statics: [...after.statics, ...statics],
  };
}

function vniInFile(config: VniConfig): NamedVni {
  return { object: `reload: VNI ${config.vni}`, config };
}

function runningVni({ config }: Pick<Vni, 'config'>): NamedVni {
  return { object: `VNI ${config.vni}`, config, isRunning: true };
}
