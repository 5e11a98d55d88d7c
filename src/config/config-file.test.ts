import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { VtepError } from '../lib/errors.ts';
import { readConfigFile } from './config-file.ts';
import { ENTRY_KEYS, FLAGS } from './flags.ts';
import { parseConfig } from './parse.ts';
import { formatVniEntry } from './vni-entry.ts';

const NO_FLAGS = { vni: [], local: [], check: false, scalars: {} };
const parse = (text: string) => parseConfig(NO_FLAGS, readConfigFile(text, '/f'));

it('says what flags say', () => {
  const text = `
dev: eth0
local:
  - 10.0.0.1
  - fd00::1
port: 8472
tos: 0x10
allow-vtep: 10.0.0.0/8 # one value stands for a list of it
trunk: trunk0
vnis:
  - vni: 100
    group: 239.1.1.1
    name: tenant "one", no comma
    remote: [10.0.0.9, fd00::9]
    static: ["02:00:00:00:00:01@10.0.0.9"]
    learning: false
    suppress: on
    mac: 02:00:00:00:00:aa
    mtu: 1400
  - {vni: 200, vlan: 7}
  - vni: 0
    inner-vlan: pass
`.replace(', no comma', '');
  const flags = parseConfig({
    vni: [
      '100=239.1.1.1,name=tenant "one",remote=10.0.0.9,remote=fd00::9,static=02:00:00:00:00:01@10.0.0.9,learning=off,suppress=on,mac=02:00:00:00:00:aa,mtu=1400',
      '200,vlan=7',
      '0,inner-vlan=pass',
    ],
    local: ['10.0.0.1', 'fd00::1'],
    allowVtep: ['10.0.0.0/8'],
    scalars: { dev: 'eth0', port: '8472', tos: '0x10', trunk: 'trunk0' },
    check: false,
  });
  expect(parse(text)).toEqual(flags);
});

it('may have no segment, and nothing at all', () => {
  const standard = parseConfig({ ...NO_FLAGS, vni: ['1'] });
  for (const text of ['', '# a comment\n', 'vnis:\n', 'vnis: []\n']) {
    expect(parse(text)).toEqual({ ...standard, vnis: [] });
  }
});

it('has a key for each flag that is not about the command line itself, and for each key of --vni', () => {
  const aboutItself = ['vni', 'config', 'check', 'withdraw', 'version', 'help'];
  for (const { name } of FLAGS.filter(({ name }) => !aboutItself.includes(name))) {
    // A value that none of them takes: the key itself is known.
    expect(() => parse(`${name}: "?/"`)).toThrow(`/f:1:${name.length + 3}: ${name}: `);
  }
  for (const { name } of ENTRY_KEYS.filter(({ name }) => name !== 'name')) {
    expect(() => parse(`evpn: 127.0.0.1:1\nvnis: [{vni: 1, ${name}: "?/"}]`)).toThrow(`: vnis[0].${name}: `);
  }
});

describe('refusals name the place', () => {
  it.each<[text: string, message: string]>([
    ['ttl: 300', '/f:1:6: ttl: 300 is not a whole number from 1 to 255'],
    ['\n\nttl: [1]', '/f:3:6: ttl: a single value is needed: write it after the colon'],
    ['ttl:', '/f:1:5: ttl: it has no value: give one, or leave out the key'],
    ['ttl: ~', '/f:1:6: ttl: it has no value: give one, or leave out the key'],
    ['ttl: 0x10', '/f:1:6: ttl: 0x10 is not a whole number from 1 to 255'],
    ['tll: 3', '/f:1:1: tll: unknown key: did you mean ttl?'],
    ['check: true', '/f:1:1: check: unknown key: the keys are '],
    ['config: /g', '/f:1:1: config: unknown key: the keys are '],
    ['vni: 100', '/f:1:1: vni: unknown key: did you mean vnis?'],
    ['- dev: eth0', '/f:1:1: not keys with values: write it like `dev: eth0`'],
    ['eth0', '/f:1:1: not keys with values: write it like `dev: eth0`'],
    ['a: &x 1\nb: 2', '/f:1:1: a: unknown key: the keys are '],
    ['ttl: &x 1\nmcast-ttl: *x', '/f:2:12: mcast-ttl: aliases are not allowed: write the value out'],
    ['ttl: 1\nttl: 2', '/f:2:1: not valid YAML: the key ttl is given twice: remove one'],
    ['ttl: 1\n port: 2', '/f:1:6: not valid YAML: '],
    ['\tttl: 1', '/f:1:1: not valid YAML: Tabs are not allowed as indentation'],
    ['ttl: !!foo 1', '/f:1:6: not valid YAML: Unresolved tag'],
    ['--- {}\n--- {}', '/f:2:1: not valid YAML: a second document begins: leave out the `---`'],
    ['? [a]\n: 1', '/f:1:3: not valid YAML: '],
    ['vnis: 100', '/f:1:7: vnis: not a list: begin each element with `- `, or write []'],
    ['vnis: {vni: 1}', '/f:1:7: vnis: not a list: '],
    ['vnis: [100]', '/f:1:8: vnis[0]: not a segment: write `- vni: 100`, with its keys below vni'],
    ['vnis:\n  - group: 239.1.1.1', '/f:2:5: vnis[0]: it has no vni: give it one, like `vni: 100`'],
    ['vnis:\n  - vni: 16777216', '/f:2:10: vnis[0].vni: 16777216 is not a whole number from 0 to 16777215'],
    ['vnis: [{vni: 1, grup: 239.1.1.1}]', '/f:1:17: vnis[0].grup: unknown key: did you mean group?'],
    ['vnis: [{vni: 1, group: 10.1.1.1}]', '/f:1:24: vnis[0].group: 10.1.1.1 is not a multicast address'],
    ['vnis: [{vni: 1, remote: [10.0.0.1, x]}]', '/f:1:36: vnis[0].remote[1]: x is not an IP address'],
    ['vnis: [{vni: 1, mtu: [1400]}]', '/f:1:22: vnis[0].mtu: a single value is needed'],
    ['vnis: [{vni: 1, learning: maybe}]', '/f:1:27: vnis[0].learning: maybe is not one of on, off'],
    ['vnis: [{vni: 1}, {vni: 1}]', '/f:1:18: vnis[1]: VNI 1 is already given by /f:1:8: vnis[0]: give each VNI once'],
    ['vnis: [{vni: 1, vlan: 2}]', '/f:1:8: vnis[0]: vlan=2 needs a trunk'],
    ['port: true', '/f:1:7: port: true is not a whole number from 1 to 65535'],
    ['local: fe80::1', '/f:1:8: local: fe80::1 is a link-local address'],
    ['local: [10.0.0.1, 10.0.0.2]', '/f:1:19: local[1]: --local 10.0.0.1 is IPv4 too'],
    ['allow-vtep: [10.0.0.1/8]', '/f:1:14: allow-vtep[0]: 10.0.0.1/8 has bits set beyond its prefix'],
  ])('%j', (text, message) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', exitCode: 64 }));
    expect(() => parse(text)).toThrow(message);
  });
});

describe('properties', () => {
  it('what stringify writes is read as the flags that say the same', () => {
    const entry = fc.record({
      vni: fc.integer({ min: 0, max: 16_777_215 }),
      group: fc.constantFrom('239.1.1.1', 'ff05::1'),
      learning: fc.boolean(),
      storm: fc.integer({ min: 1, max: 1000 }),
      name: fc.stringMatching(/^[ -+.-~]{1,20}$/).filter((name) => name.trim() === name && name !== ''),
      remote: fc.uniqueArray(
        fc.ipV4().filter((ip) => /^1[0-9]\./.test(ip)),
        { maxLength: 3 },
      ),
    });
    const entries = fc.uniqueArray(entry, { selector: ({ vni }) => vni, maxLength: 5 });
    fc.assert(
      fc.property(entries, (vnis) => {
        const words = vnis.map(({ vni, group, learning, storm, name, remote }) =>
          [
            `${vni}=${group}`,
            `learning=${learning ? 'on' : 'off'}`,
            `storm=${storm}`,
            `name=${name}`,
            ...remote.map((ip) => `remote=${ip}`),
          ].join(','),
        );
        const inFile = parse(stringify({ vnis })).vnis.map((vni) => formatVniEntry(vni, { maxMacs: 65_536 }));
        const byFlags = words.length === 0 ? [] : parseConfig({ ...NO_FLAGS, vni: words }).vnis;
        expect(inFile).toEqual(byFlags.map((vni) => formatVniEntry(vni, { maxMacs: 65_536 })));
      }),
    );
  });

  it('random text is a configuration or a refusal of one line', () => {
    const pieces = fc.constantFrom(
      'vnis',
      'ttl',
      ': ',
      ':',
      '\n',
      '  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '1',
      '"',
      '&a ',
      '*a',
      '#',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(pieces, { maxLength: 20 }).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(text, (written) => {
        try {
          expect(Object.isFrozen(parse(written))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(VtepError);
          expect((error as VtepError).message).toMatch(/^\/f:\d+:\d+: [^\r\n]+$/);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
