/** ARP and ND between a control plane and the ladders: neighbours that it placed, and those that it is told of. */
import { describe, expect, it } from 'vitest';
import { TOLD } from '../forward/answers/neighbour-memory.ts';
import { NeighbourTable, STATION } from '../forward/answers/neighbours.ts';
import { ToldNeighbours } from '../forward/answers/told-neighbours.ts';
import {
  HERE,
  HERE_IP,
  HERE_IP6,
  naiveAdvertisement,
  naiveArp,
  naiveNd,
  OVERRIDE,
  ROUTER,
  SOLICITED,
  THERE,
  THERE_IP,
  UNSPECIFIED,
} from '../wire/answers/naive-neighbours.ts';
import { ipWord, NOW, PEER, SEGMENT as PLAIN_SEGMENT, type Rig } from './ladder-rig.ts';
import {
  ANOTHER,
  ANSWERED,
  advertise,
  announce,
  ask,
  FLOODED,
  FRESH,
  ndAnswer,
  newRig,
  octets,
  SEGMENT,
} from './suppression-rig.ts';

describe('a neighbour that a control plane placed', () => {
  const place = (rig: Rig, kind: number = STATION.host) => {
    rig.place(THERE.replaceAll(' ', ''), PEER);
    const mac = { high: 0x0200_0000, low: 2, kind };
    const { placed } = new NeighbourTable(rig.neighboursMemory);
    placed.place(SEGMENT.index, { a: 0, b: 0, c: 0xffff, d: ipWord(THERE_IP), ...mac });
    placed.place(SEGMENT.index, { a: 0x2001_0db8, b: 0, c: 0, d: 2, ...mac });
    return placed;
  };

  it('is answered like one that was heard, and for longer', () => {
    const rig = newRig();
    const placed = place(rig);
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
    expect(ask(rig, naiveNd()).answers).toEqual([ndAnswer(SOLICITED | OVERRIDE)]);
    expect(ask(rig, naiveArp(), NOW + 10 * FRESH)).toEqual(ANSWERED);
    placed.withdraw(SEGMENT.index, 0, 0, 0xffff, ipWord(THERE_IP));
    expect(ask(rig, naiveArp())).toEqual(FLOODED);
  });

  it('is not answered in ND while nobody knows whether it is a router', () => {
    const rig = newRig();
    place(rig, STATION.unknown);
    expect(ask(rig, naiveNd()).answers).toEqual([]);
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
    advertise(rig, { flags: OVERRIDE | ROUTER });
    expect(ask(rig, naiveNd()).answers).toEqual([ndAnswer(ROUTER | SOLICITED | OVERRIDE)]);
  });

  it('is not answered any more once a station behind the own TAP says that the address is its own', () => {
    const rig = newRig();
    place(rig);
    rig.send(octets(naiveArp({ src: ANOTHER, senderIp: THERE_IP, targetIp: THERE_IP })));
    expect(ask(rig, naiveArp())).toEqual(FLOODED);
    expect(ask(rig, naiveNd()).answers).toEqual([ndAnswer(SOLICITED | OVERRIDE)]);
  });
});

describe('neighbours behind the own TAP', () => {
  const told = (rig: Rig) => {
    const reader = new ToldNeighbours(rig.neighboursMemory, 1);
    const words = new Int32Array(100 * TOLD.words);
    return {
      listen: () => reader.listenTo(SEGMENT.index),
      /** MAC and last word of the address. */
      read: () =>
        Array.from({ length: reader.read(words) }, (_, i) => {
          const at = i * TOLD.words;
          return [words[at + TOLD.vni], words[at + TOLD.d], words[at + TOLD.macHigh], words[at + TOLD.macLow]];
        }),
    };
  };
  const here = (address: number) => [SEGMENT.vni, address, 0x0200_0000, 1];

  it.each([
    ['with suppression', SEGMENT],
    ['without', PLAIN_SEGMENT],
  ])('are told from ARP and ND while somebody listens, %s', (_, segment) => {
    const rig = newRig(segment);
    const { listen, read } = told(rig);
    rig.send(octets(naiveArp()));
    expect(read()).toEqual([]);
    listen();
    rig.send(octets(naiveArp()));
    rig.send(octets(naiveArp()));
    rig.send(octets(naiveNd()));
    rig.send(
      octets(naiveAdvertisement({ src: HERE, sender: HERE_IP6, target: '20010db8 00000000 00000000 00000007' })),
    );
    expect(read()).toEqual([here(ipWord(HERE_IP)), here(1), here(7)]);
  });

  it.each<[string, readonly number[]]>([
    ['a probe, which has no sender', naiveArp({ senderIp: '0.0.0.0' })],
    ['an ARP frame in whose name another station spoke', naiveArp({ senderMac: ANOTHER })],
    ['a solicitation without an address', naiveNd({ sender: UNSPECIFIED, options: '' })],
    ['an advertisement that replaces nothing', naiveAdvertisement({ src: HERE, flags: 0 })],
  ])('are not told from %s', (_, frame) => {
    const rig = newRig(PLAIN_SEGMENT);
    const { listen, read } = told(rig);
    listen();
    rig.send(octets(frame));
    expect(read()).toEqual([]);
  });

  it('are not told of frames that come from another VTEP', () => {
    const rig = newRig();
    const { listen, read } = told(rig);
    listen();
    announce(rig);
    advertise(rig);
    expect(read()).toEqual([]);
  });
});
