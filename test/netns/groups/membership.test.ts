/**
 * Group membership, RFC 7348 §4.2: who joins what, when, and what the underlay does to it.
 *
 *     vxlanN ── host 1  198.18.0.1 ───┐
 *     vxlanN ── host 2  198.18.0.2 ───┼── cables, on which IGMP is read
 *     vxlanN ── host 3  198.18.0.3 ───┘   the kernel's device
 */
import { expect, test } from 'vitest';
import {
  type SegmentOptions,
  startKernelVtep,
  startVtep,
  VTEP_KIND,
  type Vtep,
} from '../../support/daemon/vtep-host.ts';
import { ipJson } from '../../support/host/namespaces.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, readIgmp } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, probeTexts, sendProbe } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const GROUP = '239.1.1.1';
/** The default of net.ipv4.igmp_max_memberships, which is for each socket. */
const MAX_MEMBERSHIPS = 20;

/** The kernel's devices share one socket, so that their 21st group is refused, and go with their underlay interface. */
const vtepdTest = test.skipIf(VTEP_KIND === 'kernel');

describeSystem('group membership', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  function startAll(segments: readonly SegmentOptions[]): Promise<Vtep[]> {
    return Promise.all([
      ...[one, two].map((host) => startVtep(host, { segments })),
      // All that one host of the kernel can join.
      startKernelVtep(three, { segments: segments.slice(0, MAX_MEMBERSHIPS) }),
    ]);
  }

  function igmpFrom(host: Host, cable: PacketSocket): string[] {
    const events = cable.drain().flatMap(({ bytes }) => readIgmp(bytes));
    return events.filter(({ src }) => src === host.address).map(({ event, group }) => `${event} ${group}`);
  }

  /** Floods from one VTEP until one arrives at the other. */
  async function reaches(from: PacketSocket, to: PacketSocket, text: string): Promise<void> {
    const look = () => {
      sendProbe(from, { dst: BROADCAST, src: '02:00:00:00:01:01', text });
      return to.select(isProbe(text)).length;
    };
    await waitFor(`a flood "${text}"`, look, (count) => count > 0, { timeoutMs: 10_000, everyMs: 50 });
  }

  vtepdTest('T17: 40 VNIs with 40 groups, on default sysctls', async () => {
    expect(Number(one.read('/proc/sys/net/ipv4/igmp_max_memberships'))).toBe(MAX_MEMBERSHIPS);
    const segments = Array.from({ length: 40 }, (_, i) => ({ vni: 1000 + i, group: `239.2.0.${i + 1}` }));
    await startAll(segments);
    const joined = segments.map(({ group }) => `eth0 ${group}`).toSorted();
    expect(one.joinedGroups()).toEqual(joined);
    expect(two.joinedGroups()).toEqual(joined);
    const taps = segments.map(({ vni }) => ({
      vni,
      from: one.packetSocket(`vxlan${vni}`),
      to: two.packetSocket(`vxlan${vni}`),
    }));
    for (const { vni, from } of taps) {
      sendProbe(from, { dst: BROADCAST, src: '02:00:00:00:01:01', text: `only for ${vni}` });
    }
    await arrivesAt('only for 1039', taps.at(-1)?.to ?? fail());
    for (const { vni, to } of taps) {
      await to.waitForFrame(`the flood of ${vni}`, isProbe(`only for ${vni}`));
      expect(probeTexts(to.drain())).toEqual([`only for ${vni}`]);
    }
    const [first, last] = [1000, 1000 + MAX_MEMBERSHIPS - 1].map((vni) => three.packetSocket(`vxlan${vni}`));
    for (const [i, far] of [first, last].entries()) {
      if (!far) throw fail();
      const to = taps[i * (MAX_MEMBERSHIPS - 1)]?.to ?? fail();
      sendProbe(far, { dst: BROADCAST, src: '02:00:00:00:01:03', text: `from the kernel ${i}` });
      await arrivesAt(`from the kernel ${i}`, to);
    }
  });

  test('T16: two VNIs on one group do not mix', async () => {
    await startAll([
      { vni: 100, group: GROUP },
      { vni: 200, group: GROUP },
    ]);
    expect(two.joinedGroups()).toEqual([`eth0 ${GROUP}`]);
    const [a100, b100] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const [a200, b200] = [one.packetSocket('vxlan200'), two.packetSocket('vxlan200')];
    const [c100, c200] = [three.packetSocket('vxlan100'), three.packetSocket('vxlan200')];
    sendProbe(a100, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'hundred' });
    sendProbe(a200, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'two hundred' });
    await arrivesAt('hundred', b100, c100);
    await arrivesAt('two hundred', b200, c200);
    for (const socket of [b100, c100]) expect(probeTexts(socket.drain())).toEqual(['hundred']);
    for (const socket of [b200, c200]) expect(probeTexts(socket.drain())).toEqual(['two hundred']);
  });

  test('T19: a join is sent at start, a leave at the end', async () => {
    const cable = one.cable();
    // Groups of its own: the leaves of an earlier test are repeated for a while.
    const groups = ['239.7.0.1', '239.7.0.2'];
    const vtep = await startVtep(one, { segments: groups.map((group, i) => ({ vni: 100 + i, group })) });
    const joins = groups.map((group) => `join ${group}`);
    const seen = () => igmpFrom(one, cable);
    await waitFor('both joins', seen, (events) => joins.every((join) => events.includes(join)));
    const leaves = groups.map((group) => `leave ${group}`);
    expect(seen().filter((event) => leaves.includes(event))).toEqual([]);
    await vtep.stop();
    await waitFor('both leaves', seen, (events) => leaves.every((leave) => events.includes(leave)));
    expect(one.joinedGroups()).toEqual([]);
  });

  test('a VNI without a group joins none', async () => {
    await startVtep(one, { segments: [{ vni: 100, remotes: ['198.18.0.2'] }] });
    expect(one.joinedGroups()).toEqual([]);
  });

  test('T20: traffic resumes after the underlay went down and up, without its multicast route', async () => {
    await startAll([{ vni: 100, group: GROUP }]);
    const [a, b, c] = [one, two, three].map((host) => host.packetSocket('vxlan100')) as [
      PacketSocket,
      PacketSocket,
      PacketSocket,
    ];
    await reaches(a, b, 'before');
    one.ip('link', 'set', 'eth0', 'down');
    sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'while down' });
    const cable = one.cable();
    one.ip('link', 'set', 'eth0', 'up');
    expect(one.ip('route', 'show', '224.0.0.0/4')).toBe('');
    await waitFor(
      'the join again',
      () => igmpFrom(one, cable),
      (events) => events.includes(`join ${GROUP}`),
    );
    await reaches(a, b, 'there');
    await reaches(b, a, 'and back');
    await reaches(a, c, 'to the kernel');
    await reaches(c, a, 'from the kernel');
    one.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth0');
  });

  vtepdTest('T20: traffic resumes after the underlay interface was deleted and made again', async () => {
    const vteps = await startAll([{ vni: 100, group: GROUP }]);
    const [a, b, c] = [one, two, three].map((host) => host.packetSocket('vxlan100')) as [
      PacketSocket,
      PacketSocket,
      PacketSocket,
    ];
    await reaches(a, b, 'before');
    const index = (name: string) =>
      ipJson<{ ifindex: number }[]>('-n', one.namespace, 'link', 'show', name)[0]?.ifindex;
    const [oldEth0, tap] = [index('eth0'), index('vxlan100')];
    one.unplug();
    sendProbe(a, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'while away' });
    one.plug();
    expect(index('eth0')).not.toBe(oldEth0);
    await reaches(a, b, 'there again');
    await reaches(b, a, 'and back again');
    await reaches(a, c, 'to the kernel again');
    await reaches(c, a, 'from the kernel again');
    expect(one.joinedGroups()).toEqual([`eth0 ${GROUP}`]);
    expect(index('vxlan100')).toBe(tap);
    await vteps[0]?.stop();
    expect(one.joinedGroups()).toEqual([]);
  });
});

function fail(): never {
  throw new Error('no such VNI');
}
