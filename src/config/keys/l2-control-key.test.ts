import { describe, expect, it } from 'vitest';
import { readConfigFile } from '../config-file.ts';
import { toFileValue } from '../config-text.ts';
import { parseConfig } from '../parse.ts';
import { formatVniEntry, parseVniEntry } from '../vni-entry.ts';

const parse = (text: string) => parseVniEntry(text, { object: `--vni ${text}`, maxMacs: 65_536 });
const inFile = (yaml: string) => {
  const raw = { vni: [], local: [], check: false, scalars: {} };
  return parseConfig(raw, readConfigFile(`dev: eth0\nvnis:\n  - vni: 1\n${yaml}`, 'f'));
};

describe('l2-control=', () => {
  it.each<[text: string, asked: unknown, canonical: string]>([
    ['1', 'drop', '1'],
    ['1,l2-control=drop', 'drop', '1'],
    ['1,l2-control=pass', 'pass', '1,l2-control=pass'],
    ['1,l2-control=pass,l2-control=pass', 'pass', '1,l2-control=pass'],
    ['1,l2-control=stp', ['stp'], '1,l2-control=stp'],
    ['1,l2-control=lldp+stp+lldp', ['stp', 'lldp'], '1,l2-control=stp+lldp'],
    ['1,l2-control=lldp,l2-control=stp+lacp', ['stp', 'lacp', 'lldp'], '1,l2-control=stp+lacp+lldp'],
    ['1,l2-control=stp+lacp+eapol+lldp', ['stp', 'lacp', 'eapol', 'lldp'], '1,l2-control=stp+lacp+eapol+lldp'],
  ])('%s', (text, asked, canonical) => {
    const config = parse(text);
    expect(config.l2Control).toEqual(asked);
    expect(formatVniEntry(config, { maxMacs: 65_536 })).toBe(canonical);
    expect(parse(canonical)).toEqual(config);
  });

  it.each<[yaml: string, asked: unknown, written: unknown]>([
    ['    l2-control: pass\n', 'pass', 'pass'],
    ['    l2-control: stp+lldp\n', ['stp', 'lldp'], ['stp', 'lldp']],
    ['    l2-control: [lldp, stp]\n', ['stp', 'lldp'], ['stp', 'lldp']],
    ['    l2-control: []\n', 'drop', undefined],
  ])('in a file: %s', (yaml, asked, written) => {
    const config = inFile(yaml);
    expect(config.vnis[0]?.l2Control).toEqual(asked);
    const [vni] = toFileValue(config).vnis as Record<string, unknown>[];
    expect(vni?.['l2-control']).toEqual(written);
  });

  it.each([
    ['1,l2-control=sdp', 'l2-control=sdp is not one of drop, pass, stp, lacp, eapol, lldp: did you mean stp?'],
    ['1,l2-control=stp+', 'nothing in l2-control=stp+ is not one of drop, pass, stp, lacp, eapol, lldp'],
    ['1,l2-control=pass+stp', 'l2-control: pass cannot be combined with other words: give it alone, or only names'],
    [
      '1,l2-control=stp,l2-control=drop',
      'l2-control: drop cannot be combined with other words: give it alone, or only names',
    ],
    ['1,l2-control=', 'l2-control= has no value: give one, or leave out l2-control='],
  ])('%s is refused', (text, cause) => {
    expect(() => parse(text)).toThrow(`--vni ${text}: ${cause}`);
  });
});
