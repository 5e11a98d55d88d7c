/**
 * What nobody caught: a refusal of the host is told, and the daemon goes on; a fault of the program ends it. And what the end of a thread needs
 * may not be there.
 *
 *     vxlan100 ── host 1  198.18.0.1
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { waitUntil } from '../../support/wait.ts';

const FLAGS = ['--dev', 'eth0', '--vni', '100=239.1.1.1', '--log-format', 'json'];
const SYS_ERROR = fileURLToPath(new URL('../../../dist/sys/sys-error.js', import.meta.url));

/** Has the daemon throw where nobody catches: on SIGUSR2 as the host refuses, on SIGWINCH as a program fails. */
const THROWING = `
import { isMainThread } from 'node:worker_threads';
import { SysError } from ${JSON.stringify(SYS_ERROR)};
const later = (error) => () => setImmediate(() => { throw error(); });
if (isMainThread) {
  process.on('SIGUSR2', later(() => new SysError('the host', 105)));
  process.on('SIGWINCH', later(() => new TypeError('a fault')));
}
`;

describeSystem('what nobody caught', () => {
  const lab = useLab({ hosts: 1 });

  function startThrowing(): Promise<VtepdProcess> {
    const path = join(lab.folder, 'throwing.mjs');
    writeFileSync(path, THROWING);
    return startVtepd(lab.host(1), FLAGS, { env: { NODE_OPTIONS: `--import ${path}` } });
  }

  test('of the host is told, and the daemon goes on', async () => {
    const daemon = await startThrowing();
    for (let times = 1; times <= 3; times++) {
      daemon.kill('SIGUSR2');
      await waitUntil('the line', () => daemon.stdout.split('"event":"refused"').length === times + 1);
    }
    expect(daemon.stdout).toContain('ENOBUFS');
    await daemon.ctl('vni', 'add', '200,remote=198.18.0.9');
    expect((await daemon.stop()).code).toBe(0);
  });

  test('of the program ends it with code 2', async () => {
    const daemon = await startThrowing();
    daemon.kill('SIGWINCH');
    const { code, stdout } = await daemon.ended;
    expect(code).toBe(2);
    expect(stdout).toContain('"event":"died"');
    expect(lab.host(1).ip('link', 'show')).not.toContain('vxlan100');
  });
});
