/**
 * `fdb monitor` and /v1/events of a real daemon: one event for each change, whatever made it.
 *
 *     vxlan100 ── host 1: vtepd ───┐  VNI 100 = 239.1.1.1
 *                 host 2           ┴  crafted datagrams from 198.18.0.101 and 198.18.0.102
 */
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { api, type FdbEvent, type FdbMonitor, startMonitor, startMonitors } from '../../support/daemon/fdb-monitor.ts';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { VTEPCTL } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import { sendProbe, settle } from '../../support/traffic/probes.ts';
import { sleep, waitUntil } from '../../support/wait.ts';

const [A, B] = ['198.18.0.101', '198.18.0.102'];
/** Longer than the main thread lets events wait. */
const LOOK_MS = 300;

describeSystem.each([1, 2])('events of the forwarding table, %i workers', (workers) => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  beforeAll(() => {
    for (const address of [A, B]) two.addAddress(address);
  });

  const start = (ageingSeconds = 300): Promise<VtepdVtep> =>
    startVtepdVtep(one, {
      segments: [{ vni: 100, group: '239.1.1.1' }, { vni: 200 }],
      ageingSeconds,
      flags: ['--workers', `${workers}`],
    });

  /** The machine speaks from behind a VTEP of host 2. */
  function hear(mac: string, vtep: string, vni = 100): void {
    const inner = probe({ dst: BROADCAST, src: mac, text: 'here' });
    two.udpSocket({ address: vtep }).send(vxlan({ vni, inner }), { to: one.address });
  }

  test('learned, moved, moved to the own TAP and back, and aged: one event each, none for what is heard again', async () => {
    const mac = '02:00:00:00:01:01';
    const { daemon } = await start(4);
    const monitor = await startMonitor(one, daemon);
    hear(mac, A);
    expect(await monitor.waitFor(mac, 1)).toEqual([`add ${A}`]);
    hear(mac, A);
    // Two workers may read what comes from two VTEPs at once in either order.
    await sleep(LOOK_MS);
    hear(mac, B);
    expect(await monitor.waitFor(mac, 2)).toEqual([`add ${A}`, `move ${B} from ${A}`]);
    sendProbe(one.packetSocket('vxlan100'), { dst: BROADCAST, src: mac, text: 'at home' });
    await monitor.waitFor(mac, 3);
    hear(mac, B);
    await monitor.waitFor(mac, 5);
    await sleep(LOOK_MS);
    expect(monitor.of(mac)).toEqual([
      `add ${A}`,
      `move ${B} from ${A}`,
      `move local from ${B}`,
      `move ${B} from local`,
      `age ${B}`,
    ]);
    const [{ time = '', ...rest } = {}] = monitor.events.filter((event) => event.mac === mac);
    expect(rest).toEqual({ event: 'add', vni: 100, mac, vtep: A, from: null, type: 'dynamic' });
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
  });

  test('static entries, deleted and flushed: one event for each entry', async () => {
    const [learned, pinned, other] = ['02:00:00:00:02:01', '02:00:00:00:02:02', '02:00:00:00:02:03'];
    const { daemon } = await start();
    const monitor = await startMonitor(one, daemon);
    hear(learned, A);
    hear(other, A);
    hear(other, B, 200);
    await Promise.all([monitor.waitFor(learned, 1), monitor.waitFor(other, 2)]);
    await daemon.ctl('fdb', 'add', learned, '--vni', '100', '--vtep', B);
    await daemon.ctl('fdb', 'add', learned, '--vni', '100', '--vtep', B);
    await daemon.ctl('fdb', 'add', pinned, '--vni', '100', '--vtep', 'local');
    hear(learned, A);
    await daemon.ctl('fdb', 'del', pinned, '--vni', '100');
    expect(await daemon.ctl('fdb', 'flush')).toEqual({ removed: 2 });
    expect(await daemon.ctl('fdb', 'flush', '--all')).toEqual({ removed: 1 });
    await Promise.all([monitor.waitFor(learned, 3), monitor.waitFor(other, 4)]);
    await sleep(LOOK_MS);
    expect(monitor.of(learned)).toEqual([`add ${A}`, `add static ${B} from ${A}`, `delete static ${B}`]);
    expect(monitor.of(pinned)).toEqual(['add static local', 'delete static local']);
    expect(monitor.of(other).toSorted()).toEqual([`add ${A}`, `add ${B}`, `delete ${A}`, `delete ${B}`]);
    expect(monitor.events.filter(({ mac, vni }) => mac === other && vni === 200)).toHaveLength(2);
    expect(monitor.events.some(({ event }) => event === 'lost')).toBe(false);
  });

  test('two monitors are told everything; one that does not read costs them nothing, and learns how much it lost', async () => {
    const MACS = 20_000;
    const { daemon } = await start();
    const mute = connect(daemon.socket);
    lab.scope.defer(() => void mute.destroy());
    mute.pause();
    mute.write('GET /v1/events HTTP/1.1\r\nHost: vtepd\r\n\r\n');
    const monitors = await startMonitors(one, daemon, 2);
    const socket = two.udpSocket({ address: A });
    const added = (monitor: FdbMonitor) => monitor.events.filter(({ event }) => event === 'add').length;
    const macs = async () => (await api(daemon, 'GET', '/v1/status')) as { macs: number };
    for (let n = 0; n < MACS; n++) {
      const src = `02:03:00:00:${(n >>> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`;
      socket.send(vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src, text: 'one of many' }) }), { to: one.address });
      // What the receive buffer holds is not to be the question.
      if (n % 2_000 === 1_999) await waitUntil('the daemon to follow', async () => (await macs()).macs >= n);
    }
    for (const monitor of monitors) {
      await waitUntil('all of them', () => added(monitor) === MACS, { timeoutMs: 30_000, everyMs: 100 });
      expect(monitor.events).toHaveLength(MACS);
    }
    expect(await daemon.ctl('fdb', 'flush')).toEqual({ removed: MACS });
    for (const monitor of monitors) {
      const told = () =>
        monitor.events.reduce((sum, { event, count }) => sum + (event === 'lost' ? (count ?? 0) : 1), 0);
      await waitUntil('all to be told', () => told() >= 2 * MACS, { timeoutMs: 30_000, everyMs: 100 });
      expect(told()).toBe(2 * MACS);
    }
    let text = '';
    mute.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    mute.resume();
    await waitUntil('the slow one to be told', () => text.includes('"event":"lost"'), { timeoutMs: 30_000 });
    const events = [...text.matchAll(/data: (\{.*\})/g)].map(([, json = '']) => JSON.parse(json) as FdbEvent);
    const lost = events.filter(({ event }) => event === 'lost').reduce((sum, { count = 0 }) => sum + count, 0);
    const kept = events.filter(({ mac }) => mac?.startsWith('02:03:')).length;
    expect(lost).toBeGreaterThan(0);
    // The markers of the other monitors' start, two events each, are among what it was told.
    expect(kept + lost).toBeGreaterThanOrEqual(2 * MACS);
    expect(kept + lost).toBeLessThan(2 * MACS + 1_000);
  }, 120_000);

  describe('the end', () => {
    test('of the daemon: within 2 s though monitors listen, of which one does not read; they end with 2 and say so', async () => {
      const { daemon } = await start();
      const mute = connect(daemon.socket);
      lab.scope.defer(() => void mute.destroy());
      mute.pause();
      mute.on('error', () => {});
      mute.write('GET /v1/events HTTP/1.1\r\nHost: vtepd\r\n\r\n');
      const monitors = await startMonitors(one, daemon, 2);
      const { code, ms } = await daemon.stop();
      expect(code).toBe(0);
      expect(ms).toBeLessThan(2_000);
      const stderr = `vtepctl: control socket ${daemon.socket}: vtepd ended: start it and try again\n`;
      for (const monitor of monitors) expect(await monitor.ended).toEqual({ code: 2, stderr });
    });

    test('of the daemon by kill -9: they end with 2 too', async () => {
      const { daemon } = await start();
      const monitor = await startMonitor(one, daemon);
      daemon.kill('SIGKILL');
      expect(await monitor.ended).toMatchObject({ code: 2, stderr: expect.stringContaining('vtepd ended') });
      await daemon.ended;
      await settle();
    });

    test('by SIGINT, or when nobody reads any more: without a word', async () => {
      const { daemon } = await start();
      const monitor = await startMonitor(one, daemon);
      const piped = new Promise((resolve) => {
        const script = '"$@" | head -n 1';
        const args = ['-c', script, 'sh', process.execPath, VTEPCTL, '--socket', daemon.socket, 'fdb', 'monitor'];
        const child = execFile('sh', args, (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }));
      });
      let isOver = false;
      void piped.then(() => {
        isOver = true;
      });
      for (let n = 0; !isOver; n++) {
        const mac = `02:04:00:00:00:${(n & 255).toString(16).padStart(2, '0')}`;
        await api(daemon, 'POST', '/v1/fdb', { vni: 100, mac, vtep: A });
        await api(daemon, 'DELETE', `/v1/fdb/100/${mac}`);
        await sleep(50);
      }
      expect(await piped).toMatchObject({ code: 0, stderr: '' });
      expect(await piped).toMatchObject({
        stdout: expect.stringMatching(/^\S+ (add|delete) +100 {2}02:04:.* 198\.18\.0\.101 {2}static\n$/),
      });
      monitor.kill('SIGINT');
      expect(await monitor.ended).toEqual({ code: 0, stderr: '' });
    });
  });
});
