/** Neighbours behind a real TAP, and answers into it for those that a control plane placed. */
import { expect, onTestFinished, test } from 'vitest';
import { NeighbourTable, STATION } from '../../src/forward/answers/neighbours.ts';
import { ToldNeighbours } from '../../src/forward/answers/told-neighbours.ts';
import { LocalNeighbours } from '../../src/vtep/entries/local-neighbours.ts';
import {
  HERE,
  naiveAdvertisement,
  naiveArp,
  naiveNd,
  REPLY,
  THERE,
  THERE_IP,
} from '../../src/wire/answers/naive-neighbours.ts';
import { startTapWorker, TAP_SEGMENT, TAP_VNI } from '../support/daemon/tap-worker.ts';
import { describeSystem } from '../support/lab/lab.ts';
import { sleep, waitFor } from '../support/wait.ts';

const frame = (octets: readonly number[]) => Buffer.from(octets);

describeSystem('a neighbour behind a TAP', () => {
  test('is told within a second of its ARP or ND frame, and again with another MAC', async () => {
    const { neighboursMemory, log, socket } = await startTapWorker();
    const neighbours = new LocalNeighbours(new ToldNeighbours(neighboursMemory, 1), log);
    onTestFinished(() => neighbours.stop());
    const told: string[] = [];
    neighbours.listen(TAP_SEGMENT, TAP_VNI, ({ vni, neighbours: batch }) => {
      for (const { mac, ip } of batch) told.push(`${vni} ${ip} ${mac}`);
    });
    const tells = async (octets: readonly number[], expected: string) => {
      // The main thread sleeps by now.
      await sleep(100);
      const sentMs = performance.now();
      socket.send(frame(octets));
      await waitFor(
        expected,
        () => told,
        (all) => all.includes(expected),
      );
      expect(performance.now() - sentMs).toBeLessThan(1_000);
    };
    await tells(naiveArp(), '100 192.0.2.1 02:00:00:00:00:01');
    await tells(naiveArp({ src: '02 00 00 00 00 09' }), '100 192.0.2.1 02:00:00:00:00:09');
    await tells(naiveNd(), '100 2001:db8::1 02:00:00:00:00:01');
    await tells(naiveAdvertisement(), '100 2001:db8::2 02:00:00:00:00:02');
  });

  test('is answered for one that was placed, as long as that stays', async () => {
    const { fdb, neighboursMemory, now, socket } = await startTapWorker({ suppress: true });
    const { placed } = new NeighbourTable(neighboursMemory);
    const [high, low] = [0x0200_0000, 2];
    fdb.placeAll(TAP_SEGMENT, [{ high, low, at: { a: 0, b: 0, c: 0xffff, d: 0x0a00_0001 }, isSticky: false }], now());
    const [a, b, c, d] = [0, 0, 0xffff, (192 << 24) | (2 << 8) | 2] as const;
    placed.place(TAP_SEGMENT, { a, b, c, d, high, low, kind: STATION.host });
    const answer = frame(
      naiveArp({ dst: HERE, src: THERE, operation: REPLY, senderIp: THERE_IP, targetMac: HERE, targetIp: '192.0.2.1' }),
    );
    socket.send(frame(naiveArp()));
    await socket.waitForFrame('the answer', ({ bytes }) => bytes.subarray(0, answer.length).equals(answer));
    placed.withdraw(TAP_SEGMENT, a, b, c, d);
    socket.clear();
    socket.send(frame(naiveArp()));
    await sleep(300);
    expect(socket.drain()).toEqual([]);
  });
});
