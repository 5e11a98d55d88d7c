/**
 * Group membership, RFC 7348 §4.2: who joins what, when, and what the underlay does to it.
 *
 *     vxlanN ── host 1  198.18.0.1 ───┐
 *     vxlanN ── host 2  198.18.0.2 ───┴── cables, on which IGMP is read
 */
import { expect, test } from 'vitest';
import { BROADCAST, readIgmp } from '../support/frames.ts';
import { describeSystem, type Host, useLab } from '../support/lab.ts';
import { ipJson } from '../support/namespaces.ts';
import type { PacketSocket } from '../support/packet-socket.ts';
import { arrivesAt, isProbe, probeTexts, sendProbe } from '../support/probes.ts';
import { type SegmentOptions, startVtep, VTEP_KIND, type Vtep } from '../support/vtep-host.ts';
import { waitFor } from '../support/wait.ts';

const GROUP = '239.1.1.1';

/** The kernel's devices share one socket, so that their 21st group is refused, and go with their underlay interface. */
const vtepdTest = test.skipIf(VTEP_KIND === 'kernel');

describeSystem('group membership', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  function startBoth(segments: readonly SegmentOptions[]): Promise<Vtep[]> {
    return Promise.all([one, two].map((host) => startVtep(host, { segments })));
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

  vtepdTest('40 VNIs with 40 groups, on default sysctls', async () => {
    expect(one.read('/proc/sys/net/ipv4/igmp_max_memberships').trim()).toBe('20');
    const segments = Array.from({ length: 40 }, (_, i) => ({ vni: 1000 + i, group: `239.2.0.${i + 1}` }));
    await startBoth(segments);
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
  });

  test('two VNIs on one group do not mix', async () => {
    await startBoth([
      { vni: 100, group: GROUP },
      { vni: 200, group: GROUP },
    ]);
    expect(two.joinedGroups()).toEqual([`eth0 ${GROUP}`]);
    const [a100, b100] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const [a200, b200] = [one.packetSocket('vxlan200'), two.packetSocket('vxlan200')];
    sendProbe(a100, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'hundred' });
    sendProbe(a200, { dst: BROADCAST, src: '02:00:00:00:01:01', text: 'two hundred' });
    await arrivesAt('hundred', b100);
    await arrivesAt('two hundred', b200);
    expect(probeTexts(b100.drain())).toEqual(['hundred']);
    expect(probeTexts(b200.drain())).toEqual(['two hundred']);
  });

  test('a join is sent at start, a leave at the end', async () => {
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

  test('traffic resumes after the underlay went down and up, without its multicast route', async () => {
    await startBoth([{ vni: 100, group: GROUP }]);
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
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
    one.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth0');
  });

  vtepdTest('traffic resumes after the underlay interface was deleted and made again', async () => {
    const vteps = await startBoth([{ vni: 100, group: GROUP }]);
    const [a, b] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
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
    expect(one.joinedGroups()).toEqual([`eth0 ${GROUP}`]);
    expect(index('vxlan100')).toBe(tap);
    await vteps[0]?.stop();
    expect(one.joinedGroups()).toEqual([]);
  });
});

function fail(): never {
  throw new Error('no such VNI');
}
