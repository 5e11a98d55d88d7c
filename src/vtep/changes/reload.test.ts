import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Config, VniConfig } from '../../config/config.ts';
import { readConfigFile } from '../../config/config-file.ts';
import { parseConfig } from '../../config/parse.ts';
import { formatVniEntry, parseVniEntry } from '../../config/vni-entry.ts';
import { VtepError } from '../../lib/errors.ts';
import { Reload } from './reload.ts';

const parse = (text: string): Config =>
  parseConfig({ vni: [], local: [], check: false, scalars: {} }, readConfigFile(text, '/f'));

const log = pino({ level: 'silent' });

/** VNIs that are made and deleted nowhere but in a list; a host that refuses bridges named `gone`, and remotes of 10.9.0.0/16. */
class ListedVtep {
  readonly vnis: { config: VniConfig }[];
  readonly done: string[] = [];
  config: Config = parse('');
  /** How often the TAPs were brought to what the file says. */
  asserted = 0;

  constructor(vnis: readonly VniConfig[]) {
    this.vnis = vnis.map((config) => ({ config }));
  }

  get changes() {
    return this;
  }

  get settings() {
    return this;
  }

  get upkeep() {
    return this;
  }

  /** Settings go into force one step at a time; a querier is refused. */
  async changeSettings(config: Config): Promise<void> {
    const changed = Object.entries(config).filter(([key, value]) => this.config[key as keyof Config] !== value);
    if (config.querier) throw new VtepError('ERR_VTEP_SYSTEM', { object: '--querier', cause: 'EPERM' });
    this.config = config;
    this.done.push(...changed.map(([key, value]) => `${key} ${value}`));
  }

  async addVni(config: VniConfig): Promise<never> {
    this.#refuse(config);
    this.vnis.push({ config });
    this.done.push(`add ${config.vni}`);
    return undefined as never;
  }

  async removeVni(vni: number): Promise<VniConfig> {
    const at = this.vnis.findIndex(({ config }) => config.vni === vni);
    const [removed] = at < 0 ? [] : this.vnis.splice(at, 1);
    if (!removed) throw new Error(`no VNI ${vni}`);
    this.done.push(`remove ${vni}`);
    return removed.config;
  }

  async changeVni(target: VniConfig): Promise<VniConfig> {
    const vni = this.vnis.find(({ config }) => config.vni === target.vni);
    if (!vni) throw new Error(`no VNI ${target.vni}`);
    this.#refuse(target);
    const before = vni.config;
    vni.config = target;
    this.done.push(`change ${target.vni}`);
    return before;
  }

  /** Whether groups are held, as they are to be while VNIs change. */
  isHeld = false;

  async holdGroups(): Promise<() => Promise<void>> {
    this.isHeld = true;
    return async () => {
      this.isHeld = false;
    };
  }

  assertAll(): void {
    this.asserted++;
  }

  show(): string[] {
    return this.vnis.map(({ config }) => formatVniEntry(config, { maxMacs: 65_536 })).sort();
  }

  #refuse({ bridge, remotes }: VniConfig): void {
    if (bridge !== 'gone' && !remotes.some((remote) => remote.startsWith('10.9.'))) return;
    throw new VtepError('ERR_VTEP_INTERFACE', { object: 'bridge gone', cause: 'there is none' });
  }
}

const changeHttp = async () => {};

let text: string;
let vtep: ListedVtep;
let reload: Reload;

function start(written: string): void {
  text = written;
  const config = parse(text);
  vtep = new ListedVtep(config.vnis);
  vtep.config = config;
  reload = new Reload(vtep, { config, reread: async () => parse(text), log, changeHttp });
}

async function reloadWith(written: string): Promise<string[]> {
  text = written;
  vtep.done.length = 0;
  await reload.run();
  return vtep.done;
}

const live = (entry: string) => parseVniEntry(entry, { object: 'vni add', maxMacs: 65_536 });

beforeEach(() => start('vnis: [{vni: 1}, {vni: 2, remote: [10.0.0.1]}]'));

it('an unchanged file changes nothing, however often', async () => {
  expect(await reloadWith(text)).toEqual([]);
  expect(await reloadWith(text)).toEqual([]);
});

it('applies the difference, and next time the difference to that', async () => {
  expect(await reloadWith('vnis: [{vni: 2, remote: [10.0.0.2]}, {vni: 3}]')).toEqual(['add 3', 'change 2', 'remove 1']);
  expect(vtep.show()).toEqual(['2,remote=10.0.0.2', '3']);
  expect(await reloadWith('vnis: [{vni: 2, remote: [10.0.0.2]}, {vni: 3, tap: t3}]')).toEqual(['remove 3', 'add 3']);
  expect(await reloadWith('vnis: []')).toEqual(['remove 2', 'remove 3']);
  expect(vtep.show()).toEqual([]);
});

it('a VNI that takes what another had comes after that has gone', async () => {
  start('vnis: [{vni: 1, tap: red}]');
  expect(await reloadWith('vnis: [{vni: 2, tap: red}]')).toEqual(['remove 1', 'add 2']);
});

it('the log level is set by a file that says another, and else stays as it was set live', async () => {
  await reloadWith('log-level: debug\nvnis: [{vni: 1}]');
  expect(log.level).toBe('debug');
  log.level = 'silent';
  await reloadWith('log-level: debug\nvnis: [{vni: 3}]');
  expect(log.level).toBe('silent');
});

describe('settings', () => {
  it('go into force, one after the other and before the VNIs, and only once', async () => {
    const file = 'ttl: 9\nmax-macs: 5\nvnis: [{vni: 1}, {vni: 2, remote: [10.0.0.1]}, {vni: 3}]';
    expect(await reloadWith(file)).toEqual(['ttl 9', 'maxMacs 5', 'add 3', 'change 1', 'change 2']);
    expect(await reloadWith(file)).toEqual([]);
    expect(vtep.config).toMatchObject({ ttl: 9, maxMacs: 5 });
  });

  it('go back if the host refuses something', async () => {
    await expect(reloadWith('ttl: 9\nquerier: on\nvnis: []')).rejects.toThrow('--querier: EPERM');
    expect(vtep.config).toMatchObject({ ttl: 64, querier: false });
    await expect(reloadWith('ttl: 9\nvnis: [{vni: 3, bridge: gone}]')).rejects.toThrow('bridge gone');
    expect(vtep.config.ttl).toBe(64);
  });

  it('reach VNIs that were added while running and do not say', async () => {
    await vtep.addVni(live('7'));
    await vtep.addVni(live('8,max-macs=9'));
    expect(await reloadWith('max-macs: 5\nvnis: [{vni: 1, max-macs: 65536}]')).toEqual([
      ...['maxMacs 5', 'change 7', 'remove 2'],
    ]);
    const maxMacs = Object.fromEntries(vtep.vnis.map(({ config }) => [config.vni, config.maxMacs]));
    expect(maxMacs).toEqual({ 1: 65_536, 7: 5, 8: 9 });
  });
});

describe('what cannot be taken', () => {
  const CLASH = 'reload: VNI 5: TAP vxlan9 is already used by VNI 9: give another tap=';

  beforeEach(async () => {
    await vtep.addVni(live('9'));
  });

  const FILE =
    'port: 5\nworkers: 2\nttl: 9\nquerier: on\nvnis: [{vni: 2, remote: [10.9.0.1]}, {vni: 3, bridge: gone}, {vni: 4}, {vni: 5, tap: vxlan9}]';

  it('is named whole, before the host is asked', async () => {
    const error = await reloadWith(FILE).catch((reason: VtepError) => reason);
    if (!(error instanceof VtepError)) expect.fail();
    expect([error.message, ...error.others]).toEqual([
      expect.stringMatching(/^reload: port: cannot change while vtepd runs: /),
      expect.stringMatching(/^reload: workers: cannot change while vtepd runs: /),
      CLASH,
    ]);
    expect([vtep.done, vtep.show()]).toEqual([[], ['1', '2,remote=10.0.0.1', '9']]);
  });

  it('is left out if that is asked for, and the rest applied; it is tried again', async () => {
    text = FILE;
    for (const added of [['1', 'add 4'], []]) {
      vtep.done.length = 0;
      expect(await reload.run({ partial: true })).toEqual([
        expect.stringMatching(/^reload: port: /),
        expect.stringMatching(/^reload: workers: /),
        CLASH,
        '--querier: EPERM',
        'bridge gone: there is none',
        'bridge gone: there is none',
      ]);
      expect(vtep.show()).toEqual(['2,remote=10.0.0.1', '4', '9']);
      expect(vtep.config).toMatchObject({ port: 4789, workers: 1, ttl: 9, querier: false });
      expect(vtep.done.includes('add 4')).toBe(added.length > 0);
    }
    text = 'ttl: 9\nvnis: [{vni: 2, remote: [10.0.0.1]}, {vni: 4}]';
    vtep.done.length = 0;
    expect([await reload.run({ partial: true }), vtep.done]).toEqual([[], []]);
  });

  it('is never a file with a fault in it', async () => {
    text = 'ttl: 300';
    await expect(reload.run({ partial: true })).rejects.toThrow('ttl: 300');
  });

  it('of a VNI that is made anew leaves the one that was', async () => {
    start('vnis: [{vni: 1}, {vni: 2, remote: [10.0.0.1]}]');
    text = 'vnis: [{vni: 1, tap: t1, bridge: gone}, {vni: 2, name: red, remote: [10.0.0.1]}]';
    expect(await reload.run({ partial: true })).toEqual(['bridge gone: there is none']);
    expect(vtep.show()).toEqual(['1', '2,name=red,remote=10.0.0.1']);
  });
});

describe('what was changed while running', () => {
  it('stays: VNIs and remotes that were added, VNIs that were deleted', async () => {
    await vtep.addVni(live('9=239.1.1.9'));
    await vtep.removeVni(1);
    (vtep.vnis[0] as { config: VniConfig }).config = live('2,remote=10.0.0.1,remote=10.0.0.7');
    expect(await reloadWith('vnis: [{vni: 1}, {vni: 2, remote: [10.0.0.2]}, {vni: 3}]')).toEqual(['add 3', 'change 2']);
    expect(vtep.show()).toEqual(['2,remote=10.0.0.7,remote=10.0.0.2', '3', '9=239.1.1.9']);
  });

  it('goes with a VNI that is made anew', async () => {
    start('vnis: [{vni: 2, remote: [10.0.0.1, 10.0.0.2], static: ["02:00:00:00:00:01@10.0.0.1"]}]');
    const [entry1, entry3] = ['static=02:00:00:00:00:01@10.0.0.1', 'static=02:00:00:00:00:03@10.0.0.7'];
    (vtep.vnis[0] as { config: VniConfig }).config = live(
      `2,remote=10.0.0.1,remote=10.0.0.2,remote=10.0.0.7,${entry1},${entry3}`,
    );
    expect(await reloadWith('vnis: [{vni: 2, tap: t2, remote: [10.0.0.2, 10.0.0.3]}]')).toEqual(['remove 2', 'add 2']);
    expect(vtep.show()).toEqual([`2,tap=t2,remote=10.0.0.2,remote=10.0.0.7,remote=10.0.0.3,${entry3}`]);
  });

  it('yields to what the file says of the same MAC address', async () => {
    (vtep.vnis[0] as { config: VniConfig }).config = live('1,static=02:00:00:00:00:01@10.0.0.7');
    await reloadWith('vnis: [{vni: 1, tap: t1, static: ["02:00:00:00:00:01@10.0.0.1"]}]');
    expect(vtep.show()).toEqual(['1,tap=t1,static=02:00:00:00:00:01@10.0.0.1']);
  });

  it('is no obstacle once the file says the same', async () => {
    await vtep.addVni(live('9=239.1.1.9'));
    expect(await reloadWith('vnis: [{vni: 1}, {vni: 2, remote: [10.0.0.1]}, {vni: 9, group: 239.1.1.9}]')).toEqual([]);
    // From then on it is the file's.
    expect(await reloadWith('vnis: [{vni: 1}, {vni: 2, remote: [10.0.0.1]}]')).toEqual(['remove 9']);
  });

  it('is one if the file says something else of it', async () => {
    await vtep.addVni(live('9=239.1.1.9'));
    const message = 'reload: VNI 9: vtepd already runs VNI 9: delete it first (`vtepctl vni del 9`)';
    await expect(reloadWith('vnis: [{vni: 9, group: 239.1.1.8}]')).rejects.toThrow(message);
    expect(vtep.done).toEqual([]);
  });

  it('comes back where the file says something new of it', async () => {
    await vtep.removeVni(2);
    expect(await reloadWith('vnis: [{vni: 1}, {vni: 2, remote: [10.0.0.2]}]')).toEqual(['add 2']);
  });
});

describe('a file with a fault is refused whole', () => {
  const before = ['1', '2,remote=10.0.0.1'];

  it.each([
    ['ttl: 300', '/f:1:6: ttl: 300 is not a whole number from 1 to 255'],
    ['port: 5\nvnis: [{vni: 3}]', 'reload: port: cannot change while vtepd runs'],
    ['vnis: [{vni: 3}, {vni: 3}]', 'VNI 3 is already given'],
  ])('as it is written: %j', async (written, message) => {
    await expect(reloadWith(written)).rejects.toThrow(message);
    expect(vtep.done).toEqual([]);
    expect(vtep.show()).toEqual(before);
    // And the one before is in force: the difference is to that.
    expect(await reloadWith('vnis: [{vni: 1}, {vni: 2, remote: [10.0.0.1]}]')).toEqual([]);
  });

  it.each([
    'vnis: [{vni: 3}, {vni: 4, bridge: gone}]',
    'vnis: [{vni: 1, bridge: gone}, {vni: 2, remote: [10.0.0.3]}, {vni: 3}]',
    'vnis: [{vni: 1, name: red}, {vni: 2, remote: [10.9.0.1]}, {vni: 3}]',
    'vnis: [{vni: 5, tap: vxlan1, bridge: gone}]',
  ])('by the host, at whichever step: %j', async (written) => {
    const message = 'bridge gone: there is none';
    await expect(reloadWith(written)).rejects.toThrow(message);
    expect(vtep.show()).toEqual(before);
    expect(await reloadWith('vnis: [{vni: 1}]')).toEqual(['remove 2']);
  });

  it('with what was added while running', async () => {
    (vtep.vnis[1] as { config: VniConfig }).config = live('2,remote=10.0.0.1,remote=10.0.0.7');
    await expect(reloadWith('vnis: [{vni: 2, tap: t2}, {vni: 3, tap: vxlan2, bridge: gone}]')).rejects.toThrow('gone');
    expect(vtep.show()).toEqual(['1', '2,remote=10.0.0.1,remote=10.0.0.7']);
  });
});

it('of a storm of signals, those that wait are one, and the last file is read', async () => {
  let reads = 0;
  const config = parse(text);
  reload = new Reload(vtep, {
    config,
    reread: async () => {
      reads++;
      return parse(text);
    },
    log,
    changeHttp,
  });
  reload.signalled();
  await Promise.resolve();
  for (let i = 0; i < 1000; i++) reload.signalled();
  text = 'vnis: [{vni: 7}]';
  await expect.poll(() => vtep.show()).toEqual(['7']);
  expect(reads).toBeLessThanOrEqual(2);
});
