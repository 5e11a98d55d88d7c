/** ARP and ND suppression through the whole of both ladders: who is answered, who is flooded, and what is learned. */

import { describe, expect, it } from 'vitest';
import { LOCAL } from '../fdb/remotes.ts';
import { ToldNeighbours } from '../forward/answers/told-neighbours.ts';
import { NEIGHBOUR_FRESH_SECONDS } from '../lib/limits.ts';
import { FLOOD, INNER_VLAN, type Segment } from '../segment/segment.ts';
import {
  type ArpParts,
  HERE,
  HERE_IP,
  HERE_IP6,
  type NdParts,
  naiveAdvertisement,
  naiveArp,
  naiveNd,
  OVERRIDE,
  REPLY,
  ROUTER,
  SOLICITED,
  THERE,
  THERE_IP,
  THERE_IP6,
  UNSPECIFIED,
} from '../wire/answers/naive-neighbours.ts';
import {
  AGEING_SECONDS,
  datagram,
  destinationsOf,
  GROUP,
  NOW,
  newRig as newAnyRig,
  OTHER_PEER,
  PEER,
  SEGMENT as PLAIN_SEGMENT,
  TAP_MAC,
} from './ladder-rig.ts';
import {
  ANOTHER,
  ANSWERED,
  ARP_ANSWER,
  advertise,
  announce,
  ask,
  FLOODED,
  FRESH,
  ndAnswer,
  newRig,
  octets,
  SEGMENT,
  suppressed,
} from './suppression-rig.ts';

describe('T38: an ARP request for a known remote neighbour', () => {
  it('is answered into the TAP and not sent', () => {
    const rig = newRig();
    announce(rig);
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
    expect(rig.taps.delivered[0]).toMatchObject({ tap: SEGMENT.tap, vnetHeader: new Uint8Array(10) });
    expect(rig.drops()).toEqual(suppressed);
    // The announcement alone came from a VTEP.
    expect(rig.counters.passed.filter(({ bytes }) => bytes > 0)).toHaveLength(1);
  });

  it('is flooded where suppression is off', () => {
    const rig = newRig(PLAIN_SEGMENT);
    announce(rig);
    expect(ask(rig, naiveArp())).toEqual(FLOODED);
  });

  it.each<[string, ArpParts]>([
    ['a gratuitous request', {}],
    ['a request for somebody else', { targetIp: '192.0.2.77' }],
    ['a reply', { operation: REPLY, dst: HERE, targetMac: HERE, targetIp: HERE_IP }],
    ['a gratuitous reply', { operation: REPLY }],
  ])('is answered after %s', (_, parts) => {
    const rig = newRig();
    announce(rig, parts);
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
  });

  it.each<[string, ArpParts]>([
    ['a probe, which has no sender', { senderIp: '0.0.0.0' }],
    ['one in whose name another station spoke', { senderMac: ANOTHER }],
    ['one from a group', { senderIp: '224.0.0.9', targetIp: '224.0.0.9' }],
  ])('is flooded after nothing but %s', (_, parts) => {
    const rig = newRig();
    announce(rig, parts);
    expect(ask(rig, naiveArp({ targetIp: parts.senderIp ?? THERE_IP })).answers).toEqual([]);
  });

  it.each<[string, ArpParts]>([
    ['a unicast request', { dst: THERE }],
    ['a probe (RFC 5227)', { senderIp: '0.0.0.0' }],
    ['an announcement', { senderIp: THERE_IP }],
    ['a request in the name of another', { senderMac: ANOTHER }],
    ['a reply', { operation: REPLY }],
    ['a request for another', { targetIp: '192.0.2.3' }],
  ])('is the only one that is: %s goes out', (_, parts) => {
    const rig = newRig();
    announce(rig);
    const { answers, sent } = ask(rig, naiveArp(parts));
    expect([answers, sent.length]).toEqual([[], 1]);
    expect(rig.drops()).toEqual({});
  });

  it('with tags that are stripped is answered with them', () => {
    const rig = newRig({ ...SEGMENT, innerVlan: INNER_VLAN.strip });
    announce(rig);
    const tags = [0x88, 0xa8, 0, 7, 0x81, 0, 0, 5];
    const tagged = (frame: readonly number[]) => [...frame.slice(0, 12), ...tags, ...frame.slice(12)];
    const question = naiveArp({ src: HERE, senderIp: HERE_IP, targetIp: THERE_IP });
    expect(ask(rig, tagged(question))).toEqual({ answers: [tagged(ARP_ANSWER)], sent: [] });
    expect(ask(rig, question)).toEqual({ answers: [ARP_ANSWER], sent: [] });
  });

  it('with a tag is left alone', () => {
    const rig = newRig({ ...SEGMENT, innerVlan: INNER_VLAN.pass });
    announce(rig);
    expect(ask(rig, naiveArp({ tags: '8100 0005' }))).toEqual(FLOODED);
    const other = newRig({ ...SEGMENT, innerVlan: INNER_VLAN.pass });
    announce(other, { tags: '8100 0005' });
    expect(ask(other, naiveArp())).toEqual(FLOODED);
  });

  it(`is flooded once the neighbour was not heard for ${NEIGHBOUR_FRESH_SECONDS} s`, () => {
    const rig = newRig();
    announce(rig);
    // The MAC is heard all the time, the address is not.
    const alive = (now: number) => rig.hear(THERE.replaceAll(' ', ''), PEER, { now });
    alive(NOW + FRESH - 1);
    expect(ask(rig, naiveArp(), NOW + FRESH - 1)).toEqual(ANSWERED);
    alive(NOW + FRESH);
    expect(ask(rig, naiveArp(), NOW + FRESH)).toEqual(FLOODED);
  });

  it('is flooded once the MAC has aged', () => {
    const rig = newRig();
    announce(rig);
    expect(ask(rig, naiveArp(), NOW + 299)).toEqual(ANSWERED);
    expect(ask(rig, naiveArp(), NOW + 300)).toEqual(FLOODED);
  });

  it('is flooded once the MAC is behind the own TAP', () => {
    const rig = newRig();
    announce(rig);
    rig.send(octets(naiveArp({ src: THERE, senderIp: THERE_IP, targetIp: THERE_IP })));
    expect(ask(rig, naiveArp())).toEqual(FLOODED);
  });

  it('is answered with the new MAC when the address has moved, whoever says so', () => {
    const rig = newRig();
    announce(rig);
    announce(rig, { src: ANOTHER }, OTHER_PEER);
    expect(ask(rig, naiveArp()).answers[0]?.slice(6, 12)).toEqual([2, 0, 0, 0, 0, 3]);
    // To this side: then whoever has it answers himself.
    rig.send(octets(naiveArp({ src: '02 00 00 00 00 04', senderIp: THERE_IP, targetIp: THERE_IP })));
    expect(ask(rig, naiveArp())).toEqual(FLOODED);
  });

  it('is still answered when its MAC moves from VTEP to VTEP', () => {
    const rig = newRig();
    announce(rig);
    announce(rig, {}, OTHER_PEER);
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
  });

  it('in another segment is flooded', () => {
    const other = { ...SEGMENT, index: 4, vni: SEGMENT.vni + 1, tap: 8 };
    const rig = newAnyRig([SEGMENT, other]);
    announce(rig);
    rig.hear(THERE.replaceAll(' ', ''), PEER, { vni: other.vni });
    rig.send(octets(naiveArp()), { tap: other.tap });
    expect(destinationsOf(rig)).toEqual([GROUP]);
  });

  it('teaches nothing when it is answered, and who it is from when it is flooded', () => {
    const rig = newRig();
    announce(rig);
    const before = rig.fdb.count;
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
    expect(rig.fdb.count).toBe(before);
    expect(ask(rig, naiveArp({ targetIp: '192.0.2.99' }))).toEqual(FLOODED);
    expect(rig.fdb.count).toBe(before + 1);
  });

  it('teaches who it is from if a control plane announces it, whether it is answered or flooded', () => {
    const rig = newRig();
    new ToldNeighbours(rig.neighboursMemory, 1).listenTo(SEGMENT.index);
    announce(rig);
    const [asker, another] = [HERE, ANOTHER].map((mac) => mac.replaceAll(' ', '')) as [string, string];
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
    expect(rig.whereIs(asker)).toBe(LOCAL);
    expect(ask(rig, naiveArp({ src: ANOTHER, senderIp: '192.0.2.3', targetIp: '192.0.2.99' }))).toEqual(FLOODED);
    expect(rig.whereIs(another)).toBe(LOCAL);
  });

  it('keeps its station known though all its questions are answered, if a control plane announces it', () => {
    const rig = newRig();
    new ToldNeighbours(rig.neighboursMemory, 1).listenTo(SEGMENT.index);
    const halfAge = (AGEING_SECONDS * 10) / 2;
    for (const now of [NOW, NOW + halfAge, NOW + 2 * halfAge]) {
      announce(rig, {}, PEER, now);
      expect(ask(rig, naiveArp(), now)).toEqual(ANSWERED);
    }
    expect(rig.whereIs(HERE.replaceAll(' ', ''), { now: NOW + 2 * halfAge })).toBe(LOCAL);
  });

  it('is not answered where the frame is dropped for a reason that comes before', () => {
    const rig = newRig();
    announce(rig);
    for (const parts of [{ dst: '01 80 c2 00 00 0e' }, { tags: '8100 0005' }]) {
      expect(ask(rig, naiveArp(parts))).toEqual({ answers: [], sent: [] });
    }
    expect(rig.drops()).toEqual({ [`${SEGMENT.index} tx link-local`]: 1, [`${SEGMENT.index} tx inner-vlan`]: 1 });
  });

  it('is answered although nobody could be flooded', () => {
    const rig = newRig({ ...SEGMENT, group: -1 });
    announce(rig);
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
  });
});

it('a frame that is dropped teaches no neighbour', () => {
  const rig = newRig();
  announce(rig, { src: TAP_MAC });
  expect(rig.drops()).toEqual({ [`${SEGMENT.index} rx own-mac`]: 1 });
  rig.hear(TAP_MAC, PEER);
  expect(ask(rig, naiveArp()).sent).toEqual([GROUP]);
});

it('T38: a station that takes over many addresses in one train of announcements is heard with all of them', () => {
  const rig = newRig();
  const addresses = Array.from({ length: 8 }, (_, i) => `192.0.2.${10 + i}`);
  for (const address of addresses) announce(rig, { src: ANOTHER, senderIp: address, targetIp: address });
  const train = addresses.map((address) =>
    datagram(octets(naiveArp({ src: THERE, senderIp: address, targetIp: address }))),
  );
  rig.receive(Buffer.concat(train), { segmentBytes: train[0]?.length ?? 0 });
  for (const address of addresses) {
    expect(ask(rig, naiveArp({ targetIp: address })).answers[0]?.slice(6, 12)).toEqual([2, 0, 0, 0, 0, 2]);
  }
});

describe('T38: a neighbour solicitation for a known remote neighbour', () => {
  it.each([
    ['a host', OVERRIDE, SOLICITED | OVERRIDE],
    ['a router', OVERRIDE | ROUTER, SOLICITED | OVERRIDE | ROUTER],
  ])('is answered for %s', (_, flags, answered) => {
    const rig = newRig();
    advertise(rig, { flags });
    expect(ask(rig, naiveNd())).toEqual({ answers: [ndAnswer(answered)], sent: [] });
    expect(rig.drops()).toEqual(suppressed);
  });

  it('is answered after a solicited advertisement to one station', () => {
    const rig = newRig();
    advertise(rig, { dst: HERE, receiver: HERE_IP6, flags: SOLICITED | OVERRIDE });
    expect(ask(rig, naiveNd())).toEqual({ answers: [ndAnswer(SOLICITED | OVERRIDE)], sent: [] });
  });

  it.each<[string, NdParts]>([
    ['of an anycast address or a proxy', { flags: SOLICITED }],
    ['without a MAC', { options: '' }],
    ['with the MAC of another', { options: `02 01 ${ANOTHER}` }],
    ['that a router has forwarded', { hopLimit: 254 }],
    ['that was damaged', { checksumError: 1 }],
  ])('is flooded after an advertisement %s', (_, parts) => {
    const rig = newRig();
    advertise(rig, parts);
    expect(ask(rig, naiveNd())).toEqual(FLOODED);
  });

  it('is flooded until an advertisement has told whether the neighbour is a router', () => {
    const rig = newRig();
    const question = { src: THERE, sender: THERE_IP6, target: '20010db8 00000000 00000000 00000055' };
    rig.receive(datagram(octets(naiveNd(question))));
    expect(ask(rig, naiveNd())).toEqual(FLOODED);
    advertise(rig, { flags: OVERRIDE | ROUTER });
    // From now on its own questions keep it fresh.
    rig.receive(datagram(octets(naiveNd(question))), { now: NOW + 200 });
    rig.receive(datagram(octets(naiveNd(question))), { now: NOW + FRESH + 100 });
    const { answers } = ask(rig, naiveNd(), NOW + FRESH + 150);
    expect(answers).toEqual([ndAnswer(SOLICITED | OVERRIDE | ROUTER)]);
  });

  it.each<[string, NdParts]>([
    ['a probe of reachability (RFC 4861 §7.3)', { dst: THERE, receiver: THERE_IP6 }],
    ['duplicate address detection (RFC 4862 §5.4)', { sender: UNSPECIFIED, options: '' }],
    ['a question of who does not say his MAC', { options: '' }],
    ['a question with the MAC of another', { options: `01 01 ${ANOTHER}` }],
    ['a question for oneself', { sender: THERE_IP6 }],
    ['a question for another', { target: '20010db8 00000000 00000000 00000003' }],
  ])('is the only one that is: %s goes out', (_, parts) => {
    const rig = newRig();
    advertise(rig);
    const { answers, sent } = ask(rig, naiveNd(parts));
    expect([answers, sent.length]).toEqual([[], 1]);
  });

  it('is flooded once the neighbour is not fresh, or behind the own TAP', () => {
    const rig = newRig();
    advertise(rig);
    rig.hear(THERE.replaceAll(' ', ''), PEER, { now: NOW + FRESH });
    expect(ask(rig, naiveNd(), NOW + FRESH)).toEqual(FLOODED);
    advertise(rig, {}, PEER, NOW + FRESH);
    rig.send(octets(naiveAdvertisement()), { now: NOW + FRESH });
    expect(ask(rig, naiveNd(), NOW + FRESH)).toEqual(FLOODED);
  });
});

describe('what a station behind the own TAP says of itself', () => {
  const NEW = '02 00 00 00 03 02';
  const VIRTUAL = '00 00 5e 00 01 07';
  const MINE = { src: NEW, senderIp: THERE_IP };
  const MINE6 = { src: NEW, sender: THERE_IP6, target: HERE_IP6 };

  it.each<[string, ArpParts]>([
    ['asks for another', { ...MINE, targetIp: HERE_IP }],
    ['asks one station', { ...MINE, dst: HERE, targetIp: HERE_IP }],
    ['announces it', { ...MINE, targetIp: THERE_IP }],
    ['announces it by a reply', { ...MINE, operation: REPLY, targetIp: THERE_IP }],
    ['answers one station', { ...MINE, operation: REPLY, dst: HERE, targetMac: HERE, targetIp: HERE_IP }],
    ['probes it', { src: NEW, senderIp: '0.0.0.0', targetIp: THERE_IP }],
    ['has a virtual MAC for it (VRRP, CARP)', { ...MINE, senderMac: VIRTUAL, targetIp: THERE_IP }],
    ['answers as a proxy', { ...MINE, operation: REPLY, senderMac: VIRTUAL, dst: HERE, targetIp: HERE_IP }],
    ['came here with its MAC', { src: THERE, senderIp: THERE_IP, targetIp: HERE_IP }],
  ])('ends the answers for its address: one that %s', (_what, claim) => {
    const rig = newRig();
    announce(rig);
    announce(rig, { src: ANOTHER, senderIp: HERE_IP, targetIp: HERE_IP }, OTHER_PEER);
    expect(ask(rig, naiveArp({ src: '02 00 00 00 00 09', senderIp: '192.0.2.9' }))).toEqual({
      ...ANSWERED,
      answers: [expect.anything()],
    });
    rig.send(octets(naiveArp(claim)));
    expect(ask(rig, naiveArp({ src: '02 00 00 00 00 09', senderIp: '192.0.2.9' }))).toEqual(FLOODED);
  });

  it.each<[string, NdParts]>([
    ['asks for another', MINE6],
    ['asks without its MAC', { ...MINE6, options: '' }],
    ['looks whether somebody has it (DAD)', { src: NEW, sender: UNSPECIFIED, options: '' }],
    ['advertises it', { ...MINE6, type: 136, target: THERE_IP6, flags: OVERRIDE }],
    ['advertises it as a proxy, without override', { ...MINE6, type: 136, target: THERE_IP6, sender: HERE_IP6 }],
    [
      'answers one station',
      { ...MINE6, type: 136, dst: HERE, receiver: HERE_IP6, target: THERE_IP6, flags: SOLICITED },
    ],
  ])('over IPv6 too: one that %s', (_what, claim) => {
    const rig = newRig();
    advertise(rig);
    expect(ask(rig, naiveNd()).sent).toEqual([]);
    rig.send(octets(naiveNd(claim)));
    expect(ask(rig, naiveNd())).toEqual(FLOODED);
  });

  it('is flooded when something else was known, so that the others hear it, and answered afterwards', () => {
    const rig = newRig();
    announce(rig);
    announce(rig, { src: ANOTHER, senderIp: '192.0.2.254', targetIp: '192.0.2.254' }, OTHER_PEER);
    const question = naiveArp({ ...MINE, targetIp: '192.0.2.254' });
    expect(ask(rig, question)).toEqual(FLOODED);
    expect(ask(rig, question)).toEqual({ answers: [expect.anything()], sent: [] });
    expect(ask(rig, naiveArp({ targetIp: THERE_IP })).answers).toEqual([]);
  });

  it('teaches where its MAC is, though all it sends are questions that could be answered', () => {
    const rig = newRig();
    announce(rig);
    announce(rig, { src: ANOTHER, senderIp: '192.0.2.254', targetIp: '192.0.2.254' }, OTHER_PEER);
    const question = naiveArp({ src: THERE, senderIp: '192.0.2.8', targetIp: '192.0.2.254' });
    expect(ask(rig, question)).toEqual(FLOODED);
    expect(rig.whereIs('020000000002')).toBe(LOCAL);
  });

  it.each<[string, Partial<Segment>]>([
    ['floods nothing', { flood: FLOOD.none }],
    ['has no room in its storm control', { stormPps: 1 }],
  ])('counts also where the VNI %s', (_what, differs) => {
    const rig = newRig({ ...SEGMENT, ...differs });
    announce(rig);
    if (differs.stormPps) for (let i = 0; i < 3; i++) rig.send(octets(naiveArp({ targetIp: '192.0.2.77' })));
    rig.send(octets(naiveArp({ ...MINE, targetIp: THERE_IP })));
    expect(ask(rig, naiveArp()).answers).toEqual([]);
  });

  it('leaves what is said of others, and of the same address in another VNI', () => {
    const other: Segment = { ...SEGMENT, index: 4, vni: 77, tap: 8 };
    const rig = newAnyRig([SEGMENT, other]);
    announce(rig);
    rig.send(octets(naiveArp({ ...MINE, targetIp: HERE_IP })), { tap: other.tap });
    rig.send(octets(naiveArp({ src: NEW, senderIp: '192.0.2.5', targetIp: '192.0.2.5' })));
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
  });

  it('is overruled by a VTEP that says it later', () => {
    const rig = newRig();
    announce(rig);
    rig.send(octets(naiveArp({ ...MINE, targetIp: THERE_IP })));
    announce(rig, {}, OTHER_PEER);
    expect(ask(rig, naiveArp())).toEqual(ANSWERED);
  });
});
