/**
 * A thread dies, and the host refuses its successor for a while: what the host lacks ends neither the daemon nor the other thread.
 *
 *     vxlan100 ─ host 1, vtepd ─┬─ thread 0      ── underlay ── host 2: datagrams of many flows
 *                               └─ thread 1 ✝ …
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { command } from '../../support/host/namespaces.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import { isProbe } from '../../support/traffic/probes.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

const KILLABLE = fileURLToPath(new URL('../../support/daemon/killable-worker.mjs', import.meta.url));
const FLOWS = 32;
/** Of the second worker's first thread. */
const OWNER = 3;

const fdNumbers = (pid: number) => readdirSync(`/proc/${pid}/fd`).map(Number);

/** How many numbers below the limit of open files are free, from now on. Those in use stay. */
function leaveFds(pid: number, count: number): void {
  const used = new Set(fdNumbers(pid));
  let limit = 0;
  for (let free = 0; free < count || used.has(limit); limit++) if (!used.has(limit)) free++;
  command('prlimit', ['--pid', `${pid}`, `--nofile=${limit}:`]);
}

describeSystem('a thread whose successor the host refuses', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  test.each([
    ['the eventfd', 0],
    ['the event loop of the thread', 2],
    ['the modules that it loads', 12],
  ])('of fds, for %s: it is tried again, the other goes on, and nothing is left over', async (_stage, left) => {
    const killer = join(lab.folder, 'kill-worker-');
    const { daemon } = await startVtepdVtep(one, {
      segments: [{ vni: 100, group: '239.1.1.1' }],
      flags: ['--workers', '2', '--log-format', 'json'],
      env: { NODE_OPTIONS: `--import ${KILLABLE}`, KILL_WORKER: killer },
    });
    const inside = one.packetSocket('vxlan100');
    const senders = Array.from({ length: FLOWS }, () => two.udpSocket({ address: two.address }));
    const send = () => {
      inside.clear();
      const inner = probe({ dst: BROADCAST, src: '02:00:00:00:00:0b', text: 'flow' });
      for (const sender of senders) sender.send(vxlan({ vni: 100, inner }), { to: one.address });
    };
    const received = () => inside.select(isProbe('flow')).length;
    send();
    await waitUntil('all flows', () => received() === FLOWS);
    const events = (event: string) => daemon.stdout.split(`"event":"${event}"`).length - 1;
    const fdsBefore = fdNumbers(daemon.pid).length;

    leaveFds(daemon.pid, left);
    writeFileSync(`${killer}${OWNER}`, '');
    await waitUntil('the second try', () => events('worker-not-revived') >= 2);
    rmSync(`${killer}${OWNER}`);
    expect(daemon.stdout).toContain('EMFILE');
    expect(one.link('vxlan100')?.flags).toContain('LOWER_UP');
    send();
    await waitFor('the flows of the other thread', received, (count) => count > 2);
    expect(received()).toBeLessThan(FLOWS);
    await sleep(1_500);

    command('prlimit', ['--pid', `${daemon.pid}`, '--nofile=1024:']);
    // What came meanwhile waits in the socket.
    await waitUntil('all flows', () => received() === FLOWS);
    send();
    await waitUntil('all flows again', () => received() === FLOWS);
    const { workerStates } = await daemon.get<{ workerStates: unknown[] }>('/v1/status');
    expect(workerStates).toEqual([
      { worker: 0, state: 'ok', deaths: 0 },
      { worker: 1, state: 'ok', deaths: 1 },
    ]);
    expect(events('worker-died')).toBe(1);
    await waitUntil('as many fds as before', () => fdNumbers(daemon.pid).length <= fdsBefore);
    expect((await daemon.stop()).code).toBe(0);
  });
});
