import { describe, expect, it } from 'vitest';
import { ALL_CONTROL, CONTROL_PROTOCOLS, controlName, controlWord, isBarredControl, NO_CONTROL } from './link-local.ts';

const to = (...mac: number[]) => new DataView(Uint8Array.from(mac).buffer);
const control = (digit: number) => to(1, 0x80, 0xc2, 0, 0, digit);
const DIGITS = Array.from({ length: 16 }, (_, digit) => digit);

describe('isBarredControl', () => {
  it('bars all sixteen where none passes, and pause frames alone where all do', () => {
    expect(DIGITS.filter((digit) => isBarredControl(control(digit), 0, NO_CONTROL))).toEqual(DIGITS);
    expect(DIGITS.filter((digit) => isBarredControl(control(digit), 0, ALL_CONTROL))).toEqual([1]);
  });

  it.each(Object.entries(CONTROL_PROTOCOLS))('lets %s pass alone', (_, own) => {
    const barred = DIGITS.filter((digit) => isBarredControl(control(digit), 0, 1 << own));
    expect(barred).toEqual(DIGITS.filter((digit) => digit !== own));
  });

  it('bars no other address', () => {
    for (const last of [0x10, 0x1b, 0x20, 0x21, 0xff])
      expect(isBarredControl(control(last), 0, NO_CONTROL)).toBe(false);
    expect(isBarredControl(to(1, 0, 0xc, 0xcc, 0xcc, 0xcc), 0, NO_CONTROL)).toBe(false);
    expect(isBarredControl(to(255, 255, 255, 255, 255, 255), 0, NO_CONTROL)).toBe(false);
  });
});

it('every address has a name and the word that lets it pass; pause frames have none', () => {
  const words = ['stp', undefined, 'lacp', 'eapol', 'pass', 'pass', 'pass', 'pass'];
  expect(DIGITS.map(controlWord)).toEqual([...words, 'pass', 'pass', 'pass', 'pass', 'pass', 'pass', 'lldp', 'pass']);
  for (const digit of DIGITS) expect(controlName(digit)).toMatch(/^\S/);
});
