import { open } from 'node:fs/promises';
import { formatIp, type IpAddress } from '../lib/addresses.ts';
import { MAX_PROC_FILE_BYTES } from '../lib/limits.ts';

/** Reads and parses files of /proc without blocking. */

const CHUNK_BYTES = 65_536;

/** The beginning of a file, as much as is read at most; undefined if it cannot be read. */
export async function readProcFile(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const chunks: Buffer[] = [];
      for (let total = 0; total < MAX_PROC_FILE_BYTES; ) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null);
        if (bytesRead === 0) break;
        chunks.push(buffer.subarray(0, bytesRead));
        total += bytesRead;
      }
      return Buffer.concat(chunks).toString('utf8');
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** Groups joined, `interface group`. @param text of /proc/net/igmp: a line for each interface, then one for each of its groups */
export function readIgmp(text: string): Set<string> {
  const joined = new Set<string>();
  let dev = '';
  for (const line of text.split('\n')) {
    const [, name] = /^\d+\s+(\S+)/.exec(line) ?? [];
    if (name !== undefined) dev = name;
    const [, group] = /^\s+([0-9A-F]{8})\b/.exec(line) ?? [];
    if (group !== undefined) joined.add(`${dev} ${littleEndianIp(group)}`);
  }
  return joined;
}

/** Groups joined, `interface group`. @param text of /proc/net/igmp6: a line for each group of each interface */
export function readIgmp6(text: string): Set<string> {
  const rows = [...text.matchAll(/^\d+\s+(\S+)\s+([0-9a-f]{32})\b/gm)];
  return new Set(rows.map(([, dev, group = '']) => `${dev} ${formatIp(Buffer.from(group, 'hex'))}`));
}

/** Addresses that programs listen on at a port. @param text of /proc/net/tcp or /proc/net/tcp6: a line for each socket, state 0A for those that listen */
export function readListeners(text: string, port: number): IpAddress[] {
  const rows = text.matchAll(/^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:0000 0A /gm);
  return [...rows].flatMap(([, address = '', hex = '']) =>
    Number.parseInt(hex, 16) === port ? littleEndianIp(address) : [],
  );
}

/** Words of 32 bits, each in the host's order. */
function littleEndianIp(hex: string): IpAddress {
  return formatIp(Buffer.from(hex, 'hex').swap32());
}
