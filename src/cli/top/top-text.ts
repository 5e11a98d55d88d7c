/** How `top` writes figures: in widths that do not change from second to second; pure. */

import { cellText } from '../terminal/table.ts';

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'] as const;

/** Three digits and an SI prefix, 5 characters at most: `0`, `0.4`, `812k`, `9.40G`; `-` where it is not known. */
export function rateText(rate: number | null): string {
  return inParts(rate).join('');
}

/** `9.40 Gbit/s` */
export function withUnit(rate: number | null, unit: string): string {
  const [digits, prefix] = inParts(rate);
  return `${digits} ${prefix}${unit}`;
}

function inParts(rate: number | null): [digits: string, prefix: string] {
  if (rate === null) return ['-', ''];
  // Below one a second it is important that the rate is not zero.
  if (rate > 0 && rate < 0.05) return ['<0.1', ''];
  if (rate < 9.95) return [rate.toFixed(1).replace('.0', ''), ''];
  let value = rate;
  let power = 0;
  while (value >= 999.5 && power < PREFIXES.length - 1) {
    value /= 1000;
    power += 1;
  }
  const digits = power === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return [value.toFixed(digits), PREFIXES[power] ?? ''];
}

/** The two largest units: `9s`, `2m05s`, `1h02m`, `3d04h`. */
export function durationText(seconds: number): string {
  const two = (number: number) => `${Math.floor(number)}`.padStart(2, '0');
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h${two((seconds % 3_600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${two((seconds % 86_400) / 3_600)}h`;
}

/** From nothing at all to the highest rate shown. */
const BARS = '▁▂▃▄▅▆▇█';
const ASCII_BARS = '_.:-=+*#';

/** The last `width` rates, the newest at the right, scaled by the highest of them; a blank if unknown. */
export function sparkline(
  rates: readonly (number | null)[],
  { width, utf8 }: { width: number; utf8: boolean },
): string {
  const bars = utf8 ? BARS : ASCII_BARS;
  const shown = rates.slice(-width);
  const highest = shown.reduce<number>((most, rate) => Math.max(most, rate ?? 0), 0);
  const bar = (rate: number | null) =>
    rate === null ? ' ' : bars.charAt(rate === 0 ? 0 : Math.ceil((rate / highest) * (bars.length - 1)));
  return shown.map(bar).join('').padStart(width);
}

/** Free text, cut to `width` characters. Without UTF-8, what is not ASCII is `?`. */
export function clip(text: string, { width, utf8 }: { width: number; utf8: boolean }): string {
  const letters = Array.from(cellText(text), (letter) => (utf8 || letter <= '~' ? letter : '?'));
  if (letters.length <= width) return letters.join('');
  return utf8 ? `${letters.slice(0, width - 1).join('')}…` : letters.slice(0, width).join('');
}

/** Whether a terminal shows more than ASCII, from the locale in the environment. */
export function isUtf8({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv): boolean {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}
