/**
 * The same crafted datagrams to the daemon and to the kernel's own vxlan device: both give their machines the same of them, and
 * learn the same. The daemon is as strict on reserved bits as the kernel is.
 *
 *     vxlan100 ── host 1: vtepd --reserved-bits drop ───┐
 *     vxlan100 ── host 2: kernel ───────────────────────┤  VNI 100
 *                 host 3  crafted datagrams ────────────┘
 */
import { beforeAll, expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type Vtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, useLab, useScope } from '../support/lab/lab.ts';
import { BROADCAST, probe, readIpv4Frame, readProbe, vxlan } from '../support/traffic/frames.ts';
import { type Link, udpFrame } from '../support/traffic/inner-frames.ts';
import { isProbe } from '../support/traffic/probes.ts';
import { range } from '../support/traffic/trains.ts';

const [SOURCE, FENCE] = ['02:00:00:00:ba:d0', '02:00:00:00:fe:0c'];
const ECN_FIELDS = [0, 1, 2, 3];

interface Crafted {
  readonly bytes: Buffer;
  /** Outer. */
  readonly tos?: number;
  readonly zeroChecksum?: boolean;
}

interface Case {
  readonly name: string;
  readonly datagrams: readonly Crafted[];
  /** How many frames come out of it. */
  readonly delivered: number;
  /** Of the sender's interface, where it is not the lab's. */
  readonly mtu?: number;
}

const good = probe({ dst: BROADCAST, src: SOURCE, text: 'crafted' });
const whole = vxlan({ vni: 100, inner: good });

/** The 7 + 24 + 8 bits beside the I flag, one at a time. */
const reservedBits = [
  ...[0, 1, 2, 4, 5, 6, 7].map((bit) => ({ flags: 0x08 | (1 << bit) })),
  ...range(24).map((bit) => ({ reserved24: 2 ** bit })),
  ...range(8).map((bit) => ({ reserved8: 2 ** bit })),
];

const INNER: Link = { dstMac: BROADCAST, srcMac: SOURCE, src: '192.0.2.1', dst: '192.0.2.2' };

/** Each a flow of its own, so that nothing is merged. */
const ecnDatagrams = ECN_FIELDS.flatMap((outer) =>
  ECN_FIELDS.map((inner) => {
    const ports = { sourcePort: 5000 + 4 * outer + inner, destinationPort: 9 };
    const frame = udpFrame(INNER, { ...ports, payload: Buffer.from(`${inner} in ${outer}`) }, { tos: 0x28 | inner });
    return { bytes: vxlan({ vni: 100, inner: frame }), tos: 0x48 | outer };
  }),
);

const CASES: readonly Case[] = [
  { name: 'T10: no I flag', datagrams: noFlag(), delivered: 0 },
  {
    name: 'T11: each reserved bit alone, where they are refused',
    datagrams: reservedBits.map((bits) => ({ bytes: vxlan({ vni: 100, ...bits, inner: good }) })),
    delivered: 0,
  },
  {
    name: 'T12: every length from 0 to 21',
    datagrams: range(22).map((length) => ({ bytes: whole.subarray(0, length) })),
    delivered: 0,
  },
  {
    name: 'T13: a source MAC that is a group, broadcast or zero',
    datagrams: ['01:00:5e:00:00:01', '33:33:00:00:00:01', BROADCAST, '00:00:00:00:00:00'].map((src) => ({
      bytes: vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src, text: 'poison' }) }),
    })),
    delivered: 0,
  },
  {
    name: 'T14: an unknown VNI',
    datagrams: [0, 99, 101, 2 ** 24 - 1].map((vni) => ({ bytes: vxlan({ vni, inner: good }) })),
    delivered: 0,
  },
  { name: 'T22: outer and inner ECN, all 16 combinations', datagrams: ecnDatagrams, delivered: 15 },
  { name: 'T33: a zero checksum', datagrams: [{ bytes: whole, zeroChecksum: true }], delivered: 1 },
  {
    name: 'a packet that was fragmented on its way',
    datagrams: [
      {
        bytes: vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: SOURCE, text: 'in pieces' }, { length: 1400 }) }),
      },
    ],
    delivered: 1,
    mtu: 1000,
  },
];

function noFlag(): Crafted[] {
  return [0x00, 0xf7, 0x80].map((flags) => ({ bytes: vxlan({ vni: 100, flags, inner: good }) }));
}

describeSystem('vtepd and the kernel agree', () => {
  const lab = useLab({ hosts: 3, wire: 'mtu-true' });
  useScope(lab);
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  let vteps: readonly Vtep[] = [];

  beforeAll(async () => {
    const segments = [{ vni: 100, group: '239.1.1.1' }];
    vteps = await Promise.all([
      startVtepdVtep(one, { segments, flags: ['--reserved-bits', 'drop'] }),
      startKernelVtep(two, { segments }),
    ]);
  }, 60_000);

  const macs = async (vtep: Vtep) => (await vtep.fdb()).map(({ mac }) => mac).toSorted();

  test.each(CASES)('$name', async ({ datagrams, delivered, mtu }) => {
    const cable = one.cable();
    if (mtu !== undefined) {
      three.ip('link', 'set', 'eth0', 'mtu', `${mtu}`);
      lab.scope.defer(() => void three.ip('link', 'set', 'eth0', 'mtu', `${lab.mtu}`));
    }
    const taps = [one, two].map((host) => host.packetSocket('vxlan100'));
    for (const { bytes, tos = 0, zeroChecksum = false } of datagrams) {
      const sender = three.udpSocket({ address: three.address, tos, zeroChecksum });
      for (const host of [one, two]) sender.send(bytes, { to: host.address });
      sender.close();
    }
    // Once a good frame is out, everything sent before has been dealt with.
    const sender = three.udpSocket({ address: three.address });
    const fence = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: FENCE, text: 'fence' }) });
    for (const host of [one, two]) sender.send(fence, { to: host.address });
    for (const tap of taps) await tap.waitForFrame('the fence', isProbe('fence'));
    const seen = taps.map((tap) => {
      const frames = tap.select(({ bytes }) => readProbe(bytes)?.text !== 'fence');
      return frames.map(({ bytes }) => bytes.toString('hex')).toSorted();
    });
    expect(cable.select(({ bytes }) => readIpv4Frame(bytes)?.moreFragments === true)).toHaveLength(mtu ? 1 : 0);
    expect(seen[0]).toHaveLength(delivered);
    expect(seen[0]).toEqual(seen[1]);
    const [daemon, kernel] = await Promise.all(vteps.map(macs));
    expect(daemon).toEqual(kernel);
  });
});
