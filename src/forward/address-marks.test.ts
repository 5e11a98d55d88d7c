import { expect, it } from 'vitest';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import { ADDRESS_MARK, AddressMarks } from './address-marks.ts';

const { own, broadcast } = ADDRESS_MARK;

const words = (...addresses: string[]) =>
  Int32Array.from(addresses.flatMap((address) => Object.values(ipWords(address as IpAddress))));
const has = (set: AddressMarks, address: string) => set.of(ipWords(address as IpAddress)) === own;

it('has what was added, of either family, until it is removed', () => {
  const set = new AddressMarks();
  expect(has(set, '0.0.0.0')).toBe(false);
  set.addAll(words('198.18.0.1', 'fd00:18::1', '::1'), own);
  expect(['198.18.0.1', 'fd00:18::1', '::1', '::'].map((address) => has(set, address))).toEqual([
    true,
    true,
    true,
    false,
  ]);
  set.removeAll(words('fd00:18::1', 'fd00:18::2'), own);
  expect([has(set, 'fd00:18::1'), has(set, '198.18.0.1'), set.count]).toEqual([false, true, 2]);
});

it('has an address that was added twice once', () => {
  const set = new AddressMarks();
  set.addAll(words('198.18.0.1', '198.18.0.1'), own);
  expect(set.count).toBe(1);
  set.removeAll(words('198.18.0.1'), own);
  expect([has(set, '198.18.0.1'), set.count]).toEqual([false, 0]);
});

it('keeps an address until it has no mark left, and its marks when others go or come', () => {
  const set = new AddressMarks();
  const addresses = Array.from({ length: 100 }, (_, i) => `10.96.0.${i}`);
  set.addAll(words(...addresses), own);
  set.addAll(words(...addresses.slice(50)), broadcast);
  set.removeAll(words(...addresses.slice(0, 75)), own);
  const marks = addresses.map((address) => set.of(ipWords(address as IpAddress)));
  expect(marks).toEqual([...Array(50).fill(0), ...Array(25).fill(broadcast), ...Array(25).fill(own | broadcast)]);
  expect(set.count).toBe(50);
});

it('agrees with a plain set over thousands of additions and removals in any order', () => {
  const [set, plain] = [new AddressMarks(), new Set<string>()];
  // A fixed sequence, so that a failure comes again.
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const addresses = Array.from({ length: 3_000 }, (_, i) =>
    i % 2 === 0 ? `10.96.${(i >> 8) & 0xff}.${i & 0xff}` : `fd00:96::${i.toString(16)}`,
  );
  for (let step = 0; step < 30_000; step++) {
    const address = addresses[random(addresses.length)] as string;
    if (random(2) === 0) {
      set.addAll(words(address), own);
      plain.add(address);
    } else {
      set.removeAll(words(address), own);
      plain.delete(address);
    }
    if (step % 1_000 !== 0) continue;
    expect(set.count).toBe(plain.size);
    for (const each of addresses) expect(has(set, each)).toBe(plain.has(each));
  }
});
