/** The screen of `top`: from rates to lines of text that fit; pure. */

import type { Style } from '../terminal/table.ts';
import {
  bitsPerSecond,
  type DropRate,
  MAX_HISTORY,
  type RateHistories,
  type Rates,
  type Top,
  type VniRates,
  type VtepRates,
} from './top-rates.ts';
import { type Column, FRAME, GAP, sectionLines, shareOut, table } from './top-tables.ts';
import { clip, durationText, rateText, sparkline, withUnit } from './top-text.ts';

/** In the order in which the key goes through them. */
export const SORTS = ['bit/s', 'packets/s', 'drops/s', 'VNI'] as const;
export type Sort = (typeof SORTS)[number];

export interface ScreenOptions {
  /** In characters; Infinity for text that is not shown on a terminal. */
  readonly width: number;
  readonly height: number;
  readonly style: Style;
  /** False: ASCII alone. */
  readonly utf8: boolean;
  readonly sort: Sort;
  /** The data of the sparklines. Absent: there is no terminal, so neither sparklines nor keys are shown. */
  readonly histories?: RateHistories;
}

/** With fewer lines, the help of the keys is not shown. */
const FOOTER_FROM = 10;

/** @returns at most `height` lines, each of at most `width` characters, escape codes not counted */
export function topScreen(top: Top, options: ScreenOptions): string[] {
  const { height, sort, histories } = options;
  const header = headerOf(top, options);
  const footer = histories && height >= FOOTER_FROM ? ['', clip(`q quits  s sorts, now by ${sort}`, options)] : [];
  const sections = [
    table(vniColumns(top.vnis, options), sorted(top.vnis, sort), options),
    table(vtepColumns(top.vteps, options), sorted(top.vteps, sort), options),
    table(dropColumns(top.drops), sorted(top.drops, 'drops/s'), options),
  ].filter(({ rows }) => rows.length > 0);
  const shares = shareOut(
    sections.map(({ rows }) => rows.length + FRAME),
    height - header.length - footer.length,
  );
  const body = sections.flatMap((section, index) => sectionLines(section, shares[index] ?? 0, options));
  return [...header, ...body, ...footer].slice(0, height);
}

/** A piece of text and its style. */
interface Piece {
  readonly text: string;
  readonly look?: (text: string) => string;
}

function headerOf({ error, status, time, seconds, workers, vnis, drops }: Top, options: ScreenOptions): string[] {
  const { style } = options;
  if (status === null) {
    const title = { text: 'vtepd does not answer, asking again', look: style.bad };
    const words = (error ?? '').split(' ').map((text) => ({ text }));
    return [...packed([title], '  ', options), ...packed(words, ' ', options)];
  }
  const total = (of: (rates: Rates) => number | null) =>
    vnis.map(of).reduce((sum, rate) => (rate === null ? sum : (sum ?? 0) + rate), null);
  const rx = [total((vni) => vni.rxPacketsPerSecond), total((vni) => vni.rxBitsPerSecond)] as const;
  const tx = [total((vni) => vni.txPacketsPerSecond), total((vni) => vni.txBitsPerSecond)] as const;
  // Drops of the whole daemon, including those that belong to no VNI.
  const dropped = seconds === null ? null : drops.reduce((sum, { dropsPerSecond }) => sum + (dropsPerSecond ?? 0), 0);
  const about = [
    { text: `vtepd ${status.version}`, look: style.heading },
    { text: `up ${durationText(status.uptime)}` },
    ...[counted(status.vnis, 'VNI'), counted(status.macs, 'MAC'), counted(status.vteps, 'VTEP')],
    { text: `${time.slice(0, 19)}Z` },
  ];
  const flow = [
    { text: `rx ${withUnit(rx[0], 'pps')} ${withUnit(rx[1], 'bit/s')}` },
    { text: `tx ${withUnit(tx[0], 'pps')} ${withUnit(tx[1], 'bit/s')}` },
    { text: `drops ${rateText(dropped)}/s`, ...(dropped !== null && dropped > 0 && { look: style.doubtful }) },
    { text: `busy ${workers.map(({ busy }) => `${Math.round(busy * 100)}%`).join(' ')}` },
  ];
  return [...packed(about, '  ', options), ...packed(flow, '  ', options)];
}

function counted(number: number, what: string): Piece {
  return { text: `${number} ${what}${number === 1 ? '' : 's'}` };
}

/** As many pieces a line as fit. */
function packed(pieces: readonly Piece[], gap: string, options: ScreenOptions): string[] {
  const lines: { length: number; text: string }[] = [];
  for (const { text, look } of pieces) {
    const short = clip(text, options);
    const shown = look ? look(short) : short;
    const last = lines.at(-1);
    if (last && last.length + gap.length + short.length <= options.width) {
      last.length += gap.length + short.length;
      last.text += gap + shown;
    } else {
      lines.push({ length: short.length, text: shown });
    }
  }
  return lines.map(({ text }) => text);
}

const BY: Readonly<Record<Sort, (rates: Partial<Rates>) => number | null | undefined>> = {
  'bit/s': (rates) => bitsPerSecond(rates as Rates),
  'packets/s': ({ rxPacketsPerSecond, txPacketsPerSecond }) => (rxPacketsPerSecond ?? 0) + (txPacketsPerSecond ?? 0),
  'drops/s': ({ dropsPerSecond }) => dropsPerSecond,
  /** As they come. */
  VNI: () => 0,
};

/** The highest first; what is equal stays in its order. */
function sorted<Row extends Partial<Rates>>(rows: readonly Row[], sort: Sort): Row[] {
  const rate = (row: Row) => BY[sort](row) ?? 0;
  return rows.toSorted((a, b) => rate(b) - rate(a));
}

function vniColumns(vnis: readonly VniRates[], options: ScreenOptions): Column<VniRates>[] {
  const widest = longest(vnis.map(({ name }) => name ?? '-'));
  return withSparkline<VniRates>(
    [
      {
        heading: 'VNI',
        width: longest(['VNI', ...vnis.map(({ vni }) => `${vni}`)]),
        rank: 0,
        left: true,
        cell: ({ vni }) => `${vni}`,
      },
      {
        heading: 'NAME',
        width: Math.max(4, Math.min(widest, Math.floor(options.width / 5))),
        rank: 4,
        left: true,
        cell: ({ name }) => name ?? '-',
      },
      ...RATE_COLUMNS,
    ],
    ({ vni }) => vni,
    options,
  );
}

function vtepColumns(vteps: readonly VtepRates[], options: ScreenOptions): Column<VtepRates>[] {
  const heard = ({ lastHeard }: VtepRates) => (lastHeard === null ? '-' : durationText(lastHeard));
  return withSparkline<VtepRates>(
    [
      {
        heading: 'VTEP',
        width: longest(['VTEP', ...vteps.map(({ vtep }) => vtep)]),
        rank: 0,
        left: true,
        cell: ({ vtep }) => vtep,
      },
      ...RATE_COLUMNS,
      { heading: 'HEARD', width: 6, rank: 4, cell: heard },
    ],
    ({ vtep }) => vtep,
    options,
  );
}

function dropColumns(drops: readonly DropRate[]): Column<DropRate>[] {
  const reason = (drop: DropRate) => `${drop.direction} ${drop.reason}`;
  const all = (drop: DropRate) => `${drop.drops}`;
  return [
    { heading: 'DROPS', width: longest(['DROPS', ...drops.map(reason)]), rank: 0, left: true, cell: reason },
    DROPS_COLUMN,
    { heading: 'IN ALL', width: longest(['IN ALL', ...drops.map(all)]), rank: 2, cell: all },
  ];
}

const DROPS_COLUMN: Column<Pick<Rates, 'dropsPerSecond'>> = {
  ...{ heading: 'DROPS/S', width: 7, rank: 2 },
  cell: ({ dropsPerSecond }) => rateText(dropsPerSecond),
  isDoubtful: ({ dropsPerSecond }) => dropsPerSecond !== null && dropsPerSecond > 0,
};

const RATE_COLUMNS: readonly Column<Rates>[] = [
  { heading: 'RX-PPS', width: 6, rank: 3, cell: ({ rxPacketsPerSecond }) => rateText(rxPacketsPerSecond) },
  { heading: 'RX-BIT/S', width: 8, rank: 1, cell: ({ rxBitsPerSecond }) => rateText(rxBitsPerSecond) },
  { heading: 'TX-PPS', width: 6, rank: 3, cell: ({ txPacketsPerSecond }) => rateText(txPacketsPerSecond) },
  { heading: 'TX-BIT/S', width: 8, rank: 1, cell: ({ txBitsPerSecond }) => rateText(txBitsPerSecond) },
  DROPS_COLUMN,
];

/** A sparkline of fewer bars says nothing. */
const MIN_SPARKLINE = 8;

/** At the end of the line, in the remaining width. */
function withSparkline<Row>(
  columns: Column<Row>[],
  keyOf: (row: Row) => number | string,
  { width: available, utf8, histories }: ScreenOptions,
): Column<Row>[] {
  const left = available - columns.reduce((sum, { width }) => sum + width + GAP.length, 0);
  if (!histories || left < MIN_SPARKLINE) return columns;
  const width = Math.min(left, MAX_HISTORY);
  const cell = (row: Row) => sparkline(histories.of(keyOf(row)), { width, utf8 });
  return [...columns, { heading: 'RX+TX', width, rank: 5, cell }];
}

function longest(texts: readonly string[]): number {
  return texts.reduce((width, { length }) => Math.max(width, length), 0);
}
