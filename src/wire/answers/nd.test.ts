import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placedAt } from '../octets-rig.ts';
import {
  ADVERTISEMENT,
  HERE,
  HERE_IP6,
  type NdParts,
  naiveAdvertisement,
  naiveNd,
  OVERRIDE,
  ROUTER,
  SOLICITATION,
  SOLICITED,
  THERE,
  THERE_IP6,
  UNSPECIFIED,
} from './naive-neighbours.ts';
import {
  ADVERTISEMENT_FRAME_BYTES,
  hasOwnMac,
  isFromRouter,
  isIpv6Multicast,
  isIpv6Unspecified,
  isOverride,
  ND_OPTION,
  ndSenderAt,
  ndTargetAt,
  ndType,
  writeAdvertisement,
} from './nd.ts';

const AT = 6;

const placed = (octets: readonly number[]) => placedAt(octets, AT);

const typeOf = (octets: readonly number[]) => ndType(placed(octets), AT, octets.length);

const NONCE = '0e 01 01 02 03 04 05 06';

describe('ndType', () => {
  it.each<[string, NdParts, number]>([
    ['a solicitation', {}, SOLICITATION],
    ['one without options', { options: '' }, SOLICITATION],
    ['one with a nonce (RFC 3971 §5.3.2) before its MAC', { options: `${NONCE} 01 01 ${HERE}` }, SOLICITATION],
    ['one of who has no address yet', { sender: UNSPECIFIED, options: '' }, SOLICITATION],
    ['one with padding', { padding: 7 }, SOLICITATION],
    ['an advertisement', { type: ADVERTISEMENT }, ADVERTISEMENT],
  ])('knows %s', (_, parts, type) => {
    expect(typeOf(naiveNd(parts))).toBe(type);
  });

  it.each<[string, NdParts]>([
    ['a router solicitation', { type: 133 }],
    ['a redirect', { type: 137 }],
    ['one with a code', { code: 1 }],
    ['one that a router has forwarded', { hopLimit: 254 }],
    ['one behind another header', { nextHeader: 0 }],
    ['one with a wrong checksum', { checksumError: 1 }],
    ['one for a group', { target: 'ff020000 00000000 00000000 00000001' }],
    ['one with an option of no length', { options: `01 00 ${HERE}` }],
    ['one with an option that is longer than the rest', { options: `01 02 ${HERE}` }],
    ['one with half an option', { options: '01 01 02 00' }],
    ['one that is tagged', { tags: '8100 0005' }],
  ])('is none of %s', (_, parts) => {
    expect(typeOf(naiveNd(parts))).toBe(0);
  });

  it('is none of a frame that is cut short, at any length', () => {
    const octets = naiveNd();
    for (let length = 14; length < octets.length; length++) expect(typeOf(octets.slice(0, length))).toBe(0);
  });

  it('never reads beyond a frame of any octets', () => {
    const octets = fc.uint8Array({ minLength: 14, maxLength: 120, size: 'max' });
    const almost = fc
      .tuple(fc.nat({ max: 85 }), fc.nat({ max: 255 }), fc.nat({ max: 86 }))
      .map(([place, octet, length]) => naiveNd().with(place, octet).slice(0, Math.max(length, 14)));
    fc.assert(
      fc.property(fc.oneof(octets, almost), (frame) => {
        expect(() => typeOf([...frame])).not.toThrow();
      }),
    );
  });
});

describe('what a message says', () => {
  it('stands where it is looked for', () => {
    const view = placed(naiveNd());
    const address = (at: number) => Buffer.from(new Uint8Array(view.buffer, at, 16)).toString('hex');
    expect([address(ndSenderAt(AT)), address(ndTargetAt(AT))]).toEqual(
      [HERE_IP6, THERE_IP6].map((text) => text.replaceAll(' ', '')),
    );
  });

  it.each([
    ['in the option asked for', `01 01 ${HERE}`, true],
    ['behind another option', `${NONCE} 01 01 ${HERE}`, true],
    ['in another option alone', `02 01 ${HERE}`, false],
    ['of somebody else', `01 01 ${THERE}`, false],
    ['of somebody else first', `01 01 ${THERE} 01 01 ${HERE}`, false],
    ['not at all', '', false],
  ])('has the own MAC %s: %s', (_, options, expected) => {
    expect(hasOwnMac(placed(naiveNd({ options })), AT, ND_OPTION.sourceMac)).toBe(expected);
  });

  it.each([
    [0, false, false],
    [ROUTER, true, false],
    [SOLICITED, false, false],
    [OVERRIDE, false, true],
    [ROUTER | SOLICITED | OVERRIDE, true, true],
  ])('has flags: %i', (flags, router, override) => {
    const view = placed(naiveAdvertisement({ flags }));
    expect([isFromRouter(view, AT), isOverride(view, AT)]).toEqual([router, override]);
  });

  it('has addresses that are nobody’s or everybody’s', () => {
    const view = placed(naiveNd({ sender: UNSPECIFIED, target: 'ff020000 00000000 00000000 00000001', options: '' }));
    expect([isIpv6Unspecified(view, ndSenderAt(AT)), isIpv6Unspecified(view, ndTargetAt(AT))]).toEqual([true, false]);
    expect([isIpv6Multicast(view, ndSenderAt(AT)), isIpv6Multicast(view, ndTargetAt(AT))]).toEqual([false, true]);
  });
});

describe('writeAdvertisement', () => {
  it.each([
    ['a host', false, SOLICITED | OVERRIDE],
    ['a router', true, ROUTER | SOLICITED | OVERRIDE],
  ])('answers for %s, and writes nothing else', (_, isRouter, flags) => {
    const question = naiveNd();
    const view = placed([...question, ...Array(ADVERTISEMENT_FRAME_BYTES + 4).fill(0xa5)]);
    const to = AT + question.length;
    writeAdvertisement(view, to, AT, 0x0200_0000, 0x0002, isRouter);
    const answer = naiveNd({
      dst: HERE,
      src: THERE,
      type: ADVERTISEMENT,
      sender: THERE_IP6,
      receiver: HERE_IP6,
      flags,
    });
    expect([...new Uint8Array(view.buffer, to)]).toEqual([...answer, ...Array(4).fill(0xa5)]);
    expect(ndType(view, to, ADVERTISEMENT_FRAME_BYTES)).toBe(ADVERTISEMENT);
  });

  it('has the right checksum whatever the addresses', () => {
    const address = fc
      .uint8Array({ minLength: 16, maxLength: 16 })
      .map((octets) => Buffer.from([0x20, ...octets.slice(1)]).toString('hex'));
    fc.assert(
      fc.property(address, address, fc.nat({ max: 0xffff }), (sender, target, low) => {
        const question = naiveNd({ sender, target });
        const view = placed([...question, ...Array(ADVERTISEMENT_FRAME_BYTES).fill(0xa5)]);
        const to = AT + question.length;
        writeAdvertisement(view, to, AT, 0x0200_0000, low, false);
        expect(ndType(view, to, ADVERTISEMENT_FRAME_BYTES)).toBe(ADVERTISEMENT);
      }),
    );
  });
});
