/**
 * A flood list of which one in a hundred lives, without CAP_NET_ADMIN: the send buffer is no larger than net.core.wmem_max allows, and what waits for
 * neighbours that do not answer is in it.
 *
 *     vxlan100 ── host 1  198.18.0.1    fd00:18::1 ──┐ vtepd without any capability, its TAP made beforehand
 *                 host 2  198.18.0.2    fd00:18::2 ──┘
 *                         198.18.0.50 …  fd00:18::100 …  nobody
 */
import { expect, test } from 'vitest';
import type { DropCounters } from '../../support/daemon/vtep-host.ts';
import { startVtepd } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe } from '../../support/traffic/frames.ts';
import { range } from '../../support/traffic/trains.ts';
import { sleep, waitFor } from '../../support/wait.ts';

const [COUNT, FRAME_BYTES, GAP_MS] = [300, 1_300, 5];
const WITHOUT_CAPABILITIES = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];
const SOURCE = '02:00:00:00:00:66';

interface Finding {
  readonly check: string;
  readonly object: string;
  readonly message: string;
}

describeSystem('a flood list without CAP_NET_ADMIN', () => {
  const lab = useLab({ hosts: 2, ipv6: true });
  const [one, two] = [lab.host(1), lab.host(2)];

  /** Sends floods; how many of them came to host 2. */
  async function floods(text: string): Promise<number> {
    const [tap, cable] = [one.packetSocket('vxlan100'), two.packetSocket('eth0')];
    const got = () => cable.select(({ bytes }) => bytes.includes(`${text} `)).length;
    for (const i of range(COUNT)) {
      tap.send(probe({ dst: BROADCAST, src: SOURCE, text: `${text} ${i}` }, { length: FRAME_BYTES }));
      await sleep(GAP_MS);
    }
    await waitFor('all floods', got, (count) => count === COUNT, { timeoutMs: 2_000 }).catch(() => {});
    return got();
  }

  test.each([4, 6] as const)(
    'IPv%i: dead remotes leave room for the living one where a neighbour may hold little',
    async (family) => {
      one.ip('tuntap', 'add', 'vxlan100', 'mode', 'tap', 'user', '0');
      lab.scope.defer(() => void one.ip('link', 'del', 'vxlan100'));
      one.ip('link', 'set', 'vxlan100', 'mtu', '1430', 'up');
      const dead = range(150).map((i) =>
        family === 4 ? `198.18.0.${50 + i}` : `fd00:18::${(0x100 + i).toString(16)}`,
      );
      const living = family === 4 ? two.address : two.address6;
      const remotes = [...dead.slice(0, 75), living, ...dead.slice(75)].map((ip) => `remote=${ip}`);
      const vni = ['100', 'mtu=1430', ...remotes].join(',');
      const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', vni], { wrapper: WITHOUT_CAPABILITIES });
      const lost = async () => (await daemon.get<DropCounters>('/v1/drops')).tx['send-full'] ?? 0;
      one.sysctl(`net/ipv${family}/neigh/eth0/unres_qlen_bytes`, 4_096);
      expect([await floods('little'), await lost()]).toEqual([COUNT, 0]);
      // As much as the kernel lets them, by default.
      one.sysctl(`net/ipv${family}/neigh/eth0/unres_qlen_bytes`, 212_992);
      await floods('much');
      expect(await lost()).toBeGreaterThan(0);
      const findings = await daemon.get<Finding[]>('/v1/doctor');
      expect(findings.find(({ object }) => object === 'tx send-full')?.message).toMatch(
        /perhaps .* queue of the underlay is full, or remotes that do not answer/,
      );
      await daemon.stop();
    },
    60_000,
  );
});
