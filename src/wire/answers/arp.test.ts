import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placedAt } from '../octets-rig.ts';
import { ARP_FRAME_BYTES, arpOperation, arpSender, arpTarget, isArp, isStationIpv4, writeArpReply } from './arp.ts';
import {
  type ArpParts,
  HERE,
  HERE_IP,
  naiveArp,
  octetsOfHex,
  octetsOfIpv4,
  REPLY,
  REQUEST,
  THERE,
  THERE_IP,
} from './naive-neighbours.ts';

const AT = 6;

const placed = (octets: readonly number[]) => placedAt(octets, AT);

const word = (address: string) => Buffer.from(octetsOfIpv4(address)).readInt32BE(0);

describe('isArp', () => {
  it.each<[string, ArpParts]>([
    ['a request', {}],
    ['a reply', { operation: REPLY, dst: THERE, targetMac: THERE }],
    ['a probe', { senderIp: '0.0.0.0' }],
    ['a unicast request', { dst: THERE }],
  ])('is true of %s, padded or not', (_, parts) => {
    const octets = naiveArp(parts);
    expect(isArp(placed(octets), AT, octets.length)).toBe(true);
    expect(isArp(placed([...octets, ...Array(18).fill(0)]), AT, 60)).toBe(true);
  });

  it.each<[string, ArpParts]>([
    ['of another operation', { operation: 3 }],
    ['of operation 257, which ends like a request', { operation: 257 }],
    ['over another link', { kind: '0006 0800 06 04' }],
    ['of another protocol', { kind: '0001 86dd 06 04' }],
    ['with longer addresses', { kind: '0001 0800 06 10' }],
    ['that speaks for another station', { senderMac: THERE }],
    ['whose sender differs in the last octet alone', { senderMac: '02 00 00 00 00 03' }],
    ['that is tagged', { tags: '8100 0005' }],
  ])('is false of one %s', (_, parts) => {
    const octets = naiveArp(parts);
    expect(isArp(placed(octets), AT, octets.length)).toBe(false);
  });

  it('is false of every frame that is cut short', () => {
    const octets = naiveArp();
    for (let length = 0; length < ARP_FRAME_BYTES; length++) {
      expect(isArp(placed(octets.slice(0, length)), AT, length)).toBe(false);
    }
  });

  it('never reads beyond a frame of any octets', () => {
    const octets = fc.uint8Array({ maxLength: 80, size: 'max' });
    const arps = octets.map((rest) => Uint8Array.from([...naiveArp().slice(0, 22), ...rest]));
    fc.assert(
      fc.property(fc.oneof(octets, arps), (frame) => {
        expect(() => isArp(placed([...frame]), AT, frame.length)).not.toThrow();
      }),
    );
  });
});

it('reads operation and addresses', () => {
  const view = placed(naiveArp({ operation: REPLY, senderIp: '203.0.113.9', targetIp: '10.1.2.3' }));
  expect([arpOperation(view, AT), arpSender(view, AT), arpTarget(view, AT)]).toEqual([
    REPLY,
    word('203.0.113.9'),
    word('10.1.2.3'),
  ]);
});

it.each([
  ['0.0.0.0', false],
  ['0.1.2.3', false],
  ['1.0.0.0', true],
  ['126.255.255.255', true],
  ['127.0.0.1', false],
  ['128.0.0.1', true],
  ['223.255.255.255', true],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
])('%s belongs to a station: %s', (address, isStation) => {
  expect(isStationIpv4(word(address))).toBe(isStation);
});

describe('writeArpReply', () => {
  it('answers in the name of the station asked for, and writes nothing else', () => {
    const request = naiveArp({ dst: THERE });
    const view = placed([...request, ...Array(ARP_FRAME_BYTES + 4).fill(0xa5)]);
    writeArpReply(view, AT + request.length, AT, 0x0200_0000, 0x0002);
    const reply = naiveArp({
      dst: HERE,
      src: THERE,
      operation: REPLY,
      senderIp: THERE_IP,
      targetMac: HERE,
      targetIp: HERE_IP,
    });
    expect([...new Uint8Array(view.buffer)]).toEqual([
      ...Array(AT).fill(0xa5),
      ...request,
      ...reply,
      ...Array(4).fill(0xa5),
    ]);
  });

  it('is what a naive one would be, whoever asks for whomever', () => {
    const mac = fc
      .uint8Array({ minLength: 6, maxLength: 6 })
      .map((octets) => Buffer.from([(octets[0] as number) & 0xfe, ...octets.slice(1)]).toString('hex'));
    const address = fc.ipV4();
    fc.assert(
      fc.property(mac, mac, address, address, (asker, asked, askerIp, askedIp) => {
        const request = naiveArp({ src: asker, senderIp: askerIp, targetIp: askedIp, operation: REQUEST });
        const view = placed([...request, ...Array(ARP_FRAME_BYTES).fill(0xa5)]);
        const to = AT + request.length;
        const [high, low] = [Number.parseInt(asked.slice(0, 8), 16), Number.parseInt(asked.slice(8), 16)];
        writeArpReply(view, to, AT, high, low);
        const parts = { dst: asker, src: asked, operation: REPLY, senderIp: askedIp, targetMac: asker };
        expect([...new Uint8Array(view.buffer, to)]).toEqual(naiveArp({ ...parts, targetIp: askerIp }));
        expect(isArp(view, to, ARP_FRAME_BYTES)).toBe(true);
        expect(octetsOfHex(asker)).toEqual([...new Uint8Array(view.buffer, to, 6)]);
      }),
    );
  });
});
