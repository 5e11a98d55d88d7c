/**
 * Mutated datagrams from the underlay and mutated frames from the TAP, at a running daemon: it lives, says nothing, and serves the next good frame.
 * `npm run fuzz` runs it longer.
 *
 *      mutated frames ─ vxlan100 ─ host 1, vtepd ── underlay ── host 2 ─ mutated datagrams
 */
import { expect, test } from 'vitest';
import { startVtepdVtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../support/traffic/frames.ts';
import { isProbe, sendProbe } from '../support/traffic/probes.ts';
import { sleep, waitFor } from '../support/wait.ts';

const SECONDS = Number(process.env.VTEPD_FUZZ_SECONDS ?? 3);
const SEED = Number(process.env.VTEPD_FUZZ_SEED ?? 1);
const STATION = '02:00:00:00:ba:d0';
const BATCH = 32;

describeSystem('a running daemon', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  test(`under mutated packets, seed ${SEED}`, { timeout: SECONDS * 1000 + 60_000 }, async () => {
    const keys = ['inner-vlan=pass', 'l2-control=pass', 'suppress=on'];
    const vtep = await startVtepdVtep(one, {
      segments: [
        { vni: 100, group: '239.1.1.1', keys },
        { vni: 200, group: '239.1.1.2' },
      ],
    });
    const tap = one.packetSocket('vxlan100');
    const [near, far] = [one.packetSocket('vxlan200'), two.udpSocket({ address: two.address })];
    let state = SEED;
    const next = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      return Math.floor(((state >>> 0) / 2 ** 32) * below);
    };
    const mutated = (octets: Buffer, least: number) => {
      const bytes = Buffer.concat([octets, Buffer.alloc(next(3) * next(600), next(256))]);
      for (let times = next(6); times > 0; times--) bytes[next(bytes.length)] = next(256);
      return next(4) === 0 ? bytes.subarray(0, least + next(bytes.length - least)) : bytes;
    };
    let sent = 0;
    for (const end = performance.now() + SECONDS * 1000; performance.now() < end; await sleep(2)) {
      for (let i = 0; i < BATCH; i++, sent++) {
        const inner = probe({ dst: next(2) === 0 ? BROADCAST : STATION, src: STATION, text: `${sent}` });
        far.send(mutated(vxlan({ vni: next(2) === 0 ? 100 : 999, inner }), 0), {
          to: next(2) === 0 ? one.address : '239.1.1.1',
        });
        tap.send(mutated(inner, 14));
      }
      tap.clear();
      near.clear();
    }
    await waitFor(
      'the next good frame',
      async () => {
        far.send(vxlan({ vni: 200, inner: probe({ dst: BROADCAST, src: STATION, text: 'good' }) }), {
          to: '239.1.1.2',
        });
        return near.select(isProbe('good')).length;
      },
      (count) => count > 0,
      { everyMs: 50 },
    );
    const cable = two.packetSocket('eth0');
    sendProbe(near, { dst: BROADCAST, src: STATION, text: 'good too' });
    await cable.waitForFrame('a good frame out', ({ bytes }) => bytes.includes(Buffer.from('good too')));
    const { rx } = await vtep.drops();
    expect(rx['unknown-vni']).toBeGreaterThan(0);
    await vtep.stop();
    console.log(`fuzz: ${sent} packets each way, seed ${SEED}`);
  });
});
