import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVniEntry } from '../../config/vni-entry.ts';
import { HIGH, NOW, newFdb, vtep } from '../../fdb/fdb-rig.ts';
import { LOCAL_SOURCE, type SourceAddress } from '../../fdb/remotes.ts';
import { type IpAddress, ipWords } from '../../lib/addresses.ts';
import { parseWrittenPrefix } from '../../lib/ip-prefix.ts';
import { NO_UNDERLAY } from '../../segment/segment.ts';
import { readSnapshotFile, writeSnapshotFile } from './fdb-snapshot-file.ts';
import { FdbSnapshots, type SnapshottedVtep } from './fdb-snapshots.ts';

const AGEING_SECONDS = 10;
const IPV6 = ipWords('fd00:18::2' as IpAddress);
const TAP_MAC = 'fe:00:00:00:00:01';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vtepd-snapshot-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const path = () => join(folder, 'fdb.snapshot');

/** A daemon as far as snapshots know it: VNI 100 is segment 3, VNI 200 segment 4. */
function newVtep({ vnis = ['100', '200'], ageingSeconds = AGEING_SECONDS, allow = [] as string[] } = {}) {
  const { fdb, learn, entries } = newFdb(ageingSeconds);
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const reach = { ipv4: 0, ipv6: NO_UNDERLAY };
  const placed = vnis.map((entry) => {
    const config = parseVniEntry(entry, { object: entry, maxMacs: 1_000, trunk: undefined });
    return { config, index: config.vni === 100 ? 3 : 4, reach, tap: { link: { mac: TAP_MAC } } };
  });
  const parts = {
    ...{ fdb, log, vnis: placed as unknown as SnapshottedVtep['vnis'], ageingSeconds },
    now: () => NOW,
    isOwnAddress: (address: IpAddress) => address === '198.18.0.1',
    allowedVteps: allow.flatMap((text) => parseWrittenPrefix(text) ?? []),
  };
  const numbers = () => new Map(placed.map(({ index, config }) => [index, config.vni]));
  const save = () => writeSnapshotFile(path(), { fdb, now: parts.now, numbers }, () => true);
  const restore = () => new FdbSnapshots(parts, folder).restore();
  return { fdb, learn, entries, lines, parts, save, restore, snapshots: () => new FdbSnapshots(parts, folder) };
}

/** Low word of the MAC, segment and age in seconds, of what was restored. */
const shown = ({ entries }: ReturnType<typeof newVtep>) =>
  entries().map(({ segment, low, heard }) => `${segment} ${low} ${Math.round((NOW - heard) / 10)}`);

describe('what is kept', () => {
  it('is every learned MAC with its VTEP and age, local ones too, static ones and those of a control plane not', async () => {
    const before = newVtep();
    before.learn(1, vtep(2), { now: NOW - 40 });
    before.learn(2, LOCAL_SOURCE);
    before.learn(1, vtep(3), { segment: 4 });
    before.fdb.addStatic(3, HIGH, 9, vtep(2), NOW);
    before.fdb.placeAll(3, [{ high: HIGH, low: 10, at: vtep(2), isSticky: false }], NOW);
    await before.save();
    expect(readdirSync(folder)).toEqual(['fdb.snapshot']);
    const after = newVtep();
    await after.restore();
    expect(shown(after).map((row) => row.replace(/ \d+$/, ''))).toEqual(['3 1', '3 2', '4 1']);
    const ages = after.entries().map(({ heard }) => NOW - heard);
    expect(ages[0]).toBeGreaterThanOrEqual(40);
    expect(after.fdb.remotes.isAt(after.fdb.lookup(3, HIGH, 1, NOW), vtep(2))).toBe(true);
    expect(after.fdb.remotes.isAt(after.fdb.lookup(3, HIGH, 2, NOW), LOCAL_SOURCE)).toBe(true);
    expect(after.lines).toMatchObject([{ event: 'fdb-restored', macs: 3, leftOut: 0 }]);
  });

  it('ages on while nothing runs', async () => {
    const before = newVtep();
    before.learn(1, vtep(2), { now: NOW - (AGEING_SECONDS - 1) * 10 });
    before.learn(2, vtep(2));
    await before.save();
    await setTimeout(1_100);
    const after = newVtep();
    await after.restore();
    expect(after.entries().map(({ low }) => low)).toEqual([2]);
    expect(after.lines).toMatchObject([{ macs: 1, leftOut: 1 }]);
  });

  it('stays for ever where nothing ages', async () => {
    const before = newVtep({ ageingSeconds: 0 });
    before.learn(1, vtep(2), { now: NOW - 100_000 });
    await before.save();
    const after = newVtep({ ageingSeconds: 0 });
    await after.restore();
    expect(after.entries().map(({ heard }) => NOW - heard >= 100_000)).toEqual([true]);
  });

  it('is all of a table of several slices', async () => {
    const before = newVtep({ vnis: ['100,max-macs=100000'] });
    for (let low = 0; low < 12_345; low++) before.learn(low, vtep(2 + (low % 7)));
    await before.save();
    const after = newVtep({ vnis: ['100,max-macs=100000'] });
    await after.restore();
    expect(after.fdb.count).toBe(12_345);
  });
});

describe('what is left out', () => {
  it.each<[what: string, source: SourceAddress, vtep: Parameters<typeof newVtep>[0]]>([
    ['a VNI that is no more', vtep(2), { vnis: ['200'] }],
    ['a VNI that no longer learns', vtep(2), { vnis: ['100,learning=off'] }],
    ['the own address', vtep(1), {}],
    ['a VTEP that is not allowed', vtep(2), { allow: ['198.18.1.0/24'] }],
    ['a VTEP of a family that has no underlay', IPV6, {}],
  ])('%s', async (_, source, options) => {
    const before = newVtep();
    before.learn(1, source);
    before.learn(1, LOCAL_SOURCE, { segment: 4 });
    await before.save();
    const after = newVtep(options);
    await after.restore();
    expect(after.entries().filter(({ segment }) => segment === 3)).toEqual([]);
  });

  it("the TAP's own MAC behind a VTEP", async () => {
    const before = newVtep();
    before.fdb.learn(3, 0xfe00_0000, 1, vtep(2), 10, NOW);
    before.learn(1, vtep(2));
    await before.save();
    const after = newVtep();
    await after.restore();
    expect(after.entries().map(({ high }) => high)).toEqual([HIGH]);
  });

  it('what max-macs has no room for', async () => {
    const before = newVtep();
    for (let low = 1; low <= 9; low++) before.learn(low, vtep(2));
    await before.save();
    const after = newVtep({ vnis: ['100,max-macs=4'] });
    await after.restore();
    expect(after.fdb.count).toBe(4);
  });

  it('what a control plane says otherwise', async () => {
    const before = newVtep();
    before.learn(1, vtep(2));
    await before.save();
    const after = newVtep();
    const placement = { high: HIGH, low: 1, at: vtep(3), isSticky: false };
    after.fdb.placeAll(3, [placement], NOW);
    await after.restore();
    expect(after.entries()).toMatchObject([{ kind: 'control' }]);
    expect(after.fdb.remotes.isAt(after.fdb.lookup(3, HIGH, 1, NOW), vtep(3))).toBe(true);
  });

  it('what a static entry says otherwise', async () => {
    const before = newVtep();
    before.learn(1, vtep(2));
    await before.save();
    const after = newVtep();
    after.fdb.addStatic(3, HIGH, 1, vtep(3), NOW);
    await after.restore();
    expect(after.entries()).toMatchObject([{ kind: 'static' }]);
  });
});

describe('a file that is no snapshot', () => {
  async function isRefused(): Promise<void> {
    const after = newVtep();
    await after.restore();
    expect(after.entries()).toEqual([]);
    expect(after.lines).toMatchObject([{ level: 40, event: 'snapshot-refused', file: path() }]);
  }

  async function snapshot(): Promise<Buffer> {
    const before = newVtep();
    before.learn(1, vtep(2));
    before.learn(2, vtep(3));
    await before.save();
    return readFileSync(path());
  }

  it('is refused when it was cut, at every length', async () => {
    const whole = await snapshot();
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path(), whole.subarray(0, length));
      await expect(readSnapshotFile(path())).rejects.toThrow('damaged, or not a snapshot');
    }
    await isRefused();
  });

  it('is refused when any octet differs', async () => {
    const whole = await snapshot();
    for (let at = 0; at < whole.length; at++) {
      const other = Buffer.from(whole);
      other[at] = (other[at] as number) ^ 1;
      writeFileSync(path(), other);
      await expect(readSnapshotFile(path())).rejects.toThrow('damaged, or not a snapshot');
    }
    await isRefused();
  });

  it.each(['a directory', 'a pipe', 'a text', 'a link to itself'])('is refused when it is %s', async (kind) => {
    if (kind === 'a directory') mkdirSync(path());
    if (kind === 'a pipe') execFileSync('mkfifo', [path()]);
    if (kind === 'a text') writeFileSync(path(), 'net.ipv4.ip_forward = 1\n'.repeat(1_000));
    if (kind === 'a link to itself') symlinkSync(path(), path());
    await isRefused();
  });

  it('is nothing to speak of when there is none', async () => {
    const after = newVtep();
    await after.restore();
    expect(after.lines).toEqual([]);
  });
});

describe('writing', () => {
  it('that gives up leaves what was there', async () => {
    const before = newVtep();
    before.learn(1, vtep(2));
    await before.save();
    const old = readFileSync(path());
    const source = { fdb: newVtep().fdb, now: () => NOW, numbers: () => new Map() };
    await writeSnapshotFile(path(), source, () => false);
    expect(readFileSync(path())).toEqual(old);
    expect(readdirSync(folder)).toEqual(['fdb.snapshot']);
  });

  it('happens at the end; a failure is told, and leaves what was there', async () => {
    const vtep = newVtep();
    vtep.learn(1, LOCAL_SOURCE);
    const snapshots = vtep.snapshots();
    snapshots.start();
    await snapshots.stop();
    expect((await readSnapshotFile(path()))?.byteLength).toBe(16 + 32);
    mkdirSync(`${path()}.new`);
    const failing = vtep.snapshots();
    failing.start();
    await failing.stop();
    expect(vtep.lines).toMatchObject([
      { level: 40, event: 'snapshot-failed', reason: expect.stringContaining('EISDIR') },
    ]);
    expect((await readSnapshotFile(path()))?.byteLength).toBe(16 + 32);
  });

  it('happens now and then, and tells once of a disk that goes on failing', async () => {
    const vtep = newVtep();
    const snapshots = new FdbSnapshots(vtep.parts, folder, 1);
    snapshots.start();
    const written = async (macs: number) => {
      while ((await readSnapshotFile(path()))?.byteLength !== 16 + 32 * macs) await setTimeout(5);
    };
    await written(0);
    vtep.learn(1, LOCAL_SOURCE);
    await written(1);
    rmSync(folder, { recursive: true });
    while (vtep.lines.length === 0) await setTimeout(5);
    await snapshots.stop();
    expect(vtep.lines).toMatchObject([{ event: 'snapshot-failed', reason: expect.stringContaining('ENOENT') }]);
  });

  it('does not happen at the end of a start that failed', async () => {
    await newVtep().snapshots().stop();
    expect(readdirSync(folder)).toEqual([]);
  });
});
