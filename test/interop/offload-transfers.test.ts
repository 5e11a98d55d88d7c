/**
 * Bulk TCP with a hash at both ends, over vtepd at both and at one end, where super-frames cross the wire and where not.
 *
 *     192.0.2.1  vxlan100 ── host 1: vtepd  ───┐
 *     192.0.2.2  vxlan100 ── host 2: vtepd  ───┼── VNI 100 = 239.1.1.1
 *     192.0.2.3  vxlan100 ── host 3: kernel ───┘
 *     fd00:2::1 …
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { startKernelVtep, startVtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, type Host, useLab } from '../support/lab/lab.ts';
import { readNetCounters, risen } from '../support/lab/net-counters.ts';
import { transfer } from '../support/lab/transfer.ts';
import { lengthyTransfer, OFFLOAD_MODES, offloadFlags, sizedFor } from '../support/traffic/offload-modes.ts';

const MEGABYTE = 1_000_000;

const LABS = OFFLOAD_MODES.flatMap((offload) => [
  { offload, wire: 'offloading' } as const,
  { offload, wire: 'mtu-true' } as const,
]);

const PAIRS = [
  { name: 'vtepd to vtepd', from: 1, to: 2 },
  { name: 'vtepd to vtepd, back', from: 2, to: 1 },
  { name: 'vtepd to kernel', from: 1, to: 3 },
  { name: 'kernel to vtepd', from: 3, to: 1 },
] as const;

const ipv4 = (host: Host) => `192.0.2.${host.number}`;
const ipv6 = (host: Host) => `fd00:2::${host.number}`;

describeSystem.each(LABS)('bulk TCP: offload $offload, $wire wire', ({ offload, wire }) => {
  const lab = useLab({ hosts: 3, wire });
  const megabytes = (count: number) => sizedFor(offload, count * MEGABYTE);
  const manyMegabytes = (count: number) => lengthyTransfer(offload, count * MEGABYTE);

  beforeAll(async () => {
    const segments = [{ vni: 100, group: '239.1.1.1' }];
    const flags = offloadFlags(offload);
    const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
    await Promise.all([
      startVtep(one, { segments, flags }),
      startVtep(two, { segments, flags }),
      startKernelVtep(three, { segments }),
    ]);
    for (const host of lab.hosts) {
      host.ip('addr', 'add', `${ipv4(host)}/24`, 'dev', 'vxlan100');
      host.addIpv6('vxlan100', `${ipv6(host)}/64`);
    }
  }, 60_000);

  /** Moves the bytes and compares their hashes. */
  async function expectTransfer(from: Host, to: Host, { address, bytes }: { address: string; bytes: number }) {
    const { sent, received } = await transfer({ from, to, address, bytes, timeoutMs: 150_000 });
    expect(received).toMatchObject({ bytes, sha256: sent.sha256 });
  }

  test.each(PAIRS)(
    'one large stream, $name',
    async ({ from, to }) => {
      const [source, sink] = [lab.host(from), lab.host(to)];
      await expectTransfer(source, sink, { address: ipv4(sink), bytes: manyMegabytes(1000) });
    },
    180_000,
  );

  test.each(PAIRS)(
    'over IPv6, $name',
    async ({ from, to }) => {
      const [source, sink] = [lab.host(from), lab.host(to)];
      await expectTransfer(source, sink, { address: ipv6(sink), bytes: manyMegabytes(100) });
    },
    180_000,
  );

  test.each(PAIRS)(
    '8 streams at once, $name',
    async ({ from, to }) => {
      const [source, sink] = [lab.host(from), lab.host(to)];
      const streams = Array.from({ length: 8 }, (_, i) => ({
        address: i % 4 === 3 ? ipv6(sink) : ipv4(sink),
        bytes: manyMegabytes(50),
      }));
      await Promise.all(streams.map((stream) => expectTransfer(source, sink, stream)));
    },
    180_000,
  );

  test('both directions at once', async () => {
    const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
    const pairs = [
      [one, two],
      [two, one],
      [one, three],
      [three, one],
    ] as const;
    await Promise.all(
      pairs.map(([from, to]) => expectTransfer(from, to, { address: ipv4(to), bytes: manyMegabytes(50) })),
    );
  }, 180_000);

  describe('with ECN', () => {
    test.each(PAIRS)(
      '$name',
      async ({ from, to }) => {
        const [source, sink] = [lab.host(from), lab.host(to)];
        for (const host of [source, sink]) host.sysctl('net/ipv4/tcp_ecn', 1);
        try {
          const before = readNetCounters(sink);
          await expectTransfer(source, sink, { address: ipv4(sink), bytes: megabytes(50) });
          // Received packets that were marked as ECN-capable: the ends agreed on it.
          const { 'IpExt InECT0Pkts': capable = 0 } = risen(before, readNetCounters(sink));
          expect(capable, 'packets with ECT(0)').toBeGreaterThan(50);
        } finally {
          for (const host of [source, sink]) host.sysctl('net/ipv4/tcp_ecn', 2);
        }
      },
      180_000,
    );
  });

  describe('with segments of 88 octets', () => {
    test.each(PAIRS)(
      '$name',
      async ({ from, to }) => {
        const [source, sink] = [lab.host(from), lab.host(to)];
        const route = ['192.0.2.0/24', 'dev', 'vxlan100', 'proto', 'kernel', 'scope', 'link'];
        for (const host of [source, sink]) host.ip('route', 'replace', ...route, 'src', ipv4(host), 'advmss', '88');
        try {
          const before = readNetCounters(source);
          await expectTransfer(source, sink, { address: ipv4(sink), bytes: megabytes(5) });
          const { 'Tcp OutSegs': segments = 0 } = risen(before, readNetCounters(source));
          expect(segments, 'segments sent').toBeGreaterThan(megabytes(5) / 88);
        } finally {
          for (const host of [source, sink]) host.ip('route', 'replace', ...route, 'src', ipv4(host));
        }
      },
      180_000,
    );
  });
});
