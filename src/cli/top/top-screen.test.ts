/** Screens of `top`, character by character. */
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { sampleState } from '../../api/memory-daemon.ts';
import { COLOURED, PLAIN } from '../terminal/table.ts';
import { RateHistories, type Rates, type Top, unanswered, type VniRates, type VtepRates } from './top-rates.ts';
import { type ScreenOptions, SORTS, topScreen } from './top-screen.ts';
import { clip, durationText, isUtf8, rateText, sparkline, withUnit } from './top-text.ts';

const TIME = '2026-01-02T03:04:05.600Z';

function rates(rx: number, tx: number, drops = 0): Rates {
  return {
    ...{ rxPacketsPerSecond: rx, rxBitsPerSecond: rx * 10_000, txPacketsPerSecond: tx, txBitsPerSecond: tx * 10_000 },
    dropsPerSecond: drops,
  };
}

const vni = (number: number, name: string | null, of: Rates): VniRates => ({ vni: number, name, macs: 2, ...of });
const vtep = (address: string, of: Rates, lastHeard: number | null = 1): VtepRates => ({
  ...{ vtep: address as VtepRates['vtep'], macs: 1, lastHeard, ...of },
});

const busy: Top = {
  ...{ time: TIME, seconds: 1, error: null, status: sampleState().status },
  workers: [
    { worker: 0, busy: 0.123 },
    { worker: 1, busy: 0 },
  ],
  vnis: [vni(100, 'red', rates(12, 3)), vni(200, null, rates(940_000, 81_234, 7))],
  vteps: [vtep('198.18.0.2', rates(940_012, 81_237, 0.4)), vtep('fd00:18::3', rates(0, 0), null)],
  drops: [
    { direction: 'rx', reason: 'unknown-vni', dropsPerSecond: 0, drops: 7 },
    { direction: 'tx', reason: 'no-remote', dropsPerSecond: 7, drops: 12_345_678 },
  ],
};

const histories = new RateHistories();
for (const share of [0, 0.1, 0.5, 0.9, 1]) {
  histories.add({ ...busy, vnis: [vni(100, 'red', rates(12 * share, 0)), vni(200, null, rates(0, 0))] });
}

const live: ScreenOptions = { width: 80, height: 24, style: PLAIN, utf8: true, sort: 'bit/s', histories };
const show = (top: Top, options: Partial<ScreenOptions> = {}) => topScreen(top, { ...live, ...options });

describe('a screen', () => {
  it('of 80 columns', () => {
    expect(show(busy)).toEqual([
      'vtepd 0.1.0  up 1h02m  2 VNIs  3 MACs  2 VTEPs  2026-01-02T03:04:05Z',
      'rx 940 kpps 9.40 Gbit/s  tx 81.2 kpps 812 Mbit/s  drops 7/s  busy 12% 0%',
      '',
      'VNI  NAME  RX-PPS  RX-BIT/S  TX-PPS  TX-BIT/S  DROPS/S                     RX+TX',
      '200  -       940k     9.40G   81.2k      812M        7                     ▁▁▁▁▁',
      '100  red       12      120k       3     30.0k        0                     ▁▂▅██',
      '',
      'VTEP        RX-PPS  RX-BIT/S  TX-PPS  TX-BIT/S  DROPS/S   HEARD            RX+TX',
      '198.18.0.2    940k     9.40G   81.2k      812M      0.4      1s            █████',
      'fd00:18::3       0         0       0         0        0       -            ▁▁▁▁▁',
      '',
      'DROPS           DROPS/S    IN ALL',
      'tx no-remote          7  12345678',
      'rx unknown-vni        0         7',
      '',
      'q quits  s sorts, now by bit/s',
    ]);
  });

  it('of 40 columns, in ASCII', () => {
    expect(show(busy, { width: 40, utf8: false })).toEqual([
      'vtepd 0.1.0  up 1h02m  2 VNIs  3 MACs',
      '2 VTEPs  2026-01-02T03:04:05Z',
      'rx 940 kpps 9.40 Gbit/s',
      'tx 81.2 kpps 812 Mbit/s  drops 7/s',
      'busy 12% 0%',
      '',
      'VNI  RX-PPS  RX-BIT/S  TX-BIT/S  DROPS/S',
      '200    940k     9.40G      812M        7',
      '100      12      120k     30.0k        0',
      '',
      'VTEP        RX-BIT/S  TX-BIT/S  DROPS/S',
      '198.18.0.2     9.40G      812M      0.4',
      'fd00:18::3         0         0        0',
      '',
      'DROPS           DROPS/S    IN ALL',
      'tx no-remote          7  12345678',
      'rx unknown-vni        0         7',
      '',
      'q quits  s sorts, now by bit/s',
    ]);
  });

  it('without a terminal: nothing of keys, no sparkline, no limit', () => {
    const { histories: _, ...options } = live;
    const named = {
      ...busy,
      vnis: [vni(16_777_215, 'a name of more than 16 letters', rates(1, 0))],
      vteps: [],
      drops: [],
    };
    expect(topScreen(named, { ...options, width: Infinity, height: Infinity })).toEqual([
      'vtepd 0.1.0  up 1h02m  2 VNIs  3 MACs  2 VTEPs  2026-01-02T03:04:05Z',
      'rx 1 pps 10.0 kbit/s  tx 0 pps 0 bit/s  drops 0/s  busy 12% 0%',
      '',
      'VNI       NAME                            RX-PPS  RX-BIT/S  TX-PPS  TX-BIT/S  DROPS/S',
      '16777215  a name of more than 16 letters       1     10.0k       0         0        0',
    ]);
  });

  it('before there are rates', () => {
    const nothing = {
      rxPacketsPerSecond: null,
      rxBitsPerSecond: null,
      txPacketsPerSecond: null,
      txBitsPerSecond: null,
    };
    const first = { ...busy, seconds: null, vnis: [vni(100, 'red', { ...nothing, dropsPerSecond: null })], vteps: [] };
    expect(show({ ...first, drops: [] }, { width: 60 })).toEqual([
      'vtepd 0.1.0  up 1h02m  2 VNIs  3 MACs  2 VTEPs',
      '2026-01-02T03:04:05Z',
      'rx - pps - bit/s  tx - pps - bit/s  drops -/s  busy 12% 0%',
      '',
      'VNI  NAME  RX-PPS  RX-BIT/S  TX-PPS  TX-BIT/S  DROPS/S',
      '100  red        -         -       -         -        -',
      '',
      'q quits  s sorts, now by bit/s',
    ]);
  });

  it('of a daemon that does not answer', () => {
    const top = unanswered('control socket /run/v.sock: no vtepd listens there (ENOENT): start vtepd', TIME);
    expect(show(top, { width: 40, height: 9 })).toEqual([
      'vtepd does not answer, asking again',
      'control socket /run/v.sock: no vtepd',
      'listens there (ENOENT): start vtepd',
    ]);
  });

  it('has colour where it is wanted, for headings and what is dropped, and is as wide as without', () => {
    const lines = show(busy, { style: COLOURED });
    expect(lines.map(stripVTControlCharacters)).toEqual(show(busy));
    expect(lines.filter((line) => line.includes('\x1b[33m'))).toHaveLength(4);
  });
});

describe('what does not fit', () => {
  const many: Top = {
    ...busy,
    vnis: Array.from({ length: 1_000 }, (_, n) => vni(n + 1, `tenant ${n}`, rates(n, n))),
    vteps: Array.from({ length: 300 }, (_, n) => vtep(`198.18.${n >> 8}.${n & 255}`, rates(n, n))),
  };

  it('is counted, and each part has its share', () => {
    const lines = show(many);
    expect(lines).toHaveLength(24);
    expect(lines.filter((line) => line.startsWith('…'))).toEqual(['… 993 more', '… 297 more']);
    expect(lines[4]).toMatch(/^1000 {2}tenant 999 +999 +9\.99M +999 +9\.99M +0$/);
    expect(lines.slice(-4, -2)).toEqual(['tx no-remote          7  12345678', 'rx unknown-vni        0         7']);
  });

  it.each([1, 2, 3, 5, 6, 7, 9, 10, 13, 16, 40, 200, 2_000])('never is more than %i lines', (height) => {
    for (const width of [1, 10, 20, 39, 40, 41, 80, 81, 132, 500]) {
      for (const top of [busy, many, unanswered('a reason', TIME)]) {
        const lines = show(top, { width, height });
        expect(lines.length).toBeLessThanOrEqual(height);
        expect(lines.every((line) => [...line].length <= width)).toBe(true);
        expect(lines.length).toBeGreaterThan(0);
      }
    }
  });

  it('is a row where there is room for one alone', () => {
    expect(show(many, { height: 5 }).slice(2)).toEqual([
      '',
      expect.stringMatching(/^VNI /),
      expect.stringMatching(/^1000 /),
    ]);
  });
});

it.each([
  ['bit/s', [3, 1, 2]],
  ['packets/s', [2, 3, 1]],
  ['drops/s', [1, 2, 3]],
  ['VNI', [1, 2, 3]],
] as const)('sorts by %s, and what is equal by number', (sort, order) => {
  const some = [
    vni(1, null, { ...rates(1, 0, 5), rxBitsPerSecond: 500 }),
    vni(2, null, { ...rates(9, 0), rxBitsPerSecond: 400 }),
    vni(3, null, { ...rates(5, 0), rxBitsPerSecond: 900 }),
  ];
  const lines = show({ ...busy, vnis: some, vteps: [], drops: [] }, { sort });
  expect(lines.slice(4, 7).map((line) => Number.parseInt(line, 10))).toEqual(order);
  expect(lines.at(-1)).toBe(`q quits  s sorts, now by ${sort}`);
  expect(SORTS).toContain(sort);
});

describe('text', () => {
  it.each([
    [null, '-'],
    [0, '0'],
    [0.01, '<0.1'],
    [0.4, '0.4'],
    [4.985, '5'],
    [9.96, '10'],
    [999.4, '999'],
    [999.6, '1.00k'],
    [9_994, '9.99k'],
    [9_996, '10.0k'],
    [99_960, '100k'],
    [999_600, '1.00M'],
    [9_400_000_000, '9.40G'],
    [1e18, '1000P'],
  ])('of a rate: %s is %s', (rate, text) => {
    expect(rateText(rate)).toBe(text);
    expect(text.length).toBeLessThanOrEqual(5);
  });

  it('of a rate with its unit', () => {
    expect([withUnit(1_234, 'bit/s'), withUnit(5, 'pps'), withUnit(null, 'pps')]).toEqual([
      '1.23 kbit/s',
      '5 pps',
      '- pps',
    ]);
  });

  it.each([
    [59, '59s'],
    [65, '1m05s'],
    [3_725, '1h02m'],
    [273_600, '3d04h'],
  ])('of a duration: %i is %s', (seconds, text) => {
    expect(durationText(seconds)).toBe(text);
  });

  it('of a sparkline', () => {
    expect(sparkline([null, 0, 1, 50, 100], { width: 7, utf8: true })).toBe('   ▁▂▅█');
    expect(sparkline([null, 0, 1, 50, 100], { width: 3, utf8: false })).toBe('.=#');
    expect(sparkline([], { width: 2, utf8: true })).toBe('  ');
  });

  it('of others, cut without halving a letter and without control characters', () => {
    expect(clip('blå\x1b[2J', { width: 9, utf8: true })).toBe('blå?[2J');
    expect(clip('blå', { width: 9, utf8: false })).toBe('bl?');
    expect(clip('a😀bc', { width: 3, utf8: true })).toBe('a😀…');
    expect(clip('abcd', { width: 3, utf8: false })).toBe('abc');
  });

  it.each([
    [{ LANG: 'C.UTF-8' }, true],
    [{ LANG: 'de_DE.utf8', LC_ALL: '' }, true],
    [{ LANG: 'C.UTF-8', LC_ALL: 'C' }, false],
    [{ LANG: 'C', LC_CTYPE: 'en_US.UTF-8' }, true],
    [{}, false],
  ])('of UTF-8 is for the locale %o: %s', (env, expected) => {
    expect(isUtf8(env)).toBe(expected);
  });
});
