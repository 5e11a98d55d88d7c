import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import type { HostAddress } from '../../sys/netlink/addresses.ts';
import { chooseSource, unfitAddresses } from './source-choice.ts';

const ETH0 = 2;
const LO = 1;
const [ONE, TWO, SIX, SEVEN] = ['198.18.0.1', '198.18.0.2', 'fd00:18::6', 'fd00:18::7'] as IpAddress[] as [
  IpAddress,
  IpAddress,
  IpAddress,
  IpAddress,
];

function at(address: IpAddress, differs: Partial<HostAddress> = {}): HostAddress {
  return {
    ...{ address, index: ETH0, prefixBits: 24, isGlobal: true, isTemporary: false },
    ...{ isDeprecated: false, isTentative: false, isDuplicate: false, ...differs },
  };
}

interface Asked {
  readonly given?: IpAddress;
  readonly present?: IpAddress;
  readonly isLocal?: boolean;
}

function choose(family: 4 | 6, addresses: HostAddress[], { given, present, isLocal = false }: Asked = {}) {
  const host = {
    find: (address: IpAddress) => addresses.find((each) => each.address === address),
    isAnywhere: (address: IpAddress) => addresses.some((each) => each.address === address),
    on: (index: number) => addresses.filter((each) => each.index === index),
  };
  const chosen = chooseSource(
    { family, index: ETH0, name: 'eth0', vrf: undefined, given, present },
    host,
    () => isLocal,
  );
  return chosen && [chosen.address, chosen.trouble];
}

const absent = (address: string) => `${address} is not on this host`;
const tentative = (address: string) => `${address} is tentative: duplicate address detection runs`;
const duplicate = (address: string) => `${address} is a duplicate: another host has it`;

describe('without --local', () => {
  it.each([
    ['the first at the start', [at(ONE), at(TWO)], undefined, [ONE, undefined]],
    ['the one that it has, though another is first', [at(TWO), at(ONE)], ONE, [ONE, undefined]],
    ['another, when that is gone', [at(TWO)], ONE, [TWO, undefined]],
    ['the one that it had, when nothing is there', [], ONE, [ONE, absent(ONE)]],
    ['none that has moved elsewhere', [at(ONE, { index: LO })], ONE, [ONE, `${ONE} is on another interface than eth0`]],
    ['none of another interface', [at(TWO, { index: LO })], ONE, [ONE, absent(ONE)]],
    ['none of link or host scope', [at(TWO, { isGlobal: false })], ONE, [ONE, absent(ONE)]],
    ['none at the start where there is none', [], undefined, undefined],
  ] as const)('%s', (_name, addresses, present, expected) => {
    expect(choose(4, [...addresses], present && { present })).toEqual(expected);
  });

  it.each([
    ['a temporary one never', [at(SIX, { isTemporary: true })], undefined, undefined],
    ['a temporary one not while running either', [at(SIX, { isTemporary: true })], SEVEN, [SEVEN, absent(SEVEN)]],
    ['a deprecated one not at the start', [at(SIX, { isDeprecated: true })], undefined, undefined],
    ['a preferred one instead of a deprecated', [at(SIX, { isDeprecated: true }), at(SEVEN)], SIX, [SEVEN, undefined]],
    [
      'the deprecated one that it has, where there is no other',
      [at(SIX, { isDeprecated: true })],
      SIX,
      [SIX, undefined],
    ],
    ['a deprecated one rather than none', [at(SIX, { isDeprecated: true })], SEVEN, [SIX, undefined]],
    ['a tentative one, to be waited for', [at(SIX, { isTentative: true })], undefined, [SIX, tentative(SIX)]],
    ['a fit one instead of waiting', [at(SIX, { isTentative: true }), at(SEVEN)], undefined, [SEVEN, undefined]],
    ['no duplicate at the start', [at(SIX, { isTentative: true, isDuplicate: true })], undefined, undefined],
    ['a duplicate told as such', [at(SIX, { isTentative: true, isDuplicate: true })], SIX, [SIX, duplicate(SIX)]],
    ['another instead of a duplicate', [at(SIX, { isDuplicate: true }), at(SEVEN)], SIX, [SEVEN, undefined]],
    [
      'the deprecated one that it has while its successor is tentative',
      [at(SIX, { isDeprecated: true }), at(SEVEN, { isTentative: true })],
      SIX,
      [SIX, undefined],
    ],
  ] as const)('%s', (_name, addresses, present, expected) => {
    expect(choose(6, [...addresses], present && { present })).toEqual(expected);
  });
});

describe('with --local', () => {
  it.each([
    ['it is used on whatever interface', [at(ONE, { index: LO, isGlobal: false }), at(TWO)], false, [ONE, undefined]],
    ['it is used though deprecated', [at(ONE, { isDeprecated: true })], false, [ONE, undefined]],
    ['it is waited for while absent, and no other taken', [at(TWO)], false, [ONE, absent(ONE)]],
    ['it is used where a local route names it', [], true, [ONE, undefined]],
    ['it is waited for while tentative', [at(ONE, { isTentative: true })], false, [ONE, tentative(ONE)]],
    ['it is told as a duplicate', [at(ONE, { isTentative: true, isDuplicate: true })], false, [ONE, duplicate(ONE)]],
  ] as const)('%s', (_name, addresses, isLocal, expected) => {
    expect(choose(4, [...addresses], { given: ONE, isLocal })).toEqual(expected);
  });
});

it('says what an interface has that is not fit', () => {
  const addresses = [
    at('fe80::1' as IpAddress, { isGlobal: false }),
    at(SIX, { isTemporary: true }),
    at(SEVEN, { isDuplicate: true }),
    at('fd00:18::8' as IpAddress, { isDeprecated: true }),
  ];
  expect(unfitAddresses(addresses, 6)).toBe(
    'fd00:18::6 (temporary), fd00:18::7 (a duplicate: another host has it), fd00:18::8 (deprecated)',
  );
  expect(unfitAddresses(addresses, 4)).toBe('');
});
