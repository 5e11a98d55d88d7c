/**
 * What systemd hears of a daemon it watches: signs of life, but not while a thread hangs.
 *
 *     vxlan100 ── host 1  198.18.0.1
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NotifySocket } from '../../support/daemon/notify-socket.ts';
import { startVtepd } from '../../support/daemon/vtepd-process.ts';
import { StoppedThread } from '../../support/host/stopped-thread.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { sleep, waitUntil } from '../../support/wait.ts';

const LIMIT_MS = 300;
const FILE = 'dev: eth0\nvnis:\n  - vni: 100\n    group: 239.1.1.1\n';

describeSystem('a daemon that is watched', () => {
  const lab = useLab({ hosts: 1 });

  test('gives signs of life while its threads answer, and says when it reloads', async () => {
    const notify = lab.keep(new NotifySocket(join(lab.folder, 'notify.sock')));
    const path = join(lab.folder, 'vtepd.yaml');
    writeFileSync(path, FILE);
    const env = { NOTIFY_SOCKET: notify.address, WATCHDOG_USEC: `${LIMIT_MS * 1000}` };
    const daemon = await startVtepd(lab.host(1), ['--config', path], { env });
    const signs = () => notify.lines().filter((line) => line === 'WATCHDOG=1').length;
    await waitUntil('signs of life', () => signs() > 3);

    const hanging = await StoppedThread.worker(daemon.pid);
    // One that was answered before may still be on its way.
    await sleep(LIMIT_MS);
    const before = signs();
    await sleep(5 * LIMIT_MS);
    expect(signs()).toBe(before);
    hanging.close();
    await waitUntil('signs of life again', () => signs() > before + 1);

    for (const reload of [() => daemon.kill('SIGHUP'), () => daemon.ctl('reload')]) {
      const from = notify.lines().length;
      const told = () =>
        notify
          .lines()
          .slice(from)
          .filter((line) => line !== 'WATCHDOG=1');
      // A socket that nobody reads takes ten messages, and then the daemon waits.
      await Promise.all([reload(), waitUntil('the end of the reload', () => told().includes('READY=1'))]);
      expect(told()).toEqual(['RELOADING=1', expect.stringMatching(/^MONOTONIC_USEC=\d+$/), 'READY=1']);
    }
  });
});
