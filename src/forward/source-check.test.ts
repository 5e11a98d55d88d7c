import { expect, it } from 'vitest';
import { type IpAddress, ipWords } from '../lib/addresses.ts';
import { type IpPrefix, parseWrittenPrefix } from '../lib/ip-prefix.ts';
import { ADDRESS_MARK } from './address-marks.ts';
import { FORWARDED, RX_DROP } from './drop-reason.ts';
import { SourceCheck } from './source-check.ts';
import { SourceFilter } from './source-filter.ts';

const { own, broadcast } = ADDRESS_MARK;
const NONE = new Int32Array(0);
const NOT_ALLOWED = RX_DROP['vtep-not-allowed'];
const words = (address: string) => Int32Array.from(Object.values(ipWords(address as IpAddress)));
const filter = (prefix: string) => new SourceFilter([parseWrittenPrefix(prefix) as IpPrefix]);

/** Asks twice: the second answer is the one that was kept. */
function verdict(check: SourceCheck, address: string): number {
  const first = check.verdict(ipWords(address as IpAddress));
  expect(check.verdict(ipWords(address as IpAddress))).toBe(first);
  return first;
}

it('refuses what is no host before anything was asked, and takes any host', () => {
  const check = new SourceCheck();
  expect(['::', '0.0.0.0', '239.1.1.1', '255.255.255.255', 'ff02::1'].map((each) => verdict(check, each))).toEqual(
    Array(5).fill(NOT_ALLOWED),
  );
  expect(['198.18.0.2', '::1', 'fd00::2'].map((each) => verdict(check, each))).toEqual(Array(3).fill(FORWARDED));
});

it('goes by each change at once, also for the source that it was asked about last', () => {
  const check = new SourceCheck();
  const address = '198.18.0.255';
  expect(verdict(check, address)).toBe(FORWARDED);
  check.mark(own, { added: words(address), removed: NONE });
  expect(verdict(check, address)).toBe(RX_DROP['own-packet']);
  check.mark(broadcast, { added: words(address), removed: NONE });
  expect(verdict(check, address)).toBe(NOT_ALLOWED);
  check.mark(own, { added: NONE, removed: words(address) });
  expect(verdict(check, address)).toBe(NOT_ALLOWED);
  check.mark(broadcast, { added: NONE, removed: words(address) });
  expect(verdict(check, address)).toBe(FORWARDED);
  check.allow(filter('198.19.0.0/16'));
  expect(verdict(check, address)).toBe(NOT_ALLOWED);
  check.allow(undefined);
  expect(verdict(check, address)).toBe(FORWARDED);
});

it('says of an own address that is not allowed that it is not allowed, as the order of the reasons is', () => {
  const check = new SourceCheck();
  check.mark(own, { added: words('198.18.0.1'), removed: NONE });
  check.allow(filter('198.19.0.0/16'));
  expect(verdict(check, '198.18.0.1')).toBe(NOT_ALLOWED);
});

it('tells sources apart that differ in any word', () => {
  const check = new SourceCheck();
  check.mark(own, { added: words('fd00:1:2:3:4:5:6:7'), removed: NONE });
  for (const other of ['fd00:2:2:3:4:5:6:7', 'fd00:1:2:4:4:5:6:7', 'fd00:1:2:3:4:6:6:7', 'fd00:1:2:3:4:5:6:8']) {
    expect([verdict(check, 'fd00:1:2:3:4:5:6:7'), verdict(check, other)]).toEqual([RX_DROP['own-packet'], FORWARDED]);
  }
});
