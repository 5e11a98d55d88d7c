import { describe, expect, it } from 'vitest';
import { MAX_ALLOWED_PREFIXES } from '../../lib/limits.ts';
import { parseAllowedVteps } from './allow-vtep.ts';
import { flagValue } from './written-value.ts';

const parse = (texts: readonly string[]) => parseAllowedVteps(texts.map((text) => flagValue('allow-vtep', text)));

it('reads prefixes of both families, and single addresses, each once', () => {
  expect(parse(['198.18.0.0/24', 'FD00:18::/64', '192.0.2.1', '192.0.2.1/32', '::1'])).toEqual([
    { address: '198.18.0.0', bits: 24 },
    { address: 'fd00:18::', bits: 64 },
    { address: '192.0.2.1', bits: 32 },
    { address: '::1', bits: 128 },
  ]);
});

it('is empty where the flag is not given', () => {
  expect(parse([])).toEqual([]);
});

describe('refusals', () => {
  const notCidr = (text: string): [string, string] => [
    text,
    `--allow-vtep ${text}: ${text} is not a CIDR: write it like 192.0.2.0/24 or fd00:1::/64`,
  ];

  it.each<[text: string, message: string]>([
    ...[
      'any',
      '198.18.0.0/33',
      '198.18.0.0/08',
      '198.18.0.0/',
      'fd00::/129',
      '::ffff:10.0.0.0/104',
      'fe80::1%eth0/64',
    ].map(notCidr),
    ['', '--allow-vtep: its value is empty: give one, or leave out --allow-vtep'],
    [
      '198.18.0.1/24',
      '--allow-vtep 198.18.0.1/24: 198.18.0.1/24 has bits set beyond its prefix: write 198.18.0.0/24, or 198.18.0.1 for that VTEP alone',
    ],
    [
      'fd00::1/64',
      '--allow-vtep fd00::1/64: fd00::1/64 has bits set beyond its prefix: write fd00::/64, or fd00::1 for that VTEP alone',
    ],
    [
      '239.0.0.0/8',
      '--allow-vtep 239.0.0.0/8: 239.0.0.0/8 is a multicast address, which cannot be a source: give the unicast addresses of VTEPs',
    ],
    [
      'ff00::/8',
      '--allow-vtep ff00::/8: ff00::/8 is a multicast address, which cannot be a source: give the unicast addresses of VTEPs',
    ],
  ])('%j', (text, message) => {
    expect(() => parse([text])).toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', message }));
  });

  it('bounds the list', () => {
    const texts = Array.from({ length: MAX_ALLOWED_PREFIXES + 1 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
    expect(parse(texts.slice(1))).toHaveLength(MAX_ALLOWED_PREFIXES);
    expect(() => parse(texts)).toThrow(
      '--allow-vtep 10.0.16.0: at most 4096 prefixes are allowed: give fewer, wider ones',
    );
  });
});
