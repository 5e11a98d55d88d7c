/** `l2-control=` of a segment: which layer-2 control frames cross it. */
import { CONTROL_PROTOCOLS } from '../../wire/link-local.ts';
import { parseChoice } from './scalars.ts';
import { refuse, shown, type WrittenValue } from './written-value.ts';

export type L2Protocol = keyof typeof CONTROL_PROTOCOLS;

/** None, all, or those of some protocols, at least one, each once, in the order of L2_PROTOCOLS. */
export type L2Control = 'drop' | 'pass' | readonly L2Protocol[];

export const L2_PROTOCOLS = Object.keys(CONTROL_PROTOCOLS) as readonly L2Protocol[];

/** `drop`, `pass`, or names with `+` between them. Several values add up. */
export function parseL2Control(written: readonly WrittenValue[]): L2Control {
  const words = written.flatMap(({ object, label, text }) =>
    text.split('+').map((word) => {
      const part = word === text ? label : `${word === '' ? 'nothing' : shown(word)} in ${label}`;
      return parseChoice({ object, label: part, text: word }, ['drop', 'pass', ...L2_PROTOCOLS]);
    }),
  );
  const whole = words.find((word) => word === 'drop' || word === 'pass');
  if (whole !== undefined && words.some((word) => word !== whole)) {
    const { object } = written[0] as WrittenValue;
    refuse(object, `l2-control: ${whole} cannot be combined with other words`, 'give it alone, or only names');
  }
  if (whole !== undefined || words.length === 0) return whole ?? 'drop';
  return L2_PROTOCOLS.filter((name) => words.includes(name));
}
