import { type FileHandle, open } from 'node:fs/promises';
import { flagObject, refuse } from '../config/keys/written-value.ts';
import { MAX_CONFIG_BYTES } from '../lib/limits.ts';

const CHUNK_BYTES = 65_536;

/** How long a reload waits for the file. A start waits without limit, since nothing runs yet and a pipe may be slow. */
const REREAD_LIMIT_MS = 5_000;

/**
 * Reads `--config`, which may be a pipe, a file without end, or on a disk that does not answer. The main thread never waits for it. The thread pool
 * reads it, one read at a time.
 */
export class ConfigSource {
  #isReading = false;

  /** A read is still in progress. An ordinary exit of the process waits for it. */
  get isReading(): boolean {
    return this.#isReading;
  }

  /** @throws VtepError ERR_VTEP_USAGE */
  read(path: string): Promise<string> {
    return this.#start(path);
  }

  /** While vtepd runs. @throws VtepError ERR_VTEP_USAGE also where it does not come in time */
  async reread(path: string, limitMs = REREAD_LIMIT_MS): Promise<string> {
    if (this.#isReading) refuse(flagObject('config', path), 'an earlier read of it has not ended', REMEDY);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), limitMs);
    });
    const text = await Promise.race([this.#start(path), late]).finally(() => clearTimeout(timer));
    if (text !== undefined) return text;
    return refuse(flagObject('config', path), `it cannot be read within ${limitMs / 1000} s`, REMEDY);
  }

  #start(path: string): Promise<string> {
    this.#isReading = true;
    const reading = readText(path).finally(() => {
      this.#isReading = false;
    });
    // The failure may come when no caller waits any more.
    reading.catch(() => {});
    return reading;
  }
}

const REMEDY = 'check its disk, or the program that writes the pipe';

async function readText(path: string): Promise<string> {
  const object = flagObject('config', path);
  const chunks: Buffer[] = [];
  let bytes = 0;
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    while (bytes <= MAX_CONFIG_BYTES) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK_BYTES));
      if (bytesRead === 0) break;
      chunks.push(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } catch (error) {
    refuse(object, `it cannot be read: ${(error as Error).message}`, 'name a YAML file');
  } finally {
    await file?.close();
  }
  if (bytes > MAX_CONFIG_BYTES) refuse(object, `it has more than ${MAX_CONFIG_BYTES} bytes`, 'name a YAML file');
  return Buffer.concat(chunks).toString('utf8');
}
