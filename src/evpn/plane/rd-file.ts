import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../../observe/log.ts';
import type { RdNumbers } from '../routes/own-routes.ts';

/**
 * The numbers of the route distinguishers, kept over restarts. After a crash the BGP speaker still announces the routes of this host, and they are
 * recognised by their distinguishers. Without the file, routes of VNIs that were deleted meanwhile would stay until the speaker restarts.
 */
export class RdFile {
  readonly stored: RdNumbers;
  readonly #path: string;
  readonly #log: Logger;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
    this.stored = this.#read();
  }

  store(numbers: RdNumbers): void {
    const fresh = `${this.#path}.new`;
    try {
      writeFileSync(fresh, `${JSON.stringify(numbers)}\n`, { mode: 0o600 });
      renameSync(fresh, this.#path);
    } catch (err) {
      this.#log.warn(
        { event: 'evpn-file-refused', path: this.#path, err },
        'route distinguishers may change at a restart',
      );
    }
  }

  #read(): RdNumbers {
    try {
      const numbers: unknown = JSON.parse(readFileSync(this.#path, 'utf8'));
      if (typeof numbers === 'object' && numbers !== null && !Array.isArray(numbers)) return numbers as RdNumbers;
      throw new Error('it is not an object');
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') return {};
      this.#log.warn(
        { event: 'evpn-file-refused', path: this.#path, err },
        'route distinguishers may change at a restart',
      );
      return {};
    }
  }
}

/** @param stateDir `--state-dir` */
export function rdFileOf(stateDir: string, log: Logger): RdFile {
  return new RdFile(join(stateDir, 'evpn.json'), log);
}
