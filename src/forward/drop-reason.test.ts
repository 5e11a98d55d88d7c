import { expect, it } from 'vitest';
import { FORWARDED, RX_DROP, RX_REASONS, TX_DROP, TX_REASONS } from './drop-reason.ts';

it('names the reasons of the contract, in its order', () => {
  expect(RX_REASONS.join(' ')).toBe(
    'short vtep-not-allowed own-packet no-i-flag reserved-bits unknown-vni wrong-group ecn short-inner ' +
      'bad-source-mac own-mac link-local inner-vlan oversize static-conflict storm tap-down',
  );
  expect(TX_REASONS.join(' ')).toBe(
    'short bad-source-mac static-conflict inner-vlan unknown-vlan link-local suppressed local flood-off storm ' +
      'no-remote oversize send-full send-error',
  );
});

it.each([
  [RX_REASONS, RX_DROP],
  [TX_REASONS, TX_DROP],
])('numbers each reason by its place, none of them FORWARDED', (names, numbers) => {
  expect(Object.entries(numbers)).toEqual(names.map((name, place) => [name, place]));
  expect(Object.values(numbers)).not.toContain(FORWARDED);
});
