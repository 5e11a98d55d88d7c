import { expect, it } from 'vitest';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import { AddressSet } from './address-set.ts';

const words = (...addresses: string[]) =>
  Int32Array.from(addresses.flatMap((address) => Object.values(ipWords(address as IpAddress))));
const has = (set: AddressSet, address: string) => set.has(ipWords(address as IpAddress));

it('has what was added, of either family, until it is removed', () => {
  const set = new AddressSet();
  expect(has(set, '0.0.0.0')).toBe(false);
  set.addAll(words('198.18.0.1', 'fd00:18::1', '::1'));
  expect(['198.18.0.1', 'fd00:18::1', '::1', '::'].map((address) => has(set, address))).toEqual([
    true,
    true,
    true,
    false,
  ]);
  set.removeAll(words('fd00:18::1', 'fd00:18::2'));
  expect([has(set, 'fd00:18::1'), has(set, '198.18.0.1'), set.count]).toEqual([false, true, 2]);
});

it('has an address that was added twice once', () => {
  const set = new AddressSet();
  set.addAll(words('198.18.0.1', '198.18.0.1'));
  expect(set.count).toBe(1);
  set.removeAll(words('198.18.0.1'));
  expect([has(set, '198.18.0.1'), set.count]).toEqual([false, 0]);
});

it('agrees with a plain set over thousands of additions and removals in any order', () => {
  const [set, plain] = [new AddressSet(), new Set<string>()];
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
      set.addAll(words(address));
      plain.add(address);
    } else {
      set.removeAll(words(address));
      plain.delete(address);
    }
    if (step % 1_000 !== 0) continue;
    expect(set.count).toBe(plain.size);
    for (const each of addresses) expect(has(set, each)).toBe(plain.has(each));
  }
});
