import { closeSync, openSync, readSync } from 'node:fs';
import { flagObject, refuse } from '../config/written-value.ts';
import { MAX_CONFIG_BYTES } from '../lib/limits.ts';

const CHUNK_BYTES = 65_536;

/** The text of `--config`, which may be a pipe, or something that never ends. @throws VtepError ERR_VTEP_USAGE */
export function readConfigText(path: string): string {
  const object = flagObject('config', path);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    const fd = openSync(path, 'r');
    try {
      while (bytes <= MAX_CONFIG_BYTES) {
        const chunk = Buffer.alloc(CHUNK_BYTES);
        const length = readSync(fd, chunk);
        if (length === 0) break;
        chunks.push(chunk.subarray(0, length));
        bytes += length;
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    refuse(object, `it cannot be read: ${(error as Error).message}`, 'name a YAML file');
  }
  if (bytes > MAX_CONFIG_BYTES) refuse(object, `it has more than ${MAX_CONFIG_BYTES} bytes`, 'name a YAML file');
  return Buffer.concat(chunks).toString('utf8');
}
