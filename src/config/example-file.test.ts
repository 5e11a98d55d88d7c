import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FILE_KEYS, readConfigFile, VNI_KEYS } from './config-file.ts';
import { FLAGS } from './flags.ts';
import { parseConfig } from './parse.ts';

/** `examples/vtepd.yaml` documents every key, and says nothing that is not so. */
const text = readFileSync(new URL('../../examples/vtepd.yaml', import.meta.url), 'utf8');
const parse = (written: string) =>
  parseConfig({ vni: [], local: [], check: false, scalars: {} }, readConfigFile(written, 'examples/vtepd.yaml'));

it('says the defaults, but for the interface and the VNI', () => {
  const plain = parseConfig({
    ...{ vni: ['100=239.1.1.1,name=tenant-one'], local: [], check: false },
    scalars: { dev: 'eth0' },
  });
  expect(parse(text)).toEqual(plain);
});

it('says what could be written where there is no default', () => {
  const all = text.replace(/^( *)# ( *(?:- )?[a-z-]+: )/gm, '$1$2');
  const config = parse(all);
  expect(config).toMatchObject({
    local: ['198.18.0.1', 'fd00:18::1'],
    trunk: 'trunk0',
    http: { port: 9477 },
    evpn: { kind: 'tcp', host: '127.0.0.1', port: 50_051 },
    logFormat: 'json',
  });
  expect(config.vnis).toMatchObject([
    {
      vni: 100,
      bridge: 'br-vms',
      mtuBytes: 1450,
      maxMacs: 1000,
      control: 'both',
      rd: { value: 100 },
      targets: [{ admin: 65_000 }],
    },
    { vni: 200, vlan: 20 },
  ]);
});

describe('has', () => {
  it.each(FILE_KEYS)('the key %s', (key) => {
    expect(text).toMatch(new RegExp(`^(# )?${key}:`, 'm'));
  });

  it.each(VNI_KEYS)('the key %s of a VNI', (key) => {
    expect(text).toMatch(new RegExp(`^ +(# )?(- | )*${key}:`, 'm'));
  });

  it('each default as the flags have it', () => {
    for (const flag of FLAGS) if ('standard' in flag) expect(text).toContain(`\n${flag.name}: ${flag.standard}\n`);
  });
});
