/**
 * Several data-plane threads in one daemon: what they share, what each has, and that nobody outside can tell.
 *
 *     vxlan100  vxlan200 ── host 1  198.18.0.1 ───┐ vtepd --workers 2
 *     vxlan100  vxlan200 ── host 2  198.18.0.2 ───┘ vtepd --workers 3
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd, startVtepd } from '../../support/daemon/vtepd-process.ts';
import { ipJson } from '../../support/host/namespaces.ts';
import { cpuSeconds } from '../../support/host/processes.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import { transfer } from '../../support/lab/transfer.ts';
import {
  BROADCAST,
  ETHERTYPE,
  ethernet,
  IP_PROTOCOL,
  readEthernet,
  readIpv4Frame,
  readUdp,
  udpInIpv4,
} from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, sendProbe, settle } from '../../support/traffic/probes.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

const [STATION_1, STATION_2] = ['02:00:00:00:01:01', '02:00:00:00:02:01'];
const FLOWS = 64;
const ROUNDS = 40;
/** Frames that wait for a worker at most: well below what a TAP's ring holds. */
const BURST_ROUNDS = 4;

interface Status {
  readonly workers: number;
  readonly offload: Readonly<Record<'tapGso' | 'udpGso' | 'udpGro', boolean>>;
}

interface TunLink {
  readonly linkinfo: { readonly info_data: { readonly multi_queue: boolean; readonly numqueues?: number } };
}

describeSystem('several workers', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  const segments = [
    { vni: 100, group: '239.1.1.1' },
    { vni: 200, group: '239.1.1.2' },
  ];
  const start = (host: Host, workers: number, flags: readonly string[] = []) =>
    startVtepdVtep(host, { segments, flags: ['--workers', `${workers}`, ...flags] });

  function tap(host: Host, vni: number): PacketSocket {
    return host.packetSocket(`vxlan${vni}`);
  }

  function tunOf(host: Host, name: string): TunLink['linkinfo']['info_data'] | undefined {
    return ipJson<TunLink[]>('-n', host.namespace, '-d', 'link', 'show', name)[0]?.linkinfo.info_data;
  }

  function unicastSockets(host: Host): number {
    return host.udpSockets().filter((name) => name === '0.0.0.0:4789').length;
  }

  function leftovers(host: Host) {
    const taps = host.links().filter(({ ifname }) => ifname !== 'lo' && ifname !== 'eth0');
    return { taps: taps.map(({ ifname }) => ifname), groups: host.joinedGroups(), udp: host.udpSockets() };
  }

  const nothing = { taps: [], groups: [], udp: [] };

  describe('forward as one', () => {
    let vtep: VtepdVtep;

    beforeEach(async () => {
      [vtep] = await Promise.all([start(one, 2), start(two, 3)]);
    }, 30_000);

    async function floods(from: PacketSocket, to: PacketSocket, text: string): Promise<void> {
      sendProbe(from, { dst: BROADCAST, src: STATION_1, text });
      await arrivesAt(text, to);
    }

    test('status, TAPs and sockets say how many there are', async () => {
      expect(await vtep.daemon.ctl<Status>('status')).toMatchObject({ workers: 2, offload: { udpGso: true } });
      for (const name of ['vxlan100', 'vxlan200']) {
        expect(tunOf(one, name)).toMatchObject({ multi_queue: true, numqueues: 2 });
        expect(tunOf(two, name)).toMatchObject({ multi_queue: true, numqueues: 3 });
      }
      expect([unicastSockets(one), unicastSockets(two)]).toEqual([2, 3]);
      const groups = one.udpSockets().filter((name) => name.startsWith('239.'));
      expect(groups.toSorted()).toEqual(['239.1.1.1:4789', '239.1.1.2:4789']);
    });

    test('flood once, learn, then unicast', async () => {
      for (const vni of [100, 200]) {
        const [a, b] = [tap(one, vni), tap(two, vni)];
        sendProbe(a, { dst: BROADCAST, src: STATION_1, text: `flood ${vni}` });
        await arrivesAt(`flood ${vni}`, b);
        expect(b.select(isProbe(`flood ${vni}`))).toHaveLength(1);
        expect(a.select(isProbe(`flood ${vni}`))).toHaveLength(0);
        sendProbe(b, { dst: STATION_1, src: STATION_2, text: `answer ${vni}` });
        await arrivesAt(`answer ${vni}`, a);
        const entry = (await vtep.fdb()).find((row) => row.vni === vni && row.mac === STATION_2);
        expect(entry).toMatchObject({ vtep: two.address, type: 'dynamic' });
      }
    });

    test(`${FLOWS} flows both ways: all arrives, once, each flow in order`, async () => {
      const [a, b] = [tap(one, 100), tap(two, 100)];
      await floods(a, b, 'here I am');
      sendProbe(b, { dst: BROADCAST, src: STATION_2, text: 'and I' });
      await arrivesAt('and I', a);
      for (let round = 0; round < ROUNDS; round++) {
        a.send(...flowFrames(STATION_1, STATION_2, round));
        b.send(...flowFrames(STATION_2, STATION_1, round));
        // The first answer of a flow may move it to another queue of the TAP: let the ways settle.
        if (round > 0 && round % BURST_ROUNDS !== 0) continue;
        const expected = (round + 1) * FLOWS;
        await waitUntil(`${expected} frames each way`, () => [a, b].every((end) => sequences(end).total >= expected));
      }
      await waitUntil('all frames', () => [a, b].every((end) => sequences(end).total >= ROUNDS * FLOWS));
      await settle();
      const inOrder = Array.from({ length: ROUNDS }, (_, round) => round);
      for (const end of [a, b]) {
        const { byFlow } = sequences(end);
        expect(byFlow.size).toBe(FLOWS);
        for (const [flow, rounds] of byFlow) expect({ flow, rounds }).toEqual({ flow, rounds: inOrder });
      }
      const { rx, tx } = await vtep.drops();
      expect([...Object.values(rx), ...Object.values(tx)].filter((count) => count > 0)).toEqual([]);
    });

    test('TCP both ways at once arrives as it was sent', async () => {
      one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
      two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
      const bytes = 10_000_000;
      const there = { from: one, to: two, address: '192.0.2.2', bytes };
      const back = { from: two, to: one, address: '192.0.2.1', bytes };
      const results = await Promise.all([there, back, there, back].map(transfer));
      for (const { sent, received } of results) expect(received).toMatchObject({ bytes, sha256: sent.sha256 });
    });

    test('drops are counted over all of them', async () => {
      const a = tap(one, 100);
      const tagged = (flow: number) => {
        const [frame] = flowFrames(STATION_1, STATION_2, 0).slice(flow);
        const eth = frame && readEthernet(frame);
        if (!eth) throw new Error('no frame');
        return ethernet({ ...eth, vlan: 5 });
      };
      a.send(...Array.from({ length: FLOWS }, (_, flow) => tagged(flow)));
      await waitFor(
        'all drops',
        () => vtep.drops(),
        ({ tx }) => tx['inner-vlan'] === FLOWS,
      );
    });

    test('a TAP that is deleted is let go by all: the other is served, and nothing spins', async () => {
      one.ip('link', 'del', 'vxlan100');
      const gone = () => vtep.daemon.stdout.match(/"tap-gone"/g)?.length ?? 0;
      await waitUntil('the log says so', () => gone() > 0);
      const [a, b] = [tap(one, 200), tap(two, 200)];
      await floods(a, b, 'still served');
      const before = cpuSeconds(vtep.daemon.pid);
      await sleep(1000);
      expect(cpuSeconds(vtep.daemon.pid) - before).toBeLessThan(0.3);
      expect(gone()).toBe(1);
      expect(vtep.daemon.stdout).not.toMatch('worker-died');
      await vtep.stop();
      expect(leftovers(one)).toEqual(nothing);
    });

    test('an underlay that is unplugged and plugged in again: every group is read again, whoever reads it', async () => {
      const sockets = () => one.udpSockets().length;
      const before = sockets();
      for (let round = 0; round < 3; round++) {
        one.unplug();
        await waitFor('void groups to be closed', sockets, (count) => count === before - segments.length);
        one.plug();
        await waitFor('the groups', sockets, (count) => count === before);
        for (const vni of [100, 200]) {
          const [a, b] = [tap(one, vni), tap(two, vni)];
          const text = `round ${round}, VNI ${vni}`;
          const look = () => {
            sendProbe(b, { dst: BROADCAST, src: STATION_2, text });
            return a.select(isProbe(text)).length;
          };
          await waitFor('a flood', look, (count) => count > 0, { everyMs: 50 });
        }
      }
      expect(vtep.daemon.stdout).not.toMatch('worker-died');
    });

    test.each([1, 2])(
      'a second daemon on that port, of %i workers, is refused, and takes nothing away',
      async (workers) => {
        const args = ['--dev', 'eth0', '--vni', '300=239.1.1.3', '--workers', `${workers}`];
        const { code, stderr } = await runVtepd(one, args);
        expect({ code, stderr }).toEqual({
          code: 1,
          stderr: expect.stringMatching(
            /^vtepd: UDP \S+:4789: vtepd \(pid \d+\) holds UDP port 4789: stop it, give each daemon its own address \(--listen local --local IP\), or choose another --port\n$/,
          ),
        });
        expect(unicastSockets(one)).toBe(2);
        expect(one.link('vxlan300')).toBeUndefined();
      },
    );

    test('SIGTERM: exit 0 within 2 s, nothing left', async () => {
      const { code, ms } = await vtep.daemon.stop();
      expect(code).toBe(0);
      expect(ms).toBeLessThan(2000);
      expect(leftovers(one)).toEqual(nothing);
    });

    test('kill -9 leaves nothing either', async () => {
      vtep.daemon.kill('SIGKILL');
      await vtep.daemon.ended;
      await waitUntil('the TAPs to go', () => leftovers(one).taps.length === 0);
      expect(leftovers(one)).toEqual(nothing);
    });
  });

  test('50 TAPs of 4 workers are gone within 2 s of SIGTERM', async () => {
    const vnis = Array.from({ length: 50 }, (_, i) => ['--vni', `${1000 + i}=239.3.0.${i + 1}`]).flat();
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--workers', '4', ...vnis]);
    expect(leftovers(one).taps).toHaveLength(50);
    const { code, ms } = await daemon.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2000);
    expect(leftovers(one)).toEqual(nothing);
  });

  describe('an existing TAP', () => {
    function existingTap(...kind: string[]): void {
      one.ip('tuntap', 'add', 'dev', 'vxlan100', 'mode', 'tap', ...kind);
      lab.scope.defer(() => void one.ip('link', 'del', 'vxlan100'));
      one.ip('addr', 'add', '192.0.2.77/24', 'dev', 'vxlan100');
    }

    test('of several queues is adopted by several workers, and kept', async () => {
      existingTap('multi_queue');
      for (const workers of [2, 3]) {
        const vtep = await start(one, workers);
        expect(tunOf(one, 'vxlan100')).toMatchObject({ multi_queue: true, numqueues: workers });
        expect(one.addresses('vxlan100')).toEqual(['192.0.2.77/24']);
        await vtep.stop();
        expect(leftovers(one)).toEqual({ ...nothing, taps: ['vxlan100'] });
      }
    });

    test.each([
      [1, ['multi_queue'], 'it is a multi-queue TAP, and one worker needs a single-queue one', ''],
      [2, [], 'it is a single-queue TAP, and several workers need a multi-queue one', ' multi_queue'],
    ])('of the other kind is refused by %i, saying how to make it anew', async (workers, kind, cause, words) => {
      existingTap(...kind);
      const args = ['--dev', 'eth0', '--vni', '100=239.1.1.1', '--workers', `${workers}`];
      const { code, stderr } = await runVtepd(one, args);
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr:
          `vtepd: TAP "vxlan100": ${cause}: make it again (\`ip tuntap add dev vxlan100 mode tap${words}\`), ` +
          'or name another TAP with tap=\n',
      });
      expect(leftovers(one)).toEqual({ ...nothing, taps: ['vxlan100'] });
    });
  });

  test.each([
    ['off', { tapGso: false, udpGso: false, udpGro: false }],
    ['gro', { tapGso: false, udpGso: false }],
    ['gso', { udpGso: true, udpGro: false }],
    ['auto', { udpGso: true }],
  ])('--offload %s shows in the status', async (mode, offload) => {
    const vtep = await start(one, 2, ['--offload', mode]);
    expect((await vtep.daemon.ctl<Status>('status')).offload).toMatchObject(offload);
    const { stdout } = await vtep.daemon.runCtl('status');
    expect(stdout).toMatch(/^workers: +2$/m);
    expect(stdout).toMatch(offload.udpGso ? /^offload:.* udpGso/m : /^offload:(?!.*udpGso)/m);
  });
});

/** One frame of each flow from a station to another; the port at STATION_1 is the flow's. */
function flowFrames(src: string, dst: string, round: number): Buffer[] {
  const isThere = src === STATION_1;
  const [here, there] = isThere ? ['192.0.2.1', '192.0.2.2'] : ['192.0.2.2', '192.0.2.1'];
  return Array.from({ length: FLOWS }, (_, flow) => {
    const [sourcePort, destinationPort] = isThere ? [1000 + flow, 7] : [7, 1000 + flow];
    const payload = Buffer.alloc(64);
    payload.writeUInt32BE(round);
    const packet = udpInIpv4({ src: here, dst: there, sourcePort, destinationPort, payload });
    return ethernet({ dst, src, type: ETHERTYPE.ipv4, payload: packet });
  });
}

/** The rounds that came of each flow, in order of arrival. */
function sequences(end: PacketSocket): { byFlow: Map<number, number[]>; total: number } {
  const byFlow = new Map<number, number[]>();
  let total = 0;
  for (const { bytes } of end.drain()) {
    const packet = readIpv4Frame(bytes);
    const udp = packet?.protocol === IP_PROTOCOL.udp ? readUdp(packet.payload) : undefined;
    if (udp?.payload.length !== 64) continue;
    const flow = Math.max(udp.sourcePort, udp.destinationPort) - 1000;
    byFlow.set(flow, [...(byFlow.get(flow) ?? []), udp.payload.readUInt32BE(0)]);
    total += 1;
  }
  return { byFlow, total };
}
