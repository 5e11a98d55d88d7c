import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { EntryView, Fdb } from '../../fdb/fdb.ts';
import { LOCAL, LOCAL_SOURCE, type SourceAddress } from '../../fdb/remotes.ts';
import {
  hasSnapshotHeader,
  SNAPSHOT_ENTRY_BYTES,
  SNAPSHOT_HEADER_BYTES,
  writeSnapshotEntry,
  writeSnapshotHeader,
} from '../../fdb/snapshot.ts';
import { MAX_FDB_ENTRIES } from '../../lib/limits.ts';

/** Work of one slice: examining this many records and writing this many holds the event loop for some milliseconds. */
const SLICE_RECORDS = 5_000;

const DIGEST = 'sha256';
const DIGEST_BYTES = 32;
const MAX_BYTES = SNAPSHOT_HEADER_BYTES + SNAPSHOT_ENTRY_BYTES * MAX_FDB_ENTRIES + DIGEST_BYTES;

export interface SnapshotSource {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  /** The VNI of each segment at the time of the call. */
  readonly numbers: () => ReadonlyMap<number, number>;
}

/**
 * Writes the learned entries, one slice at a time. Other tasks run in between. The previous file stays until the new one is complete and on the disk.
 *
 * @param goOn called before each slice; false: stop, and keep the previous file
 * @throws Error of the file system; the previous file is then unchanged
 */
export async function writeSnapshotFile(path: string, source: SnapshotSource, goOn: () => boolean): Promise<void> {
  const pending = `${path}.new`;
  try {
    const file = await open(pending, 'w', 0o640);
    try {
      if (!(await writeEntries(file, source, goOn))) return;
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(pending, path);
    await syncDirectory(dirname(path));
  } finally {
    await rm(pending, { force: true }).catch(() => {});
  }
}

/** The header and the entries of a snapshot. undefined: there is no file. @throws Error why the file is not a snapshot, or cannot be read */
export async function readSnapshotFile(path: string): Promise<DataView | undefined> {
  const octets = await readRegularFile(path);
  if (octets === undefined) return undefined;
  const body = octets.subarray(0, -DIGEST_BYTES);
  const digest = octets.subarray(body.length);
  if (!createHash(DIGEST).update(body).digest().equals(digest)) throw new Error('it is damaged, or not a snapshot');
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const isWhole = (body.length - SNAPSHOT_HEADER_BYTES) % SNAPSHOT_ENTRY_BYTES === 0;
  if (!hasSnapshotHeader(view) || !isWhole) throw new Error('another release of vtepd wrote it');
  return view;
}

/** Returns whether everything was written. */
async function writeEntries(file: FileHandle, source: SnapshotSource, goOn: () => boolean): Promise<boolean> {
  const { fdb, now, numbers } = source;
  const digest = createHash(DIGEST);
  const slice = Buffer.alloc(SLICE_RECORDS * SNAPSHOT_ENTRY_BYTES);
  const view = new DataView(slice.buffer, slice.byteOffset, slice.length);
  const put = async (octets: Buffer) => {
    digest.update(octets);
    await file.writeFile(octets);
  };
  writeSnapshotHeader(view);
  await put(slice.subarray(0, SNAPSHOT_HEADER_BYTES));
  for (let from = 0; ; await setImmediate()) {
    if (!goOn()) return false;
    const [vnis, time, wallSeconds] = [numbers(), now(), Date.now() / 1000];
    let length = 0;
    const visit = ({ segment, high, low, remote, kind, heard }: EntryView) => {
      const vni = vnis.get(segment);
      if (kind !== 'learned' || vni === undefined) return;
      const heardSeconds = Math.max(0, Math.floor(wallSeconds - (time - heard) / 10));
      writeSnapshotEntry(view, length, { vni, high, low, vtep: wordsOf(fdb, remote), heardSeconds });
      length += SNAPSHOT_ENTRY_BYTES;
    };
    from = fdb.forEachSlice(from, SLICE_RECORDS, visit, time);
    await put(slice.subarray(0, length));
    if (from === 0) break;
  }
  await file.writeFile(digest.digest());
  return true;
}

function wordsOf({ remotes }: Fdb, remote: number): SourceAddress {
  if (remote === LOCAL) return LOCAL_SOURCE;
  const word = (index: number) => remotes.word(remote, index);
  return { a: word(0), b: word(1), c: word(2), d: word(3) };
}

/** A new file name is on the disk only after its directory is synchronized. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** undefined: there is no such file. If the name is a pipe, this does not wait for its other end. */
async function readRegularFile(path: string): Promise<Buffer | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > MAX_BYTES) throw new Error('it is not a file, or larger than a snapshot can be');
    return await file.readFile();
  } finally {
    await file.close();
  }
}
