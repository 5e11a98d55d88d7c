import { accessSync, closeSync, constants } from 'node:fs';
import { join } from 'node:path';
import { VtepError } from '../lib/errors.ts';
import { makeDirectory } from '../sys/directory.ts';
import { lockFile } from '../sys/file-lock.ts';
import { SysError } from '../sys/sys-error.ts';

/** `--state-dir`, locked by this daemon until it releases the lock or ends. */
export class StateDir {
  readonly path: string;
  readonly #lock: number;

  private constructor(path: string, lock: number) {
    this.path = path;
    this.#lock = lock;
  }

  /** Makes the directory if need be. @throws VtepError ERR_VTEP_STATE_DIR */
  static take(path: string): StateDir {
    const lock = takeLock(path);
    if (lock !== undefined) return new StateDir(path, lock);
    throw refused(path, 'another vtepd keeps its state there', 'stop it, or give each its own --state-dir');
  }

  release(): void {
    closeSync(this.#lock);
  }
}

/** The alias of TAPs that outlive vtepd. It distinguishes them from those of others, and moves with them. */
export function tapAlias(stateDir: string): string {
  return `vtepd ${stateDir}`;
}

/** The same for a renamed one: the next start finds it by its original name. */
export function renamedAlias(ownAlias: string, tap: string): string {
  return `${ownAlias} ${tap}`;
}

/** Whether an alias is vtepd's own; `tap`: the name that the TAP was made with, if it was renamed. No interface name has a space or slash. */
export function readAlias(alias: string, ownAlias: string): { readonly tap: string | undefined } | undefined {
  if (alias === ownAlias) return { tap: undefined };
  if (!alias.startsWith(`${ownAlias} `)) return undefined;
  const tap = alias.slice(ownAlias.length + 1);
  return /^[^\s/]+$/.test(tap) ? { tap } : undefined;
}

function takeLock(path: string): number | undefined {
  try {
    makeDirectory(path);
    accessSync(path, constants.W_OK | constants.X_OK);
    return lockFile(join(path, 'lock'));
  } catch (error) {
    const reason = error instanceof SysError ? error.message : (error as NodeJS.ErrnoException).code;
    throw refused(path, `it cannot be made or written (${reason})`, 'let vtepd write there, or name another directory');
  }
}

function refused(path: string, cause: string, remedy: string): VtepError {
  return new VtepError('ERR_VTEP_STATE_DIR', { object: `--state-dir ${path}`, cause, remedy });
}
