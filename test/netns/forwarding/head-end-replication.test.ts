/**
 * Head-end replication: each flood once to the group and once to each remote of the list, which changes while it is used.
 *
 *     vxlan100 ── host 1  198.18.0.1 ───┐ vtepd, floods to a list
 *     vxlan100 ── host 2  198.18.0.2 ───┤ vtepd
 *     vxlan100 ── host 3  198.18.0.3 ───┤ the kernel's device
 *                 host 4  198.18.0.4 ───┘ nobody listens: answers ICMP port unreachable
 */
import { describe, expect, test } from 'vitest';
import {
  type SegmentOptions,
  startKernelVtep,
  startVtepdVtep,
  type VtepdVtep,
} from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, packetsWithProbe, probeTexts, sendProbe, settle } from '../../support/traffic/probes.ts';
import { all, floodAt, floodSteadily, numbersAt } from '../../support/traffic/steady-flood.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

const GROUP = '239.1.1.1';
const STATION = '02:00:00:00:01:01';
const UNKNOWN_STATION = '02:00:00:00:ff:fe';

interface ShownVni {
  readonly vni: number;
  readonly remotes: readonly string[];
  readonly status: string;
}

interface LogLine {
  readonly event: string;
  readonly vni?: number;
  readonly remote?: string;
}

describeSystem('head-end replication', () => {
  const lab = useLab({ hosts: 4 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  const everyHost = lab.hosts.slice(0, 3).map(({ address }) => address);

  /** One list serves all hosts: host 1 is in it too. */
  async function start(remotes: readonly string[], flags: readonly string[] = []): Promise<VtepdVtep> {
    const back = [one.address];
    const [vtep] = await Promise.all([
      startVtepdVtep(one, { segments: [{ vni: 100, remotes }], flags }),
      startVtepdVtep(two, { segments: [{ vni: 100, remotes: back }] }),
      startKernelVtep(three, { segments: [{ vni: 100, remotes: back }] }),
    ]);
    return vtep;
  }

  function taps(): [PacketSocket, PacketSocket, PacketSocket] {
    return [one.packetSocket('vxlan100'), two.packetSocket('vxlan100'), three.packetSocket('vxlan100')];
  }

  async function remote(vtep: VtepdVtep, verb: 'add' | 'del', address: string, vni = 100): Promise<void> {
    await vtep.daemon.ctl('remote', verb, address, '--vni', `${vni}`);
  }

  async function remotesOf(vtep: VtepdVtep, vni = 100): Promise<readonly string[] | undefined> {
    return (await vtep.daemon.ctl<ShownVni[]>('vni', 'show')).find((row) => row.vni === vni)?.remotes;
  }

  /** Ten frames; how many of them came to each. */
  async function tenFloods(from: PacketSocket, to: readonly PacketSocket[], text: string): Promise<number[]> {
    for (let i = 0; i < 10; i++) sendProbe(from, { dst: UNKNOWN_STATION, src: STATION, text: `${text} ${i}` });
    for (const socket of to) await socket.waitForFrame('the last flood', isProbe(`${text} 9`));
    await settle();
    return to.map((socket) => probeTexts(socket.drain()).filter((found) => found.startsWith(text)).length);
  }

  test('T1: a flood comes once to every remote, the kernel included, and never back', async () => {
    await start(everyHost);
    const [a, b, c] = taps();
    const cable = one.cable();
    expect(await tenFloods(a, [b, c], 'flood')).toEqual([10, 10]);
    expect(probeTexts(a.drain())).toEqual([]);
    const sent = packetsWithProbe(
      cable.select(({ outgoing }) => !outgoing),
      'flood',
    );
    expect(sent).toHaveLength(20);
    expect(new Set(sent.map(({ ip }) => ip.dst))).toEqual(new Set([two.address, three.address]));
  });

  test('T1: beside a group, once to the group and once to each remote', async () => {
    await Promise.all([
      startVtepdVtep(one, { segments: [{ vni: 100, group: GROUP, remotes: [three.address] }] }),
      startVtepdVtep(two, { segments: [{ vni: 100, group: GROUP }] }),
      startKernelVtep(three, { segments: [{ vni: 100, remotes: [one.address] }] }),
    ]);
    const [a, b, c] = taps();
    expect(await tenFloods(a, [b, c], 'both ways')).toEqual([10, 10]);
    expect(await tenFloods(c, [a], 'back')).toEqual([10]);
    expect(probeTexts(b.drain()).filter((text) => text.startsWith('back'))).toEqual([]);
  });

  test('T3: a MAC that is static at one remote goes there alone, whatever becomes of the list', async () => {
    const vtep = await start(everyHost);
    const [a, b, c] = taps();
    await vtep.daemon.ctl('fdb', 'add', '02:00:00:00:02:02', '--vni', '100', '--vtep', two.address);
    const unicast = async (text: string) => {
      for (let i = 0; i < 10; i++) sendProbe(a, { dst: '02:00:00:00:02:02', src: STATION, text: `${text} ${i}` });
      await arrivesAt(`${text} 9`, b);
      return [a, b, c].map((socket) => probeTexts(socket.drain()).filter((found) => found.startsWith(text)).length);
    };
    expect(await unicast('in the list')).toEqual([0, 10, 0]);
    await remote(vtep, 'del', two.address);
    expect(await unicast('out of it')).toEqual([0, 10, 0]);
  });

  describe('T2: a dead remote does not harm the others', () => {
    const gateway = '198.18.0.99';
    const dead = {
      'without a route': '198.51.100.1',
      'behind a gateway that does not answer': '203.0.113.1',
      'on the link and silent': '198.18.0.77',
      'without a listener': lab.host(4).address,
    };
    const all4 = Object.values(dead);

    test.each([
      ...Object.entries(dead).map(([kind, address]) => [kind, [address], 1] as const),
      ['of every kind', all4, 1] as const,
      ['of every kind, two workers', all4, 2] as const,
    ])(
      '%s',
      async (_, addresses, workers) => {
        const vtep = await start(everyHost, ['--workers', `${workers}`]);
        // ARP gives up after three questions.
        one.sysctl('net/ipv4/neigh/eth0/retrans_time_ms', 100);
        lab.scope.defer(() => one.sysctl('net/ipv4/neigh/eth0/retrans_time_ms', 1_000));
        one.ip('route', 'add', '203.0.113.0/24', 'via', gateway);
        lab.scope.defer(() => void one.ip('route', 'del', '203.0.113.0/24'));
        // Before, between and behind the living ones.
        for (const address of everyHost.slice(1)) await remote(vtep, 'del', address);
        const [first = '', ...others] = addresses;
        for (const address of [first, two.address, ...others, three.address]) await remote(vtep, 'add', address);
        const [a, b, c] = taps();
        for (let round = 0; round < 5; round++) {
          expect(await tenFloods(a, [b, c], `round ${round}`)).toEqual([10, 10]);
          // The errors of the first rounds, which ARP reports when it gives up, meet the last one.
          await sleep(round === 3 ? 500 : 20);
        }
      },
      60_000,
    );
  });

  describe('changed while it is used', () => {
    test.each([1, 2])('T31: the others get every frame once and in order, %i workers', async (workers) => {
      const vtep = await start([two.address], ['--workers', `${workers}`]);
      const [a, b, c] = taps();
      const flood = floodSteadily(a, 'steady');
      await waitUntil('it runs', () => numbersAt(b, 'steady').length > 10);
      for (let round = 0; round < 4; round++) {
        const before = numbersAt(c, 'steady').length;
        await remote(vtep, 'add', three.address);
        await waitUntil('host 3 gets it', () => numbersAt(c, 'steady').length > before + 10);
        expect(await remotesOf(vtep)).toEqual([two.address, three.address]);
        await remote(vtep, 'del', three.address);
        // What was sent before the answer may still be on its way.
        await settle();
        const after = numbersAt(c, 'steady').length;
        await sleep(50);
        expect(numbersAt(c, 'steady')).toHaveLength(after);
        expect(await remotesOf(vtep)).toEqual([two.address]);
      }
      const sent = await flood.stop();
      expect(await floodAt(b, 'steady', sent)).toEqual(all(sent));
      const atThree = numbersAt(c, 'steady');
      expect(new Set(atThree).size).toBe(atThree.length);
    });

    test('T31: other VNIs, and what a VNI was set to otherwise, stay as they are', async () => {
      const segments: SegmentOptions[] = [
        { vni: 100, group: GROUP, remotes: [two.address, three.address], keys: ['name=red', 'mtu=1400'] },
        { vni: 200, remotes: [two.address] },
      ];
      const vtep = await startVtepdVtep(one, { segments });
      const show = () => vtep.daemon.ctl<ShownVni[]>('vni', 'show');
      const before = await show();
      await remote(vtep, 'add', '198.18.0.9');
      const [red, other] = await show();
      expect(red).toEqual({ ...before[0], remotes: [two.address, three.address, '198.18.0.9'] });
      expect(other).toEqual(before[1]);
      await remote(vtep, 'del', two.address);
      await remote(vtep, 'del', '198.18.0.9');
      expect(await show()).toEqual([{ ...before[0], remotes: [three.address] }, before[1]]);
    });

    test('adding twice is done, deleting twice is not found, the own address is kept and not sent to', async () => {
      const vtep = await start([two.address]);
      const [a, b] = taps();
      const cable = one.cable();
      await remote(vtep, 'add', two.address);
      await remote(vtep, 'add', one.address);
      expect(await remotesOf(vtep)).toEqual([two.address, one.address]);
      expect(await tenFloods(a, [b], 'once')).toEqual([10]);
      const sent = packetsWithProbe(
        cable.select(({ outgoing }) => !outgoing),
        'once',
      );
      expect(new Set(sent.map(({ ip }) => ip.dst))).toEqual(new Set([two.address]));
      await remote(vtep, 'del', one.address);
      expect(await vtep.daemon.runCtl('remote', 'del', one.address, '--vni', '100')).toMatchObject({
        code: 1,
        stdout: '',
        stderr:
          'vtepctl: remote 198.18.0.1 of VNI 100: it is not in the flood list: ' +
          '`vtepctl vni show 100` lists its remotes\n',
      });
      expect(await vtep.daemon.runCtl('remote', 'del', '198.18.0.9', '--vni', '7')).toMatchObject({ code: 1 });
    });

    test('the last remote goes, and the first comes, while frames are sent', async () => {
      const vtep = await start([two.address]);
      const [a, b] = taps();
      await remote(vtep, 'del', two.address);
      sendProbe(a, { dst: BROADCAST, src: STATION, text: 'to nobody' });
      await waitFor(
        'the drop',
        () => vtep.drops(),
        ({ tx }) => (tx['no-remote'] ?? 0) > 0,
      );
      await remote(vtep, 'add', two.address);
      expect(await tenFloods(a, [b], 'somebody again')).toEqual([10]);
      expect(probeTexts(b.drain())).not.toContain('to nobody');
    });

    test('the list is bounded, and an address without an underlay is refused', async () => {
      const full = Array.from({ length: 1024 }, (_, i) => `198.51.${i >> 8}.${i & 0xff}`);
      const vtep = await startVtepdVtep(one, {
        segments: [
          { vni: 100, remotes: full },
          { vni: 200, group: GROUP },
        ],
      });
      expect(await vtep.daemon.runCtl('remote', 'add', two.address, '--vni', '100')).toMatchObject({
        code: 1,
        stderr: 'vtepctl: remote 198.18.0.2 of VNI 100: the flood list has 1024 remotes already: use a group\n',
      });
      await remote(vtep, 'del', full[0] ?? '');
      await remote(vtep, 'add', two.address);
      expect(await vtep.daemon.runCtl('remote', 'add', 'fd00:18::2', '--vni', '200')).toMatchObject({
        code: 1,
        stderr:
          'vtepctl: remote fd00:18::2 of VNI 200: it is IPv6, and the VNI was made for IPv4 only: ' +
          'name an IPv4 VTEP, or make the VNI again with remote=fd00:18::2\n',
      });
      expect(await remotesOf(vtep, 200)).toEqual([]);
    });
  });

  test('a remote that is heard in the group too is one event, for each VNI and each time it is added', async () => {
    const groups = [
      { vni: 100, group: GROUP },
      { vni: 200, group: '239.1.1.2' },
    ];
    const [vtep] = await Promise.all([
      startVtepdVtep(one, { segments: groups.map((segment) => ({ ...segment, remotes: [two.address] })) }),
      startVtepdVtep(two, { segments: groups }),
    ]);
    const events = () =>
      vtep.daemon.stdout
        .split('\n')
        .filter((line) => line.includes('"remote-in-group"'))
        .map((line) => JSON.parse(line) as LogLine)
        .map(({ vni, remote: address }) => [vni, address]);
    let count = 0;
    const fromTwo = async (vni: number, stations: number) => {
      const [to, from] = [one.packetSocket(`vxlan${vni}`), two.packetSocket(`vxlan${vni}`)];
      const name = `heard ${++count}`;
      for (let i = 0; i < stations; i++) {
        sendProbe(from, { dst: BROADCAST, src: `02:00:00:00:07:0${i}`, text: `${name} ${i}` });
      }
      await arrivesAt(`${name} ${stations - 1}`, to);
    };
    await fromTwo(100, 5);
    await waitUntil('the event', () => events().length > 0);
    await fromTwo(100, 5);
    await fromTwo(200, 3);
    await waitUntil('the other event', () => events().length > 1);
    expect(events()).toEqual([
      [100, two.address],
      [200, two.address],
    ]);
    await remote(vtep, 'del', two.address);
    await fromTwo(100, 1);
    await remote(vtep, 'add', two.address);
    await fromTwo(100, 1);
    await waitUntil('the third', () => events().length > 2);
    expect(events().slice(2)).toEqual([[100, two.address]]);
  });
});
