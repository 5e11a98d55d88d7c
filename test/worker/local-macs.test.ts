/** A MAC behind a real TAP, and how soon the main thread tells of it. */
import { expect, onTestFinished, test } from 'vitest';
import { LocalMacs } from '../../src/vtep/entries/local-macs.ts';
import { startTapWorker, TAP_VNI } from '../support/daemon/tap-worker.ts';
import { describeSystem } from '../support/lab/lab.ts';
import { BROADCAST } from '../support/traffic/frames.ts';
import { sendProbe } from '../support/traffic/probes.ts';
import { sleep, waitFor } from '../support/wait.ts';

describeSystem('a MAC behind a TAP', () => {
  test('is told within a second of its first frame, and again when it is deleted', async () => {
    const { fdb, now, log, socket } = await startTapWorker();
    const macs = new LocalMacs({ fdb, now, log, vnis: () => [TAP_VNI] });
    onTestFinished(() => macs.stop());
    const told: string[] = [];
    macs.watch(({ vni, isWhole, here, gone }) => {
      if (isWhole) told.push(`whole of ${vni}`);
      for (const { mac } of here) told.push(`${vni} ${mac} here`);
      for (const mac of gone) told.push(`${vni} ${mac} gone`);
    });
    const seen = (what: string) =>
      waitFor(
        what,
        () => told,
        (all) => all.includes(what),
      );
    await seen('whole of 100');
    for (let station = 1; station <= 3; station++) {
      const src = `02:00:00:00:00:0${station}`;
      // The main thread sleeps by now.
      await sleep(100);
      const sentMs = performance.now();
      sendProbe(socket, { dst: BROADCAST, src, text: 'here' });
      await seen(`100 ${src} here`);
      expect(performance.now() - sentMs).toBeLessThan(1_000);
    }
    fdb.delete(3, 0x0200_0000, 2, now());
    await seen('100 02:00:00:00:00:02 gone');
  });
});
