/**
 * How a daemon ends, and what does not end it.
 *
 *     vxlan100 ── host 1  198.18.0.1
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startVtepd, VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { StoppedThread } from '../../support/host/stopped-thread.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { sleep, waitFor, waitUntil } from '../../support/wait.ts';

const FLAGS = ['--dev', 'eth0', '--vni', '100=239.1.1.1'];

const SIGHUP = 1;

function catches(pid: number, signal: number): boolean {
  const [, caught = '0'] = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return ((BigInt(`0x${caught}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

describeSystem('a daemon', () => {
  const lab = useLab({ hosts: 1 });

  test('whose worker hangs says so within a second or so, refuses changes, and has them all when it turns again', async () => {
    const daemon = await startVtepd(lab.host(1), FLAGS);
    const states = async () => (await daemon.get<{ workerStates: { state: string }[] }>('/v1/status')).workerStates;
    expect(await states()).toEqual([{ worker: 0, state: 'ok', deaths: 0 }]);
    const hanging = await StoppedThread.worker(daemon.pid);
    // It is under way when the hang is seen: told of after 2 s, and made later.
    const startMs = performance.now();
    const adding = daemon.runCtl('vni', 'add', '200,remote=198.18.0.9');
    await waitFor('the state', states, ([first]) => first?.state === 'hung');
    expect(performance.now() - startMs).toBeLessThan(3_000);
    expect(daemon.stdout).toContain('"event":"worker-hangs","worker":0');
    expect((await daemon.runCtl('vni', 'show', '100')).stdout).toContain('worker 0 hangs');
    expect(await daemon.getText('/metrics')).toContain('vtep_worker_up{worker="0"} 0');
    expect((await daemon.runCtl('doctor')).stdout).toMatch(/worker 0.*(hangs|run)/);
    expect(await adding).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the change is made when it runs again'),
    });
    expect((await adding).stderr).toMatch(/worker 0 has not run for [\d.]+ s:/);
    for (const words of [
      ['remote', 'add', '198.18.0.8', '--vni', '100'],
      ['vni', 'add', '300'],
      ['vni', 'del', '100'],
      ['reload'],
      ['capture', '-c', '1', '-w', '/dev/null'],
    ]) {
      const refused = await daemon.runCtl(...words);
      expect(refused.code, words.join(' ')).toBe(1);
      expect(refused.stderr).toMatch(/worker 0 has not run for (?:[2-9]|\d\d)[\d.]* s: nothing was changed/);
    }
    hanging.close();
    await waitFor('the state', states, ([first]) => first?.state === 'ok');
    expect(daemon.stdout).toContain('"event":"worker-turns"');
    await waitUntil('VNI 200', async () => (await daemon.getText('/v1/vnis')).includes('198.18.0.9'));
    expect((await daemon.runCtl('vni', 'show', '200')).stdout).toContain('ok');
    expect(await daemon.getText('/metrics')).toContain('vtep_worker_up{worker="0"} 1');
    await daemon.ctl('vni', 'add', '300,remote=198.18.0.7');
  });

  test('ends within 2 s with code 0 while its configuration file does not come back', async () => {
    const host = lab.host(1);
    const path = join(mkdtempSync(join(tmpdir(), 'vtepd-pipe-')), 'pipe.yaml');
    writeFileSync(path, 'dev: eth0\nvnis: [{vni: 100, group: 239.1.1.1}]\n');
    const daemon = await startVtepd(host, ['--config', path]);
    rmSync(path);
    execFileSync('mkfifo', [path]);
    expect(await daemon.runCtl('reload')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('cannot be read within 5 s'),
    });
    const { code, ms } = await daemon.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2_000);
  });

  test('ends within 2 s with code 0 though a worker hangs and a client does not read, and leaves nothing', async () => {
    const daemon = await startVtepd(lab.host(1), FLAGS);
    const client = connect(daemon.socket).on('error', () => {});
    client.write('GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n');
    client.pause();
    const hanging = await StoppedThread.worker(daemon.pid);
    const stopping = daemon.stop();
    await waitUntil('its end', () => hanging.reap(), { timeoutMs: 5_000 });
    const { code, ms } = await stopping;
    client.destroy();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(2_000);
    expect(existsSync(daemon.socket)).toBe(false);
    expect(lab.host(1).ip('link', 'show')).not.toContain('vxlan100');
  });

  test('is not said to hang because the whole process was stopped for a while', async () => {
    const daemon = await startVtepd(lab.host(1), FLAGS);
    daemon.kill('SIGSTOP');
    await sleep(2_500);
    daemon.kill('SIGCONT');
    await sleep(500);
    expect((await daemon.get<{ workerStates: unknown[] }>('/v1/status')).workerStates).toEqual([
      { worker: 0, state: 'ok', deaths: 0 },
    ]);
    expect(daemon.stdout).not.toContain('worker-hangs');
  });

  test('applies a SIGHUP that came before it was up, and neither ends nor opens a debugger on others', async () => {
    const path = join(lab.folder, 'vtepd.yaml');
    writeFileSync(path, 'dev: eth0\nvnis:\n  - vni: 100\n    group: 239.1.1.1\n');
    const daemon = new VtepdProcess(lab.host(1), ['--config', path]);
    // From the first line of JavaScript on.
    await waitUntil('it listens to SIGHUP', () => catches(daemon.pid, SIGHUP));
    while (!existsSync(daemon.socket) && daemon.running) {
      daemon.kill('SIGHUP');
      daemon.kill('SIGUSR1');
      await sleep(50);
    }
    await daemon.ready();
    await waitUntil('a reload', () => daemon.stdout.includes('"event":"reloaded"'));
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGPIPE', 'SIGALRM', 'SIGWINCH', 'SIGIO', 'SIGPWR'] as const) {
      daemon.kill(signal);
    }
    await waitUntil('all were seen', () => daemon.stdout.includes('"signal":"SIGPWR"'));
    expect(lab.host(1).run('ss', '-tln')).not.toContain(':9229');
    expect(daemon.stderr).not.toContain('Debugger');
    expect((await daemon.stop()).code).toBe(0);
  });
});
