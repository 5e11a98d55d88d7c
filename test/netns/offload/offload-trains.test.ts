/**
 * Each datagram of a train is judged by itself, and a train that is not what it seems leaks nothing between VNIs.
 *
 *     vxlan100 (drop)  ─┐
 *     vxlan200 (pass)  ─┼─ host 1  198.18.0.1 ───┐
 *     vxlan300 (strip) ─┘  vtepd                 │
 *                          host 2  198.18.0.2 ───┘   crafted datagrams, in trains
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { type DropCounters, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { risen } from '../../support/lab/net-counters.ts';
import { BROADCAST, vxlan } from '../../support/traffic/frames.ts';
import { type Link, udpFrame } from '../../support/traffic/inner-frames.ts';
import { mergesFrames, OFFLOAD_LABS, offloadFlags } from '../../support/traffic/offload-modes.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { fence, inVni, passTrains, placesOf, range, sendTrains } from '../../support/traffic/trains.ts';

const COUNT = 40;
const FRAME_BYTES = 400;
const LINK: Link = { dstMac: '02:00:00:00:00:66', srcMac: '02:00:00:00:00:77', src: '192.0.2.77', dst: '192.0.2.66' };

/** A good frame, `text` and number all over it. */
function good(number: number, link: Partial<Link> = {}, text = 'frame'): Buffer {
  const ports = { sourcePort: 40_000, destinationPort: 7 };
  const build = (payload: Buffer) => udpFrame({ ...LINK, ...link }, { ...ports, payload }, { identification: number });
  return build(Buffer.alloc(FRAME_BYTES - build(Buffer.alloc(0)).length, `${text} ${number} `));
}

/** A frame whose IPv4 packet claims to be longer than the frame, by so much. */
function claimsMore(number: number, { by, text = 'liar' }: { by: number; text?: string }): Buffer {
  const bytes = good(number, {}, text);
  bytes.writeUInt16BE(bytes.readUInt16BE(16) + by, 16);
  return bytes;
}

interface Fault {
  readonly reason: string;
  readonly datagram: (number: number) => Buffer;
}

const FAULTS: readonly Fault[] = [
  { reason: 'no-i-flag', datagram: (i) => vxlan({ vni: 100, flags: 0, inner: good(i) }) },
  { reason: 'unknown-vni', datagram: (i) => vxlan({ vni: 101, inner: good(i) }) },
  { reason: 'bad-source-mac', datagram: (i) => vxlan({ vni: 100, inner: good(i, { srcMac: '03:00:00:00:00:77' }) }) },
  { reason: 'bad-source-mac', datagram: (i) => vxlan({ vni: 100, inner: good(i, { srcMac: '00:00:00:00:00:00' }) }) },
  { reason: 'bad-source-mac', datagram: (i) => vxlan({ vni: 100, inner: good(i, { srcMac: BROADCAST }) }) },
  { reason: 'link-local', datagram: (i) => vxlan({ vni: 100, inner: good(i, { dstMac: '01:80:c2:00:00:0e' }) }) },
  { reason: 'inner-vlan', datagram: (i) => vxlan({ vni: 100, inner: good(i, { tags: [[0x8100, 7]] }) }) },
];

const PLACES = [
  { place: 'first', wrong: [0] },
  { place: 'second', wrong: [1] },
  { place: 'middle', wrong: [17] },
  { place: 'last', wrong: [COUNT - 1] },
  { place: 'several', wrong: [0, 3, 4, 5, 20, COUNT - 1] },
  { place: 'all', wrong: range(COUNT) },
];

const ALL_CASES = FAULTS.flatMap((fault, i) =>
  PLACES.map((place) => ({ title: `${i + 1} ${fault.reason}`, ...fault, ...place })),
);
/** A first datagram of another VNI costs those behind it, once: see below. */
const isMixed = ({ reason, place }: { reason: string; place: string }) =>
  reason === 'unknown-vni' && ['first', 'several'].includes(place);
const CASES = ALL_CASES.filter((each) => !isMixed(each));
const MIXED_CASES = ALL_CASES.filter(isMixed);

describeSystem.each(OFFLOAD_LABS)('trains: offload $offload, $wire wire', ({ offload, wire }) => {
  const lab = useLab({ hosts: 2, wire });
  const [one, two] = [lab.host(1), lab.host(2)];
  /** Whether a train surely reaches vtepd as one message. */
  const arrivesWhole = mergesFrames(offload) && wire === 'offloading';
  let started: VtepdVtep | undefined;

  beforeAll(async () => {
    const segments = [
      { vni: 100, group: '239.1.1.1' },
      { vni: 200, group: '239.1.1.2', keys: ['inner-vlan=pass'] },
      { vni: 300, group: '239.1.1.3', keys: ['inner-vlan=strip'] },
    ];
    started = await startVtepdVtep(one, { segments, flags: offloadFlags(offload) });
  }, 60_000);

  function vtep(): VtepdVtep {
    if (!started) throw new Error('not started');
    return started;
  }

  function way(tap = one.packetSocket('vxlan100', { vnetHeader: true })) {
    return { sender: two.udpSocket({ address: two.address }), to: one.address, tap, fenceVni: 100 };
  }

  /** Sends datagrams of any VNI; the frames that came out of each TAP, by their places in `frames`. */
  async function placesByTap(datagrams: readonly Buffer[], frames: readonly Buffer[]) {
    const [first, ...others] = [100, 200, 300].map((vni) => one.packetSocket(`vxlan${vni}`, { vnetHeader: true }));
    const inFirst = placesOf(await passTrains(way(first), datagrams), frames);
    return [inFirst, ...others.map((tap) => placesOf(tap.drain(), frames))];
  }

  async function dropsWhile<T>(work: () => Promise<T>): Promise<{ result: T; rx: Record<string, number> }> {
    const drops = async () => (await vtep().daemon.get<DropCounters>('/v1/drops')).rx;
    const before = await drops();
    const result = await work();
    return { result, rx: risen(before, await drops()) };
  }

  async function losesItself({ reason, datagram, wrong }: (typeof ALL_CASES)[number]): Promise<void> {
    const frames = range(COUNT).map((i) => good(i));
    // Of one length, else the kernel would not put them together.
    const datagrams = frames.map((inner, i) => (wrong.includes(i) ? datagram(i) : vxlan({ vni: 100, inner })));
    const { result, rx } = await dropsWhile(() => placesByTap(datagrams, frames));
    const right = range(COUNT).filter((i) => !wrong.includes(i));
    expect({ taps: result, rx }).toEqual({ taps: [right, [], []], rx: { [reason]: wrong.length } });
  }

  test.each(CASES)('$title, $place: dropped and counted, the others delivered', losesItself);

  test('every fault once in one train', async () => {
    const frames = range(COUNT).map((i) => good(i));
    const datagrams = frames.map((inner, i) => FAULTS[i - 10]?.datagram(i) ?? vxlan({ vni: 100, inner }));
    const before = await vtep().drops();
    const result = await placesByTap(datagrams, frames);
    const right = range(COUNT).filter((i) => i < 10 || i >= 10 + FAULTS.length);
    expect(result).toEqual([right, [], []]);
    const counted = { 'no-i-flag': 1, 'unknown-vni': 1, 'bad-source-mac': 3, 'link-local': 1, 'inner-vlan': 1 };
    expect(risen(before.rx, (await vtep().drops()).rx), 'what vtepctl shows').toEqual(counted);
  });

  test('a last datagram of every shorter length', async () => {
    for (const length of [0, 1, 7, 8, 21, 22, 30, 60]) {
      const frames = range(10).map((i) => good(i));
      const whole = inVni(100, frames);
      const last = vxlan({ vni: 100, inner: good(99) }).subarray(0, length);
      const { result, rx } = await dropsWhile(() => placesByTap(length > 0 ? [...whole, last] : whole, frames));
      const reason = length < 8 ? 'short' : 'short-inner';
      const delivered = range(10) as (number | string)[];
      if (length >= 22) delivered.push(expect.stringMatching(`not sent: ${length - 8} octets`) as string);
      expect({ length, taps: result[0], rx }).toEqual({
        length,
        taps: delivered,
        rx: length === 0 || length >= 22 ? {} : { [reason]: 1 },
      });
    }
  });

  test('tags are stripped from each datagram of a train', async () => {
    const tagged = (i: number) => good(i, i % 2 === 0 ? { tags: [[0x8100, 7]] } : {});
    const frames = range(60).map((i) => tagged(i));
    const stripped = frames.map((bytes, i) =>
      i % 2 === 0 ? Buffer.concat([bytes.subarray(0, 12), bytes.subarray(16)]) : bytes,
    );
    const datagrams = frames.map((inner) => vxlan({ vni: 300, inner }));
    const { result, rx } = await dropsWhile(() => placesByTap(datagrams, stripped));
    expect({ taps: result, rx }).toEqual({ taps: [[], [], range(60)], rx: {} });
  });

  const CLAIMS = [1, 8, 50, FRAME_BYTES, 10 * FRAME_BYTES, 40_000];

  test.each(CLAIMS)('a frame that claims %i octets more than it has costs those behind it nothing', async (by) => {
    const frames = [claimsMore(0, { by }), ...range(20).map((i) => good(1 + i))];
    const { result, rx } = await dropsWhile(() => placesByTap(inVni(100, frames), frames));
    expect({ taps: result, rx }).toEqual({ taps: [range(21), [], []], rx: {} });
  });

  test('nor do such frames in the middle of a train', async () => {
    const frames = range(20).map((i) => ([5, 6, 11].includes(i) ? claimsMore(i, { by: 100 }) : good(i)));
    const { result, rx } = await dropsWhile(() => placesByTap(inVni(100, frames), frames));
    expect({ taps: result, rx }).toEqual({ taps: [range(20), [], []], rx: {} });
  });

  // From the first of these on the kernel gives datagrams one by one.
  describe('datagrams of several VNIs in one train', () => {
    const frames = range(60).map((i) => good(i));
    const datagrams = frames.map((inner, i) => vxlan({ vni: 100 + 100 * (i % 3), inner }));
    const turns = [0, 1, 2].map((turn) => range(60).filter((i) => i % 3 === turn));

    test('once: only those of the first one’s VNI are taken, if they come as one message', async () => {
      const { result, rx } = await dropsWhile(() => placesByTap(datagrams, frames));
      for (const [i, places] of result.entries()) expect(turns[i]).toEqual(expect.arrayContaining(places));
      expect(result.flat().length + (rx['short-inner'] ?? 0)).toBe(60);
      if (arrivesWhole) expect({ taps: result, rx }).toEqual({ taps: [turns[0], [], []], rx: { 'short-inner': 40 } });
    });

    test('from then on: each frame comes out of its own TAP alone, and none is lost', async () => {
      const { result, rx } = await dropsWhile(() => placesByTap(datagrams, frames));
      expect({ taps: result, rx }).toEqual({ taps: turns, rx: {} });
    });

    test('meanwhile: status, metrics and doctor tell of it, and of the VTEP', async () => {
      const { daemon } = vtep();
      const { unmerged } = await daemon.ctl<{ unmerged: unknown }>('status');
      if (arrivesWhole) expect(unmerged).toEqual({ sockets: 1, vteps: [two.address] });
      else if (!mergesFrames(offload)) expect(unmerged).toEqual({ sockets: 0, vteps: [] });
      const { sockets } = unmerged as { sockets: number };
      const series = (await daemon.getText('/metrics')).split('\n').filter((line) => line.startsWith('vtep_unmerged'));
      expect(series).toEqual([`vtep_unmerged_sockets ${sockets}`]);
      const findings = await daemon.ctl<{ check: string; status: string; message: string }[]>('doctor');
      const message = expect.stringContaining(two.address) as string;
      const warnings = sockets > 0 ? [{ check: 'merging', status: 'warning', message }] : [];
      expect(findings.filter(({ check }) => check === 'merging')).toMatchObject(warnings);
    });

    test.each(MIXED_CASES)('$title, $place: dropped and counted, the others delivered', losesItself);

    test.each(CLAIMS)('behind a frame that claims %i octets more than it has', async (by) => {
      const lying = [claimsMore(0, { by }), ...range(20).map((i) => good(1 + i))];
      const mixed = lying.map((inner, i) => vxlan({ vni: i === 0 ? 100 : 200, inner }));
      const { result, rx } = await dropsWhile(() => placesByTap(mixed, lying));
      expect({ taps: result, rx }).toEqual({ taps: [[0], range(21).slice(1), []], rx: {} });
    });

    test('in trains by the hundred: no octet of a VNI is seen in another', async () => {
      const taps = [100, 200].map((vni) => one.packetSocket(`vxlan${vni}`, { vnetHeader: true }));
      const [first, second] = taps as [PacketSocket, PacketSocket];
      const { sender, to } = way(first);
      for (const round of range(100)) {
        const datagrams = range(30).map((i) => {
          const [vni, text] = (i * 7 + round) % 3 === 0 ? ([100, 'tenant-a'] as const) : ([200, 'tenant-b'] as const);
          const isLiar = i % 5 === round % 5;
          const inner = isLiar ? claimsMore(i, { by: 1 + ((round * 131 + i * 17) % 3000), text }) : good(i, {}, text);
          return vxlan({ vni, inner });
        });
        sendTrains({ sender, to }, datagrams);
      }
      await fence({ sender, to, tap: first, fenceVni: 100 });
      expect(first.select(({ bytes }) => bytes.includes('tenant-b'))).toEqual([]);
      expect(second.select(({ bytes }) => bytes.includes('tenant-a'))).toEqual([]);
      expect(first.select(({ bytes }) => bytes.includes('tenant-a')).length).toBeGreaterThan(0);
      expect(second.select(({ bytes }) => bytes.includes('tenant-b')).length).toBeGreaterThan(0);
    });
  });
});
