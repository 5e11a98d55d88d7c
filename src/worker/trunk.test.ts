/** One TAP for many segments, by 802.1Q tags: the ladders, super-frames and merged runs of a trunk. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UNKNOWN } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { NO_SEGMENT } from '../forward/counters.ts';
import { naiveFrame, naiveSegments, type Packet, scrambled, TCP, UDP, vnetHeader } from '../offload/naive-frames.ts';
import { OffloadSwitch } from '../offload/offload-switch.ts';
import { INNER_VLAN, type Segment, UNTAGGED } from '../segment/segment.ts';
import { naiveArp, THERE, THERE_IP } from '../wire/answers/naive-neighbours.ts';
import { datagram, frame, newRig, PEER, SEGMENT, STATION, TAP_MAC } from './ladder-rig.ts';

const TRUNK = 16_384;
const TEN: Segment = { ...SEGMENT, index: 1, vni: 1_010, tap: TRUNK, vlan: 10 };
const TWENTY: Segment = { ...SEGMENT, index: 2, vni: 1_020, tap: TRUNK, vlan: 20 };
const PLAIN: Segment = { ...SEGMENT, index: 4, vni: 1_000, tap: TRUNK, vlan: UNTAGGED };
const VLANS = [TEN, TWENTY, PLAIN];

const tag = (vlan: number, priority = 0) => `8100${(priority * 8_192 + vlan).toString(16).padStart(4, '0')}`;
const tagOctets = (vlan: number) => [0x81, 0, vlan >> 8, vlan & 255];

const newTrunk = (segments: readonly Segment[] = VLANS, isMerging = false) =>
  newRig(segments, isMerging ? { merging: new OffloadSwitch(true, () => {}) } : {});

type Rig = ReturnType<typeof newRig>;
const sentBy = ({ underlay }: Rig) => underlay.sent.map(({ payload }) => payload);
const delivered = ({ taps }: Rig) => taps.delivered.map((each) => Buffer.from(each.frame).toString('hex'));
const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');

describe('from the trunk', () => {
  it.each([
    ['VLAN 10', tag(10), TEN, ''],
    ['VLAN 20 with a priority', tag(20, 7), TWENTY, ''],
    ['no tag', '', PLAIN, ''],
    ['a tag that gives a priority alone', tag(0, 5), PLAIN, ''],
    ['VLAN 10 and a priority inside', tag(10) + tag(0, 3), TEN, tag(0, 3)],
  ])('%s picks the segment, and the tag stays behind', (_what, tags, segment, inner) => {
    const rig = newTrunk();
    rig.send(frame({ tags }), { tap: TRUNK });
    expect(sentBy(rig)).toEqual([new Uint8Array(datagram(frame({ tags: inner }), { vni: segment.vni }))]);
    expect(VLANS.map(({ index }) => rig.whereIs(STATION, { segment: index }))).toEqual(
      VLANS.map((each) => (each === segment ? LOCAL : UNKNOWN)),
    );
    expect(rig.drops()).toEqual({});
  });

  it.each([
    ['a VLAN that no VNI is', tag(11), 'unknown-vlan'],
    ['the VLAN id that is none', tag(4_095), 'unknown-vlan'],
    ['a VLAN that no VNI is, from a group', tag(11), 'bad-source-mac', '01005e000001'],
  ])('%s goes nowhere', (_what, tags, reason, src = STATION) => {
    const rig = newTrunk();
    rig.send(frame({ tags, src }), { tap: TRUNK });
    expect([sentBy(rig), rig.drops()]).toEqual([[], { [`${NO_SEGMENT} tx ${reason}`]: 1 }]);
  });

  it.each([
    ['no tag', ''],
    ['a priority tag', tag(0, 1)],
    ['a service tag', '88a8000a'],
  ])('%s goes nowhere where no VNI is untagged', (_what, tags) => {
    const rig = newTrunk([TEN]);
    rig.send(frame({ tags }), { tap: TRUNK });
    rig.send(frame({ tags }).subarray(0, 13), { tap: TRUNK });
    expect(rig.drops()).toEqual({ [`${NO_SEGMENT} tx unknown-vlan`]: 1, [`${NO_SEGMENT} tx short`]: 1 });
  });

  it('a frame to a station of another VLAN is flooded in its own: MACs are of one VLAN each', () => {
    const rig = newTrunk();
    rig.send(frame({ tags: tag(10), src: '020000000002', dst: 'ffffffffffff' }), { tap: TRUNK });
    rig.send(frame({ tags: tag(10) }), { tap: TRUNK });
    rig.send(frame({ tags: tag(20) }), { tap: TRUNK });
    expect(rig.drops()).toEqual({ [`${TEN.index} tx local`]: 1 });
    expect(sentBy(rig).at(-1)).toEqual(new Uint8Array(datagram(frame(), { vni: TWENTY.vni })));
  });

  it('a frame may be as long inside as untagged', () => {
    const rig = newTrunk([{ ...TEN, maxFrameBytes: frame().length }]);
    rig.send(frame({ tags: tag(10) }), { tap: TRUNK });
    rig.send(Buffer.concat([frame({ tags: tag(10) }), Buffer.alloc(1)]), { tap: TRUNK });
    expect([sentBy(rig).length, rig.drops()]).toEqual([1, { [`${TEN.index} tx oversize`]: 1 }]);
  });

  it('flows leave by the ports that they have without a tag', () => {
    const { octets } = naiveFrame({ version: 4, protocol: UDP, payload: [1], tags: tagOctets(10) });
    const plain = naiveFrame({ version: 4, protocol: UDP, payload: [1] }).octets;
    const rig = newTrunk();
    rig.send(Uint8Array.from(octets), { tap: TRUNK });
    rig.send(Uint8Array.from(plain), { tap: TRUNK });
    expect(rig.underlay.sent[0]?.flow).toBe(rig.underlay.sent[1]?.flow);
  });

  it.each([
    ['drop', INNER_VLAN.drop, undefined],
    ['strip', INNER_VLAN.strip, ''],
    ['pass', INNER_VLAN.pass, tag(7)],
  ])('T32: a second tag is an inner one, with inner-vlan=%s', (_name, innerVlan, left) => {
    const rig = newTrunk([{ ...TEN, innerVlan }]);
    rig.send(frame({ tags: tag(10) + tag(7) }), { tap: TRUNK });
    const sent = left === undefined ? [] : [new Uint8Array(datagram(frame({ tags: left }), { vni: TEN.vni }))];
    expect(sentBy(rig)).toEqual(sent);
    expect(rig.drops()).toEqual(left === undefined ? { [`${TEN.index} tx inner-vlan`]: 1 } : {});
  });

  it('T32: a tag behind a priority tag is an inner one of the untagged VNI', () => {
    const rig = newTrunk();
    rig.send(frame({ tags: tag(0, 1) + tag(10) }), { tap: TRUNK });
    expect([sentBy(rig), rig.drops()]).toEqual([[], { [`${PLAIN.index} tx inner-vlan`]: 1 }]);
  });

  it.each<[string, Partial<Packet>]>([
    ['TCP over IPv4', {}],
    ['TCP over IPv6', { version: 6 }],
    ['UDP over IPv4', { protocol: UDP }],
    ['UDP over IPv6', { version: 6, protocol: UDP }],
  ])('an unfinished checksum is finished: %s', (_what, packet) => {
    const whole = { version: 4, protocol: TCP, payload: scrambled(100), ...packet } as const;
    const partial = naiveFrame({ ...whole, checksum: 'partial', tags: tagOctets(10) });
    const header = vnetHeader(0, { start: partial.transportAt, protocol: whole.protocol, segmentBytes: 0 });
    const rig = newTrunk();
    rig.send(Uint8Array.from(partial.octets), { tap: TRUNK, vnetHeader: Uint8Array.from(header) });
    const finished = Uint8Array.from(naiveFrame(whole).octets);
    expect(sentBy(rig)).toEqual([new Uint8Array(datagram(finished, { vni: TEN.vni }))]);
  });

  describe.each<[string, number[], Partial<Segment>]>([
    ['', [], {}],
    [' and a tag inside that passes', [0x81, 0, 0, 7], { innerVlan: INNER_VLAN.pass }],
  ])('a super-frame with its tag%s', (_tags, innerTags, differs) => {
    it.each<[string, Partial<Packet>]>([
      ['TCP over IPv4', {}],
      ['TCP over IPv6', { version: 6 }],
      ['UDP over IPv4', { protocol: UDP }],
      ['UDP over IPv6', { version: 6, protocol: UDP }],
      ['IPv6 with extension headers', { version: 6, extensionUnits: 2 }],
    ])('is cut into untagged frames: %s', (_what, packet) => {
      const inner: Packet = {
        ...{ version: 4, protocol: TCP, payload: scrambled(5_000), tags: innerTags },
        ...packet,
        checksum: 'partial',
      };
      const { version, protocol } = inner;
      const tagged = naiveFrame({ ...inner, tags: [...tagOctets(10), ...innerTags] });
      const [segmentBytes, gsoType] = [1_200, protocol === UDP ? 5 : version === 4 ? 1 : 4];
      const header = vnetHeader(gsoType, { start: tagged.transportAt, protocol, segmentBytes });
      const rig = newTrunk([{ ...TEN, ...differs }]);
      rig.send(Uint8Array.from(tagged.octets), { tap: TRUNK, vnetHeader: Uint8Array.from(header) });
      const whole = naiveFrame(inner);
      const segments = naiveSegments(whole.octets, { start: whole.transportAt, protocol, segmentBytes });
      const datagrams = segments.map((octets) => new Uint8Array(datagram(Uint8Array.from(octets), { vni: TEN.vni })));
      expect(sentBy(rig)).toEqual(datagrams);
    });
  });
});

describe('to the trunk', () => {
  it.each([
    ['VLAN 10', TEN, tag(10)],
    ['VLAN 20', TWENTY, tag(20)],
    ['untagged', PLAIN, ''],
  ])('a frame gets its tag: %s', (_what, segment, tags) => {
    const rig = newTrunk();
    rig.receive(datagram(frame(), { vni: segment.vni }));
    expect(delivered(rig)).toEqual([hex(frame({ tags }))]);
    expect(rig.taps.delivered[0]).toMatchObject({ tap: TRUNK, vnetHeader: new Uint8Array(10) });
    // The tag is not of the inner frame.
    expect(rig.counters.passed).toEqual([{ segment: segment.index, bytes: frame().length, packets: 1 }]);
    expect(rig.whereIs(STATION, { segment: segment.index })).toBe(PEER);
  });

  it.each([
    ['drop', INNER_VLAN.drop, undefined],
    ['strip', INNER_VLAN.strip, tag(10)],
    ['pass', INNER_VLAN.pass, tag(10) + tag(7)],
  ])('T32: a tag inside is none of the trunk’s, with inner-vlan=%s', (_name, innerVlan, tags) => {
    const rig = newTrunk([{ ...TEN, innerVlan }]);
    rig.receive(datagram(frame({ tags: tag(7) }), { vni: TEN.vni }));
    expect(delivered(rig)).toEqual(tags === undefined ? [] : [hex(frame({ tags }))]);
  });

  it('a frame that claims the trunk’s MAC is an echo, in each VLAN', () => {
    const rig = newTrunk();
    for (const { vni } of VLANS) rig.receive(datagram(frame({ src: TAP_MAC }), { vni }));
    expect(rig.drops()).toEqual(Object.fromEntries(VLANS.map(({ index }) => [`${index} rx own-mac`, 1])));
  });

  it.each<[string, Partial<Packet>, number[]]>([
    ['TCP over IPv4', {}, [1, 1, 58, 0, 100, 0, 38, 0, 16, 0]],
    ['TCP over IPv6', { version: 6 }, [1, 4, 78, 0, 100, 0, 58, 0, 16, 0]],
    ['UDP over IPv4', { protocol: UDP }, [1, 5, 46, 0, 100, 0, 38, 0, 6, 0]],
  ])('a train is merged behind one tag: %s', (_what, packet, header) => {
    const parts = (i: number) => ({ payload: scrambled(100, i), sequence: i * 100, id: i });
    const nth = (i: number, tags: number[] = []) =>
      naiveFrame({ version: 4, protocol: TCP, ...parts(i), ...packet, tags }).octets;
    const datagrams = [0, 1, 2, 3, 4].map((i) => datagram(Uint8Array.from(nth(i)), { vni: TEN.vni }));
    const rig = newTrunk(VLANS, true);
    rig.receive(Buffer.concat(datagrams), { segmentBytes: datagrams[0]?.length ?? 0 });
    expect(rig.taps.delivered.map((each) => [...each.vnetHeader])).toEqual([header]);
    const { protocol = TCP } = packet;
    const [written] = rig.taps.delivered;
    const cut = naiveSegments([...(written?.frame ?? [])], { start: header[6] as number, protocol, segmentBytes: 100 });
    expect(cut).toEqual([0, 1, 2, 3, 4].map((i) => nth(i, tagOctets(10))));
    expect([rig.counters.packets(), rig.counters.bytes()]).toEqual([5, 5 * nth(0).length]);
  });

  it('a super-datagram of a kernel peer is described from its tag on', () => {
    const partial = { version: 4, protocol: TCP, payload: scrambled(5_000), checksum: 'partial' } as const;
    const { octets } = naiveFrame(partial);
    const rig = newTrunk();
    rig.receive(datagram(Uint8Array.from(octets), { vni: TEN.vni }));
    const mss = SEGMENT.tapMtuBytes - 40;
    expect([...(rig.taps.delivered[0]?.vnetHeader ?? [])]).toEqual([1, 1, 58, 0, mss & 255, mss >> 8, 38, 0, 16, 0]);
    expect([...(rig.taps.delivered[0]?.frame ?? [])]).toEqual(naiveFrame({ ...partial, tags: tagOctets(10) }).octets);
  });

  it('each frame of a train gets the tag of its VNI', () => {
    const trains = fc.record({
      segment: fc.constantFrom(...VLANS),
      dsts: fc.array(fc.constantFrom('02', '04'), { minLength: 2, maxLength: 12, size: 'max' }),
    });
    fc.assert(
      fc.property(trains, fc.boolean(), ({ segment, dsts }, isMerging) => {
        const rig = newTrunk(VLANS, isMerging);
        const datagrams = dsts.map((dst) => datagram(frame({ dst: `${dst}0000000009` }), { vni: segment.vni }));
        rig.receive(Buffer.concat(datagrams), { segmentBytes: datagrams[0]?.length ?? 0 });
        const tags = ({ vlan }: Segment) => (vlan === UNTAGGED ? '' : tag(vlan));
        expect(delivered(rig)).toEqual(dsts.map((dst) => hex(frame({ dst: `${dst}0000000009`, tags: tags(segment) }))));
      }),
    );
  });

  it('a datagram is compared with the header of the first, not with what the tag has made of it', () => {
    // The tag moved the MACs over the VNI: read eight octets early, the first frame says what the second datagram's header does.
    const [dst, src] = ['0003fc000200', '020000000200'];
    const first = datagram(frame({ dst, src }), { vni: TEN.vni });
    const second = datagram(frame({ dst: '020002000000', src: `02008100000a` }), { vni: TWENTY.vni });
    expect(second.readUInt32BE(4).toString(16).padStart(8, '0')).toBe(dst.slice(0, 8));
    const rig = newTrunk();
    rig.receive(Buffer.concat([first, second, first]), { segmentBytes: first.length });
    const frames = Array(2).fill(hex(frame({ dst, src, tags: tag(10) })));
    expect([delivered(rig), rig.drops()]).toEqual([frames, { [`${NO_SEGMENT} rx short-inner`]: 1 }]);
  });
});

it('beside a trunk, a TAP of its own keeps what tags it is given', () => {
  const rig = newTrunk([...VLANS, { ...SEGMENT, innerVlan: INNER_VLAN.pass }]);
  rig.send(frame({ tags: tag(10) }));
  rig.receive(datagram(frame({ tags: tag(20) })));
  expect(sentBy(rig)).toEqual([new Uint8Array(datagram(frame({ tags: tag(10) })))]);
  expect(rig.taps.delivered).toMatchObject([{ tap: SEGMENT.tap }]);
  expect(delivered(rig)).toEqual([hex(frame({ tags: tag(20) }))]);
});

describe('what the VTEP itself says on the trunk', () => {
  it('too large: the answer is in the VLAN that it came from', () => {
    const rig = newTrunk();
    const { octets } = naiveFrame({ version: 4, protocol: TCP, payload: scrambled(1_600) });
    const tagged = [...octets.slice(0, 12), ...tagOctets(20), ...octets.slice(12)];
    rig.send(Uint8Array.from(tagged), { tap: TRUNK });
    const [answer] = rig.taps.delivered;
    expect([rig.taps.delivered.length, answer?.tap]).toEqual([1, TRUNK]);
    expect([...(answer?.frame ?? [])].slice(0, 18)).toEqual([
      ...octets.slice(6, 12),
      ...octets.slice(0, 6),
      ...tagOctets(20),
      ...[0x08, 0x00],
    ]);
    rig.send(Uint8Array.from(octets), { tap: TRUNK });
    expect([...(rig.taps.delivered[1]?.frame ?? [])].slice(12, 14)).toEqual([0x08, 0x00]);
  });

  it('for a neighbour: the answer is in the VLAN of the question, and a neighbour of that VLAN', () => {
    const rig = newTrunk(VLANS.map((each) => ({ ...each, suppress: true })));
    const announcement = naiveArp({ src: THERE, senderIp: THERE_IP, targetIp: THERE_IP });
    rig.receive(datagram(Uint8Array.from(announcement), { vni: TEN.vni }), { source: PEER });
    rig.taps.delivered.length = 0;
    const question = naiveArp({});
    const ask = (vlan: number) =>
      rig.send(Uint8Array.from([...question.slice(0, 12), ...tagOctets(vlan), ...question.slice(12)]), { tap: TRUNK });
    ask(20);
    expect(rig.taps.delivered).toEqual([]);
    for (let round = 0; round < 2; round++) ask(10);
    expect(rig.taps.delivered.length).toBe(2);
    for (const { tap, frame: answer } of rig.taps.delivered) {
      expect([tap, [...answer].slice(12, 18)]).toEqual([TRUNK, [...tagOctets(10), 0x08, 0x06]]);
    }
    expect(rig.drops()).toEqual({ [`${TEN.index} tx suppressed`]: 2 });
  });
});
