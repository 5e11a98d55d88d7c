import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Fdb, LEARNED, type SourceAddress } from '../../fdb/fdb.ts';
import { LOCAL_SOURCE } from '../../fdb/remotes.ts';
import {
  readSnapshotEntry,
  SNAPSHOT_ENTRY_BYTES,
  SNAPSHOT_HEADER_BYTES,
  type SnapshotEntry,
} from '../../fdb/snapshot.ts';
import { SourceFilter } from '../../forward/source-filter.ts';
import { type IpAddress, type MacWords, macWords, parseMac } from '../../lib/addresses.ts';
import type { IpPrefix } from '../../lib/ip-prefix.ts';
import { MAX_AGEING_SECONDS, SNAPSHOT_PAUSE_FACTOR, SNAPSHOT_PAUSE_MS } from '../../lib/limits.ts';
import type { Logger } from '../../observe/log.ts';
import { NO_UNDERLAY } from '../../segment/segment.ts';
import type { Vni } from '../vni/vni.ts';
import { formatSource } from '../vni/vtep-address.ts';
import { readSnapshotFile, writeSnapshotFile } from './fdb-snapshot-file.ts';

/** Entries that are restored in one slice: some milliseconds. */
const SLICE_ENTRIES = 5_000;

type RestoredVni = Pick<Vni, 'config' | 'index' | 'reach' | 'tap'>;

export interface SnapshottedVtep {
  readonly fdb: Fdb;
  /** Tenths of a second. */
  readonly now: () => number;
  readonly log: Logger;
  readonly vnis: readonly RestoredVni[];
  readonly isOwnAddress: (address: IpAddress) => boolean;
  readonly allowedVteps: readonly IpPrefix[];
  /** 0: entries never age. */
  readonly ageingSeconds: number;
}

/** Keeps the learned MACs in a file. Restores them at the start, and writes them periodically and at the end. */
export class FdbSnapshots {
  readonly #vtep: SnapshottedVtep;
  readonly #path: string;
  readonly #pauseMs: number;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isStopping = false;
  /** Whether the last write failed. A failure is logged once. */
  #isFailing = false;

  /**
   * @param directory no other program writes to it
   * @param pauseMs minimum time between two snapshots
   */
  constructor(vtep: SnapshottedVtep, directory: string, pauseMs = SNAPSHOT_PAUSE_MS) {
    this.#vtep = vtep;
    this.#pauseMs = pauseMs;
    this.#path = join(directory, 'fdb.snapshot');
  }

  /** Learns the entries of the file, each with its original age. A file that cannot be read is logged and then ignored. */
  async restore(): Promise<void> {
    const { log } = this.#vtep;
    let snapshot: DataView | undefined;
    try {
      snapshot = await readSnapshotFile(this.#path);
    } catch (error) {
      const reason = (error as Error).message;
      log.warn({ event: 'snapshot-refused', file: this.#path, reason }, 'starting without the MACs in it');
    }
    if (snapshot === undefined) return;
    const restored = await this.#learnAll(snapshot);
    const entries = (snapshot.byteLength - SNAPSHOT_HEADER_BYTES) / SNAPSHOT_ENTRY_BYTES;
    log.info({ event: 'fdb-restored', macs: restored, leftOut: entries - restored });
  }

  start(): void {
    this.#schedule(this.#pauseMs);
  }

  /** Writes the last snapshot, unless snapshots are off. The FDB does not change any more. */
  async stop(): Promise<void> {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#isStopping = true;
    await this.#writing;
    await this.#write(() => true);
  }

  #schedule(pauseMs: number): void {
    this.#timer = setTimeout(() => {
      const startMs = performance.now();
      this.#writing = this.#write(() => !this.#isStopping).then(() => {
        const tookMs = performance.now() - startMs;
        if (!this.#isStopping) this.#schedule(Math.max(this.#pauseMs, SNAPSHOT_PAUSE_FACTOR * tookMs));
      });
    }, pauseMs);
  }

  async #write(goOn: () => boolean): Promise<void> {
    const { fdb, now, vnis, log } = this.#vtep;
    const numbers = () => new Map(vnis.map(({ index, config }) => [index, config.vni]));
    try {
      await writeSnapshotFile(this.#path, { fdb, now, numbers }, goOn);
      this.#isFailing = false;
    } catch (error) {
      const reason = (error as Error).message;
      if (!this.#isFailing) log.warn({ event: 'snapshot-failed', file: this.#path, reason }, 'the last snapshot stays');
      this.#isFailing = true;
    }
  }

  /** Returns the number of learned entries. */
  async #learnAll(snapshot: DataView): Promise<number> {
    const segments = new Map(this.#vtep.vnis.map((vni) => [vni.config.vni, { vni, own: ownMac(vni) }]));
    const mayBeVtep = vtepJudge(this.#vtep);
    let learned = 0;
    for (let at = SNAPSHOT_HEADER_BYTES; at < snapshot.byteLength; await setImmediate()) {
      const end = Math.min(snapshot.byteLength, at + SLICE_ENTRIES * SNAPSHOT_ENTRY_BYTES);
      const wallSeconds = Date.now() / 1000;
      for (; at < end; at += SNAPSHOT_ENTRY_BYTES) {
        const entry = readSnapshotEntry(snapshot, at);
        const place = entry && segments.get(entry.vni);
        if (!entry || !place || !mayBeVtep(entry.vtep)) continue;
        // If the system clock was set back meanwhile, the entry counts as heard just now.
        if (this.#learn(place, entry, Math.max(0, wallSeconds - entry.heardSeconds))) learned++;
      }
    }
    return learned;
  }

  #learn(
    { vni, own }: { vni: RestoredVni; own: MacWords | undefined },
    { high, low, vtep }: SnapshotEntry,
    ageSeconds: number,
  ): boolean {
    const { fdb, now, ageingSeconds } = this.#vtep;
    const { config, index, reach } = vni;
    if (!config.learning || (ageingSeconds !== 0 && ageSeconds >= ageingSeconds)) return false;
    if (vtep !== LOCAL_SOURCE) {
      if ((isIpv4(vtep) ? reach.ipv4 : reach.ipv6) === NO_UNDERLAY) return false;
      if (own?.high === high && own.low === low) return false;
    }
    const heard = now() - Math.floor(Math.min(ageSeconds, MAX_AGEING_SECONDS) * 10);
    return fdb.learn(index, high, low, vtep, config.maxMacs, heard) === LEARNED.added;
  }
}

/** Tells whether VXLAN datagrams from a VTEP are accepted now. */
function vtepJudge({ isOwnAddress, allowedVteps }: SnapshottedVtep): (vtep: SourceAddress) => boolean {
  const filter = allowedVteps.length === 0 ? undefined : new SourceFilter(allowedVteps);
  return (vtep) => vtep === LOCAL_SOURCE || (!isOwnAddress(formatSource(vtep)) && (filter?.allows(vtep) ?? true));
}

function isIpv4({ a, b, c }: SourceAddress): boolean {
  return a === 0 && b === 0 && c === 0xffff;
}

/** The MAC of the TAP. */
function ownMac({ tap }: RestoredVni): MacWords | undefined {
  const mac = parseMac(tap.link.mac);
  return mac && macWords(mac);
}
