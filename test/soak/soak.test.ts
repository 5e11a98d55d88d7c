/**
 * A daemon beside a kernel peer on a host where everything changes all the time: links, addresses, VNIs, whoever asks the API, and netlink events that
 * are lost, and threads that die. At the end traffic passes, and neither fds nor memory have grown. `npm run soak` runs it longer.
 *
 *      vxlan100 ─ host 1, vtepd ── underlay ── host 2, kernel ─ vxlan100
 *                   └ churn: veth pairs, addresses, vxlan200 …
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep } from '../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../support/lab/lab.ts';
import { BROADCAST } from '../support/traffic/frames.ts';
import { isProbe, sendProbe } from '../support/traffic/probes.ts';
import { sleep, waitFor } from '../support/wait.ts';

const SECONDS = process.env.VTEPD_SOAK_MINUTES === undefined ? 15 : 60 * Number(process.env.VTEPD_SOAK_MINUTES);
const SEED = Number(process.env.VTEPD_SOAK_SEED ?? 1);
/** What a heap may grow by between two collections, and no leak of a round stays below for long. */
const MAX_GROWTH_BYTES = 96e6;
const LINKS_AT_ONCE = 150;
const KILLABLE = fileURLToPath(new URL('../support/daemon/killable-worker.mjs', import.meta.url));
/** The daemon gives up after one more of a worker within a minute. */
const MAX_DEATHS = 4;
const DEATH_WINDOW_MS = 61_000;

const fds = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
const resident = (pid: number) =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

describeSystem('a host where everything changes', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  test(`is forwarded on, seed ${SEED}`, { timeout: SECONDS * 1000 + 120_000 }, async () => {
    const segments = [{ vni: 100, group: '239.1.1.1' }];
    const killer = join(lab.folder, 'kill-worker-');
    const vtep = await startVtepdVtep(one, {
      segments,
      flags: ['--workers', '2', '--log-level', 'error'],
      env: { NODE_OPTIONS: `--import ${KILLABLE}`, KILL_WORKER: killer },
    });
    await startKernelVtep(two, { segments });
    const { daemon } = vtep;
    const [near, far] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const passes = async (what: string) => {
      for (const [from, to, src] of [
        [near, far, '02:00:00:00:00:0a'],
        [far, near, '02:00:00:00:00:0b'],
      ] as const) {
        to.clear();
        const look = () => {
          try {
            sendProbe(from, { dst: BROADCAST, src, text: what });
          } catch {
            // A packet socket tells once that its link was down.
          }
          return to.select(isProbe(what)).length;
        };
        await waitFor(`traffic after ${what}`, look, (count) => count > 0, { timeoutMs: 20_000, everyMs: 50 });
      }
    };
    const batch = (lines: readonly string[]) =>
      one.run('sh', '-c', `printf '${lines.join('\\n')}\\n' | ip -force -batch -`);
    const each = (line: (i: number) => string, count = LINKS_AT_ONCE) =>
      batch(Array.from({ length: count }, (_, i) => line(i)));
    const workerStates = async () =>
      (await daemon.get<{ workerStates: { state: string; deaths: number }[] }>('/v1/status')).workerStates;
    /** Of the first worker: its first thread, and then its successors, each of which gets the next number behind those of the start. */
    let owner = 2;
    let deaths = 0;
    const diedMs: number[] = [];
    const rounds: Readonly<Record<string, () => unknown>> = {
      addresses: () => {
        each((i) => `addr add 10.9.${i >> 8}.${i & 255}/32 dev lo`);
        each((i) => `addr del 10.9.${i >> 8}.${i & 255}/32 dev lo`);
      },
      links: () => {
        each((i) => `link add s${i} type veth peer name t${i}`, 20);
        each((i) => `link del s${i}`, 20);
      },
      'a link that flaps': () => {
        one.ip('link', 'set', 'eth0', 'down');
        one.ip('link', 'set', 'eth0', 'up');
        one.run('ip', 'route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
      },
      'a TAP that flaps': () => {
        one.ip('link', 'set', 'vxlan100', 'down');
        one.ip('link', 'set', 'vxlan100', 'up');
      },
      'a VNI that comes and goes': async () => {
        await daemon.ctl('vni', 'add', '200=239.1.1.2,remote=198.18.0.9');
        await daemon.ctl('remote', 'add', '198.18.0.10', '--vni', '200');
        await daemon.ctl('vni', 'del', '200');
      },
      'lost netlink events': async () => {
        process.kill(daemon.pid, 'SIGSTOP');
        try {
          each((i) => `link add s${i} type veth peer name t${i}`);
          each((i) => `link del s${i}`);
        } finally {
          process.kill(daemon.pid, 'SIGCONT');
        }
        await sleep(50);
      },
      'a thread that dies': async () => {
        if ((diedMs.at(-MAX_DEATHS) ?? Number.NEGATIVE_INFINITY) > performance.now() - DEATH_WINDOW_MS) return;
        diedMs.push(performance.now());
        writeFileSync(`${killer}${owner}`, '');
        deaths++;
        await waitFor(
          'its successor',
          async () => (await workerStates())[0],
          (worker) => worker?.state === 'ok' && worker.deaths === deaths,
          { timeoutMs: 20_000, everyMs: 50 },
        );
        rmSync(`${killer}${owner}`);
        owner = deaths + 3;
      },
      'API load': async () => {
        const paths = ['/metrics', '/v1/fdb', '/v1/vnis', '/v1/vteps', '/v1/stats', '/v1/drops', '/v1/status'];
        await Promise.all([...paths, ...paths, ...paths].map((path) => daemon.getText(path)));
        await daemon.getText('/v1/doctor');
      },
    };
    const names = Object.keys(rounds);
    // What is loaded or opened once is not what grows.
    for (const name of names) await rounds[name]?.();
    await passes('warming up');
    const [fdsBefore, residentBefore] = [fds(daemon.pid), resident(daemon.pid)];
    let state = SEED;
    let count = 0;
    for (const end = performance.now() + SECONDS * 1000; performance.now() < end; count++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      const name = names[Math.floor(((state >>> 0) / 2 ** 32) * names.length)] as string;
      await rounds[name]?.();
      await passes(`${name}, round ${count}`);
    }
    const [vni] = await daemon.get<{ status: string }[]>('/v1/vnis');
    expect(vni?.status).toBe('ok');
    expect(await workerStates()).toMatchObject([
      { state: 'ok', deaths },
      { state: 'ok', deaths: 0 },
    ]);
    // Connections that were kept alive end within seconds.
    await waitFor(
      'fds as at the start',
      () => fds(daemon.pid),
      (open) => open <= fdsBefore,
      { timeoutMs: 15_000, everyMs: 200 },
    );
    expect(resident(daemon.pid) - residentBefore).toBeLessThan(MAX_GROWTH_BYTES);
    await vtep.stop();
    console.log(`soak: ${count} rounds, ${deaths} threads died, seed ${SEED}`);
  });
});
