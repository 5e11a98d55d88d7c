import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IpAddress } from '../../lib/addresses.ts';
import { type MulticastQuery, QUERY_DEFAULTS } from '../../wire/queries/multicast-query.ts';
import { QuerierElection } from './querier-election.ts';

const ip = (text: string) => text as IpAddress;
const OWN = ip('198.18.0.5');
const [LOWER, LOWEST, HIGHER, NOBODY] = [ip('198.18.0.4'), ip('9.0.0.1'), ip('198.18.0.40'), ip('0.0.0.0')];

/** Other Querier Present Interval with the defaults. */
const PRESENT_SECONDS = 255;

const query = (source: IpAddress, parts: Partial<MulticastQuery> = {}): MulticastQuery => ({
  ...{ version: 3, source, group: undefined, ...QUERY_DEFAULTS },
  ...parts,
});

/** An election whose clock the test sets, in seconds; `own` is null where it only watches. */
function election(own: IpAddress | null = OWN) {
  const startMs = 5_000_000;
  const each = new QuerierElection(startMs);
  const at = (second: number) => startMs + second * 1_000;
  return {
    hear: (source: IpAddress, second: number, parts?: Partial<MulticastQuery>) =>
      each.hear(query(source, parts), at(second)),
    tick: (second: number, from = own) => each.tick(from ?? undefined, at(second)),
    view: (second: number) => each.view(at(second)),
    restart: () => each.restart(),
    /** The seconds of [from, to) at which a query is sent. */
    sends(from: number, to: number): number[] {
      const sent: number[] = [];
      for (let second = from; second < to; second++)
        if (each.tick(own ?? undefined, at(second)).send) sent.push(second);
      return sent;
    },
    /** What is told in [from, to). */
    tells(from: number, to: number): unknown[] {
      const told: unknown[] = [];
      for (let second = from; second < to; second++) {
        const { changed } = each.tick(own ?? undefined, at(second));
        if (changed) told.push([second, changed.own ? 'own' : changed.querier]);
      }
      return told;
    },
  };
}

describe('who only watches', () => {
  it('shows who was heard until the time is over, and never queries', () => {
    const { hear, view, sends } = election(null);
    expect(view(12)).toEqual({ since: 12, querier: null, lastHeard: null, own: false });
    hear(HIGHER, 20);
    expect(view(23)).toEqual({ since: 23, querier: HIGHER, lastHeard: 3, own: false });
    expect(view(20 + PRESENT_SECONDS - 1)).toMatchObject({ querier: HIGHER, lastHeard: 254 });
    expect(view(20 + PRESENT_SECONDS)).toMatchObject({ querier: null, lastHeard: 255 });
    expect(sends(0, 1_000)).toEqual([]);
  });

  it('tells once who appears, changes, is lost, and comes again', () => {
    const { hear, tells } = election(null);
    const told = tells(0, 10);
    for (let second = 10; second < 1_000; second += 125) {
      hear(HIGHER, second);
      told.push(...tells(second, second + 125));
    }
    hear(LOWER, 1_010);
    told.push(...tells(1_010, 2_000));
    hear(LOWER, 2_000);
    told.push(...tells(2_000, 2_001));
    expect(told).toEqual([
      [10, HIGHER],
      [1_010, LOWER],
      [1_010 + PRESENT_SECONDS, null],
      [2_000, LOWER],
    ]);
  });

  it('holds with the lowest of several, and lets another take its place when it is silent', () => {
    const { hear, view } = election(null);
    hear(LOWER, 0);
    hear(HIGHER, 10);
    expect(view(10)).toMatchObject({ querier: LOWER, lastHeard: 10 });
    hear(LOWEST, 20);
    expect(view(20)).toMatchObject({ querier: LOWEST, lastHeard: 0 });
    hear(HIGHER, 20 + PRESENT_SECONDS);
    expect(view(20 + PRESENT_SECONDS)).toMatchObject({ querier: HIGHER, lastHeard: 0 });
  });

  it('shows a switch without an address as long as nobody has one', () => {
    const { hear, view } = election(null);
    hear(NOBODY, 0);
    expect(view(1)).toMatchObject({ querier: NOBODY });
    hear(HIGHER, 2);
    hear(NOBODY, 3);
    expect(view(4)).toMatchObject({ querier: HIGHER, lastHeard: 2 });
  });

  it('hears another program of this host, which has the address of the host', () => {
    const { hear, view } = election(null);
    hear(OWN, 0);
    expect(view(1)).toMatchObject({ querier: OWN, own: false });
  });

  it.each<[string, Partial<MulticastQuery>, number]>([
    ['numbers of its own', { robustness: 3, intervalSeconds: 20, responseMs: 4_000 }, 62],
    ['the shortest times', { robustness: 1, intervalSeconds: 1, responseMs: 0 }, 1],
    ['times of days, which are not believed', { robustness: 7, intervalSeconds: 31_744 }, 3_600],
  ])('goes by what the querier says: %s', (_, parts, present) => {
    const { hear, view } = election(null);
    hear(HIGHER, 0, parts);
    expect([view(present - 0.001).querier, view(present).querier]).toEqual([HIGHER, null]);
  });
});

describe('a candidate', () => {
  it('queries at once, again after a quarter of the interval, and then at the usual pace', () => {
    const { sends, view } = election();
    expect(sends(0, 500)).toEqual([0, 32, 157, 282, 407]);
    expect(view(500)).toEqual({ since: 500, querier: OWN, lastHeard: null, own: true });
  });

  it('becomes silent when a lower address is heard, before it has queried or after', () => {
    const first = election();
    first.hear(LOWER, 0);
    expect([first.sends(0, PRESENT_SECONDS), first.view(9)]).toEqual([[], expect.objectContaining({ querier: LOWER })]);
    const later = election();
    expect(later.sends(0, 10)).toEqual([0]);
    later.hear(LOWEST, 10);
    expect(later.view(10)).toMatchObject({ querier: LOWEST, own: false });
    expect(later.sends(10, 10 + PRESENT_SECONDS)).toEqual([]);
  });

  it('stays silent while the other is heard, and takes over when it is lost', () => {
    const { hear, sends, tells } = election();
    const sent = sends(0, 10);
    for (let second = 10; second < 1_000; second += 125) {
      hear(LOWER, second);
      sent.push(...sends(second, second + 125));
    }
    expect(sent).toEqual([0]);
    const lost = 885 + PRESENT_SECONDS;
    expect(tells(1_010, lost)).toEqual([]);
    expect(sends(lost, lost + 300)).toEqual([lost, lost + 125, lost + 250]);
  });

  it('tells that it has become the querier, and that it is not any more', () => {
    const { hear, tells } = election();
    const told = tells(0, 50);
    hear(LOWER, 50);
    told.push(...tells(50, 500));
    expect(told).toEqual([
      [0, 'own'],
      [50, LOWER],
      [50 + PRESENT_SECONDS, 'own'],
    ]);
  });

  it.each([
    ['a higher address', HIGHER],
    ['a switch without one', NOBODY],
    ['itself', OWN],
  ])('is not kept from it by %s', (_, address) => {
    const { hear, sends, view } = election();
    const sent = sends(0, 5);
    for (let second = 5; second < 205; second += 50) {
      hear(address, second);
      sent.push(...sends(second, second + 50));
    }
    expect([sent, view(205)]).toEqual([[0, 32, 157], expect.objectContaining({ querier: OWN, own: true })]);
  });

  it('says when it last heard another, though it is the querier itself', () => {
    const { hear, tick, view } = election();
    tick(0);
    hear(HIGHER, 10);
    expect(view(13)).toMatchObject({ querier: OWN, own: true, lastHeard: 3 });
    hear(OWN, 20);
    expect(view(23)).toMatchObject({ lastHeard: 13 });
  });

  it('orders by value, not by text', () => {
    const { hear, view } = election(ip('198.18.0.10'));
    hear(ip('198.18.0.9'), 0);
    expect(view(0).querier).toBe('198.18.0.9');
    const ipv6 = election(ip('fe80::10'));
    ipv6.tick(0);
    ipv6.hear(ip('fe80::9'), 1);
    expect(ipv6.view(1)).toMatchObject({ querier: 'fe80::9', own: false });
    ipv6.hear(ip('fe80::100'), 2);
    expect(ipv6.view(2)).toMatchObject({ querier: 'fe80::9' });
  });

  it('waits for an address, then starts; without one it is nobody', () => {
    const { tick, sends } = election();
    expect(tick(0, null)).toEqual({ send: undefined, changed: undefined });
    expect(sends(10, 100)).toEqual([10, 42]);
    expect(tick(100, null)).toEqual({ send: undefined, changed: { querier: null, own: false } });
    expect(sends(101, 200)).toEqual([167]);
  });

  it('starts anew when its interface comes up again', () => {
    const { restart, sends } = election();
    expect(sends(0, 100)).toEqual([0, 32]);
    restart();
    expect(sends(100, 300)).toEqual([100, 132, 257]);
  });

  it('starts anew but silently where another is present', () => {
    const { hear, restart, sends } = election();
    hear(LOWER, 0);
    restart();
    expect(sends(0, PRESENT_SECONDS)).toEqual([]);
    expect(sends(PRESENT_SECONDS, 400)).toEqual([PRESENT_SECONDS, PRESENT_SECONDS + 125]);
  });
});

it('of candidates that hear each other, the lowest alone goes on', () => {
  const addresses = fc.uniqueArray(fc.integer({ min: 1, max: 254 }), { minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(addresses, (numbers) => {
      const members = numbers.map((number) => ({
        address: ip(`198.18.0.${number}`),
        election: new QuerierElection(0),
      }));
      const senders = new Set<IpAddress>();
      for (let second = 0; second < 600; second++) {
        for (const { address, election: one } of members) {
          const { send } = one.tick(address, second * 1_000);
          if (!send) continue;
          if (second > 0) senders.add(send);
          for (const { election: other } of members) other.hear(query(send), second * 1_000);
        }
      }
      expect([...senders]).toEqual([ip(`198.18.0.${Math.min(...numbers)}`)]);
      for (const { election: one } of members) expect(one.view(600_000).querier).toBe([...senders][0]);
    }),
    { numRuns: 20 },
  );
});
